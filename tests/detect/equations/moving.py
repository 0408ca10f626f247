"""Equations of primitives that only move elements, or pass them through."""

from typing import Any

import jax
import numpy as np
from equinox.internal import nonbatchable, nondifferentiable_backward
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import primitives as p
from jax.sharding import NamedSharding, PartitionSpec

from .frame import Equation, Rng, complex_, equation, integers, real, some_shape


def _axis(rng: Rng, shape: tuple[int, ...]) -> int:
    return int(rng.integers(len(shape)))


@equation(lax.slice_p)
def slice_(rng: Rng) -> Equation:
    shape = some_shape(rng)
    starts = [int(rng.integers(0, dim + 1)) for dim in shape]
    limits = [int(rng.integers(a, dim + 1)) for a, dim in zip(starts, shape, strict=True)]
    strides = [int(rng.integers(1, 4)) for _ in shape] if rng.random() > 0.3 else None
    return Equation(lambda x: lax.slice(x, starts, limits, strides), [real(*shape)])


@equation(lax.reshape_p)
def reshape(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    order = rng.permutation(len(shape)).tolist() if rng.random() > 0.3 else None
    target = [[-1], [1, -1, 1], [shape[-1], -1]][int(rng.integers(3))]
    size = int(np.prod(shape))
    sizes = [size // abs(int(np.prod(target))) if dim < 0 else dim for dim in target]
    params = {"new_sizes": tuple(sizes), "dimensions": order and tuple(order)}
    return Equation(
        lambda x: lax.reshape_p.bind(x, **params, sharding=None), [real(*shape)]
    )


@equation(lax.squeeze_p)
def squeeze(rng: Rng) -> Equation:
    shape = list(some_shape(rng))
    axis = int(rng.integers(len(shape) + 1))
    shape.insert(axis, 1)
    return Equation(lambda x: lax.squeeze(x, [axis]), [real(*shape)])


@equation(lax.transpose_p)
def transpose(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    order = rng.permutation(len(shape)).tolist()
    return Equation(
        lambda x: lax.transpose_p.bind(x, permutation=tuple(order)), [real(*shape)]
    )


@equation(lax.broadcast_in_dim_p)
def broadcast_in_dim(rng: Rng) -> Equation:
    out = some_shape(rng, low=1)
    kept = np.flatnonzero(rng.random(len(out)) > 0.4).tolist()
    shape = [out[axis] if rng.random() > 0.3 else 1 for axis in kept]
    params = {"shape": out, "broadcast_dimensions": tuple(kept), "sharding": None}
    return Equation(lambda x: lax.broadcast_in_dim_p.bind(x, **params), [real(*shape)])


@equation(lax.rev_p)
def rev(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    axes = np.flatnonzero(rng.random(len(shape)) > 0.5).tolist()
    return Equation(lambda x: lax.rev_p.bind(x, dimensions=tuple(axes)), [real(*shape)])


@equation(lax.concatenate_p)
def concatenate(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    axis = _axis(rng, shape)
    lengths = rng.integers(0, 3, size=3).tolist()
    operands = [real(*shape[:axis], length, *shape[axis + 1 :]) for length in lengths]
    return Equation(lambda *xs: lax.concatenate(xs, axis), operands)


@equation(lax.pad_p)
def pad(rng: Rng) -> Equation:
    """Also with negative padding, of no more than there is."""
    shape = some_shape(rng)
    inner = rng.integers(0, 3, len(shape)).tolist()
    sizes = [dim + (dim - 1) * gap for dim, gap in zip(shape, inner, strict=True)]
    low = [int(rng.integers(-size, 3)) for size in sizes]
    high = [int(rng.integers(-size - a, 3)) for size, a in zip(sizes, low, strict=True)]
    config = list(zip(low, high, inner, strict=True))
    return Equation(lambda x, v: lax.pad(x, v, config), [real(*shape), real()])


@equation(lax.split_p)
def split(rng: Rng) -> Equation:
    sizes = rng.integers(0, 3, size=3).tolist()
    axis = int(rng.integers(3))
    shape = [2, 2]
    shape.insert(axis, sum(sizes))
    return Equation(lambda x: lax.split(x, sizes, axis), [real(*shape)])


@equation(lax.stack_p)
def stack(rng: Rng) -> Equation:
    shape = some_shape(rng)
    axis = int(rng.integers(len(shape) + 1))
    return Equation(lambda *xs: lax.stack_p.bind(*xs, axis=axis), [real(*shape)] * 3)


@equation(lax.unstack_p)
def unstack(rng: Rng) -> Equation:
    shape = some_shape(rng, low=1)
    axis = _axis(rng, shape)
    return Equation(lambda x: lax.unstack_p.bind(x, axis=axis), [real(*shape)])


@equation(lax.tile_p)
def tile(rng: Rng) -> Equation:
    shape = some_shape(rng)
    reps = tuple(rng.integers(1, 4, size=len(shape)).tolist())
    return Equation(lambda x: lax.tile_p.bind(x, reps=reps), [real(*shape)])


def _pass(*keys: Any, fun: Any) -> None:
    """Rows of functions that return their operand."""

    @equation(*keys)
    def make(rng: Rng) -> Equation:
        shape = some_shape(rng)
        return Equation(fun, [complex_(*shape) if rng.random() < 0.3 else real(*shape)])


_mesh = jax.make_mesh((1,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
_pass(lax.copy_p, fun=lax.copy_p.bind)
_pass(p.stop_gradient_p, fun=p.stop_gradient_p.bind)
_pass(p.name_p, fun=lambda x: checkpoint_name(x, "saved"))
_pass(p.device_put_p, fun=lambda x: jax.device_put(x, jax.devices()[0]))
_pass("nonbatchable", fun=nonbatchable)
_pass("nondifferentiable_backward", fun=nondifferentiable_backward)
_pass(
    "layout_constraint", fun=lambda x: with_layout_constraint(x, Layout((*range(x.ndim),)))
)
_pass(
    p.sharding_constraint_p,
    fun=lambda x: lax.with_sharding_constraint(x, NamedSharding(_mesh, PartitionSpec())),
)


@equation(lax.optimization_barrier_p)
def optimization_barrier(rng: Rng) -> Equation:
    operands = [real(*some_shape(rng)), real(*some_shape(rng)), integers(0, 3)]
    return Equation(lambda *xs: lax.optimization_barrier(xs), operands)
