"""How many colors a coloring needs at least."""

import numpy as np
from jaxtyping import Int64

from .._structure.pattern import SparsityPattern
from .graph import Adjacency, Bipartite


def fewest_colors(graph: Bipartite) -> int:
    """The vertices on one net have different colors, so the longest net is a bound."""
    return int(graph.vertices.sizes.max(initial=0))


def fewest_star_colors(graph: Adjacency) -> int:
    """`fewest_acyclic_colors`, and three as soon as some edge has edges at both ends."""
    degrees, num_edges = graph.neighbors.sizes, graph.lo.size
    is_inner = (degrees[graph.lo] > 1) & (degrees[graph.hi] > 1)
    return max(fewest_acyclic_colors(degrees.size, num_edges), 3 if is_inner.any() else 0)


def fewest_acyclic_colors(n: int, num_edges: int) -> int:
    """The forests between all pairs of colors must hold all edges.

    A forest between two of `k` classes has fewer edges than vertices, so all of them
    together have at most `(k - 1) n - k (k - 1) / 2` edges on `n` vertices.
    """
    k = min(n, 1)
    while (k - 1) * n - k * (k - 1) // 2 < num_edges:
        k += 1
    return k


def fewest_passes(sparsity: SparsityPattern) -> int:
    """In a bidirectional coloring, `k` colors of columns serve at most `k` entries of each
    row, and `l` colors of rows at most `l` of each column; all entries must be served."""
    by_columns = _served(np.bincount(sparsity.rows, minlength=1))
    by_rows = _served(np.bincount(sparsity.cols, minlength=1))
    row_colors = np.searchsorted(by_rows, sparsity.nnz - by_columns)
    return int((np.arange(by_columns.size) + row_colors).min())


def _served(sizes: Int64[np.ndarray, " nets"]) -> Int64[np.ndarray, " counts"]:
    """The sum of `min(size, k)` for `k` from 0 to the largest size."""
    at_least = np.cumsum(np.bincount(sizes)[::-1])[::-1]
    return np.concatenate([[0], np.cumsum(at_least[1:])])
