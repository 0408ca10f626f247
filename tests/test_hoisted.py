"""Large constants of compiled functions are arguments of what is compiled."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import asdex
from asdex._verbs.hoisted import Hoisted

N = 2**16 + 1
ORDER = np.random.default_rng(0).permutation(N)


def test_large_constants_are_arguments() -> None:
    def f(x: jax.Array) -> dict[str, Any]:
        return {"sum": x[ORDER] + x * np.arange(1.0 * N), "none": None}

    hoisted, x = Hoisted(f), jnp.linspace(0.0, 1.0, N)
    for point in (x, 2 * x):
        found = hoisted(point)
        assert found["none"] is None
        np.testing.assert_allclose(found["sum"], f(point)["sum"], rtol=1e-6)
    (kept,) = hoisted._kept.values()
    hlo = kept.run.lower(kept.constants, x).as_text()
    assert not re.search(rf"constant dense.*tensor<{N}x", hlo)
    assert {const.size for const in kept.constants.values()} == {N}
    # No tracer is left behind by a call from within a program.
    again = Hoisted(f)
    inside = jax.jit(lambda y: again(x)["sum"] + y)(x)
    np.testing.assert_allclose(inside, again(x)["sum"] + x, rtol=1e-6)


def test_small_constants_stay_part_of_the_program() -> None:
    hoisted = Hoisted(lambda x: x * np.arange(3.0))
    np.testing.assert_array_equal(hoisted(jnp.ones(3)), [0, 1, 2])
    assert not hoisted._kept
    np.testing.assert_array_equal(hoisted(jnp.full(3, 2.0)), [0, 2, 4])


def test_a_derivative_with_many_indices() -> None:
    def f(x: jax.Array) -> jax.Array:
        return x[ORDER] ** 2 * x

    x = jnp.linspace(1.0, 2.0, N)
    jacobian = asdex.jacobian(f, x, output_format="operator", mode="accumulate")
    expected = jax.jvp(f, (x,), (x,))[1]
    for point, factor in ((x, 1.0), (2 * x, 4.0)):
        np.testing.assert_allclose(jacobian(point).mv(x), factor * expected, rtol=1e-5)
