"""Neighbor lists: patterns as the graphs that are colored."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int32, Integer

from .._base.index import EntryIndices
from .._structure.pattern import SparsityPattern

_WALK_BUDGET = 1e8, 30
"""Squared degrees, about a second of work, and how many for each entry in addition, above
which vertices are costly."""


class Lists(NamedTuple):
    """One list of integers per vertex: `items[starts[v]:starts[v + 1]]`, ascending."""

    starts: Int32[np.ndarray, " bounds"]
    items: EntryIndices

    @property
    def sizes(self) -> Int32[np.ndarray, " vertices"]:
        """Length of each list."""
        return np.diff(self.starts)

    def keep(self, kept: Bool[np.ndarray, " nnz"]) -> "Lists":
        """The lists without the items that are not kept."""
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        return Lists(starts.astype(np.int32), self.items[kept])


class Bipartite(NamedTuple):
    """Rows and columns of a matrix as a graph, seen from the side that is colored.

    If columns are colored, they are the vertices, and each row is a *net*: the set of the
    columns with an entry in it. `nets` holds the nets of each vertex, `vertices` the
    vertices on each net. Two vertices are in conflict if they have a net in common.
    """

    nets: Lists
    vertices: Lists

    @property
    def walk(self) -> int:
        """Steps of a walk along all nets of all vertices: the squares of the lengths."""
        return int((self.vertices.sizes.astype(np.int64) ** 2).sum())


class Adjacency(NamedTuple):
    """A symmetric pattern without its diagonal, as a graph.

    `edge` numbers the undirected edge behind each item of `neighbors`; edges are in
    lexicographical order of their endpoints `(lo, hi)`, `lo < hi`.
    """

    neighbors: Lists
    edge: EntryIndices
    lo: Int32[np.ndarray, " edges"]
    hi: Int32[np.ndarray, " edges"]

    @property
    def is_complete(self) -> bool:
        """Whether all vertices are neighbors of each other."""
        n = self.neighbors.sizes.size
        return self.lo.size == n * (n - 1) // 2

    @property
    def squared_degrees(self) -> int:
        """Steps of a walk to the neighbors of all neighbors of all vertices."""
        return int((self.neighbors.sizes.astype(np.int64) ** 2).sum())

    @property
    def incidence(self) -> Bipartite:
        """Vertices and edges as a bipartite graph: each edge is a net of two vertices."""
        ends = np.stack([self.lo, self.hi], axis=1).reshape(-1)
        bounds = np.arange(0, ends.size + 1, 2, dtype=np.int32)
        nets = Lists(self.neighbors.starts, self.edge)
        return Bipartite(nets, Lists(bounds, ends))

    @property
    def closed(self) -> Bipartite:
        """A net for each vertex, with the vertex and its neighbors on it."""
        starts, items = self.neighbors
        vertices = np.arange(starts.size - 1, dtype=np.int32)
        nets = np.repeat(vertices, self.neighbors.sizes)
        places = starts[:-1] + np.bincount(nets, items < nets, vertices.size).astype(int)
        lists = Lists(
            starts + np.arange(starts.size, dtype=np.int32),
            np.insert(items, places, vertices),
        )
        return Bipartite(lists, lists)


def column_graph(sparsity: SparsityPattern) -> Bipartite:
    """The graph whose vertices are the columns."""
    by_row, by_col = _by_row_and_col(sparsity)
    return Bipartite(by_col, by_row)


def row_graph(sparsity: SparsityPattern) -> Bipartite:
    """The graph whose vertices are the rows."""
    by_row, by_col = _by_row_and_col(sparsity)
    return Bipartite(by_row, by_col)


def adjacency(sparsity: SparsityPattern) -> Adjacency:
    """The graph of a symmetric pattern.

    Raises `ValueError`, naming the first offending entry in row-major order, if the
    pattern is not square or not symmetric.
    """
    off_diagonal = sparsity.rows != sparsity.cols
    matrix, mirrored = _matrix_and_mirror(sparsity, off_diagonal)
    neighbors = _lists(matrix)
    cols = neighbors.items
    rows = np.repeat(np.arange(sparsity.n, dtype=np.int32), neighbors.sizes)
    upper = rows < cols
    edge = np.cumsum(upper, dtype=np.int32) - np.int32(1)
    place = np.empty_like(edge)
    place[matrix.data] = np.arange(edge.size, dtype=np.int32)
    edge = np.where(upper, edge, edge[place[mirrored.data]])
    return Adjacency(neighbors, edge, rows[upper], cols[upper])


def edge_numbers(graph: Adjacency, sparsity: SparsityPattern) -> EntryIndices:
    """The edge behind each entry of the pattern, -1 for a diagonal entry."""
    rows, cols = sparsity.rows, sparsity.cols
    numbers = np.full(rows.size, -1, np.int32)
    off_diagonal = np.flatnonzero(rows != cols)
    if not sparsity.is_sorted:
        off_diagonal = off_diagonal[np.lexsort((cols[off_diagonal], rows[off_diagonal]))]
    numbers[off_diagonal] = graph.edge
    return numbers


def high_degree_vertices(
    degrees: Integer[np.ndarray, " vertices"],
) -> Int32[np.ndarray, " p"]:
    """The `p` vertices of largest degree, where `p` plus the next degree is smallest.

    A greedy star coloring needs many colors around vertices of large degree: once two
    neighbors of one share a color, the colors of all others are forbidden to the next. With
    colors of their own for `p` of them, the rest needs few colors more than its largest
    degree.
    """
    order = np.argsort(degrees, kind="stable").astype(np.int32)
    larger = np.arange(order.size)[::-1]
    smallest = np.argmin(larger + degrees[order]) if order.size else 0
    return order[smallest + 1 :]


def costly_vertices(graph: Adjacency) -> Int32[np.ndarray, " costly"]:
    """The vertices whose neighbors are too many to be walked for each of them.

    There are none unless a walk around all vertices takes about a second. A vertex of a
    color of its own is in no path or cycle of two colors except as the center of stars, and
    can be left out when the others are colored.
    """
    sizes = graph.neighbors.sizes
    ascending = np.argsort(sizes, kind="stable").astype(np.int32)
    at_least, per_entry = _WALK_BUDGET
    budget = at_least + per_entry * int(sizes.sum())
    is_costly = np.cumsum(sizes[ascending].astype(np.int64) ** 2) > budget
    return ascending[is_costly][::-1]


def without_vertices(
    graph: Adjacency, removed: Bool[np.ndarray, " n"]
) -> tuple[Lists, EntryIndices]:
    """The neighbor lists, and the edges behind them, without some vertices."""
    if not removed.any():
        return graph.neighbors, graph.edge
    kept = ~(removed[graph.neighbors.items] | np.repeat(removed, graph.neighbors.sizes))
    return graph.neighbors.keep(kept), graph.edge[kept]


def mirror(sparsity: SparsityPattern) -> EntryIndices:
    """For each entry `(i, j)` of a symmetric pattern, the position of `(j, i)`.

    Raises what `adjacency` raises.
    """
    matrix, mirrored = _matrix_and_mirror(sparsity, np.ones(sparsity.nnz, bool))
    positions = np.empty(sparsity.nnz, np.int32)
    positions[matrix.data] = mirrored.data
    return positions


def _matrix_and_mirror(
    sparsity: SparsityPattern, selected: Bool[np.ndarray, " nnz"]
) -> tuple[sp.csr_array, sp.csr_array]:
    """The selected entries, numbered from 0, as a matrix, and its equal transpose."""
    m, n = sparsity.shape
    if m != n:
        raise ValueError(
            f"A symmetric coloring needs a square pattern. Got shape {sparsity.shape}."
        )
    rows, cols = sparsity.rows[selected], sparsity.cols[selected]
    numbers = np.arange(rows.size, dtype=np.int32)
    matrix = sp.csr_array((numbers, (rows, cols)), (n, n))
    matrix.sort_indices()
    mirrored = matrix.T.tocsr()
    if not (
        np.array_equal(matrix.indptr, mirrored.indptr)
        and np.array_equal(matrix.indices, mirrored.indices)
    ):
        keys = rows.astype(np.int64) * n + cols
        lacking = keys[~np.isin(keys, cols.astype(np.int64) * n + rows)].min()
        i, j = divmod(int(lacking), n)
        raise ValueError(
            "A symmetric coloring needs a symmetric pattern. Got an entry at "
            f"({i}, {j}), but none at ({j}, {i})."
        )
    return matrix, mirrored


def _by_row_and_col(sparsity: SparsityPattern) -> tuple[Lists, Lists]:
    ones = np.ones(sparsity.nnz, np.int8)
    matrix = sp.csr_array((ones, (sparsity.rows, sparsity.cols)), sparsity.shape)
    matrix.sort_indices()
    return _lists(matrix), _lists(matrix.T.tocsr())


def _lists(matrix: sp.csr_array) -> Lists:
    return Lists(matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32))
