"""How many colors a coloring needs at least."""

import numpy as np
from jaxtyping import Int64

from .._structure.pattern import SparsityPattern
from .graph import Adjacency, Bipartite

_PART, _MOST_STEPS = 36, 10_000
"""Vertices in the part of a graph that is searched, and looks at a neighbor, 1 us each."""


def fewest_colors(graph: Bipartite) -> int:
    """The vertices on one net have different colors, so the longest net is a bound.

    Vertices of one color share no net, so there are at most as many of them as there are
    vertices with the fewest nets that together have no more nets than the graph. For a
    stencil on a periodic grid this counts the translates that fit into the grid.
    """
    nets, vertices = graph
    nets_of_each = np.sort(nets.sizes[nets.sizes > 0])
    num_nets = np.count_nonzero(vertices.sizes)
    largest_class = np.searchsorted(np.cumsum(nets_of_each), num_nets, side="right")
    fewest_classes = -(-nets_of_each.size // max(1, int(largest_class)))
    return max(int(vertices.sizes.max(initial=0)), fewest_classes)


def fewest_star_colors(graph: Adjacency) -> int:
    """`fewest_acyclic_colors`, or as many as a small part of the graph needs.

    A search through the colorings of that part finds out, for as long as it is short. On
    grids and bands it often shows that a coloring is the best there is.
    """
    num_colors = fewest_acyclic_colors(graph.neighbors.sizes.size, graph.lo.size)
    if num_colors < _PART:
        neighbors = _part(graph)
        while num_colors < len(neighbors) and _needs_more(neighbors, num_colors):
            num_colors += 1
    return num_colors


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


def _part(graph: Adjacency) -> list[list[int]]:
    """The neighbors of each of some vertices around one of the largest degree.

    Those with the most neighbors among the vertices before, and the most neighbors of
    neighbors, come first, so that a search fails early.
    """
    starts, items = graph.neighbors

    def around(v: int) -> list[int]:
        return items[starts[v] : starts[v + 1]][:_PART].tolist()

    sizes = graph.neighbors.sizes
    largest = np.flatnonzero(sizes == sizes.max(initial=0))
    # One in the middle, since those at either end may lie on the boundary.
    closeness = dict.fromkeys(largest[largest.size // 2 :][:1].tolist(), 0)
    number: dict[int, int] = {}
    while closeness and len(number) < _PART:
        v = max(closeness, key=lambda v: closeness[v])
        del closeness[v]
        number[v] = len(number)
        for w in around(v):
            for u, weight in [(w, 3), *((x, 1) for x in around(w))]:
                if u not in number:
                    closeness[u] = closeness.get(u, 0) + weight
    return [[number[w] for w in around(v) if w in number] for v in number]


def _needs_more(neighbors: list[list[int]], num_colors: int) -> bool:
    """Whether a search shows that a graph has no star coloring with so many colors."""
    color, steps = [-1] * len(neighbors), 0

    def is_allowed(v: int, own: int) -> bool:
        """Whether no path of four vertices with `v` has two colors."""
        for w in neighbors[v]:
            other = color[w]
            is_repeated = any(color[u] == other for u in neighbors[v] if u != w)
            if other == own or (
                other >= 0
                and any(
                    color[x] == own
                    and (
                        is_repeated
                        or any(color[y] == other for y in neighbors[x] if y != w)
                    )
                    for x in neighbors[w]
                )
            ):
                return False
        return True

    def extend(v: int, num_used: int) -> bool:
        """Whether the colors before `v` can be extended, as far as is known."""
        nonlocal steps
        if v == len(neighbors):
            return True
        for own in range(min(num_used + 1, num_colors)):
            steps += len(neighbors[v])
            if steps > _MOST_STEPS:
                return True
            if is_allowed(v, own):
                color[v] = own
                if extend(v + 1, max(num_used, own + 1)):
                    return True
                color[v] = -1
        return False

    return not extend(0, 0)


def _served(sizes: Int64[np.ndarray, " nets"]) -> Int64[np.ndarray, " counts"]:
    """The sum of `min(size, k)` for `k` from 0 to the largest size."""
    at_least = np.cumsum(np.bincount(sizes)[::-1])[::-1]
    return np.concatenate([[0], np.cumsum(at_least[1:])])
