"""What is to be colored, and under which conditions: a class for each kind of coloring."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int32

from .._base.types import ColoringMode
from .._structure.coloring import ColoredPattern
from .._structure.pattern import SparsityPattern
from .acyclic import color_trees
from .bidirectional import TwoSided
from .bounds import fewest_acyclic_colors, fewest_colors, fewest_passes, fewest_star_colors
from .graph import Bipartite, adjacency, column_graph, high_degree_vertices, row_graph
from .greedy import color_in_order
from .lattice import color_by_lattice
from .loops import words_for
from .orders import (
    AbstractOrder,
    LargestFirst,
    NaturalOrder,
    Permutation,
    SmallestFirst,
    SmallestLast,
)
from .star import color_stars, find_stars, finish
from .substitution import plan_substitution

_UNEVEN = 24
"""How many times the mean degree the largest one is where largest first takes the most
time and gives the most colors, unless a few vertices alone are next to many: measured on
power laws, and on grids with a few more vertices."""

Colors = Int32[np.ndarray, " vertices"]


class Candidate(NamedTuple):
    """A valid coloring. Neutral vertices have -1."""

    colors: Colors
    num_colors: int


class Problem(ABC):
    """Some vertices to be colored, by any algorithm.

    - `pattern`: the pattern whose columns, rows, or both are the vertices.
    - `graph`: vertices on a common net are neighbors, for the purpose of orders.
    - `lower_bound`: no coloring has fewer colors.
    - `steps_per_entry`: those that `color` takes for each entry and word of colors, about.
    - `lattice_first`: whether a lattice coloring takes less time than a greedy one.
    - `usual_orders`: the orders that are likely to save colors.
    - `orders_if_uneven`: those for vertices of very different degrees.
    """

    pattern: SparsityPattern
    graph: Bipartite
    lower_bound: int
    steps_per_entry: int
    lattice_first: bool = False
    usual_orders: tuple[AbstractOrder, ...] = LargestFirst(), SmallestLast()
    orders_if_uneven: tuple[AbstractOrder, ...]

    @property
    def orders(self) -> tuple[AbstractOrder, ...]:
        """The orders to be tried in turn."""
        degrees = self.graph.nets.sizes
        num_edges, count = degrees.sum(dtype=np.int64), np.count_nonzero(degrees)
        if degrees.max(initial=0) * count > _UNEVEN * num_edges:
            return self.orders_if_uneven
        return self.usual_orders

    @abstractmethod
    def color(self, visits: Permutation) -> Candidate:
        """Give each vertex in turn the smallest color allowed."""

    def work(self, num_colors: int) -> int:
        """Steps of about 10 ns that `color` takes to find so many colors, about."""
        return self.steps_per_entry * self.pattern.nnz * words_for(num_colors)

    @abstractmethod
    def color_lattice(self, below: int) -> Candidate | None:
        """A lattice coloring with fewer colors than `below`, if any."""

    @abstractmethod
    def finish(self, found: Candidate, mode: ColoringMode, found_by: str) -> ColoredPattern:
        """The coloring with all that evaluation needs."""


class OneSided(Problem):
    """Color the columns, which are points of the input, or the rows, points of the
    output, so that those on a common net differ."""

    steps_per_entry = 2
    usual_orders = orders_if_uneven = (LargestFirst(),)

    def __init__(self, pattern: SparsityPattern, kind: Literal["column", "row"]):
        of_columns = kind == "column"
        self.pattern = pattern
        self.graph = (column_graph if of_columns else row_graph)(pattern)
        self.shapes = pattern.leaf_shapes if of_columns else pattern.output_shapes
        self.lower_bound = fewest_colors(self.graph)

    def color(self, visits: Permutation) -> Candidate:
        return Candidate(*color_in_order(self.graph, visits))

    def color_lattice(self, below: int) -> Candidate | None:
        return _color_lattice(self.graph, self.shapes, self.lower_bound, below)

    def finish(self, found: Candidate, mode: ColoringMode, found_by: str) -> ColoredPattern:
        colors, num_colors = found
        return ColoredPattern(
            self.pattern, colors, num_colors, False, mode, None, found_by, self.lower_bound
        )


class Bidirectional(Problem):
    """Color rows and columns, which are the vertices in this order; the colors of the
    rows follow those of the columns."""

    steps_per_entry = 30
    # By index, all rows get one color, and the columns are colored as if they were alone.
    orders_if_uneven = NaturalOrder(), SmallestFirst()

    def __init__(self, pattern: SparsityPattern):
        self.pattern, self.two_sided = pattern, TwoSided.of(pattern)
        graph = self.two_sided.graph
        self.graph = graph.incidence
        self.lower_bound = fewest_passes(pattern)

    def color(self, visits: Permutation) -> Candidate:
        columns, rows = self.two_sided.color(visits)
        num_jvps = int(columns.max(initial=-1)) + 1
        rows = np.where(rows < 0, rows, rows + np.int32(num_jvps))
        colors = np.concatenate([rows, columns])
        return Candidate(colors, int(colors.max(initial=-1)) + 1)

    def color_lattice(self, below: int) -> Candidate | None:
        del below
        return None

    def finish(self, found: Candidate, mode: ColoringMode, found_by: str) -> ColoredPattern:
        colors = np.roll(found.colors, self.pattern.n)  # The columns first.
        bound, count = self.lower_bound, found.num_colors
        return ColoredPattern(
            self.pattern, colors, count, False, mode, None, found_by, bound
        )


class Star(Problem):
    """Color a symmetric pattern so that any two colors induce stars only.

    With `postprocess`, vertices from which no entry is read become neutral at the end.
    """

    steps_per_entry = 10
    # By index, grids with a few full rows take a third less than in other orders.
    orders_if_uneven = NaturalOrder(), SmallestLast()

    def __init__(self, pattern: SparsityPattern, postprocess: bool):
        self.pattern, self.postprocess = pattern, postprocess
        self.adjacency = graph = adjacency(pattern)
        degrees = graph.neighbors.sizes
        private = high_degree_vertices(degrees)
        rest = int(np.delete(degrees, private).max(initial=0))
        helps = 2 * (private.size + rest) <= degrees.max(initial=0)
        self.private = private if helps else None
        self.graph = graph.incidence
        self.lower_bound = fewest_star_colors(graph)

    def color(self, visits: Permutation) -> Candidate:
        colors = color_stars(self.adjacency, visits, self.private)
        return Candidate(colors, int(colors.max(initial=-1)) + 1)

    def color_lattice(self, below: int) -> Candidate | None:
        # Where a vertex and all of its neighbors have different colors, no path of four
        # vertices has two colors.
        graph, shapes = self.adjacency.closed, self.pattern.leaf_shapes
        return _color_lattice(graph, shapes, fewest_colors(graph), below)

    def finish(self, found: Candidate, mode: ColoringMode, found_by: str) -> ColoredPattern:
        pattern, stars = self.pattern, find_stars(self.adjacency, found.colors)
        colors, count, stars = finish(pattern, found.colors, stars, self.postprocess)
        # The bound does not hold where a vertex without diagonal entry may be neutral.
        is_full = (pattern.rows == pattern.cols).sum() == pattern.n
        bound = self.lower_bound if is_full else min(1, pattern.nnz)
        return ColoredPattern(pattern, colors, count, True, mode, stars, found_by, bound)


class Acyclic(Problem):
    """Color a symmetric pattern so that any two colors induce trees only."""

    lattice_first = True
    orders_if_uneven = (SmallestFirst(),)

    def __init__(self, pattern: SparsityPattern):
        self.pattern, self.adjacency = pattern, adjacency(pattern)
        self.graph = self.adjacency.incidence
        self.lower_bound = fewest_acyclic_colors(pattern.n, self.adjacency.lo.size)

    def work(self, num_colors: int) -> int:
        del num_colors
        return self.adjacency.squared_degrees

    def color(self, visits: Permutation) -> Candidate:
        return Candidate(*color_trees(self.adjacency, visits))

    def color_lattice(self, below: int) -> Candidate | None:
        shapes, fewest = self.pattern.leaf_shapes, self.lower_bound
        return _color_lattice(self.graph, shapes, fewest, below, acyclic=True)

    def finish(self, found: Candidate, mode: ColoringMode, found_by: str) -> ColoredPattern:
        pattern, colors, bound = self.pattern, found.colors, self.lower_bound
        if not pattern.nnz:
            colors, bound = np.full(pattern.n, -1, np.int32), 0
        count = int(colors.max(initial=-1)) + 1
        plan = plan_substitution(pattern, colors, self.adjacency)
        return ColoredPattern(
            pattern, colors, count, True, mode, None, found_by, bound, plan
        )


def _color_lattice(
    graph: Bipartite,
    shapes: Sequence[tuple[int, ...]],
    fewest: int,
    below: int,
    acyclic: bool = False,
) -> Candidate | None:
    found = color_by_lattice(graph, shapes, fewest, below, acyclic)
    return None if found is None else Candidate(*found)
