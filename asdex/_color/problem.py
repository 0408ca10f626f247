"""What is to be colored, in the form in which the algorithms see it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from .._structure.pattern import SparsityPattern
from .acyclic import color_trees
from .bidirectional import TwoSided
from .bounds import (
    fewest_acyclic_colors,
    fewest_colors,
    fewest_passes,
    fewest_star_colors,
)
from .graph import Bipartite, adjacency, column_graph, hubs, row_graph
from .greedy import color_in_order
from .lattice import color_by_lattice
from .orders import Permutation
from .star import Stars, color_stars

Colors = Int32[np.ndarray, " vertices"]


class Candidate(NamedTuple):
    """A valid coloring, and for a star coloring its stars. Neutral vertices have -1."""

    colors: Colors
    num_colors: int
    stars: Stars | None = None


class Problem(NamedTuple):
    """Some vertices to be colored, and how.

    - `graph`: the vertices on a common line are neighbors, for the purpose of orders.
    - `lower_bound`: no coloring has fewer colors.
    - `work`: steps that `color` takes, about.
    - `color`: gives each vertex in turn the smallest color allowed.
    - `color_lattice`: a lattice coloring with less colors than a given number, if any.
    """

    graph: Bipartite
    lower_bound: int
    work: int
    color: Callable[[Permutation], Candidate]
    color_lattice: Callable[[int], Candidate | None]


def column_problem(sparsity: SparsityPattern) -> Problem:
    """Color the columns; they are points of the input."""
    return _side_problem(column_graph(sparsity), sparsity.leaf_shapes)


def row_problem(sparsity: SparsityPattern) -> Problem:
    """Color the rows; they are points of the output."""
    return _side_problem(row_graph(sparsity), sparsity.output_shapes)


def _side_problem(graph: Bipartite, shapes: Sequence[tuple[int, ...]]) -> Problem:
    bound = fewest_colors(graph)

    def color_lattice(below: int) -> Candidate | None:
        found = color_by_lattice(graph, shapes, bound, below)
        return None if found is None else Candidate(*found)

    return Problem(
        graph,
        bound,
        2 * graph.walk,
        lambda visits: Candidate(*color_in_order(graph, visits)),
        color_lattice,
    )


def star_problem(sparsity: SparsityPattern) -> Problem:
    """Color a symmetric pattern so that two colors meet in stars only."""
    graph = adjacency(sparsity)
    degrees = graph.neighbors.sizes
    private = hubs(degrees)
    rest = int(np.delete(degrees, private).max(initial=0))
    if 2 * (private.size + rest) > degrees.max(initial=0):
        private = None

    def color(visits: Permutation, forced: Colors | None = None) -> Candidate:
        own = private if forced is None else None
        colors, stars = color_stars(graph, visits, forced, own)
        return Candidate(colors, int(colors.max(initial=-1)) + 1, stars)

    def color_lattice(below: int) -> Candidate | None:
        # Where all neighbors of a vertex differ, from it and each other, no path of
        # four vertices has two colors.
        bound = fewest_colors(graph.closed)
        found = color_by_lattice(graph.closed, sparsity.leaf_shapes, bound, below)
        visits = np.arange(sparsity.n, dtype=np.int32)
        return None if found is None else color(visits, found[0])

    incidence = graph.incidence
    work = 2 * int((graph.neighbors.sizes.astype(np.int64) ** 2).sum())
    return Problem(incidence, fewest_star_colors(graph), work, color, color_lattice)


def acyclic_problem(sparsity: SparsityPattern) -> Problem:
    """Color a symmetric pattern so that two colors meet in trees only."""
    graph = adjacency(sparsity)

    def color_lattice(below: int) -> Candidate | None:
        bound = fewest_colors(graph.closed)
        found = color_by_lattice(graph.closed, sparsity.leaf_shapes, bound, below)
        return None if found is None else Candidate(*found)

    return Problem(
        graph.incidence,
        fewest_acyclic_colors(sparsity.n, graph.lo.size),
        4 * int((graph.neighbors.sizes.astype(np.int64) ** 2).sum()),
        lambda visits: Candidate(*color_trees(graph, visits)),
        color_lattice,
    )


def bidirectional_problem(sparsity: SparsityPattern) -> Problem:
    """Color rows and columns, which are the vertices in this order; the colors of the
    rows follow those of the columns."""
    two_sided = TwoSided.of(sparsity)

    def color(visits: Permutation) -> Candidate:
        columns, rows = two_sided.color(visits)
        num_jvps = int(columns.max(initial=-1)) + 1
        rows = np.where(rows < 0, rows, rows + np.int32(num_jvps))
        colors = np.concatenate([rows, columns])
        return Candidate(colors, int(colors.max(initial=-1)) + 1)

    sizes = two_sided.graph.neighbors.sizes.astype(np.int64)
    return Problem(
        two_sided.graph.incidence,
        fewest_passes(sparsity),
        6 * int((sizes**2).sum()),
        color,
        lambda _: None,
    )
