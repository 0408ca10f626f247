"""Bidirectional coloring: some columns by JVPs and some rows by VJPs."""

from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int32

from .._structure.matrices import PatternLike, as_pattern
from .._structure.pattern import SparsityPattern
from .bounds import fewest_colors, fewest_passes
from .graph import Adjacency, Bipartite, Lists, adjacency, high_degree_vertices
from .greedy import color_in_order
from .orders import AbstractOrder, LargestFirst, Permutation
from .star import color_stars, find_stars, neutralize

SideColors: TypeAlias = tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " m"]]
"""Colors of the columns and of the rows."""


def color_bidirectional(
    sparsity: PatternLike,
    *,
    order: AbstractOrder = LargestFirst(),  # noqa: B008 (immutable)
) -> SideColors:
    """Color columns and rows so that each entry can be read from a column or from a row.

    Columns and rows are the vertices of a bipartite graph with one edge per entry. In a
    star coloring of this graph each entry is alone among the columns of its color in
    its row, or among the rows of its color in its column. Most vertices are not needed
    as hubs and become neutral (Montoison, Dalle, Gebremedhin, "Revisiting Sparse Matrix
    Coloring and Bicoloring", arXiv:2505.07308, 2025).

    A greedy coloring needs many colors if there are a few dense rows or columns, so these
    get colors of their own. Columns only and rows only are tried, too.

    **Returns:** colors of the columns and of the rows, -1 where neutral, numbered from
    0 on either side, with the smallest total number found.
    """
    two_sided = TwoSided.of(as_pattern(sparsity))
    return two_sided.color(order.arrange(two_sided.graph.incidence))


class TwoSided(NamedTuple):
    """A pattern as a bipartite graph of its rows and columns.

    The rows come first, so that of an entry that could be read either way the column, as
    the larger endpoint of the edge, becomes the hub: JVPs take less memory than VJPs.
    """

    pattern: SparsityPattern
    graph: Adjacency
    columns: Bipartite
    rows: Bipartite
    private: Int32[np.ndarray, " private"]

    @classmethod
    def of(cls, pattern: SparsityPattern) -> "TwoSided":
        """The graph of a pattern."""
        m, n = pattern.shape
        rows, cols = pattern.rows, pattern.cols + np.int32(m)
        ends = np.concatenate([rows, cols]), np.concatenate([cols, rows])
        graph = adjacency(SparsityPattern(*ends, (n + m, n + m)))
        starts, items = graph.neighbors
        by_row = Lists(starts[: m + 1], items[: starts[m]] - np.int32(m))
        by_column = Lists(starts[m:] - starts[m], items[starts[m] :])
        private = high_degree_vertices(graph.neighbors.sizes)
        sides = Bipartite(by_column, by_row), Bipartite(by_row, by_column)
        return cls(pattern, graph, *sides, private)

    def color(self, visits: Permutation) -> SideColors:
        """The best of some colorings that visit rows and columns in the given order."""
        m, n = self.pattern.shape
        neutral = np.full(n, -1, np.int32), np.full(m, -1, np.int32)
        if not self.pattern.nnz:
            return neutral
        bounds = fewest_colors(self.columns), fewest_colors(self.rows)
        tries = []
        if fewest_passes(self.pattern) < min(bounds):
            tries.append(self._color_stars(visits))
        if not tries or bounds[0] < _cost(tries[0])[0]:
            of_columns = visits[visits >= m] - np.int32(m)
            tries.append((color_in_order(self.columns, of_columns)[0], neutral[1]))
        if bounds[1] < min(map(_cost, tries))[0]:
            of_rows = visits[visits < m]
            tries.append((neutral[0], color_in_order(self.rows, of_rows)[0]))
        return min(tries, key=_cost)

    def _color_stars(self, visits: Permutation) -> SideColors:
        """A star coloring, neutral where not needed, each side numbered from 0."""
        m = self.pattern.m
        side = np.zeros(visits.size, np.int32)
        side[m:] = 1
        colors = color_stars(self.graph, visits, self.private, side)
        stars = find_stars(self.graph, colors)
        colors, _ = neutralize(colors, stars, np.zeros(0, np.int32))
        return _renumber(colors[m:]), _renumber(colors[:m])


def _cost(sides: SideColors) -> tuple[int, int]:
    """What is minimized: the number of colors on both sides, then that of the rows."""
    num_jvps, num_vjps = (int(colors.max(initial=-1)) + 1 for colors in sides)
    return num_jvps + num_vjps, num_vjps


def likely_passes(pattern: SparsityPattern) -> int:
    """How many colors a bidirectional coloring may take, without coloring anything.

    The columns and rows that `high_degree_vertices` finds get colors of their own, and all
    others as many as the side that needs fewer at least.
    """
    m, n = pattern.shape
    of_rows = np.bincount(pattern.rows, minlength=m)
    of_columns = np.bincount(pattern.cols, minlength=n)
    is_private = np.zeros(m + n, bool)
    is_private[high_degree_vertices(np.concatenate([of_rows, of_columns]))] = True
    rest = ~(is_private[:m][pattern.rows] | is_private[m:][pattern.cols])
    jvps = int(np.bincount(pattern.rows[rest]).max(initial=0))
    vjps = int(np.bincount(pattern.cols[rest]).max(initial=0))
    return int(is_private.sum()) + min(jvps, vjps)


def _renumber(colors: Int32[np.ndarray, " side"]) -> Int32[np.ndarray, " side"]:
    used = np.bincount(colors + 1) > 0
    used[0] = False
    return np.where(used, np.cumsum(used) - 1, -1).astype(np.int32)[colors + 1]
