"""The getting-started tutorial, as its readers type it: with shapes and with samples."""

import jax.numpy as jnp
import pytest

from .test_display import TUTORIAL

CODE = """
import jax.numpy as jnp
from asdex import jacobian_coloring

def f(x):
    return (x[1:] - x[:-1]) ** 2

x = jnp.ones(50)

coloring = jacobian_coloring(f, input_shape=x.shape)


from asdex import jacobian_from_coloring

jac_fn = jacobian_from_coloring(f, coloring)
J = jac_fn(x)


import jax
import numpy as np

J_asdex = J.todense()
J_jax = jax.jacobian(f)(x)

np.testing.assert_allclose(J_asdex, J_jax, atol=1e-6)


import asdex
import jax
import timeit

n = 5000
x = jnp.ones(n)

jac_fn_asdex = asdex.jacobian(f, input_shape=n)
jac_fn_jax = jax.jacobian(f)

# Warm up JIT caches
_ = jac_fn_asdex(x)
_ = jac_fn_jax(x)

t_asdex = timeit.timeit(lambda: jac_fn_asdex(x).block_until_ready(), number=1)
t_jax = timeit.timeit(lambda: jac_fn_jax(x).block_until_ready(), number=1)


from asdex import jacobian

jac_fn = jacobian(f, input_shape=5000)

for x in inputs:
    J = jac_fn(x)


from asdex import hessian

def g(x):
    return jnp.sum(x ** 2)

hess_fn = hessian(g, input_shape=20)

for x in short_inputs:
    H = hess_fn(x)
"""

WITH_SAMPLES = {
    "input_shape=x.shape": "x",
    "input_shape=n": "jnp.zeros(n)",
    "input_shape=5000": "jax.ShapeDtypeStruct((5000,), np.float32)",
    "input_shape=20": "np.zeros(20)",
}


def run(code: str) -> dict:
    """The names that the code leaves behind."""
    names: dict = {"inputs": [jnp.full(5000, 2.0)], "short_inputs": [jnp.ones(20)]}
    exec(code, names)
    return names


@pytest.mark.parametrize("samples", [False, True])
def test_the_tutorial_runs_as_written(samples):
    code = CODE
    for shape, sample in WITH_SAMPLES.items():
        assert code.count(shape) == 1
        code = code.replace(shape, sample) if samples else code
    names = run(code)
    assert str(names["coloring"]) == TUTORIAL
    assert (names["J"].shape, names["J"].nse) == ((4999, 5000), 2 * 4999)
    assert names["H"].todense().tolist() == (2 * jnp.eye(20)).tolist()
