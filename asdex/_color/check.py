"""Checks of colorings: the definitions of valid ones, transcribed as code."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int, Int32, Integer

from .._base.errors import InvalidColoringError
from .._structure.matrices import PatternLike, as_pattern
from .._structure.pattern import SparsityPattern
from .graph import adjacency, mirror


def check_coloring_cols(
    sparsity: PatternLike, colors: Integer[np.ndarray, " n"] | Sequence[int]
) -> None:
    """Raise unless no two columns with an entry in the same row share a color.

    Each entry is then alone in its row among the columns of its color. The color -1
    is neutral: such a column is in no sum, and must be empty.

    **Raises:** `InvalidColoringError`, naming two entries in conflict or one in a neutral
    column; `ValueError` unless there is one color per column.
    """
    pattern = as_pattern(sparsity)
    color = _as_colors(colors, pattern.n, "column")[pattern.cols]
    _refuse(pattern, color < 0, "its column has the neutral color -1")
    groups, sizes = _groups(pattern.rows, color)
    _refuse_conflict(pattern, groups, sizes > 1)


def check_coloring_rows(
    sparsity: PatternLike, colors: Integer[np.ndarray, " m"] | Sequence[int]
) -> None:
    """Raise unless no two rows with an entry in the same column share a color.

    This is `check_coloring_cols` of the transposed pattern.
    """
    pattern = as_pattern(sparsity)
    color = _as_colors(colors, pattern.m, "row")[pattern.rows]
    _refuse(pattern, color < 0, "its row has the neutral color -1")
    groups, sizes = _groups(pattern.cols, color)
    _refuse_conflict(pattern, groups, sizes > 1)


def check_coloring_symmetric(
    sparsity: PatternLike, colors: Integer[np.ndarray, " n"] | Sequence[int]
) -> None:
    """Raise unless `colors` are a star coloring of a symmetric pattern.

    Neighbors must have different colors, and each entry `(i, j)`, or the entry `(j, i)`
    mirrored to it, must be alone in its row among the columns of its color. This is
    the same as at least three colors on every path of four vertices. Columns of the
    neutral color -1 are in no sum, and have no neighbors.

    **Raises:** `InvalidColoringError`, naming two entries in conflict or one that is in
    no sum; `ValueError` if the pattern is not symmetric, or unless there is one color
    per column.
    """
    pattern = as_pattern(sparsity)
    mirrored = mirror(pattern)
    colors = _as_colors(colors, pattern.n, "column")
    row_color, color = colors[pattern.rows], colors[pattern.cols]
    in_sum = color >= 0
    _refuse(pattern, ~(in_sum | in_sum[mirrored]), "both its colors are the neutral -1")
    adjacent = in_sum & (row_color == color) & (pattern.rows != pattern.cols)
    _refuse(pattern, adjacent, "its row and its column share a color")
    groups, sizes = _groups(pattern.rows, color)
    alone = in_sum & (sizes == 1)
    lost = ~(alone | alone[mirrored])
    _refuse_conflict(pattern, groups, in_sum & (lost | lost[mirrored]))


def check_coloring_acyclic(
    sparsity: PatternLike, colors: Integer[np.ndarray, " n"] | Sequence[int]
) -> None:
    """Raise unless `colors` are an acyclic coloring of a symmetric pattern.

    Neighbors must have different colors, and the edges between any two colors must form
    no cycle.

    **Raises:** `InvalidColoringError`, naming an entry on a cycle of two colors, or one
    between neighbors of one color; `ValueError` if the pattern is not symmetric, or
    unless there is one color, not negative, per column.
    """
    from scipy.sparse.csgraph import connected_components  # Slow to import.

    pattern = as_pattern(sparsity)
    graph = adjacency(pattern)
    colors = _as_colors(colors, pattern.n, "column")
    if pattern.nnz and colors.min() < 0:
        raise ValueError("An acyclic coloring has no neutral color. Got -1.")
    adjacent = (colors[pattern.rows] == colors[pattern.cols]) & (
        pattern.rows != pattern.cols
    )
    _refuse(pattern, adjacent, "its row and its column share a color")

    # A vertex is in one graph for each color around it, so that the graphs of all
    # pairs of colors are one. A part of it is a tree if it has fewer edges than nodes.
    k = np.int64(1) + colors.max(initial=0)
    lo, hi = graph.lo * k + colors[graph.hi], graph.hi * k + colors[graph.lo]
    nodes, ends = np.unique(np.concatenate([lo, hi]), return_inverse=True)
    lo, hi = ends[: lo.size], ends[lo.size :]
    links = sp.coo_array((np.ones(lo.size), (lo, hi)), (nodes.size, nodes.size))
    count, part = connected_components(links, directed=False)
    is_tree = np.bincount(part[lo], minlength=count) < np.bincount(part, minlength=count)
    for edge in np.flatnonzero(~is_tree[part[lo]])[:1]:
        raise InvalidColoringError(
            f"Entry ({graph.lo[edge]}, {graph.hi[edge]}) cannot be recovered: it lies on a "
            "cycle of two colors."
        )


def check_coloring_bidirectional(
    sparsity: PatternLike,
    column_colors: Integer[np.ndarray, " n"] | Sequence[int],
    row_colors: Integer[np.ndarray, " m"] | Sequence[int],
) -> None:
    """Raise unless each entry is alone in its row among the columns of its color, or
    in its column among the rows of its color.

    Columns and rows of the neutral color -1 are in no sum. Colors of columns and of rows
    are independent of each other.

    **Raises:** `InvalidColoringError`, naming two entries in conflict or one that is in
    no sum; `ValueError` unless there is one color per column and one per row.
    """
    pattern = as_pattern(sparsity)
    by_column = _as_colors(column_colors, pattern.n, "column")[pattern.cols]
    by_row = _as_colors(row_colors, pattern.m, "row")[pattern.rows]
    in_no_sum = (by_column < 0) & (by_row < 0)
    _refuse(pattern, in_no_sum, "its row and its column have the neutral color -1")
    column_groups, column_sizes = _groups(pattern.rows, by_column)
    row_groups, row_sizes = _groups(pattern.cols, by_row)
    lost = ~((by_column >= 0) & (column_sizes == 1)) & ~((by_row >= 0) & (row_sizes == 1))
    _refuse_conflict(pattern, column_groups, lost & (by_column >= 0))
    _refuse_conflict(pattern, row_groups, lost)


def _as_colors(
    colors: Integer[np.ndarray, " vertices"] | Sequence[int], count: int, kind: str
) -> Integer[np.ndarray, " vertices"]:
    colors = np.asarray(colors, np.int32)
    if colors.shape != (count,):
        raise ValueError(
            f"colors must have shape ({count},), one for each {kind}. Got {colors.shape}."
        )
    if (colors < -1).any():
        raise ValueError(f"colors must not be below -1. Got {colors.min()}.")
    return colors


def _groups(
    nets: Int32[np.ndarray, " nnz"], colors: Int32[np.ndarray, " nnz"]
) -> tuple[Int[np.ndarray, " nnz"], Int[np.ndarray, " nnz"]]:
    """Group of each entry, those on one net with one color, and size of that group."""
    keys = nets * (np.int64(2) + colors.max(initial=-1)) + colors
    _, groups, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    return groups, sizes[groups]


def _refuse(pattern: SparsityPattern, wrong: Bool[np.ndarray, " nnz"], why: str) -> None:
    """Raise if some entry is wrong, naming the first."""
    for k in np.flatnonzero(wrong)[:1]:
        raise InvalidColoringError(f"Entry {_name(pattern, k)} cannot be recovered: {why}.")


def _refuse_conflict(
    pattern: SparsityPattern,
    groups: Int[np.ndarray, " nnz"],
    wrong: Bool[np.ndarray, " nnz"],
) -> None:
    """Raise if some entry is wrong, naming the first and another of its group."""
    for k in np.flatnonzero(wrong)[:1]:
        first, second = np.flatnonzero(groups == groups[k])[:2]
        raise InvalidColoringError(
            f"Entries {_name(pattern, first)} and {_name(pattern, second)} are in "
            "conflict: the coloring sums them, and neither is alone elsewhere."
        )


def _name(pattern: SparsityPattern, k: np.intp) -> str:
    return f"({pattern.rows[k]}, {pattern.cols[k]})"
