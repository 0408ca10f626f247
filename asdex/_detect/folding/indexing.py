"""Bounds of what is read and written at indices.

An index may be known only up to a range. Then an element read is one of those in the range.
"""

import itertools
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Integer

from ..positions import clamped_starts, gather_positions, scatter_positions
from .bounds import (
    Bounds,
    Operand,
    between,
    dtype_of,
    hull,
    is_inexact,
    is_real,
    merged,
    shape_of,
    unknown,
)
from .rounding import as_floats, total
from .table import fold

MAX_ALTERNATIVES = 64
"""An index of a wider range is taken to be unknown."""


def alternatives(indices: Bounds) -> Iterator[Integer[np.ndarray, "*shape"]] | None:
    """Arrays of indices that together take all values within the bounds, element by
    element; `None` if these are too many. Components, along the last axis, vary
    independently of each other."""
    if indices.is_exact:
        return iter([np.asarray(indices.lo)])
    lo, hi = np.asarray(indices.lo, np.int64), np.asarray(indices.hi, np.int64)
    axes = tuple(range(lo.ndim - 1))
    width = (hi.astype(np.float64) - lo).max(axis=axes, initial=0)
    if np.prod(width + 1) > MAX_ALTERNATIVES:
        return None
    steps = itertools.product(*(range(int(w) + 1) for w in np.atleast_1d(width)))
    return (np.minimum(lo + np.array(step), hi) for step in steps)


@fold(lax.gather_p)
def _gather(eqn: JaxprEqn, operand: Bounds, starts: Bounds) -> Bounds | None:
    window, shape = eqn.params["slice_sizes"], shape_of(eqn.outvars[0])
    choices = alternatives(starts)
    if choices is None or not prod(shape_of(eqn.invars[0])):
        return None
    dtype, source = dtype_of(eqn.invars[0]), shape_of(eqn.invars[0])

    def read(index: Operand) -> Bounds:
        positions = gather_positions(eqn, source, index, window, shape)
        found = merged(lambda x: x.reshape(-1)[np.maximum(positions, 0)], [operand], dtype)
        filled = positions < 0
        if not filled.any():
            return found
        nothing = unknown(shape, dtype)
        return merged(lambda x, y: np.where(filled, x, y), [nothing, found], dtype)

    return hull([read(index) for index in choices], dtype)


@fold(lax.dynamic_slice_p)
def _dynamic_slice(eqn: JaxprEqn, operand: Bounds, *starts: Bounds) -> Bounds | None:
    sizes, shape = eqn.params["slice_sizes"], shape_of(eqn.invars[0])
    dtype = dtype_of(eqn.invars[0])
    choices = alternatives(_clamped(starts, shape, sizes))
    if choices is None:
        return None

    def read(start: Operand) -> Bounds:
        window = tuple(slice(a, a + b) for a, b in zip(start, sizes, strict=True))
        return merged(lambda x: x[window], [operand], dtype)

    return hull([read(start) for start in choices], dtype)


@fold(lax.dynamic_update_slice_p)
def _dynamic_update_slice(
    eqn: JaxprEqn, operand: Bounds, update: Bounds, *starts: Bounds
) -> Bounds | None:
    shape, sizes = shape_of(eqn.invars[0]), shape_of(eqn.invars[1])
    dtype = dtype_of(eqn.invars[0])
    choices = alternatives(_clamped(starts, shape, sizes))
    if choices is None:
        return None

    def write(start: Operand) -> Bounds:
        window = tuple(slice(a, a + b) for a, b in zip(start, sizes, strict=True))

        def put(old: Operand, new: Operand) -> Operand:
            result = np.array(old, np.result_type(old, new))
            result[window] = new
            return result

        return merged(put, [operand, update], dtype)

    return hull([write(start) for start in choices], dtype)


def _clamped(
    starts: Sequence[Bounds], shape: tuple[int, ...], sizes: tuple[int, ...]
) -> Bounds:
    """The start of a window in all dimensions, which is moved into the array."""
    sides = [
        clamped_starts(shape, [int(side) for side in limits], sizes)
        for limits in zip(*((start.lo, start.hi) for start in starts), strict=True)
    ] or [(), ()]
    return between(*(np.array(side, np.int64) for side in sides))


@fold(lax.scatter_p, lax.scatter_add_p)
def _scatter(
    eqn: JaxprEqn, operand: Bounds, starts: Bounds, updates: Bounds
) -> Bounds | None:
    if not starts.is_exact:
        return None
    dtype, shape = dtype_of(eqn.invars[0]), shape_of(eqn.invars[0])
    size = shape_of(eqn.invars[2])
    targets = scatter_positions(eqn, shape, starts.lo, size).reshape(-1)
    written = np.flatnonzero(targets >= 0)
    targets = targets[written]
    if eqn.primitive is lax.scatter_add_p:
        return _scatter_add(operand, updates, targets, written, dtype)

    def put(old: Operand, new: Operand) -> Operand:
        result = np.array(old, np.result_type(old, new)).reshape(-1)
        result[targets] = new.reshape(-1)[written]
        return result.reshape(shape)

    result = merged(put, [operand, updates], dtype)
    times = np.bincount(targets, minlength=prod(shape)).reshape(shape)
    if (times <= 1).all():
        return result
    # Which of several updates of one element wins is up to the device.
    nothing = unknown(shape, dtype)
    return merged(lambda x, y: np.where(times > 1, x, y), [nothing, result], dtype)


def _scatter_add(
    operand: Bounds, updates: Bounds, targets: Operand, written: Operand, dtype: Any
) -> Bounds | None:
    def put(old: Operand, new: Operand) -> Operand:
        result = np.array(old, np.result_type(old, new)).reshape(-1)
        np.add.at(result, targets, new.reshape(-1)[written])
        return result.reshape(old.shape)

    if not is_inexact(dtype):
        if operand.is_exact and updates.is_exact:
            return merged(put, [operand, updates], dtype)
        return None
    if not is_real(dtype):
        return None
    operand, updates = as_floats(operand, dtype), as_floats(updates, dtype)
    return total(put, [operand, updates], dtype, len(written) + 1)
