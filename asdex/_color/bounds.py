"""How many colors a coloring needs at least."""

from .graph import Adjacency, Bipartite


def fewest_colors(graph: Bipartite) -> int:
    """The vertices on one line all differ, so the longest line is a bound."""
    return int(graph.vertices.sizes.max(initial=0))


def fewest_star_colors(graph: Adjacency) -> int:
    """`fewest_acyclic_colors`, and three as soon as some edge has edges at both ends."""
    degrees = graph.neighbors.sizes
    is_inner = (degrees[graph.lo] > 1) & (degrees[graph.hi] > 1)
    return max(fewest_acyclic_colors(graph), 3 if is_inner.any() else 0)


def fewest_acyclic_colors(graph: Adjacency) -> int:
    """The forests between all pairs of colors must hold all edges.

    A forest between two of `k` classes has fewer edges than vertices, so all of them
    together have at most `(k - 1) n - k (k - 1) / 2` edges on `n` vertices.
    """
    n, num_edges = graph.neighbors.sizes.size, graph.lo.size
    k = min(n, 1)
    while (k - 1) * n - k * (k - 1) // 2 < num_edges:
        k += 1
    return k
