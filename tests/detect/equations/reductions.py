"""Equations of reductions, running sums, sorts and windows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive

from .frame import (
    Equation,
    Exact,
    Operand,
    Rng,
    between,
    booleans,
    equation,
    integers,
    real,
    some_shape,
)


def _reduction(
    primitive: Primitive, kind: Callable[..., Operand], exact: Exact = "yes"
) -> None:
    @equation(primitive)
    def make(rng: Rng) -> Equation:
        shape = some_shape(rng)
        axes = tuple(np.flatnonzero(rng.random(len(shape)) > 0.5).tolist())
        fun = getattr(lax, primitive.name)
        return Equation(lambda x: fun(x, axes), [kind(*shape)], exact)


for _primitive in (lax.reduce_sum_p, lax.reduce_max_p, lax.reduce_min_p):
    _reduction(_primitive, real)
_reduction(lax.reduce_prod_p, lambda *shape: between(0.5, 2, *shape))
_reduction(lax.reduce_xor_p, booleans)
# Among many booleans, one is seldom decisive.
_reduction(lax.reduce_and_p, booleans, "no")
_reduction(lax.reduce_or_p, booleans, "no")


def _along_axis(
    primitive: Primitive, fun: Callable[..., Any], exact: Exact = "yes"
) -> None:
    @equation(primitive)
    def make(rng: Rng) -> Equation:
        shape = some_shape(rng, low=1)
        axis, reverse = int(rng.integers(len(shape))), bool(rng.integers(2))
        operand = between(0.5, 2, *shape)
        return Equation(lambda x: fun(x, axis, reverse), [operand], exact)


for _primitive in (lax.argmax_p, lax.argmin_p):
    _fun = getattr(lax, _primitive.name)
    # A single element is always the largest.
    _along_axis(_primitive, lambda x, axis, _, f=_fun: f(x, axis, np.int32), exact="no")
for _name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
    _fun = getattr(lax, _name)
    _along_axis(getattr(lax, _name + "_p"), lambda x, a, r, f=_fun: f(x, axis=a, reverse=r))


@equation(lax.reduce_p)
def reduce(rng: Rng) -> Equation:
    shape = some_shape(rng)
    axes = tuple(np.flatnonzero(rng.random(len(shape)) > 0.5).tolist())

    def fun(x, y, init):
        def step(a, b):
            return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]

        return lax.reduce((x, y), (init, jnp.zeros_like(init)), step, axes)

    operands = [between(0.5, 2, *shape), between(0.5, 2, *shape), between(0.5, 2)]
    return Equation(fun, operands, "no")


@equation(lax.sort_p)
def sort(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    axis, num_keys = int(rng.integers(len(shape))), int(rng.integers(1, 3))
    return Equation(
        lambda *xs: lax.sort(xs, dimension=axis, num_keys=num_keys),
        [real(*shape), real(*shape), integers(0, 3, *shape)],
        "no",
    )


@equation(lax.sort_p)
def sort_alone(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    axis = int(rng.integers(len(shape)))
    return Equation(lambda x: lax.sort(x, dimension=axis), [real(*shape)])


@equation(lax.top_k_p)
def top_k(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    axis = int(rng.integers(len(shape)))
    k = int(rng.integers(1, shape[axis] + 1))
    return Equation(lambda x: lax.top_k(x, k, axis=axis), [real(*shape)], "no")


@equation(lax.approx_top_k_p)
def approx_top_k(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    axis = int(rng.integers(len(shape)))
    k = int(rng.integers(1, shape[axis] + 1))
    operands = [
        Operand(shape, lambda rng, shape: np.asarray(rng.random(shape), np.float32))
    ]
    return Equation(lambda x: lax.approx_max_k(x, k, axis), operands, "no")


def _window(rng: Rng, image: tuple[int, ...], dilated: bool) -> dict[str, Any]:
    """Parameters of a window on an image, with at least one output element."""
    while True:
        rank = len(image)
        window = {
            "window_dimensions": rng.integers(1, 4, rank).tolist(),
            "window_strides": rng.integers(1, 3, rank).tolist(),
            "padding": rng.integers(0, 3, (rank, 2)).tolist(),
        }
        dilations = rng.integers(1, 3 if dilated else 2, (2, rank)).tolist()
        lengths = [
            (dim - 1) * base + 1 + sum(padding) - (size - 1) * inner
            for dim, base, padding, size, inner in zip(
                image,
                dilations[0],
                window["padding"],
                window["window_dimensions"],
                dilations[1],
                strict=True,
            )
        ]
        if min(lengths) > 0:
            names = ("base_dilation", "window_dilation") if dilated else ()
            return window | dict(zip(names, dilations, strict=False))


def _reduce_window(primitive: Primitive, init: float, operation: Any, exact: Exact) -> None:
    @equation(primitive)
    def make(rng: Rng) -> Equation:
        shape = some_shape(rng, low=1, high=2)
        window = _window(rng, shape, dilated=True)
        return Equation(
            lambda x: lax.reduce_window(x, np.float64(init), operation, **window),
            [between(-2, 2, *shape)],
            exact,
        )


_reduce_window(lax.reduce_window_sum_p, 0.0, lax.add, "yes")
_reduce_window(lax.reduce_window_max_p, -np.inf, lax.max, "yes")
_reduce_window(lax.reduce_window_min_p, np.inf, lax.min, "yes")


@equation("select_and_gather_add")
def select_and_gather_add(rng: Rng) -> Equation:
    """The tangent of a maximum over windows."""
    shape = some_shape(rng, low=1, high=2)
    window = _window(rng, shape, dilated=True)

    def fun(tangent, x):
        pooled = lambda x: lax.reduce_window(x, -np.inf, lax.max, **window)  # noqa: E731
        return jax.jvp(pooled, (x,), (tangent,))[1]

    return Equation(
        fun, [between(-2, 2, *shape), between(-2, 2, *shape)], "unknown", inputs=[0]
    )


@equation(lax.select_and_scatter_add_p)
def select_and_scatter_add(rng: Rng) -> Equation:
    """The cotangent of a maximum over windows."""
    shape = some_shape(rng, low=1, high=2)
    window = _window(rng, shape, dilated=False)
    pooled = lambda x: lax.reduce_window(x, -np.inf, lax.max, **window)  # noqa: E731
    out = jax.eval_shape(pooled, jax.ShapeDtypeStruct(shape, np.float64)).shape

    def fun(cotangent, x):
        return jax.vjp(pooled, x)[1](cotangent)[0]

    return Equation(
        fun, [between(-2, 2, *out), between(-2, 2, *shape)], "unknown", inputs=[0]
    )
