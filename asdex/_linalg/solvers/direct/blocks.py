"""Dense matrices, and matrices that consist of small dense blocks, in pure JAX."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Int32, Int64, Integer

from ...._base.types import PyTree
from ...._structure.pattern import SparsityPattern
from ...multiply import take
from ..backend import Backend, Determinant, Solution, Vector, is_finite, pad_values
from ..host.calls import parity
from ..matching import Facts
from .elimination import LU, factor_lu, is_singular, permutation_signs, solve_lu

_MAX_STORAGE = 2**28
"""Elements of the blocks above which they are refused: 2 GiB in float64."""

_MAX_SIZES = 2
"""Different block sizes that are kept: each adds up to a second of compilation."""

_SLICED = 4
"""Largest size of blocks that are read by slices, one for each element."""


def plan_dense(facts: Facts) -> Backend:
    """LU decomposition of the dense matrix, with partial pivoting. Cost: O(n^3).

    Raises `ValueError` if the matrix would fill gigabytes.
    """
    pattern = facts.pattern
    _check_storage("dense", np.asarray([pattern.n]))
    part, rank = np.zeros(pattern.n, np.int32), np.arange(pattern.n)
    return _plan(pattern, np.asarray([pattern.n]), part, rank, part, rank)


def plan_block_diagonal(facts: Facts) -> Backend:
    """LU decompositions of the parts that have no entry in common, as dense matrices.

    Rows and columns of a part may be anywhere in the matrix. Cost: O(size^3) for each,
    vectorized over those of equal size. Raises `ValueError` if they would fill gigabytes.
    """
    row_part, col_part, count = facts.components
    sizes = np.bincount(row_part, minlength=count)
    _check_storage("block_diagonal", _padded_sizes(sizes))
    return _plan(
        facts.pattern, sizes, row_part, _ranks(row_part), col_part, _ranks(col_part)
    )


@dataclass(frozen=True, eq=False)
class DenseBlocks:
    """Dense blocks, side by side in groups of equal size.

    `sources[g][i, j, k]` is the entry of the matrix at element `(i, j)` of block `k` of
    group `g`, where `nnz` means zero and `nnz + 1` one, on the diagonal of blocks that were
    padded to the size of the group. The rows and columns of all groups, one after another,
    are slots: `row_slot` and `col_slot` are the slots of those of the matrix, `rows` and
    `cols` the inverse, with `n` for padding.
    """

    sources: tuple[Int32[np.ndarray, "_ _ _"], ...]
    row_slot: Int32[np.ndarray, " n"]
    col_slot: Int32[np.ndarray, " n"]
    rows: Int32[np.ndarray, " slots"]
    cols: Int32[np.ndarray, " slots"]

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        padded = pad_values(data, 0.0, 1.0)
        groups = [factor_lu(_gather(padded, source)) for source in self.sources]
        # LAPACK may take a number that is not finite for a zero pivot, or not.
        is_known = is_finite(data)
        singular = is_known & jnp.stack([is_singular(group) for group in groups]).any()
        return groups, singular, singular | ~is_known

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        groups, singular, has_no_solution = factors
        inside, outside = self.rows, self.col_slot
        if transposed:
            inside, outside = self.cols, self.row_slot
        slots, solved = _reorder(b, inside, self.sources), []
        start = 0
        for source, group in zip(self.sources, groups, strict=True):
            size, _, count = source.shape
            piece = slots[start : start + size * count].reshape(size, count)
            solved.append(solve_lu(LU(*group), piece, transposed).reshape(-1))
            start += size * count
        x = _reorder(jnp.concatenate(solved), outside, self.sources)
        return jnp.where(has_no_solution, jnp.full_like(x, jnp.nan), x), singular

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        groups, singular, has_no_solution = factors
        dtype = groups[0].triangles.dtype
        sign = jnp.asarray(_order_sign(self.rows, self.cols, self.row_slot.size), dtype)
        logarithm = jnp.zeros((), jnp.finfo(dtype).dtype)
        for lu in groups:
            diagonal = jnp.diagonal(lu.triangles)
            swapped = permutation_signs(lu).prod().astype(dtype)
            sign *= jnp.sign(diagonal).prod() * swapped
            logarithm += jnp.log(jnp.abs(diagonal)).sum()
        nan = has_no_solution & ~singular
        return (
            jnp.where(singular, 0, jnp.where(nan, jnp.nan, sign)),
            jnp.where(singular, -jnp.inf, jnp.where(nan, jnp.nan, logarithm)),
        )


def _plan(
    pattern: SparsityPattern,
    sizes: Integer[np.ndarray, " parts"],
    row_part: Integer[np.ndarray, " n"],
    row_rank: Integer[np.ndarray, " n"],
    col_part: Integer[np.ndarray, " n"],
    col_rank: Integer[np.ndarray, " n"],
) -> DenseBlocks:
    """Blocks from the part that each row and column belongs to, and its position there."""
    padded = _padded_sizes(sizes)
    counts = np.bincount(padded)
    starts = np.cumsum(np.arange(counts.size) * counts) - np.arange(counts.size) * counts
    place = np.empty(sizes.size, np.int64)
    order = np.argsort(padded, kind="stable")
    place[order] = np.arange(order.size) - (np.cumsum(counts) - counts)[padded[order]]

    def slots(
        part: Integer[np.ndarray, " n"], rank: Integer[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        size = padded[part]
        return starts[size] + rank * counts[size] + place[part]

    part, row, col = row_part[pattern.rows], row_rank[pattern.rows], col_rank[pattern.cols]
    sources = []
    for size in np.flatnonzero(counts).tolist():
        source = np.full((size, size, counts[size]), pattern.nnz, np.int32)
        filler = np.arange(size)[:, None] >= sizes[padded == size]
        source[np.arange(size), np.arange(size)] += filler
        (here,) = np.nonzero(padded[part] == size)
        source[row[here], col[here], place[part[here]]] = here
        sources.append(source)
    row_slot, col_slot = slots(row_part, row_rank), slots(col_part, col_rank)
    total = int(padded.sum())
    return DenseBlocks(
        tuple(sources),
        row_slot.astype(np.int32),
        col_slot.astype(np.int32),
        _inverse(row_slot, total),
        _inverse(col_slot, total),
    )


def _gather(
    values: Inexact[Array, " padded_nnz"], source: Int32[np.ndarray, "size size count"]
) -> Inexact[Array, "size size count"]:
    """`values[source]`, by slices where blocks are small and numbered evenly: a gather of
    10 000 blocks of size 3 takes 46 us, nine slices 30 us, which XLA fuses with what
    follows."""
    size, _, count = source.shape
    if size > _SLICED or count == 1:
        return take(values, source)
    lines = source.reshape(size**2, count)
    steps = np.diff(lines, axis=1)
    if (steps < 0).any() or np.ptp(steps, axis=1).any():
        return take(values, source)
    parts = [
        values[start : stop + 1 : step] if step else jnp.broadcast_to(values[start], count)
        for start, stop, step in zip(lines[:, 0], lines[:, -1], steps[:, 0], strict=True)
    ]
    return jnp.stack(parts).reshape(source.shape)


def _reorder(
    values: Inexact[Array, " size"],
    places: Int32[np.ndarray, " places"],
    sources: tuple[Int32[np.ndarray, "_ _ _"], ...],
) -> Inexact[Array, " places"]:
    """`values[places]`, zero where a place is past the end; without a gather if blocks are
    numbered evenly, one after another or side by side."""
    n = places.size
    if n == values.size:
        size, _, count = sources[0].shape
        if np.array_equal(places, np.arange(n)):
            return values
        for shape in ((size, count), (count, size)) if size * count == n else ():
            if np.array_equal(places, np.arange(n).reshape(shape).T.ravel()):
                return values.reshape(shape).T.ravel()
    return take(pad_values(values, 0.0), places)


def _order_sign(
    rows: Int32[np.ndarray, " slots"], cols: Int32[np.ndarray, " slots"], n: int
) -> int:
    """The sign of the order of rows relative to that of columns. The slots of padding hold
    the same unknown in both, so they can be left out."""
    rows, cols = rows[rows < n], cols[cols < n]
    col_at_row = np.empty_like(rows)
    col_at_row[rows] = cols
    return 1 - 2 * parity(col_at_row)


def _check_storage(solver: str, sizes: Integer[np.ndarray, " parts"]) -> None:
    if (sizes.astype(np.int64) ** 2).sum() > _MAX_STORAGE:
        raise ValueError(
            f"solver={solver!r} would fill gigabytes: it makes dense blocks, the largest "
            f"of size {sizes.max()}. Use solver='superlu'."
        )


def _padded_sizes(sizes: Integer[np.ndarray, " parts"]) -> Int64[np.ndarray, " parts"]:
    """The sizes themselves, or the next of 4, 8, 16, ... if there are many of them."""
    if np.unique(sizes).size <= _MAX_SIZES:
        return sizes.astype(np.int64)
    powers = 4 * 2 ** np.arange(int(sizes.max()).bit_length())
    return powers[np.searchsorted(powers, sizes)]


def _ranks(part: Integer[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """How many of the same part come before each."""
    order = np.argsort(part, kind="stable")
    counts = np.bincount(part)
    ranks = np.empty(part.size, np.int64)
    ranks[order] = np.arange(part.size) - (np.cumsum(counts) - counts)[part[order]]
    return ranks


def _inverse(slot: Int64[np.ndarray, " n"], total: int) -> Int32[np.ndarray, " slots"]:
    inverse = np.full(total, slot.size, np.int32)
    inverse[slot] = np.arange(slot.size)
    return inverse
