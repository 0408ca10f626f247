"""Reads and writes at indices: exact where the indices are known.

An index of which only a narrow range is known reads, or writes, at each one in the range;
one of a wider range anywhere in the range that all indices of its component have in common;
the other axes stay exact.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Int

from ..._base.index import index_dtype
from .. import coefficients as co
from ..dependence import Dependence, combine, nothing, union
from ..folding import MAX_ALTERNATIVES, Bounds, alternatives
from ..positions import as_signed, gather_positions, scatter_positions
from ..registry import register
from ..terms import Shape
from ..value import Scope, Value, output_shape

_MAX_POSITIONS = 10_000_000
"""Ranges of indices are not tried index by index if that makes more positions."""


class _Starts(NamedTuple):
    """Where windows can start, component by component along the last axis."""

    choices: list[Int[np.ndarray, "*batch index"]]
    """All combinations of the components of narrow range; zero in the others."""
    wide: dict[int, slice]
    """For each other component the range of all of its indices."""


def _starts(
    found: Bounds | None, shape: Shape, limits: Sequence[int], positions: int
) -> _Starts:
    """The starts within the bounds of an array of indices, of which the largest that fit
    are `limits`, and which leads to so many positions."""
    most = np.asarray(limits, np.int64) + 1
    most = most.astype(index_dtype(int(most.max(initial=0)) + 2))
    least = np.full_like(most, -1)
    if found is None:
        lo, hi = np.broadcast_to(least, shape), np.broadcast_to(most, shape)
    else:  # All indices that do not fit on one side have the same effect.
        lo = _clipped(found.lo, least, most)
        hi = lo if found.is_exact else _clipped(found.hi, least, most)
    if hi is lo:
        return _Starts([lo], {})
    width = (hi - lo).max(axis=tuple(range(len(shape) - 1)), initial=0)
    most_choices = max(4, min(MAX_ALTERNATIVES, _MAX_POSITIONS // max(1, positions)))
    choices, wide = 1, {}
    for column in np.argsort(width, kind="stable").tolist():
        choices *= int(width[column]) + 1
        if choices > most_choices:
            first = int(max(0, lo[..., column].min(initial=limits[column])))
            last = int(min(limits[column], hi[..., column].max(initial=0)))
            wide[column] = slice(first, last + 1)
            choices = most_choices + 1
    if wide:
        is_wide = np.isin(np.arange(len(limits)), list(wide))
        lo, hi = np.where(is_wide, 0, lo), np.where(is_wide, 0, hi)
    narrow = alternatives(Bounds(lo, hi))
    assert narrow is not None
    return _Starts(list(narrow), wide)


def _clipped(index: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """The indices within bounds: they themselves, if all are."""
    index = as_signed(index)
    fits = ((index >= least) & (index <= most)).all()
    return index if fits else np.clip(index, least, most)


def _range_merged(dependence: Dependence, axis: int, part: slice) -> Dependence:
    """The elements of a range of an axis together, in an axis of length one."""
    index = (slice(None),) * axis + (part,)
    length = max(0, min(part.stop, dependence.shape[axis]) - part.start)
    shape = (*dependence.shape[:axis], length, *dependence.shape[axis + 1 :])
    if not length:
        return nothing((*shape[:axis], 1, *shape[axis + 1 :]), dependence.n)
    return combine([dependence], lambda rows: rows[index], shape).merge((axis,))


@register(lax.dynamic_slice_p, linear=(0,), coefficients=True)
def dynamic_slice(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A window of the operand."""
    operand, *starts = operands
    source, sizes = operand.dependence, eqn.params["slice_sizes"]
    assert source is not None
    choices, wide = _window_starts(starts, source.shape, sizes, scope)
    if wide or len(choices) > 1:
        scope.lacks_coefficients(eqn)
    for axis, part in wide.items():
        whole = slice(part.start, part.stop - 1 + sizes[axis])
        source = _range_merged(source, axis, whole)
    shape = tuple(1 if axis in wide else size for axis, size in enumerate(sizes))
    windows = []
    for first in choices:
        window = tuple(slice(a, a + b) for a, b in zip(first, shape, strict=True))
        windows.append(combine([source], lambda rows, w=window: rows[w], shape))
    return union(windows).broadcast(sizes)


@register(lax.dynamic_update_slice_p, linear=(0, 1), coefficients=True)
def dynamic_update_slice(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> Dependence:
    """The operand with a window replaced, or perhaps replaced."""
    operand, update, *starts = operands
    shape, sizes = output_shape(eqn), update.shape
    old = operand.dependence or nothing(operand.shape, scope.n)
    new = update.dependence or nothing(update.shape, scope.n)
    choices, wide = _window_starts(starts, shape, sizes, scope)
    if wide or len(choices) > 1:
        scope.lacks_coefficients(eqn)
    new = new.merge(wide)
    outcomes = [old] if wide else []
    for first in choices:
        window = tuple(
            slice(wide[axis].start, wide[axis].stop - 1 + size)
            if axis in wide
            else slice(start, start + size)
            for axis, (start, size) in enumerate(zip(first, sizes, strict=True))
        )
        below = nothing(shape, scope.n) if wide else old

        outcomes.append(
            combine([below, new], lambda x, y, w=window: co.put(x, y, w), shape)
        )
    return union(outcomes)


def _window_starts(
    starts: Sequence[Value], shape: Shape, sizes: Shape, scope: Scope
) -> _Starts:
    """Where one window can start, which is moved into the array where it does not fit."""
    limits = [dim - size for dim, size in zip(shape, sizes, strict=True)]
    lo, hi = np.zeros(len(limits), np.int64), np.array(limits, np.int64)
    for axis, (start, limit) in enumerate(zip(starts, limits, strict=True)):
        found = scope.indices(start) if limit else None
        if found is not None:
            lo[axis] = np.clip(as_signed(found.lo), 0, limit)
            hi[axis] = np.clip(as_signed(found.hi), 0, limit)
    return _starts(Bounds(lo, hi), lo.shape, limits, prod(shape))


@register(lax.gather_p, linear=(0,), coefficients=True)
def gather(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """The elements at the indices."""
    operand, indices = operands
    source, sizes, shape = operand.dependence, eqn.params["slice_sizes"], output_shape(eqn)
    assert source is not None
    axes = eqn.params["dimension_numbers"].start_index_map
    limits = [source.shape[axis] - sizes[axis] for axis in axes]
    choices, wide = _starts(scope.indices(indices), indices.shape, limits, prod(shape))
    if wide or len(choices) > 1:
        scope.lacks_coefficients(eqn)
    for column, part in wide.items():
        whole = slice(part.start, part.stop - 1 + sizes[axes[column]])
        source = _range_merged(source, axes[column], whole)
    window = tuple(map(min, sizes, source.shape))
    views = [gather_positions(eqn, source.shape, s, window, shape) for s in choices]
    return source.take(*views) if len(views) == 1 else source.gather_union(views, shape)


@register(lax.scatter_p, lax.scatter_add_p, linear=(0, 2), coefficients=True)
@register(
    *(lax.scatter_sub_p, lax.scatter_mul_p, lax.scatter_min_p, lax.scatter_max_p),
    linear=(0, 2),
)
def scatter(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """The operand, and the updates at their target positions, without what they replace."""
    operand, indices, updates = operands
    shape = operand.shape
    old = operand.dependence or nothing(shape, scope.n)
    new = updates.dependence or nothing(updates.shape, scope.n)
    axes, window = _scatter_axes(eqn, shape, updates.shape)
    limits = [shape[axis] - window.get(axis, 1) for axis in axes]
    found = scope.indices(indices)
    choices, wide = _starts(found, indices.shape, limits, prod(updates.shape))
    if wide or len(choices) > 1:
        scope.lacks_coefficients(eqn)
    if wide:
        ranges = {
            axes[column]: slice(part.start, part.stop - 1 + window.get(axes[column], 1))
            for column, part in wide.items()
        }
        return union([old, _scatter_anywhere(eqn, new, shape, choices, ranges)])
    targets = [scatter_positions(eqn, shape, s, updates.shape).reshape(-1) for s in choices]
    if eqn.primitive is lax.scatter_p and len(targets) == 1:
        if np.unique(targets[0]).size < targets[0].size:  # Which one wins is not known.
            scope.lacks_coefficients(eqn)
        keep = np.ones(old.size, bool)
        keep[targets[0][targets[0] >= 0]] = False
        old = old.where(keep.reshape(shape))
    return union([old, _spread(new, targets, shape)])


def _scatter_axes(
    eqn: JaxprEqn, operand: Shape, updates: Shape
) -> tuple[Sequence[int], dict[int, int]]:
    """The axis of the operand for each component of the indices, and the length of the
    window along the axes that it has."""
    numbers = eqn.params["dimension_numbers"]
    lacking = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    kept = [axis for axis in range(len(operand)) if axis not in lacking]
    lengths = [updates[axis] for axis in numbers.update_window_dims]
    axes = [int(axis) for axis in numbers.scatter_dims_to_operand_dims]  # Of NumPy's type.
    return axes, dict(zip(kept, lengths, strict=True))


def _spread(new: Dependence, targets: Sequence[np.ndarray], shape: Shape) -> Dependence:
    """Updates at their target positions, of which there may be several for each."""
    if len(targets) == 1 and (targets[0] >= 0).all():
        return new.spread(targets[0], None, shape)
    into = np.stack(targets)
    sources = np.broadcast_to(np.arange(new.size, dtype=np.int32), into.shape)
    written = into >= 0
    if len(into) == 1 and written.all():
        return new.spread(into[0], None, shape)
    return new.spread(into[written], sources[written], shape)


def _scatter_anywhere(
    eqn: JaxprEqn,
    new: Dependence,
    operand: Shape,
    choices: Sequence[np.ndarray],
    ranges: dict[int, slice],
) -> Dependence:
    """What updates add if some components of the indices can be anywhere in a range
    of their axes. Found on an operand whose axes have shrunk to one element."""
    numbers = eqn.params["dimension_numbers"]
    shrunk = tuple(1 if axis in ranges else dim for axis, dim in enumerate(operand))
    lacking = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    kept = [axis for axis in range(len(operand)) if axis not in lacking]
    pairs = zip(kept, numbers.update_window_dims, strict=True)
    new = new.merge([update_axis for axis, update_axis in pairs if axis in ranges])
    targets = [scatter_positions(eqn, shrunk, s, new.shape).reshape(-1) for s in choices]
    anywhere = _spread(new, targets, shrunk).broadcast(operand)
    inside = np.zeros(operand, bool)
    inside[tuple(ranges.get(axis, slice(None)) for axis in range(len(operand)))] = True
    return anywhere.where(inside)
