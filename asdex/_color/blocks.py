"""Patterns made of dense blocks, colored by their blocks.

Where all columns of a block occur in the same rows, and all rows in the same columns, a
coloring of the blocks gives one of the entries: column `j` of block column `J` gets the
color `c * color(J) + j`, with `c` columns in a block. Two columns then share a color only
if they are at the same position in blocks of one color, so the coloring is valid if that
of the blocks is.
"""

import math
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Int32

from .._base.index import EntryIndices
from .._structure.coloring import ColoredPattern
from .._structure.pattern import SparsityPattern
from .._structure.stars import StarSet
from .bounds import fewest_acyclic_colors, fewest_colors, fewest_passes
from .graph import column_graph, row_graph
from .substitution import plan_substitution


def lift_coloring(
    coloring: ColoredPattern, block_shape: int | Sequence[int]
) -> ColoredPattern:
    """A coloring of `coloring.sparsity.kron(block_shape)`, made from that of the blocks.

    It has as many colors as the coloring given, times the number of columns of a block (in
    mode `"rev"`, of rows). Coloring the larger pattern itself takes longer and seldom finds
    fewer.

    **Raises:** `ValueError` if the coloring is symmetric and the blocks are not square;
    what `SparsityPattern.kron` raises.
    """
    return lift(coloring, coloring.sparsity.kron(block_shape))


def lift(coloring: ColoredPattern, pattern: SparsityPattern) -> ColoredPattern:
    """`lift_coloring` to a pattern that is known to be made of such blocks."""
    base = coloring.sparsity
    r, c = (
        fine // max(1, coarse)
        for fine, coarse in zip(pattern.shape, base.shape, strict=True)
    )
    if coloring.symmetric and r != c:
        raise ValueError(
            f"A symmetric coloring needs square blocks. Got block_shape ({r}, {c})."
        )
    fine, num_colors = [], 0
    for side in coloring.sides:
        size = c if side.kind == "column" else r
        of_side = _at_each_place(side.colors, size)
        fine.append(np.where(of_side < 0, of_side, of_side + np.int32(num_colors)))
        num_colors += size * side.num_colors
    colors = np.concatenate(fine)
    star_set, substitution = coloring.star_set, coloring.substitution
    if coloring.symmetric:
        if star_set is not None:
            diagonal = base.rows[base.rows == base.cols]
            star_set = _lift_stars(star_set, diagonal, c)
        if substitution is not None:
            substitution = plan_substitution(pattern, colors)
    return ColoredPattern(
        pattern,
        colors,
        num_colors,
        coloring.symmetric,
        coloring.mode,
        star_set,
        f"{coloring.found_by} of blocks",
        _lower_bound(coloring, pattern),
        substitution,
    )


def find_blocks(sparsity: SparsityPattern, *, square: bool) -> SparsityPattern:
    """The pattern of the blocks, if this one is made of such along its trailing axes.

    A block has the columns (the rows) of the trailing axis of each array of the input (the
    output), or of parts of equal size. Either side may have no blocks, unless they have to
    be `square` ones of a symmetric pattern. Without any, the pattern itself is returned.

    Cost: O(nnz).
    """
    col_shapes = sparsity.leaf_shapes
    row_shapes = col_shapes if square else sparsity.output_shapes
    r, c = _trailing_size(row_shapes), _trailing_size(col_shapes)
    if not (sparsity.is_sorted and sparsity.nnz and max(r, c) > 1):
        return sparsity
    if square and sparsity.m != sparsity.n:
        return sparsity
    rows, cols = sparsity.rows, sparsity.cols
    if c > 1 and _columns_agree(rows, cols, c):
        rows, cols = rows[::c], cols[::c] // c
    else:
        c = 1
    if r > 1 and (c > 1 or not square) and _rows_agree(rows, cols, sparsity.m, r):
        is_first = rows % r == 0
        rows, cols = rows[is_first] // r, cols[is_first]
    else:
        r = 1
    if r == c == 1 or (square and r != c):
        return sparsity
    blocks = _of_shapes(rows, cols, _split(col_shapes, c), _split(row_shapes, r))
    return blocks if not square or blocks.is_symmetric else sparsity


def _of_shapes(
    rows: EntryIndices,
    cols: EntryIndices,
    col_shapes: Sequence[tuple[int, ...]],
    row_shapes: Sequence[tuple[int, ...]],
) -> SparsityPattern:
    shape = sum(map(math.prod, row_shapes)), sum(map(math.prod, col_shapes))
    avals = tuple(jax.ShapeDtypeStruct(s, np.dtype(np.float32)) for s in col_shapes)
    return SparsityPattern(rows, cols, shape, avals, range(len(avals)), row_shapes)


def _trailing_size(shapes: Sequence[tuple[int, ...]]) -> int:
    """The largest number that divides all trailing axes; that of a vector counts as 1."""
    return math.gcd(*(shape[-1] if len(shape) > 1 else 1 for shape in shapes))


def _split(shapes: Sequence[tuple[int, ...]], size: int) -> list[tuple[int, ...]]:
    """The shapes of arrays whose elements are parts of the trailing axes."""
    if size == 1:
        return list(shapes)
    left = [(*shape[:-1], shape[-1] // size) for shape in shapes]
    return [shape[:-1] if shape[-1] == 1 else shape for shape in left]


def _columns_agree(rows: EntryIndices, cols: EntryIndices, c: int) -> bool:
    """Whether the entries, in row-major order, are runs of `c` columns of one block."""
    if rows.size % c or (cols[::c] % c).any():
        return False
    expected = cols[::c, None] + np.arange(c, dtype=np.int32)
    is_one_row = (rows.reshape(-1, c) == rows[::c, None]).all()
    return bool(is_one_row and (cols.reshape(-1, c) == expected).all())


def _rows_agree(rows: EntryIndices, cols: EntryIndices, m: int, r: int) -> bool:
    """Whether all `r` rows of each block have the same columns."""
    sizes = np.bincount(rows, minlength=m).reshape(-1, r)
    if (sizes != sizes[:, :1]).any():
        return False
    starts = np.cumsum(sizes) - sizes.reshape(-1)
    in_first_row = np.arange(rows.size) - starts[rows] + starts[rows - rows % r]
    return bool((cols == cols[in_first_row]).all())


def _at_each_place(
    colors: Int32[np.ndarray, " blocks"], size: int
) -> Int32[np.ndarray, " vertices"]:
    """The colors of the vertices in blocks of some size; neutral ones remain neutral."""
    fine = colors[:, None] * np.int32(size) + np.arange(size, dtype=np.int32)
    return np.where(colors[:, None] < 0, np.int32(-1), fine).reshape(-1)


def _lower_bound(coloring: ColoredPattern, pattern: SparsityPattern) -> int:
    """That of the pattern, or of the blocks: vertices at one position form their graph."""
    side, *others = coloring.sides
    if others:
        return max(coloring.lower_bound, fewest_passes(pattern))
    if not coloring.symmetric:
        graph = (column_graph if side.kind == "column" else row_graph)(pattern)
        return max(coloring.lower_bound, fewest_colors(graph))
    num_diagonal = int((pattern.rows == pattern.cols).sum())
    if num_diagonal < pattern.n:  # The other bound excludes neutral vertices.
        return coloring.lower_bound
    num_edges = (pattern.nnz - num_diagonal) // 2
    return max(coloring.lower_bound, fewest_acyclic_colors(pattern.n, num_edges))


def _lift_stars(
    stars: StarSet, diagonal: Int32[np.ndarray, " diagonal"], size: int
) -> StarSet:
    """A star for each star of the blocks, position of its hub and position of its spokes,
    and one of a single edge for each two positions in one block."""
    is_open = stars.hub < 0
    center = np.where(is_open, -stars.hub - 1, stars.hub).astype(np.int64)
    star = stars.star[stars.edge_pos].astype(np.int64)
    first, second = np.arange(size)[:, None], np.arange(size)
    lo = stars.edge_lo[:, None, None] * np.int64(size) + first + 0 * second
    hi = stars.edge_hi[:, None, None] * np.int64(size) + second + 0 * first
    hub_is_lo = (center[star] == stars.edge_lo)[:, None, None]
    places = np.where(hub_is_lo, first, second), np.where(hub_is_lo, second, first)
    star = (star[:, None, None] * size + places[0]) * size + places[1]
    hub = center[:, None, None] * size + first + 0 * second
    hub = np.where(is_open[:, None, None], -hub - 1, hub)

    first, second = np.triu_indices(size, 1)
    own_lo = diagonal[:, None] * np.int64(size) + first
    own_hi = diagonal[:, None] * np.int64(size) + second
    lo, hi, hub, star = (
        np.concatenate([a.reshape(-1), b.reshape(-1)])
        for a, b in (
            (lo, own_lo),
            (hi, own_hi),
            (hub, -own_hi - 1),
            (star, hub.size + np.arange(own_hi.size)),
        )
    )
    order = np.lexsort((hi, lo))
    return StarSet(star[order], hub, lo[order], hi[order], np.arange(order.size))
