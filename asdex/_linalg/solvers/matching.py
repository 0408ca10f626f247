"""Structure that shows after rows and columns are renumbered.

A nonsingular matrix has a nonzero product along some permutation, so its pattern has a
perfect matching of rows and columns. With the matched entries on the diagonal, the strong
components of its graph are the blocks of its block triangular form (Duff and Reid, "An
implementation of Tarjan's algorithm for the block triangularization of a matrix", ACM
TOMS 4 (1978)).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Integer

from ..._structure.pattern import SparsityPattern


@dataclass(frozen=True, eq=False)
class Facts:
    """What solvers need of a square pattern that has a matching of rows and columns.

    Made for one plan, whose steps share these facts; each is computed when first used,
    since most plans need few of them.
    """

    pattern: SparsityPattern
    row_of_col: Int32[np.ndarray, " n"]

    @classmethod
    def of(cls, pattern: SparsityPattern) -> "Facts | None":
        """`None` if all matrices of this pattern are singular."""
        row_of_col = match_rows(pattern)
        return None if row_of_col is None else cls(pattern, row_of_col)

    @cached_property
    def triangle(self) -> "BlockTriangle":
        """The block triangular form."""
        return block_triangle(self.pattern, self.row_of_col)

    @cached_property
    def components(self) -> "Components":
        """The parts that have no entry in common."""
        return components(self.pattern)

    @cached_property
    def band(self) -> "Band":
        """The narrowest band that was found."""
        return narrowest_band(self.pattern)


class BlockTriangle(NamedTuple):
    """An order of rows and columns in which no entry lies below the diagonal blocks.

    Row `rows[k]` and column `cols[k]` move to position `k`, where they have an entry of
    the matching. `block` is the block of each column of the matrix; blocks are numbered
    in order.
    """

    rows: Int32[np.ndarray, " n"]
    cols: Int32[np.ndarray, " n"]
    block: Int32[np.ndarray, " n"]

    @property
    def num_blocks(self) -> int:
        """Number of diagonal blocks."""
        return int(self.block.max(initial=-1)) + 1


class Band(NamedTuple):
    """How many diagonals below the main one have entries, and how many above it.

    Rows and columns are in the same order, with `order[k]` at position `k`.
    """

    lower: int
    upper: int
    order: Int32[np.ndarray, " n"]

    @property
    def height(self) -> int:
        """Rows of LAPACK's band storage, with those for the fill above the band."""
        return 2 * self.lower + self.upper + 1


class Components(NamedTuple):
    """The part that each row and each column belongs to, and how many parts there are."""

    row_part: Int32[np.ndarray, " n"]
    col_part: Int32[np.ndarray, " n"]
    num_parts: int


def match_rows(pattern: SparsityPattern) -> Int32[np.ndarray, " n"] | None:
    """A row for each column such that they share an entry, all rows different.

    `None` if there is no such choice: all matrices of this pattern are singular. Cost:
    O(nnz) if the diagonal is full or the matrix is a triangle after renumbering; for what
    lines with a single entry leave over, that of a maximum flow, O(sqrt(n) nnz).
    """
    n = pattern.n
    if np.count_nonzero(pattern.rows == pattern.cols) == n:
        return np.arange(n, dtype=np.int32)
    partner = _match_single_entries(pattern)
    row_of_col = partner[n:]
    rows, cols = np.flatnonzero(partner[:n] < 0), np.flatnonzero(row_of_col < 0)
    if rows.size:
        is_left = (partner[pattern.rows] < 0) & (row_of_col[pattern.cols] < 0)
        left_rows = np.searchsorted(rows, pattern.rows[is_left])
        left_cols = np.searchsorted(cols, pattern.cols[is_left])
        matched = _match_by_flow(left_rows, left_cols, rows.size)
        if matched is None:
            return None
        row_of_col[cols] = rows[matched]
    return row_of_col


def _match_single_entries(pattern: SparsityPattern) -> Int32[np.ndarray, " lines"]:
    """The partner of each row and then of each column, -1 where none is found.

    A row or column with one entry has no choice. Once it is matched, other entries of its
    partner's line are useless, and other lines may have a single entry left (Karp and
    Sipser, "Maximum matching in sparse random graphs", FOCS 1981). The entries left in a
    line are kept as the exclusive or of their ends: when one is left, that is its end.
    """
    n = pattern.n
    ends = np.concatenate([pattern.rows, pattern.cols + np.int32(n)])
    other_ends = np.roll(ends, pattern.nnz)
    graph = _graph(ends, other_ends, 2 * n)
    degrees = np.diff(graph.indptr)
    left = np.zeros(2 * n, ends.dtype)
    np.bitwise_xor.at(left, ends, other_ends)
    single = np.flatnonzero(degrees == 1).tolist()
    # One element at a time, lists are faster than arrays.
    starts, neighbors = graph.indptr.tolist(), graph.indices.tolist()
    degrees, left, partner = degrees.tolist(), left.tolist(), [-1] * (2 * n)
    while single:
        v = single.pop()
        if degrees[v] == 1:
            w = left[v]
            partner[v], partner[w] = w % n, v % n
            for u in neighbors[starts[w] : starts[w + 1]]:
                degrees[u] -= 1
                left[u] ^= w
                if degrees[u] == 1:
                    single.append(u)
            degrees[w] = 0
    return np.array(partner, np.int32)


def _match_by_flow(
    rows: Integer[np.ndarray, " nnz"], cols: Integer[np.ndarray, " nnz"], n: int
) -> Integer[np.ndarray, " n"] | None:
    """`match_rows` by Dinic's algorithm, which is then that of Hopcroft and Karp.

    SciPy's own matching takes minutes on a renumbered grid of 20 000 unknowns, this one
    0.04 s.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    # From a source to each column, along the entries to the rows, and on to a sink.
    source, sink, places = 2 * n, 2 * n + 1, np.arange(n)
    tails = np.concatenate([np.full(n, source), cols, n + places])
    heads = np.concatenate([places, n + rows, np.full(n, sink)])
    capacities = np.ones(tails.size, np.int32)
    network = csr_array((capacities, (tails, heads)), shape=(2 * n + 2, 2 * n + 2))
    result = maximum_flow(network, source, sink)
    if result.flow_value < n:
        return None
    flow = result.flow.tocoo()
    chosen = (flow.data > 0) & (flow.row < n)
    row_of_col = np.empty(n, np.int32)
    row_of_col[flow.row[chosen]] = flow.col[chosen] - n
    return row_of_col


def block_triangle(
    pattern: SparsityPattern, row_of_col: Int32[np.ndarray, " n"]
) -> BlockTriangle:
    """The block triangular form with these rows on the diagonal. Cost: O(nnz), a sort."""
    n = pattern.n
    col_of_row = np.empty(n, np.int32)
    col_of_row[row_of_col] = np.arange(n)
    tails, heads = col_of_row[pattern.rows], pattern.cols
    from scipy.sparse.csgraph import connected_components

    count, block = connected_components(_graph(tails, heads, n), connection="strong")
    # Pearce's algorithm numbers a component once it has left it, so in the order of the
    # edges, from either end. SciPy does not document which.
    if (block[tails] > block[heads]).any():
        block = count - 1 - block
    assert (block[tails] <= block[heads]).all(), "SciPy numbers components otherwise"
    cols = np.argsort(block, kind="stable").astype(np.int32)
    return BlockTriangle(row_of_col[cols], cols, block.astype(np.int32))


def components(pattern: SparsityPattern) -> Components:
    """The parts that have no entry in common. Rows and columns need not be numbered
    alike."""
    from scipy.sparse.csgraph import connected_components

    n = pattern.n
    count, part = connected_components(
        _graph(pattern.rows, pattern.cols + n, 2 * n), directed=False
    )
    return Components(part[:n], part[n:], count)


def narrowest_band(pattern: SparsityPattern) -> Band:
    """The band in the given order of the unknowns or in one that makes it narrow.

    Fields of a problem in one dimension, one after another, or its periodic
    boundary, make a wide band of one that is narrow (Cuthill and McKee, "Reducing the
    bandwidth of sparse symmetric matrices", ACM '69). Cost: O(nnz).
    """
    given = _band(pattern, np.arange(pattern.n, dtype=np.int32))
    if given.lower <= 1 and given.upper <= 1:
        return given
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    ends = np.concatenate([pattern.rows, pattern.cols])
    other_ends = np.concatenate([pattern.cols, pattern.rows])
    graph = _graph(ends, other_ends, pattern.n)
    found = _band(pattern, reverse_cuthill_mckee(graph, symmetric_mode=True))
    return min(given, found, key=lambda band: band.height)


def _band(pattern: SparsityPattern, order: Int32[np.ndarray, " n"]) -> Band:
    place = np.empty(pattern.n, np.int64)
    place[order] = np.arange(pattern.n)
    distance = place[pattern.cols] - place[pattern.rows]
    return Band(int(-distance.min(initial=0)), int(distance.max(initial=0)), order)


def _graph(
    tails: Integer[np.ndarray, " edges"], heads: Integer[np.ndarray, " edges"], n: int
) -> Any:
    from scipy.sparse import csr_array

    return csr_array((np.ones(tails.size, np.int8), (tails, heads)), shape=(n, n))
