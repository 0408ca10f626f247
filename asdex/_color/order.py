"""Orders in which greedy colorings visit the vertices."""

import numpy as np
from jaxtyping import Int32, Int64

from .graph import Adjacency, Bipartite


def largest_first(graph: Bipartite | Adjacency) -> Int32[np.ndarray, " vertices"]:
    """The vertices by descending degree, equal ones by index.

    The degree in a bipartite graph counts the vertices on all lines of a vertex, one
    that is met on two lines twice: the exact number costs as much as the coloring.
    """
    degrees = graph.neighbors.sizes if isinstance(graph, Adjacency) else _conflicts(graph)
    return np.argsort(-degrees, kind="stable").astype(np.int32)


def _conflicts(graph: Bipartite) -> Int64[np.ndarray, " vertices"]:
    """Number of other vertices on the lines of each vertex, with repetitions."""
    lines, vertices = graph
    others = np.concatenate([[0], np.cumsum((vertices.sizes - 1)[lines.items])])
    return others[lines.starts[1:]] - others[lines.starts[:-1]]
