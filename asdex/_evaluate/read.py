"""Reading the values of the sparse matrix out of the compressed one.

In general this is one gather. Where all rows are alike, as in a stencil without a boundary,
the entries are read from few shifted windows of the rows of the compressed matrix, without
computing anything twice.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, Num

from .._base.index import gather, unfolded
from .._base.sharding import typed_like
from .._linalg.windows import Lines, Slot, find_slot, read_slot
from .._structure.coloring import ColoredPattern
from .compress import Rows, colors_in_chunks

_MIN_ENTRIES = 4096
"""A gather of fewer entries takes about a microsecond."""

_MAX_WINDOWS = 64
"""Bounds the size of the program that XLA has to compile."""

_MAX_CHOICE = 8
"""Windows per entry above which a gather from rows that are stored is cheaper."""


class DecompressionPlan(NamedTuple):
    """How to read the values: by the slots of each row if there are any, otherwise by the
    positions."""

    positions: Integer[np.ndarray, " nnz"]
    slots: tuple[Slot, ...]


def plan_decompression(coloring: ColoredPattern) -> DecompressionPlan:
    """Plan to read the entries in the order of the pattern.

    Cost: O(nnz) for each window of a slot.
    """
    rows, positions = coloring.sparsity.rows, coloring.positions
    return DecompressionPlan(positions, _slots(positions, rows, coloring.dim, _MAX_CHOICE))


def plan_reading(
    positions: Integer[np.ndarray, " nnz"], rows: Int32[np.ndarray, " nnz"], dim: int
) -> DecompressionPlan:
    """Plan to read entries in rows `rows` at positions in lines of length `dim` that are
    computed where they are read.

    A choice between windows would compute all of them for each entry, a gather the one that
    is read: with two windows it takes 1 to 1.9 times as long, with six 2 to 3 times.
    """
    return DecompressionPlan(positions, _slots(positions, rows, dim, max_choice=1))


def read(
    compressed: Lines,
    plan: DecompressionPlan,
) -> Num[Array, " nnz"]:
    """The values of the entries, read from lines of equal length."""
    if not plan.slots:
        return _gather(jnp.asarray(compressed), plan.positions)
    columns = [read_slot(compressed, slot) for slot in plan.slots]
    # On CPUs, XLA takes up to 1.5 times as long to stack them along the last axis.
    return jnp.stack(columns).T.reshape(-1)


def _gather(
    compressed: Num[Array, "colors dim"], positions: Integer[np.ndarray, " nnz"]
) -> Num[Array, " nnz"]:
    if positions.dtype == np.int32:
        return gather(compressed.reshape(-1), positions)
    # JAX would truncate 64-bit positions to 32 bits, unless x64 is enabled.
    colors, along = np.divmod(positions, max(1, compressed.shape[1]))
    index = colors.astype(np.int32), along.astype(np.int32)
    return gather(compressed, index)


# -- Chunks ------------------------------------------------------------------------------


class ChunkedSide(NamedTuple):
    """How to read the entries of one side of a coloring.

    They are ordered by the chunk they are read from; entry `k` in this order is read at
    `positions[k]` of its chunk, and chunk `c` has the entries from `starts[c]` on, at most
    `longest` of them.
    """

    positions: Int32[np.ndarray, " padded"]  # By `longest` longer than the entries.
    starts: Int32[np.ndarray, " chunks"]
    longest: int


class ChunkedPlan(NamedTuple):
    """How to read the values chunk by chunk, so that the whole matrix never exists.

    Element `places[k]` of the values of all sides, one after the other, is entry `k`.
    """

    chunk_size: int
    sides: tuple[ChunkedSide, ...]
    places: Int32[np.ndarray, " nnz"]


def plan_chunks(coloring: ColoredPattern, chunk_size: int) -> ChunkedPlan:
    """Plan to read the entries chunk by chunk, at most `chunk_size` colors at a time.

    Cost: a sort of the entries.
    """
    if (size := chunk_size * coloring.dim) > np.iinfo(np.int32).max:
        raise ValueError(
            f"chunk_size={chunk_size} makes chunks of {size} numbers, more than a 32-bit "
            f"index can count. Use at most {np.iinfo(np.int32).max // coloring.dim}."
        )
    positions = coloring.positions
    color, along = np.divmod(positions, max(1, coloring.dim))
    sides, places, count = [], np.empty(positions.size, np.int32), 0
    for side in coloring.sides:
        of_side = color - side.first_color
        here = np.flatnonzero((of_side >= 0) & (of_side < side.num_colors))
        chunk, rank = np.divmod(of_side[here], chunk_size)
        within = (rank * side.dim + along[here]).astype(np.int32)
        by_chunk = np.argsort(chunk, kind="stable")
        num_chunks = -(-side.num_colors // chunk_size)
        bounds = np.searchsorted(chunk[by_chunk], np.arange(num_chunks + 1))
        longest = int(np.diff(bounds).max(initial=0))
        padded = np.append(within[by_chunk], np.zeros(longest, np.int32))
        sides.append(ChunkedSide(padded, bounds[:-1].astype(np.int32), longest))
        places[here[by_chunk]] = np.arange(count, count + here.size, dtype=np.int32)
        count += padded.size
    return ChunkedPlan(chunk_size, tuple(sides), places)


def read_in_chunks(sides: Sequence[Rows], plan: ChunkedPlan) -> Num[Array, " nnz"]:
    """The values of the entries, read from rows that are computed chunk by chunk."""
    values = [
        _read_side(rows, plan.chunk_size, side)
        for rows, side in zip(sides, plan.sides, strict=True)
    ]
    return gather(jnp.concatenate(values), plan.places)


def _read_side(rows: Rows, chunk_size: int, side: ChunkedSide) -> Num[Array, " padded"]:
    positions = unfolded(side.positions)

    def step(
        values: Num[Array, " padded"],
        chunk: tuple[Int32[Array, " chunk"], Int32[Array, ""]],
    ) -> tuple[Num[Array, " padded"], None]:
        colors, start = chunk
        # A window longer than this chunk's entries runs into those of the next, which
        # are overwritten then.
        window = jax.lax.dynamic_slice(positions, (start,), (side.longest,))
        found = rows.at(colors).reshape(-1).at[window].get(mode="promise_in_bounds")
        return jax.lax.dynamic_update_slice(values, found, (start,)), None

    values = jnp.zeros(side.positions.size, rows.dtype)
    if not rows.num_colors:
        return values
    colors = colors_in_chunks(rows.num_colors, chunk_size)
    # A loop must start with the type that it ends with.
    values = typed_like(values, jax.eval_shape(rows.at, colors[0]))
    return jax.lax.scan(step, values, (colors, jnp.asarray(side.starts)))[0]


# -- Planning ----------------------------------------------------------------------------


def _slots(
    positions: Integer[np.ndarray, " nnz"],
    rows: Int32[np.ndarray, " nnz"],
    dim: int,
    max_choice: int,
) -> tuple[Slot, ...]:
    """The slots of rows with equally many entries each, none if a gather is better than
    to choose between up to `max_choice` windows per entry.

    Rows that differ in length would have to be read in parts and joined, which takes as
    long as a gather.
    """
    length = int(np.argmax(np.append(rows != rows[:1], True)))
    if rows.size < _MIN_ENTRIES or rows.size % length or length > _MAX_WINDOWS:
        return ()
    slots: list[Slot] = []
    num_windows = 0
    for column in positions.reshape(-1, length).T:
        slot = find_slot(column, dim, max_choice)
        if slot is None or (num_windows := num_windows + len(slot.windows)) > _MAX_WINDOWS:
            return ()
        slots.append(slot)
    return tuple(slots)
