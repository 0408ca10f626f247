"""Importing asdex is quick because what it seldom needs is imported later."""

import subprocess
import sys
import types

import pytest

import asdex
import asdex.dense

PROGRAM = """
import sys
import jax
import jax.numpy as jnp
import asdex

# Nothing has been computed yet, so that the devices can still be chosen.
jax.config.update("jax_num_cpu_devices", 2)
assert jax.device_count("cpu") == 2
assert not {"jax.experimental.sparse", "scipy.sparse.linalg", "matplotlib"} & {*sys.modules}

x = jnp.arange(5.0)
with jax.checking_leaks():
    jacobian = jax.jit(asdex.jacobian(jnp.sin, x))(x)

from jax.experimental.sparse import BCOO
assert isinstance(jacobian, BCOO)
matrix = asdex.SparsityPattern.from_bcoo(jacobian).to_bcoo()
assert (matrix @ x == x).all()
"""


def test_sparse_matrices_are_imported_when_one_is_made():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


@pytest.mark.parametrize("module", [asdex, asdex.dense])
def test_public_names(module: types.ModuleType):
    """Of what a package defines, all is public that has no underscore."""
    assert len(module.__all__) == len(set(module.__all__))
    defined = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    if module is asdex:
        assert {*defined, "dense", "optimize"} == set(module.__all__)
    else:
        assert set(module.__all__) <= defined
