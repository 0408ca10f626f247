"""Structural primitives, which only move elements, as NumPy functions.

One table serves two purposes: applied to known values it evaluates the primitive, applied
to the row numbers of a `Dependence` it gives where each element came from.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import JaxprEqn, Primitive
from jax.extend.core import primitives as p
from jaxtyping import Shaped

Operand: TypeAlias = Shaped[np.ndarray, "..."]
Move: TypeAlias = Callable[..., Any]
"""Maps `(eqn, *operands)` to the output, or to the list of outputs if there are many."""


def _slice(eqn: JaxprEqn, x: Operand) -> Operand:
    params = eqn.params
    strides = params["strides"] or (1,) * x.ndim
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(*bound) for bound in bounds)]


def _reshape(eqn: JaxprEqn, x: Operand) -> Operand:
    """JAX's reshape can transpose first (`dimensions`)."""
    dimensions = eqn.params.get("dimensions")
    if dimensions is not None and eqn.primitive is lax.reshape_p:
        x = x.transpose(dimensions)
    return x.reshape(_output_shape(eqn))


def _transpose(eqn: JaxprEqn, x: Operand) -> Operand:
    return x.transpose(eqn.params["permutation"])


def _broadcast_in_dim(eqn: JaxprEqn, x: Operand) -> Operand:
    shape = _output_shape(eqn)
    expanded = [1] * len(shape)
    for axis, dim in zip(eqn.params["broadcast_dimensions"], x.shape, strict=True):
        expanded[axis] = dim
    return np.broadcast_to(x.reshape(expanded), shape)


def _rev(eqn: JaxprEqn, x: Operand) -> Operand:
    return np.flip(x, eqn.params["dimensions"])


def _concatenate(eqn: JaxprEqn, *xs: Operand) -> Operand:
    return np.concatenate(xs, axis=eqn.params["dimension"])


def _pad(eqn: JaxprEqn, x: Operand, value: Operand) -> Operand:
    """Negative padding cuts elements off, also the value between two elements."""
    out = np.full(_output_shape(eqn), value, x.dtype)
    into, take = [], []
    for dim, size, (low, _, interior) in zip(
        x.shape, out.shape, eqn.params["padding_config"], strict=True
    ):
        step = int(interior) + 1
        first = max(0, -(int(low) // step))
        last = min(dim, max(first, -((int(low) - size) // step)))
        into.append(slice(low + first * step, low + last * step, step))
        take.append(slice(first, last))
    if all(part.start < part.stop for part in take):
        out[tuple(into)] = x[tuple(take)]
    return out


def _split(eqn: JaxprEqn, x: Operand) -> list[Operand]:
    return np.split(x, np.cumsum(eqn.params["sizes"])[:-1], axis=eqn.params["axis"])


def _stack(eqn: JaxprEqn, *xs: Operand) -> Operand:
    return np.stack(xs, axis=eqn.params["axis"])


def _unstack(eqn: JaxprEqn, x: Operand) -> list[Operand]:
    # NumPy makes scalars of arrays without axes.
    return [np.asarray(part) for part in np.moveaxis(x, eqn.params["axis"], 0)]


def _tile(eqn: JaxprEqn, x: Operand) -> Operand:
    return np.tile(x, eqn.params["reps"])


def _copy(eqn: JaxprEqn, x: Operand) -> Operand:
    del eqn
    return x


def _output_shape(eqn: JaxprEqn) -> tuple[int, ...]:
    return cast(ShapedArray, eqn.outvars[0].aval).shape


MOVES: dict[Primitive | str, Move] = {
    lax.slice_p: _slice,
    lax.reshape_p: _reshape,
    lax.squeeze_p: _reshape,
    lax.transpose_p: _transpose,
    lax.broadcast_in_dim_p: _broadcast_in_dim,
    lax.rev_p: _rev,
    lax.concatenate_p: _concatenate,
    lax.pad_p: _pad,
    lax.split_p: _split,
    lax.stack_p: _stack,
    lax.unstack_p: _unstack,
    lax.tile_p: _tile,
    **dict.fromkeys(
        (lax.copy_p, p.name_p, p.stop_gradient_p, p.sharding_constraint_p), _copy
    ),
    **dict.fromkeys(("pvary", "reshard", "layout_constraint"), _copy),
}
"""Keyed by primitive, or by name where JAX does not export the primitive."""


def move_for(primitive: Primitive) -> Move | None:
    """The move that a primitive is, if it is one."""
    return MOVES.get(primitive) or MOVES.get(primitive.name)


def select(which: Operand, *cases: Operand) -> Operand:
    """Element by element the case whose number is in `which`, clipped to range."""
    out = cases[0]
    for number, case in enumerate(cases[1:], start=1):
        out = np.where(which >= number, case, out)
    return out
