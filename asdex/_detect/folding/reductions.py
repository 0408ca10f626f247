"""Bounds of reductions, cumulative operations, orders and matrix products."""

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Primitive
from jaxtyping import Bool, Int

from .bounds import (
    OVERFLOW,
    Bounds,
    Operand,
    as_int64,
    between,
    dtype_of,
    exact,
    fitted,
    is_bool,
    is_inexact,
    is_real,
    merged,
    only_zeros,
    shape_of,
)
from .rounding import as_floats, if_exact, precision, reach_of, rounded, total, unit_of
from .table import fold

Places: TypeAlias = Int[np.ndarray, "*lanes n"]


@fold(lax.iota_p)
def _iota(eqn: JaxprEqn) -> Bounds | None:
    shape, axis = eqn.params["shape"], eqn.params["dimension"]
    dtype = dtype_of(eqn.outvars[0])
    if not (is_real(dtype) or jnp.issubdtype(dtype, np.integer)):
        return None
    count = np.arange(shape[axis], dtype=np.float64 if is_inexact(dtype) else dtype)
    if is_inexact(dtype) and shape[axis] > 2.0 ** precision(dtype).bits:
        return None
    expanded = [1] * len(shape)
    expanded[axis] = shape[axis]
    return exact(np.broadcast_to(count.reshape(expanded), shape))


# --- Reductions ---------------------------------------------------------------------------

_MONOTONE: dict[Primitive, Callable[..., Operand]] = {
    lax.reduce_max_p: np.max,
    lax.reduce_min_p: np.min,
    lax.reduce_and_p: np.logical_and.reduce,
    lax.reduce_or_p: np.logical_or.reduce,
}


@fold(*_MONOTONE)
def _extremum(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, axes = dtype_of(eqn.invars[0]), tuple(eqn.params["axes"])
    logical = eqn.primitive in (lax.reduce_and_p, lax.reduce_or_p)
    if (logical and not is_bool(dtype)) or not _has_lanes(x, axes) or _is_complex(dtype):
        return None
    x = as_floats(x, dtype) if is_inexact(dtype) else x
    lo, hi = (_MONOTONE[eqn.primitive](side, axis=axes) for side in (x.lo, x.hi))
    if not is_inexact(dtype):
        return between(lo, hi)
    reach = np.max(reach_of(x), axis=axes)
    if x.is_exact:
        return exact(np.asarray(lo), unit_of(x), np.asarray(reach))
    return Bounds(np.asarray(lo), np.asarray(hi), reach=np.asarray(reach))


@fold(lax.reduce_sum_p)
def _sum(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, axes = dtype_of(eqn.invars[0]), tuple(eqn.params["axes"])
    terms = int(np.prod([shape_of(eqn.invars[0])[axis] for axis in axes]))
    return _sums(lambda x: np.asarray(np.sum(x, axis=axes, dtype=x.dtype)), x, dtype, terms)


@fold(lax.cumsum_p)
def _cumsum(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype, along = dtype_of(eqn.invars[0]), _along(eqn, np.add)
    return _sums(along, x, dtype, shape_of(eqn.invars[0])[eqn.params["axis"]])


def _sums(
    add_up: Callable[[Operand], Operand], x: Bounds, dtype: Any, terms: int
) -> Bounds | None:
    if _is_complex(dtype):
        return None
    if is_inexact(dtype):
        return total(add_up, [as_floats(x, dtype)], dtype, terms)
    if x.is_exact:
        return exact(add_up(x.lo))
    lo, hi = as_int64(x)
    size = np.maximum(np.abs(lo.astype(np.float64)), np.abs(hi.astype(np.float64)))
    return fitted(add_up(lo), add_up(hi), add_up(size) >= OVERFLOW, dtype)


@fold(lax.cummax_p, lax.cummin_p)
def _running_extremum(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    dtype = dtype_of(eqn.invars[0])
    if _is_complex(dtype):
        return None
    along = _along(eqn, np.maximum if eqn.primitive is lax.cummax_p else np.minimum)
    x = as_floats(x, dtype) if is_inexact(dtype) else x
    lo, hi = along(x.lo), along(x.hi)
    if not is_inexact(dtype):
        return between(lo, hi)
    return Bounds(lo, hi, reach=_along(eqn, np.maximum)(reach_of(x)))


def _along(eqn: JaxprEqn, function: np.ufunc) -> Callable[[Operand], Operand]:
    """A running reduction in the direction of the equation."""
    axis = eqn.params["axis"]

    def run(x: Operand) -> Operand:
        if not eqn.params["reverse"]:
            return function.accumulate(x, axis=axis, dtype=x.dtype)
        return np.flip(
            function.accumulate(np.flip(x, axis), axis=axis, dtype=x.dtype), axis
        )

    return run


def _has_lanes(x: Bounds, axes: Sequence[SupportsIndex]) -> bool:
    return all(np.shape(x.lo)[axis] for axis in axes)


def _is_complex(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.complexfloating)


# --- Orders -------------------------------------------------------------------------------


@fold(lax.argmax_p, lax.argmin_p)
def _arg_extremum(eqn: JaxprEqn, x: Bounds) -> Bounds | None:
    """The first and the last position where the extremum can be."""
    dtype, (axis,) = dtype_of(eqn.invars[0]), eqn.params["axes"]
    index_dtype, length = dtype_of(eqn.outvars[0]), shape_of(eqn.invars[0])[axis]
    if not length or _is_complex(dtype):
        return None
    lo, hi = _keys(x, dtype)
    if eqn.primitive is lax.argmin_p:
        lo, hi = _reversed(lo, hi)
    if not _is_uncertain(x, dtype):
        first = last = np.argmax(lo, axis=axis)
    else:
        possible = hi >= np.max(lo, axis=axis, keepdims=True)
        first = np.argmax(possible, axis=axis)
        last = length - 1 - np.argmax(np.flip(possible, axis), axis=axis)
    return between(np.asarray(first, index_dtype), np.asarray(last, index_dtype))


def _keys(x: Bounds, dtype: Any) -> tuple[Operand, Operand]:
    """Bounds to order by; infinite ones for what may be NaN."""
    if not is_inexact(dtype):
        return x.lo, x.hi
    x = as_floats(x, dtype)
    lost = np.isnan(x.lo) | np.isnan(x.hi)
    return np.where(lost, -np.inf, x.lo), np.where(lost, np.inf, x.hi)


def _reversed(lo: Operand, hi: Operand) -> tuple[Operand, Operand]:
    """Bounds in the opposite order. `~x` is `-x - 1`, which cannot overflow."""
    if is_inexact(lo.dtype):
        return -hi, -lo
    return np.invert(hi), np.invert(lo)


@fold(lax.sort_p)
def _sort(eqn: JaxprEqn, *operands: Bounds) -> list[Bounds | None]:
    """Elements whose keys the bounds do not distinguish can be in any order."""
    axis, num_keys = eqn.params["dimension"], eqn.params["num_keys"]
    dtypes = [dtype_of(atom) for atom in eqn.invars]
    keys = [_in_lanes(operand, axis) for operand in operands[:num_keys]]
    if any(map(_is_complex, dtypes[:num_keys])):
        return [None] * len(operands)
    if not any(map(_is_uncertain, keys, dtypes)):
        order = np.lexsort([key.lo for key in reversed(keys)], axis=-1)
        together = np.arange(order.shape[-1]) * np.ones_like(order)
        if not eqn.params["is_stable"]:
            placed = [np.take_along_axis(key.lo, order, -1) for key in keys]
            differs = [part[..., 1:] != part[..., :-1] for part in placed]
            together = _numbered(np.logical_or.reduce(differs), order)
    elif num_keys == 1:
        order, together = _order(*_keys(keys[0], dtypes[0]))
    else:
        order = np.broadcast_to(np.arange(np.shape(keys[0].lo)[-1]), np.shape(keys[0].lo))
        together = np.zeros_like(order)
    return [
        _reordered(operand, order, together, axis, dtype)
        for operand, dtype in zip(operands, dtypes, strict=True)
    ]


def _order(lo: Operand, hi: Operand) -> tuple[Places, Places]:
    """An increasing order along the last axis, and for each position the number of its
    group: only within a group can the order be another one."""
    order = np.argsort(lo, axis=-1, kind="stable")
    lowest, highest = np.take_along_axis(lo, order, -1), np.take_along_axis(hi, order, -1)
    before = np.maximum.accumulate(highest, axis=-1)[..., :-1]
    return order, _numbered(lowest[..., 1:] > before, order)


def _numbered(starts: Bool[np.ndarray, "*lanes rest"], order: Operand) -> Places:
    """Numbers of groups, from the positions, except the first, at which a group starts."""
    groups = np.zeros(order.shape, np.int64)
    groups[..., 1:] = np.cumsum(starts, axis=-1)
    return groups


def _reordered(
    x: Bounds, order: Operand, groups: Operand, axis: int, dtype: Any
) -> Bounds | None:
    """The elements in an order that is known up to an order within each group."""

    def place(x: Operand) -> Operand:
        return np.take_along_axis(np.moveaxis(x, axis, -1), order, -1)

    placed = merged(place, [x], dtype)
    lone = groups[..., 1:] != groups[..., :-1]
    if lone.all() or not order.size:
        result = placed
    elif _is_complex(dtype):
        return None
    else:
        starts = np.concatenate([np.ones((*order.shape[:-1], 1), bool), lone], axis=-1)
        first = np.flatnonzero(starts.reshape(-1))
        lengths = np.diff(np.append(first, starts.size))
        least = np.minimum.reduceat(placed.lo.reshape(-1), first)
        most = np.maximum.reduceat(placed.hi.reshape(-1), first)
        lo, hi = (np.repeat(x, lengths).reshape(order.shape) for x in (least, most))
        result = Bounds(lo, hi) if is_inexact(dtype) else between(lo, hi)
    return merged(lambda x: np.moveaxis(x, -1, axis), [result], dtype)


def _in_lanes(x: Bounds, axis: int) -> Bounds:
    """The array with `axis` moved to the end."""
    if x.is_exact:
        return exact(np.moveaxis(x.lo, axis, -1))
    return Bounds(np.moveaxis(x.lo, axis, -1), np.moveaxis(x.hi, axis, -1))


def _is_uncertain(x: Bounds, dtype: Any) -> bool:
    """Whether some key is not known, or is NaN."""
    if not x.is_exact:
        return True
    return is_inexact(dtype) and bool(np.isnan(np.asarray(x.lo, np.float64)).any())


@fold(lax.top_k_p, lax.approx_top_k_p)
def _top_k(eqn: JaxprEqn, x: Bounds) -> list[Bounds | None]:
    """The largest elements in decreasing order, and their positions."""
    dtype, index_dtype = dtype_of(eqn.invars[0]), dtype_of(eqn.outvars[1])
    shape = shape_of(eqn.invars[0])
    axis = eqn.params.get("axis", eqn.params.get("reduction_dimension", -1)) % len(shape)
    if eqn.primitive is lax.approx_top_k_p:
        last = np.full(shape_of(eqn.outvars[1]), max(shape[axis] - 1, 0), index_dtype)
        return [None, between(np.zeros_like(last), last)]
    keys = _in_lanes(x, axis)
    place = np.broadcast_to(np.arange(shape[axis], dtype=index_dtype), np.shape(keys.lo))
    lo, hi = _reversed(*_keys(keys, dtype))
    if not _is_uncertain(x, dtype):
        order = np.argsort(lo, axis=-1, kind="stable")
        groups = np.arange(order.shape[-1]) * np.ones_like(order)
    else:
        order, groups = _order(lo, hi)
    kept = (slice(None),) * axis + (slice(eqn.params["k"]),)
    values = _reordered(x, order, groups, axis, dtype)
    indices = _reordered(_in_place(place, axis), order, groups, axis, index_dtype)
    return [
        found and merged(lambda x: x[kept], [found], kind)
        for found, kind in ((values, dtype), (indices, index_dtype))
    ]


def _in_place(x: Operand, axis: int) -> Bounds:
    return exact(np.moveaxis(x, -1, axis))


# --- Matrix products ----------------------------------------------------------------------


@fold(lax.dot_general_p)
def _dot_general(eqn: JaxprEqn, a: Bounds, b: Bounds) -> Bounds | None:
    """A product that may be computed in the precision of bfloat16, as some backends do."""
    dtype = dtype_of(eqn.outvars[0])
    if not is_inexact(dtype):
        return None
    left, right = (_matrices(eqn, side) for side in (0, 1))
    shape = shape_of(eqn.outvars[0])

    def times(x: Operand, y: Operand) -> Operand:
        product = np.matmul(left(x), right(y).swapaxes(1, 2))
        return product.reshape(shape)

    zero = times(*(np.where(x.zero, 0.0, 1.0) for x in (a, b))) == 0
    kinds = [dtype_of(atom) for atom in eqn.invars]
    if not all(map(is_real, (*kinds, dtype))):
        return only_zeros(zero, dtype)
    a, b = as_floats(a, kinds[0]), as_floats(b, kinds[1])
    reach = times(reach_of(a), reach_of(b))
    if a.is_exact and b.is_exact:
        value = times(a.lo, b.lo)
        short = jnp.bfloat16 if precision(dtype).bits <= 24 else dtype
        fits = all(
            if_exact(x.lo, unit_of(x), np.abs(x.lo), short) is not None for x in (a, b)
        )
        unit = unit_of(a) * unit_of(b)
        found = if_exact(value, unit, reach, dtype) if fits else None
        if found is not None:
            return found
    middle = [(x.lo + x.hi) / 2 for x in (a, b)]
    radius = [(x.hi - x.lo) / 2 for x in (a, b)]
    limits = precision(dtype)
    terms = left(np.zeros(shape_of(eqn.invars[0]))).shape[-1]
    coarse = 2.0**-7 if limits.bits <= 24 else limits.eps
    error = times(np.abs(middle[0]), radius[1]) + times(radius[0], reach_of(b))
    error = error + (4 * coarse + terms * limits.eps) * reach
    value = times(*middle)
    value = np.where(zero, 0, np.where(np.isfinite(error), value, np.nan))
    return rounded(value, value, dtype, 0.0, np.where(zero, 0, error))


def _matrices(eqn: JaxprEqn, side: int) -> Callable[[Operand], Operand]:
    """How to write an operand as matrices with axes (batch, free, contracted)."""
    contracting, batch = (part[side] for part in eqn.params["dimension_numbers"])
    shape = shape_of(eqn.invars[side])
    free = [axis for axis in range(len(shape)) if axis not in {*batch, *contracting}]
    axes = (*batch, *free, *contracting)
    sizes = [
        int(np.prod([shape[axis] for axis in part])) for part in (batch, free, contracting)
    ]
    return lambda x: np.broadcast_to(x, shape).transpose(axes).reshape(sizes)
