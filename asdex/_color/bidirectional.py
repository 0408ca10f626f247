"""Bidirectional coloring: some columns by JVPs and some rows by VJPs."""

from typing import TypeAlias

import numpy as np
from jax.experimental.sparse import BCOO
from jaxtyping import Int32, Shaped

from .._pattern import SparsityPattern
from .bounds import fewest_colors
from .graph import Adjacency, adjacency, as_pattern, column_graph, hubs, row_graph
from .greedy import color_in_order
from .order import LargestFirst, SmallestLast
from .star import color_stars, neutralize

Sides: TypeAlias = tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " m"]]
"""Colors of the columns and of the rows."""


def color_bidirectional(
    sparsity: SparsityPattern | Shaped[np.ndarray, "m n"] | BCOO,
) -> Sides:
    """Color columns and rows so that each entry can be read from a column or from a row.

    Columns and rows are the vertices of a bipartite graph with one edge per entry. In a
    star coloring of this graph each entry stands alone among the columns of its color in
    its row, or among the rows of its color in its column. Most vertices are not needed
    as hubs and become neutral (Montoison, Dalle, Gebremedhin, "Revisiting Sparse Matrix
    Coloring and Bicoloring", arXiv:2505.07308, 2025).

    A greedy coloring is misled by few dense rows or columns, so it is tried with and
    without colors of their own for them; and columns only and rows only are tried too.

    **Returns:** colors of the columns and of the rows, -1 where neutral, numbered from
    0 on either side, with the smallest total number found.
    """
    pattern = as_pattern(sparsity)
    neutral = np.full(pattern.n, -1, np.int32), np.full(pattern.m, -1, np.int32)
    if not pattern.nnz:
        return neutral
    graph = _augmented(pattern)
    best = min(
        (
            _color(graph, order.arrange(graph.incidence), private, pattern.n)
            for order in (LargestFirst(), SmallestLast())
            for private in (None, hubs(graph))
        ),
        key=_passes,
    )
    for side, graph in enumerate((column_graph(pattern), row_graph(pattern))):
        if fewest_colors(graph) < _passes(best):
            colors, _ = color_in_order(graph, LargestFirst().arrange(graph))
            one_sided = (neutral[0], colors) if side else (colors, neutral[1])
            best = min(best, one_sided, key=_passes)
    return best


def _passes(sides: Sides) -> int:
    return sum(int(colors.max(initial=-1)) + 1 for colors in sides)


def _augmented(sparsity: SparsityPattern) -> Adjacency:
    """The bipartite graph: columns first, then rows."""
    m, n = sparsity.shape
    rows, cols = sparsity.rows + np.int32(n), sparsity.cols
    ends = np.concatenate([cols, rows]), np.concatenate([rows, cols])
    return adjacency(SparsityPattern(*ends, (n + m, n + m)))


def _color(
    graph: Adjacency,
    visits: Int32[np.ndarray, " vertices"],
    private: Int32[np.ndarray, " private"] | None,
    n: int,
) -> Sides:
    """Colors of columns and rows, neutral where not needed, each numbered from 0."""
    palette = np.zeros(visits.size, np.int32)
    palette[n:] = 1
    colors, stars = color_stars(graph, visits, private=private, palette=palette)
    colors, _ = neutralize(colors, stars, np.zeros(0, np.int32))
    return _renumber(colors[:n]), _renumber(colors[n:])


def _renumber(colors: Int32[np.ndarray, " side"]) -> Int32[np.ndarray, " side"]:
    used = np.bincount(colors + 1) > 0
    used[0] = False
    return np.where(used, np.cumsum(used) - 1, -1).astype(np.int32)[colors + 1]
