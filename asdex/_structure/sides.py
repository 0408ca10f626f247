"""The sides of a coloring, and where the compressed matrix holds each entry."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt64

from .._base.errors import InvalidColoringError
from .._base.index import EntryIndices, index_dtype
from .pattern import SparsityPattern
from .recovery import Substitution, recovers
from .stars import StarSet


class Side(NamedTuple):
    """The columns or the rows of a pattern, those of one color being summed.

    - `kind`: which of them.
    - `colors`: from 0 on, in the numbering of this side; -1 is neutral.
    - `first_color`: the number in the whole coloring of color 0 of this side.
    - `seeded`, `along`: the position of each entry among the colored rows or columns, and
        in their sum, which has length `dim`.
    """

    kind: Literal["column", "row"]
    colors: Int32[np.ndarray, " vertices"]
    num_colors: int
    first_color: int
    seeded: EntryIndices
    along: EntryIndices
    dim: int

    def has(self, seeded: int, along: int) -> bool:
        """Whether the pattern has an entry there."""
        return bool(((self.seeded == seeded) & (self.along == along)).any())

    def entry(self, seeded: int, along: int) -> tuple[int, int]:
        """The row and the column of an entry."""
        return (along, seeded) if self.kind == "column" else (seeded, along)


def compressed_shape(sides: Sequence[Side]) -> tuple[int, int]:
    """Shape of the compressed matrix: the number of colors, and the larger `dim`."""
    return sum(side.num_colors for side in sides), max(side.dim for side in sides)


def find_positions(
    pattern: SparsityPattern, sides: Sequence[Side], stars: StarSet | None
) -> Integer[np.ndarray, " nnz"]:
    """Where each entry is read in the raveled compressed matrix.

    On each side, entry `(i, j)` is added to one element of it. It is read from the first
    of them to which no other entry is added; in a symmetric coloring, from that of
    `(spoke, hub)`.

    **Raises:** `InvalidColoringError` if an entry cannot be recovered.
    """
    added, candidates = [], []
    for side in sides:
        color, element = _elements(sides, side, side.seeded, side.along)
        added.append(element[color >= 0])
        if stars is not None:
            color, element = _elements(sides, side, *_hubs_and_spokes(pattern, stars))
        candidates.append((color >= 0, element))
    elements, size = np.concatenate(added), math.prod(compressed_shape(sides))
    is_alone = [
        is_colored & _occurs_once(elements, np.where(is_colored, element, 0), size)
        for is_colored, element in candidates
    ]
    if (lost := np.flatnonzero(~np.logical_or.reduce(is_alone))).size:
        raise InvalidColoringError(_why_lost(pattern, sides, stars, lost[0]))
    return np.where(is_alone[0], candidates[0][1], candidates[-1][1])


def _why_lost(
    pattern: SparsityPattern, sides: Sequence[Side], stars: StarSet | None, k: np.integer
) -> str:
    """Why entry `k` cannot be recovered."""
    side, *others = sides
    lost = f"Entry ({pattern.rows[k]}, {pattern.cols[k]}) cannot be recovered:"
    if others:
        by_column, by_row = (
            side.colors[side.seeded[k]] + side.first_color for side in sides
        )
        return (
            f"{lost} it is alone neither among the columns of color {by_column} nor among "
            f"the rows of color {by_row}."
        )
    vertices, along = side.seeded, side.along
    if stars is not None:
        vertices, along = _hubs_and_spokes(pattern, stars)
    color, element = _elements(sides, side, vertices[k : k + 1], along[k : k + 1])
    if color[0] < 0:
        return f"{lost} {side.kind} {vertices[k]} has the neutral color -1."
    colors, elements = _elements(sides, side, side.seeded, side.along)
    first, second = np.flatnonzero(elements == element)[:2]
    return (
        f"Entries ({pattern.rows[first]}, {pattern.cols[first]}) and "
        f"({pattern.rows[second]}, {pattern.cols[second]}) are in conflict: {side.kind}s "
        f"{side.seeded[first]} and {side.seeded[second]} both have color {colors[first]}."
    )


def positions_for_substitution(
    pattern: SparsityPattern, sides: Sequence[Side], substitution: Substitution
) -> Integer[np.ndarray, " nnz"]:
    """Where each entry is read, which is where it is added; the substitution separates it
    from others.

    **Raises:** `InvalidColoringError` if the substitution does not recover the entries.
    """
    (side,) = sides
    # By columns in every mode, as the substitution counts: the matrix is symmetric.
    color, positions = _elements(sides, side, pattern.cols, pattern.rows)
    if (lost := np.flatnonzero(color < 0)).size:
        k = lost[0]
        raise InvalidColoringError(
            f"Entry ({pattern.rows[k]}, {pattern.cols[k]}) cannot be recovered: column "
            f"{pattern.cols[k]} has the neutral color -1."
        )
    # Entries that mirror each other have the same random value, without a sort.
    rows, cols = pattern.rows.astype(np.uint64), pattern.cols.astype(np.uint64)
    values = _mixed(np.minimum(rows, cols) + _mixed(np.maximum(rows, cols)))
    place, size = positions, math.prod(compressed_shape(sides))
    if size > 16 * positions.size:
        used, place = np.unique(positions, return_inverse=True)
        size = used.size
    sums = np.zeros(size, np.uint64)
    np.add.at(sums, place, values)
    if not recovers(substitution, values, sums[place]):
        raise InvalidColoringError(
            "The substitution does not recover the entries from these colors. Use colors "
            "and substitution of one coloring, from hessian_coloring_from_sparsity with "
            "decompression='substitution'."
        )
    return positions


def _mixed(keys: UInt64[np.ndarray, " keys"]) -> UInt64[np.ndarray, " keys"]:
    """Integers that look random (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
    Generators", OOPSLA 2014, function mix64 of section 5)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _elements(
    sides: Sequence[Side], side: Side, vertices: EntryIndices, along: EntryIndices
) -> tuple[EntryIndices, Integer[np.ndarray, " nnz"]]:
    """Colors of these rows or columns, and the element of the raveled compressed matrix at
    `along` in their sum, undefined where the color is neutral."""
    num_colors, dim = compressed_shape(sides)
    dtype = index_dtype(num_colors * dim)
    color = side.colors[vertices]
    row = color.astype(dtype) + dtype(side.first_color)
    return color, row * dtype(dim) + along


def _hubs_and_spokes(
    pattern: SparsityPattern, stars: StarSet
) -> tuple[EntryIndices, EntryIndices]:
    """Hub and spoke of the edge behind each entry; a diagonal entry is its own."""
    rows, cols = pattern.rows, pattern.cols
    hubs = rows.copy()
    off_diagonal = np.flatnonzero(rows != cols)
    hubs[off_diagonal] = stars.hubs(rows[off_diagonal], cols[off_diagonal])
    if (lacking := np.flatnonzero(hubs < 0)).size:
        k = lacking[0]
        raise InvalidColoringError(
            f"The star_set lacks the edge of entry ({rows[k]}, {cols[k]}). Use the one "
            "that color_symmetric returned for this pattern."
        )
    if (strange := np.flatnonzero((hubs != rows) & (hubs != cols))).size:
        k = strange[0]
        raise InvalidColoringError(
            f"In the star_set, the hub {hubs[k]} of the edge of entry ({rows[k]}, "
            f"{cols[k]}) is neither of its ends. Use the one that color_symmetric returned "
            "for this pattern."
        )
    return hubs, np.where(hubs == rows, cols, rows)


def _occurs_once(
    values: Integer[np.ndarray, " values"],
    queries: Integer[np.ndarray, " queries"],
    bound: int,
) -> Bool[np.ndarray, " queries"]:
    """Whether each query, an integer below `bound`, occurs exactly once in `values`."""
    if bound <= 16 * values.size:
        return np.bincount(values, minlength=bound + 1)[queries] == 1
    values, counts = np.unique(values, return_counts=True)
    alone = values[counts == 1]
    # Queries are found several times faster in order.
    order = np.argsort(queries)
    places = np.searchsorted(alone, queries[order])
    occurs = np.empty(queries.size, bool)
    occurs[order] = np.append(alone, -1)[places] == queries[order]
    return occurs
