"""Functions that JAX differentiates in some modes only: the mode is chosen among those."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from jax.experimental.ode import odeint

import asdex

pytestmark = pytest.mark.filterwarnings(
    "ignore::asdex._base.errors.DenseColoringWarning",
    "ignore::asdex._base.errors.ConservativePatternWarning",
)

X = jnp.linspace(0.1, 1.0, 4)


@jax.custom_jvp
def simulated(x: Array) -> Array:
    return jnp.sin(x)


@simulated.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    derivative = jax.pure_callback(
        lambda x, t: np.cos(x) * t, shape, x, t, vmap_method="expand_dims"
    )
    return simulated(x), derivative


def dilated_pool(x: Array) -> Array:
    options: Any = {"window_dilation": (2,)}
    return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID", **options)[:1]


def untransposed_solve(x: Array) -> Array:
    return lax.custom_linear_solve(lambda v: 2 * v, x, lambda _, b: b / 2)


@jax.custom_batching.custom_vmap
def with_rule_for_vmap(x: Array) -> Array:
    return jnp.sin(x)


@with_rule_for_vmap.def_vmap
def _(axis_size: int, in_batched: Any, x: Array) -> Any:
    del axis_size
    return jnp.sin(x), in_batched[0]


def counted(x: Array) -> Array:
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]


FORWARD_ONLY = {
    "callback_in_tangent": lambda x: jnp.sum(simulated(x))[None],
    "dilated_pooling": dilated_pool,
    "solve_without_transpose": lambda x: jnp.sum(untransposed_solve(x))[None],
    "custom_vmap": lambda x: jnp.sum(with_rule_for_vmap(x))[None],
    "while_loop": lambda x: jnp.sum(counted(x))[None],
}


@pytest.mark.parametrize("name", FORWARD_ONLY)
def test_forward_only(name: str) -> None:
    """The single row is computed column by column, since there is no reverse pass."""
    f = FORWARD_ONLY[name]
    coloring = asdex.jacobian_coloring(f, X)
    assert coloring.mode == "fwd"
    derivative = asdex.jacobian_from_coloring(f, coloring, output_format="dense")
    np.testing.assert_allclose(derivative(X), jax.jacfwd(f)(X), rtol=1e-12)
    with pytest.raises(ValueError, match=r"mode='rev' is impossible .* possible is 'fwd'"):
        asdex.jacobian(f, X, mode="rev")


@jax.custom_vjp
def sine(x: Array) -> Array:
    return jnp.sin(x)


sine.defvjp(lambda x: (sine(x), x), lambda x, ct: (jnp.cos(x) * ct,))


@jax.custom_vjp
def nested_rules(x: Array) -> Array:
    return jnp.sum(x - jnp.cos(x))


nested_rules.defvjp(lambda x: (nested_rules(x), x), lambda x, ct: ((1 + sine(x)) * ct,))


@jax.custom_jvp
def mixed_rules(x: Array) -> Array:
    return jnp.sum(x - jnp.cos(x))


@mixed_rules.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return mixed_rules(x), jnp.sum((1 + sine(x)) * t)


def test_custom_vjp_within_a_loop() -> None:
    def f(x: Array) -> Array:
        return lax.fori_loop(0, 3, lambda _, y: sine(y) * x, x)

    coloring = asdex.jacobian_coloring(f, X)
    assert coloring.mode == "rev"
    derivative = asdex.jacobian_from_coloring(f, coloring, output_format="dense")
    np.testing.assert_allclose(derivative(X), jax.jacrev(f)(X), rtol=1e-12)


def energy_of_ode(x: Array) -> Array:
    return jnp.sum(odeint(lambda y, t: -(y**2), x, jnp.array([0.0, 1.0]))[-1] ** 2)


@pytest.mark.parametrize(
    ("f", "mode"),
    [
        (nested_rules, "rev_over_rev"),
        (mixed_rules, "rev_over_fwd"),
        (energy_of_ode, "rev_over_rev"),
    ],
)
def test_hessians_in_reverse(f: Any, mode: str) -> None:
    coloring = asdex.hessian_coloring(f, X)
    assert coloring.mode == mode
    derivative = asdex.hessian_from_coloring(f, coloring, output_format="dense")
    expected = jax.jacrev(jax.jacrev(f))(X)
    # An integrator chooses its steps by all rows that are computed in one pass.
    rtol = 1e-6 if f is energy_of_ode else 1e-8
    np.testing.assert_allclose(derivative(X), expected, rtol=rtol, atol=1e-12)
    with pytest.raises(ValueError, match=f"fwd_over_rev.* possible is .*'{mode}'"):
        asdex.hessian(f, X, mode="fwd_over_rev")
