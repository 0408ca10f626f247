"""Products of a sparse matrix with vectors, without a scatter.

XLA adds to scattered positions one at a time. To gather is several times as fast, so each
row is summed slot by slot: its first entry, plus its second one, and so on, for all rows at
once (the ELLPACK format). Rows of very unequal length are sorted into classes, and long
ones cut into pieces whose sums are then summed in the same way.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64, Num

from .._base.index import EntryIndices
from .._structure.pattern import SparsityPattern

_WIDEST = 16
"""Slots that are written out; XLA fuses their sum into one loop."""

_MAX_FILL = 1.5
"""Slots per entry above which rows are sorted into classes of equal width."""

Selection = Int32[np.ndarray, " rows"] | slice
Terms = Callable[[Selection], Num[Array, " rows"]]
"""Computes the selected elements of the sequence that is to be summed in groups."""


def multiply(
    pattern: SparsityPattern, data: Num[Array, " nnz"], x: Num[Array, " n"]
) -> Num[Array, " m"]:
    """The matrix with values `data` times the vector `x`, of the same dtype.

    Cost: one gather of `x` per entry; one more of `data` unless the entries are in
    row-major order. What depends on the pattern alone is computed while tracing.
    """
    if pattern.nnz and pattern.is_sorted and pattern.nnz == pattern.m * pattern.n:
        return data.reshape(pattern.shape) @ x
    return _sum_products(pattern.rows, pattern.cols, pattern.m, data, x)


def multiply_transposed(
    pattern: SparsityPattern, data: Num[Array, " nnz"], u: Num[Array, " m"]
) -> Num[Array, " n"]:
    """The transposed matrix times the vector `u`; see `multiply`."""
    if pattern.nnz and pattern.is_sorted and pattern.nnz == pattern.m * pattern.n:
        return u @ data.reshape(pattern.shape)
    return _sum_products(pattern.cols, pattern.rows, pattern.n, data, u)


def sum_by_index(
    index: EntryIndices, count: int, values: Num[Array, " nnz"]
) -> Num[Array, " count"]:
    """The sums of the values with equal index, such as those of one row or column."""
    order = _order(index)
    return group_sums(
        np.bincount(index, minlength=count),
        lambda selection: take(values, selection if order is None else order[selection]),
        values.dtype,
    )


def _sum_products(
    major: EntryIndices,
    minor: EntryIndices,
    count: int,
    data: Num[Array, " nnz"],
    x: Num[Array, " n"],
) -> Num[Array, " count"]:
    order = _order(major)
    minor = minor if order is None else minor[order]

    def product(selection: Selection) -> Num[Array, " rows"]:
        places = selection if order is None else order[selection]
        return take(data, places) * take(x, minor[selection])

    return group_sums(np.bincount(major, minlength=count), product, data.dtype)


def _order(major: EntryIndices) -> EntryIndices | None:
    """The order in which equal ones are adjacent, `None` if they already are."""
    if (major[1:] >= major[:-1]).all():
        return None
    return np.argsort(major, kind="stable").astype(np.int32)


def take(values: Num[Array, "*batch size"], places: Any) -> Num[Array, "..."]:
    """Elements along the last axis; `places` are static indices, or a slice."""
    if isinstance(places, slice):
        return values[..., places]
    return values.at[..., places].get(mode="promise_in_bounds")


def group_sums(
    lengths: Int64[np.ndarray, " groups"], terms: Terms, dtype: Any
) -> Num[Array, " groups"]:
    """Sums of consecutive groups of these lengths, of numbers that `terms` computes."""
    widest, count = int(lengths.max(initial=0)), lengths.size
    if widest == 0:
        return jnp.zeros(count, dtype)
    if widest > _WIDEST:
        return _sum_pieces(lengths, terms, dtype)
    starts = np.cumsum(lengths) - lengths
    if widest * count <= _MAX_FILL * lengths.sum():
        return _sum_slots(starts, lengths, terms)
    width = 2 ** np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    width[lengths == 0] = 0
    order = np.argsort(width, kind="stable")
    bounds = np.searchsorted(width[order], [0, 1, 2, 4, 8, 16, 32])
    sums = []
    for first, last in itertools.pairwise(bounds.tolist()):
        rows = order[first:last]
        if rows.size:
            sums.append(
                _sum_slots(starts[rows], lengths[rows], terms)
                if lengths[rows].any()
                else jnp.zeros(rows.size, dtype)
            )
    places = np.empty(count, np.int32)
    places[order] = np.arange(count)
    return (
        jnp.concatenate(sums).at[places].get(mode="promise_in_bounds", unique_indices=True)
    )


def _sum_pieces(
    lengths: Int64[np.ndarray, " groups"], terms: Terms, dtype: Any
) -> Num[Array, " groups"]:
    """Sum pieces of the groups first, and then their sums."""
    pieces = -(-lengths // _WIDEST)
    piece_lengths = np.full(pieces.sum(), _WIDEST)
    last = np.cumsum(pieces)[lengths > 0] - 1
    piece_lengths[last] = (lengths - _WIDEST * (pieces - 1))[lengths > 0]
    return group_sums(pieces, partial(take, group_sums(piece_lengths, terms, dtype)), dtype)


def _sum_slots(
    starts: Int64[np.ndarray, " groups"],
    lengths: Int64[np.ndarray, " groups"],
    terms: Terms,
) -> Num[Array, " groups"]:
    """Sums of groups that have nearly equal lengths, as many terms as the longest has."""
    width, always = int(lengths.max()), int(lengths.min())
    start, count = int(starts[0]), starts.size
    evenly = bool((starts == start + width * np.arange(count)).all())

    def term(k: int) -> Num[Array, " groups"]:
        if evenly and always == width:
            return terms(slice(start + k, start + (count - 1) * width + k + 1, width))
        last = np.maximum(starts + lengths - 1, 0)
        found = terms(np.minimum(starts + k, last).astype(np.int32))
        # A product at a position past the end may be infinite or not a number.
        zero = jnp.zeros((), found.dtype)
        return found if k < always else jnp.where(lengths > k, found, zero)

    total = term(0)
    for k in range(1, width):
        total = total + term(k)
    return total
