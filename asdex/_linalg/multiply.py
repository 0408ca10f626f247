"""Products of a sparse matrix with vectors, without a scatter.

XLA adds to scattered positions one at a time. To gather is several times as fast, so each
row is summed slot by slot: its first entry, plus its second one, and so on, for all rows at
once (the ELLPACK format). Rows of very unequal length are sorted into classes, and long
ones cut into pieces whose sums are then summed in the same way.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Int64, Num

from .._base.index import EntryIndices, counting_order, unfolded
from .._base.sharding import varying_alike
from .._structure.pattern import SparsityPattern
from .windows import Slot, find_slot, read_slot

_WIDEST = 16
"""Slots that are written out; XLA fuses their sum into one loop."""

_MAX_FILL = 1.5
"""Slots per entry above which rows are sorted into classes of equal width."""

_MAX_CHOICE = 2
"""Windows of a slot: a stencil that is periodic in one dimension has two. With one or two
they take as long as a gather, with eight two to four times as long."""

Selection = Int32[np.ndarray, " rows"] | slice
Places = Int32[Array, " rows"] | slice
Terms = Callable[[Selection, Places], Num[Array, " rows"]]
"""Computes the selected elements of the sequence that is to be summed in groups. It gets
their places twice: static, and computed by the program without constants for each slot."""


def multiply(
    pattern: SparsityPattern, data: Num[Array, " nnz"], x: Num[Array, " n"]
) -> Num[Array, " m"]:
    """The matrix with values `data` times the vector `x`, of the same dtype.

    Cost: one gather of `x` per entry; one more of `data` unless the entries are in
    row-major order. What depends on the pattern alone is computed while tracing.
    """
    if pattern.nnz and pattern.is_sorted and pattern.nnz == pattern.m * pattern.n:
        return data.reshape(pattern.shape) @ x
    return _sum_products(pattern.rows, pattern.cols, pattern.m, pattern.n, data, x)


def multiply_transposed(
    pattern: SparsityPattern, data: Num[Array, " nnz"], u: Num[Array, " m"]
) -> Num[Array, " n"]:
    """The transposed matrix times the vector `u`; see `multiply`."""
    if pattern.nnz and pattern.is_sorted and pattern.nnz == pattern.m * pattern.n:
        return u @ data.reshape(pattern.shape)
    return _sum_products(pattern.cols, pattern.rows, pattern.n, pattern.m, data, u)


def sum_by_index(
    index: EntryIndices, count: int, values: Num[Array, " nnz"]
) -> Num[Array, " count"]:
    """The sums of the values with equal index, such as those of one row or column."""
    order = _order(index, count)
    return group_sums(
        np.bincount(index, minlength=count),
        lambda selection, places: take(
            values, places if order is None else order[selection]
        ),
        values.dtype,
    )


def _sum_products(
    major: EntryIndices,
    minor: EntryIndices,
    count: int,
    size: int,
    data: Num[Array, " nnz"],
    x: Num[Array, " size"],
) -> Num[Array, " count"]:
    if (slots := _slots(major, minor, count, size)) is not None:
        return _sum_slots_alike(slots, data, x)
    if (slots := _slots(minor, major, size, count)) is not None:
        x, data, like = varying_alike([x, data, jnp.zeros(count, x.dtype)])
        product = partial(_sum_slots_alike, slots, data)
        return jax.linear_transpose(product, like)(x)[0]
    order = _order(major, count)
    minor = minor if order is None else minor[order]

    def term(selection: Selection, places: Places) -> Num[Array, " rows"]:
        values = take(data, places if order is None else order[selection])
        return values * take(x, minor[selection])

    return group_sums(np.bincount(major, minlength=count), term, data.dtype)


def _slots(
    major: EntryIndices, minor: EntryIndices, count: int, size: int
) -> list[Slot] | None:
    """Where the entries with the same rank in their rows read the vector: if rows `major`
    are in order, have equally many entries, and need one or two windows for each rank."""
    width = major.size // count if count else 0
    if not 0 < width <= _WIDEST or not np.array_equal(
        major, np.repeat(np.arange(count, dtype=np.int32), width)
    ):
        return None
    slots = []
    for columns in minor.reshape(count, width).T:
        if (slot := find_slot(columns, size, _MAX_CHOICE)) is None:
            return None
        slots.append(slot)
    return slots


def _sum_slots_alike(
    slots: Sequence[Slot], data: Num[Array, " nnz"], x: Num[Array, " size"]
) -> Num[Array, " count"]:
    """The product, without an index, from elements of the vector that are near the rows.

    Where rows are split over devices, each device sends what others need of its part of the
    vector, and no values.
    """
    values = data.reshape(-1, len(slots))
    total = values[:, 0] * read_slot([x], slots[0])
    for k, slot in enumerate(slots[1:], start=1):
        total = total + values[:, k] * read_slot([x], slot)
    return total


def _order(major: EntryIndices, count: int) -> EntryIndices | None:
    """The order in which equal ones are adjacent, `None` if they already are."""
    return None if (major[1:] >= major[:-1]).all() else counting_order(major, count)


def take(values: Num[Array, "*batch size"], places: Any) -> Num[Array, "..."]:
    """Elements along the last axis, at indices in bounds, none of them negative, or of a
    slice."""
    if isinstance(places, slice):
        return values[..., places]
    if isinstance(places, np.ndarray):
        places = unfolded(places)
    # To test constant indices for negative ones would be left to XLA's constant folding.
    return values.at[..., places].get(mode="promise_in_bounds", wrap_negative_indices=False)


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
    order = counting_order(width, 2 * _WIDEST)
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
    return take(jnp.concatenate(sums), places)


def _sum_pieces(
    lengths: Int64[np.ndarray, " groups"], terms: Terms, dtype: Any
) -> Num[Array, " groups"]:
    """Sum pieces of the groups first, and then their sums."""
    pieces = -(-lengths // _WIDEST)
    piece_lengths = np.full(pieces.sum(), _WIDEST)
    last = np.cumsum(pieces)[lengths > 0] - 1
    piece_lengths[last] = (lengths - _WIDEST * (pieces - 1))[lengths > 0]
    sums = group_sums(piece_lengths, terms, dtype)
    return group_sums(pieces, lambda _, places: take(sums, places), dtype)


def _sum_slots(
    starts: Int64[np.ndarray, " groups"],
    lengths: Int64[np.ndarray, " groups"],
    terms: Terms,
) -> Num[Array, " groups"]:
    """Sums of groups that have nearly equal lengths, as many terms as the longest has."""
    width, always = int(lengths.max()), int(lengths.min())
    start, count = int(starts[0]), starts.size
    evenly = bool((starts == start + width * np.arange(count)).all())

    if evenly and always == width:

        def term(k: int) -> Num[Array, " groups"]:
            selection = slice(start + k, start + (count - 1) * width + k + 1, width)
            return terms(selection, selection)
    else:
        last = np.maximum(starts + lengths - 1, 0)
        first = unfolded(starts.astype(np.int32))
        length = unfolded(lengths.astype(np.uint8)).astype(np.int32)

        def term(k: int) -> Num[Array, " groups"]:
            selection = np.minimum(starts + k, last).astype(np.int32)
            places = jnp.maximum(first + jnp.minimum(k, length - 1), 0)
            found = terms(selection, places)
            # A product at a position past the end may be infinite or not a number.
            zero = jnp.zeros((), found.dtype)
            return found if k < always else jnp.where(length > k, found, zero)

    total = term(0)
    for k in range(1, width):
        total = total + term(k)
    return total
