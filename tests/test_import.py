"""Importing asdex is quick because what it seldom needs is imported later."""

import subprocess
import sys

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
