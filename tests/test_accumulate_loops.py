"""Coefficients of loops: all steps at once, carried along, or written out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import asdex

from .helpers import allclose

N = 12
X = np.linspace(0.3, 1.9, N)
W = np.linspace(1.0, 2.0, N)


def _stencil(x: Any) -> Any:
    padded = jnp.pad(x, 1)
    return x + 0.1 * (padded[:-2] - 2 * x + padded[2:]) * jnp.sin(x)


def steps_of_a_stencil(x: Any) -> Any:
    return lax.scan(lambda x, _: (_stencil(x), None), x, length=5)[0]


def states_of_a_stencil(x: Any) -> Any:
    return lax.scan(lambda x, _: (_stencil(x), x**2), x, length=4)[1][1:]


def elementwise_steps(x: Any) -> Any:
    return lax.fori_loop(0, 300, lambda i, y: y + 0.01 * jnp.sin(y) * x / (1 + i), x)


def collocation(x: Any, *, reverse: bool = False) -> Any:
    def residual(before: Any, state: Any) -> Any:
        rates = jnp.stack([state[1] - state[0], state[0] * state[2], state[1] ** 2])
        return state, state - before - 0.1 * rates

    return lax.scan(residual, jnp.ones(3), x.reshape(-1, 3), reverse=reverse)[1]


def backward_collocation(x: Any) -> Any:
    return collocation(x, reverse=True)


def second_differences(x: Any) -> Any:
    def step(carry: Any, now: Any) -> Any:
        before, earlier = carry
        return (now, before), now * before - 3 * earlier + earlier**2

    last, out = lax.scan(step, (x[0], 2 * x[1]), x)
    return jnp.append(out, jnp.stack(last))


def second_differences_backward(x: Any) -> Any:
    def step(carry: Any, now: Any) -> Any:
        before, earlier = carry
        return (now, before), now * before - 3 * earlier

    last, out = lax.scan(step, (x[0], 2 * x[1]), x, reverse=True)
    return jnp.append(out, jnp.stack(last))


def with_constants(x: Any) -> Any:
    """Constants of the loop that depend on the inputs, and a counter."""
    first, rest = x[:2], x[2:]

    def step(carry: Any, now: Any) -> Any:
        count, before = carry
        out = now * first[0] + before * count
        return (count + 1, jnp.sin(now)), jnp.stack([out, first[1] ** 2])

    return lax.scan(step, (0.5, first[0]), rest)[1]


def without_carry(x: Any) -> Any:
    return lax.map(lambda row: row[::-1] * jnp.sum(row) + row[0], x.reshape(4, 3))


def without_slices(x: Any) -> Any:
    return lax.scan(lambda c, _: (c, jnp.sin(x) * x[0]), 0.0, length=3)[1]


def linear_steps(x: Any) -> Any:
    """Coefficients are constant."""
    return lax.scan(lambda c, now: (2 * now, now - c), 0.0, x)[1] * W


def running_sum(x: Any) -> Any:
    """The carry is not forgotten, and has slices: written out."""
    return lax.scan(lambda c, now: (c + now**2, c * now), 0.0, x)[1]


def written_by_index(x: Any) -> Any:
    def step(i: Any, y: Any) -> Any:
        return y.at[i].set(x[i] * y[i - 1])

    return lax.fori_loop(1, 6, step, x)


def nested(x: Any) -> Any:
    def inner(c: Any, now: Any) -> Any:
        return now, c * now

    def outer(c: Any, row: Any) -> Any:
        last, out = lax.scan(inner, c, row)
        return last, jnp.sin(out)

    return lax.scan(outer, x[0], x.reshape(4, 3))[1]


def nested_from_zeros(x: Any, *, reverse: bool = False) -> Any:
    """The factor of the first step is zero."""

    def outer(c: Any, now: Any) -> Any:
        _, out = lax.scan(lambda y, z: (y + c * z, jnp.sin(y)), 0.0, x[:3] * now)
        return c + now, jnp.stack([out[-1], c])

    return lax.scan(outer, 0.0, x, reverse=reverse)[1]


def nested_carried(x: Any) -> Any:
    def inner(_: Any, y: Any) -> Any:
        return y * jnp.cos(y) + 0.1 * jnp.roll(x, 1)

    return lax.scan(lambda y, _: (lax.fori_loop(0, 3, inner, y), None), x, length=40)[0]


def while_known(x: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, _stencil(c[1])), (0, x))[
        1
    ]


def while_unknown(x: Any) -> Any:
    """The number of steps depends on the values."""

    def goes_on(carry: Any) -> Any:
        return (jnp.max(jnp.abs(carry[0])) > 0.1) & (carry[1] < 30)

    return lax.while_loop(goes_on, lambda c: (c[0] * 0.7 * jnp.cos(x), c[1] + 1), (x, 0))[0]


def while_per_element(x: Any) -> Any:
    def solve(start: Any) -> Any:
        return lax.while_loop(lambda y: y > 0.2, lambda y: y * 0.5 * jnp.cos(start), start)

    return jax.vmap(solve)(x)


def with_branches(x: Any) -> Any:
    def step(carry: Any, now: Any) -> Any:
        out = lax.cond(now > 1.0, lambda: now * carry, lambda: jnp.sin(now))
        return now, out

    return lax.scan(step, 1.0, x)[1]


def with_constant_indices(x: Any) -> Any:
    order = jnp.array([2, 0, 1])

    def step(carry: Any, row: Any) -> Any:
        return row, row[order] * carry

    return lax.scan(step, jnp.ones(3), x.reshape(4, 3))[1]


def with_keys(x: Any) -> Any:
    def step(key: Any, now: Any) -> Any:
        key, sub = jax.random.split(key)
        return key, now * jax.random.uniform(sub)

    return lax.scan(step, jax.random.key(0), x)[1]


def with_callbacks(x: Any) -> Any:
    """JAX cannot run the function on the host for all steps at once."""
    one = jax.ShapeDtypeStruct((), X.dtype)

    def step(carry: Any, now: Any) -> Any:
        outside = jax.pure_callback(np.sin, one, lax.stop_gradient(now))
        return now, carry * now * outside

    return lax.scan(step, 1.0, x)[1]


def no_steps(x: Any) -> Any:
    return lax.scan(lambda c, _: (c * c, None), x, length=0)[0]


def complex_steps(x: Any) -> Any:
    def step(z: Any, _: Any) -> Any:
        return jnp.conj(z) * z * 0.5 + 1j * z, None

    z, _ = lax.scan(step, lax.complex(x[:6], x[6:]), length=3)
    return jnp.concatenate([jnp.real(z), jnp.imag(z)])


def carry_of_a_branch_not_taken(x: Any) -> Any:
    """The tangent of the second carry has no dependence, but its program is given one."""

    def step(carry: Any, now: Any) -> Any:
        first, second = carry
        takes_first = jnp.arange(3).sum() == 0
        second = lax.cond(takes_first, lambda: 2 * first, lambda: second + 1)
        return (now, second), first * second * now

    return lax.scan(step, (x[0], 1.0), x)[1]


LOOPS = [
    carry_of_a_branch_not_taken,
    steps_of_a_stencil,
    states_of_a_stencil,
    elementwise_steps,
    collocation,
    backward_collocation,
    second_differences,
    second_differences_backward,
    with_constants,
    without_carry,
    without_slices,
    linear_steps,
    running_sum,
    written_by_index,
    nested,
    nested_from_zeros,
    partial(nested_from_zeros, reverse=True),
    nested_carried,
    while_known,
    while_unknown,
    while_per_element,
    with_branches,
    with_constant_indices,
    with_keys,
    no_steps,
    complex_steps,
]


@pytest.mark.parametrize("f", LOOPS)
def test_loops(f: Callable[[Any], Any]) -> None:
    asdex.constant_entries(f, X)  # An error where there are no coefficients.
    jac = asdex.jacobian(f, X, mode="accumulate", output_format="dense")
    assert jac.coloring is None
    points = np.stack([X, X[::-1] ** 2, 0.5 * X])
    expected = jax.jit(jax.vmap(jax.jacfwd(f)))(points)
    assert allclose(jax.jit(jax.vmap(jac))(points), expected, X.dtype)
    assert allclose(jac(points[1]), expected[1], X.dtype)


def test_callbacks_without_a_rule_for_batches() -> None:
    for mode in ("accumulate", None):
        jac = asdex.jacobian(with_callbacks, X, mode=mode, output_format="dense")
        assert jac.coloring is None
        assert allclose(jac(X), jax.jit(jax.jacfwd(with_callbacks))(X), X.dtype)
