"""JAX's own sparse matrices, whose primitives are keyed by name: importing them is slow."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Int, Integer

from ..dependence import Dependence, nothing, union
from ..interpret import conservative
from ..registry import register
from ..terms import Shape
from ..value import Scope, Value, output_shape
from .control import implementation

register(
    *("bcoo_todense", "bcoo_extract", "bcoo_transpose", "bcoo_dot_general_sampled"),
    *("bcoo_spdot_general", "bcoo_sort_indices", "bcoo_sum_duplicates", "bcsr_todense"),
    always=True,
)(implementation)


@register("bcoo_dot_general", linear=(0, 2))
def bcoo_dot_general(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """A sparse array times a dense one: exact where the indices are known."""
    data, indices, other = operands
    known = scope.value(indices)
    if known is None or (known < 0).any():
        return conservative(eqn, operands, scope, _UNCOVERED)[0]
    shape = eqn.params["lhs_spinfo"].shape
    entries = _entries(np.moveaxis(known, -1, 0), data.shape, shape)
    return _product(eqn, entries, data, other, scope)


@register("bcsr_dot_general", linear=(0, 3))
def bcsr_dot_general(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Like `bcoo_dot_general`."""
    data, indices, indptr, other = operands
    cols, starts = scope.value(indices), scope.value(indptr)
    if cols is None or starts is None or (cols < 0).any():
        return conservative(eqn, operands, scope, _UNCOVERED)[0]
    place = np.arange(cols.shape[-1])
    lines = starts.reshape(-1, starts.shape[-1])
    rows = [np.searchsorted(line, place, side="right") - 1 for line in lines]
    rows = np.reshape(rows, (*starts.shape[:-1], place.size))
    batch = np.broadcast_shapes(rows.shape, cols.shape)
    sparse = np.stack([np.broadcast_to(part, batch) for part in (rows, cols)])
    entries = _entries(sparse, data.shape, eqn.params["lhs_spinfo"].shape)
    return _product(eqn, entries, data, other, scope)


_UNCOVERED = "indices that are not known"


class _Entries(NamedTuple):
    """The stored entries of a sparse array of shape `shape`, less those that only pad it:
    their coordinates along each axis, and their positions in the data."""

    coordinates: Int[np.ndarray, "axes entries"]
    place: Int[np.ndarray, " entries"]
    shape: Shape


def _entries(
    sparse: Integer[np.ndarray, "n_sparse *batch nse"], data: Shape, shape: Shape
) -> _Entries:
    """The entries of an array of axes (batch, sparse, dense) with the indices `sparse`,
    whose data have axes (batch, entry, dense). A batch axis of length one is repeated."""
    n_sparse, n_batch = len(sparse), sparse.ndim - 2
    batch, dense = shape[:n_batch], shape[n_batch + n_sparse :]
    full = (*batch, sparse.shape[-1], *dense)
    along = np.indices(full, sparse=True)
    sparse = sparse.reshape(*sparse.shape, *(1,) * len(dense))
    axes = (*along[:n_batch], *sparse, *along[n_batch + 1 :])
    index = np.stack([np.broadcast_to(axis, full).reshape(-1) for axis in axes])
    place = np.broadcast_to(np.arange(prod(data)).reshape(data), full).reshape(-1)
    inside = (index < np.reshape(shape, (-1, 1))).all(axis=0)
    return _Entries(index[:, inside].astype(np.int64), place[inside], shape)


def _product(
    eqn: JaxprEqn, entries: _Entries, data: Value, other: Value, scope: Scope
) -> Dependence:
    """Each entry adds a multiple of a row of the other operand, brought into the order
    (batch and contracted, free), to a row of the output."""
    contracting, batch = eqn.params["dimension_numbers"]
    rank, other_rank = len(entries.shape), len(other.shape)
    bound = {*contracting[0], *batch[0]}
    free = [axis for axis in range(rank) if axis not in bound]
    bound_other = [*batch[1], *contracting[1]]
    free_other = [axis for axis in range(other_rank) if axis not in bound_other]
    width = prod(other.shape[axis] for axis in free_other)

    shape = output_shape(eqn)
    row = _flat(entries, [*batch[0], *free])
    targets = row[:, None] * width + np.arange(width)
    positions = np.arange(prod(other.shape)).reshape(other.shape)
    positions = positions.transpose(*bound_other, *free_other).reshape(-1, width)
    sources = positions[_flat(entries, [*batch[0], *contracting[0]])]
    places = np.broadcast_to(entries.place[:, None], sources.shape)
    parts = [nothing(shape, scope.n)]
    for operand, own, factor, its in (
        (data, places, other, sources),
        (other, sources, data, places),
    ):
        if operand.dependence is None:
            continue
        kept = np.ones(own.shape, bool)
        known = scope.partial_value(factor)
        if known is not None:
            zero = np.broadcast_to(known.zero, factor.shape)
            kept = ~zero.reshape(-1)[its]
        parts.append(operand.dependence.spread(targets[kept], own[kept], shape))
    return union(parts)


def _flat(entries: _Entries, axes: Sequence[int]) -> Int[np.ndarray, " entries"]:
    """The flat position of each entry along some axes."""
    position = np.zeros(entries.place.size, np.int64)
    for axis in axes:
        position = position * entries.shape[axis] + entries.coordinates[axis]
    return position
