"""`ColoredPattern`: a pattern together with how to compress it."""

from typing import Any, Literal, NamedTuple, cast

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Int32, Integer, UInt64

from .._base.errors import InvalidColoringError
from .._base.index import Derived, IndexArray, as_indices
from .._base.types import (
    BIDIRECTIONAL,
    HESSIAN_MODES,
    JACOBIAN_MODES,
    ColoringMode,
    check_choice,
)
from .._show.drawing import Colors, Drawing
from .._show.notebook import as_html
from .._show.text import as_text, one_line
from .files import FilePath, building_from, read_arrays, take_header, write_file
from .pattern import SparsityPattern, pattern_from_record, pattern_record
from .recovery import Substitution, recovers
from .stars import STAR_SET_ARRAYS, StarSet


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
    seeded: Int32[np.ndarray, " nnz"]
    along: Int32[np.ndarray, " nnz"]
    dim: int

    def has(self, seeded: int, along: int) -> bool:
        """Whether the pattern has an entry there."""
        return bool(((self.seeded == seeded) & (self.along == along)).any())

    def entry(self, seeded: int, along: int) -> tuple[int, int]:
        """The row and the column of an entry."""
        return (along, seeded) if self.kind == "column" else (seeded, along)


class ColoredPattern(eqx.Module):
    """A sparsity pattern and the colors by which its matrix is compressed.

    The compressed matrix `B` has shape `(num_colors, dim)`: its row `c` is the sum of
    the columns of color `c` (`dim` is `m`), or of the rows of color `c` in mode
    `"rev"` (`dim` is `n`). Each entry of the pattern is alone in some element of `B`, or,
    with a symmetric coloring, its mirror is; in which one is computed once, here.

    The mode determines two things: which `sides` have colors, and how automatic
    differentiation composes their products.

    An immutable pytree without leaves, like `SparsityPattern`.

    **Arguments:**

    - `sparsity`: the pattern.
    - `colors`: integers of shape `(m,)` in mode `"rev"` and `(n,)` in every other;
        -1 is neutral: that row or column is not part of any sum.
    - `num_colors`: number of rows of `B`.
    - `symmetric`: whether entries `(i, j)` and `(j, i)` are read from one element.
    - `mode`: the AD mode that computes `B`.
    - `star_set`: the stars of a symmetric coloring, from `color_symmetric`.
    - `found_by`: the algorithm that the coloring comes from, if known.
    - `lower_bound`: a number of colors below which there is no coloring.
    - `substitution`: for a symmetric coloring that is acyclic only, how to compute the
        entries from those read at their positions.

    **Raises:** `InvalidColoringError` if some entry could not be recovered from `B`,
    naming the entries in conflict; `TypeError` if colors are not integers; `ValueError`
    if arguments do not fit together.

    Cost: O(nnz + num_colors * dim), or a sort of the entries if that is less; one more
    sort if symmetric.
    """

    sparsity: SparsityPattern
    _colors: IndexArray = eqx.field(static=True)
    num_colors: int = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)
    mode: ColoringMode = eqx.field(static=True)
    star_set: StarSet | None
    substitution: Substitution | None
    _origin: Derived[tuple[str, int]] = eqx.field(static=True)
    _positions: Derived[IndexArray] = eqx.field(static=True)

    def __init__(
        self,
        sparsity: SparsityPattern,
        colors: Integer[np.ndarray, " vertices"],
        num_colors: int | np.integer,
        symmetric: bool,
        mode: ColoringMode,
        star_set: StarSet | None = None,
        found_by: str = "",
        lower_bound: int = 0,
        substitution: Substitution | None = None,
    ):
        check_choice("mode", mode, (*JACOBIAN_MODES, *HESSIAN_MODES))
        if num_colors < 0:
            raise ValueError(f"num_colors must not be negative. Got {num_colors}.")
        self.sparsity = sparsity
        self.num_colors = int(num_colors)
        last, reason = self.num_colors - 1, f"for num_colors={num_colors}"
        self._colors = IndexArray(as_indices("colors", colors, -1, last, reason))
        self.symmetric = symmetric
        self.mode = mode
        self.star_set = star_set
        self.substitution = substitution
        if lower_bound > num_colors:
            raise ValueError(
                f"lower_bound={lower_bound} cannot hold for {num_colors} colors."
            )
        self._origin = Derived((found_by, lower_bound))
        m, n = sparsity.shape
        vertices, kind = {
            "rev": (m, "row"),
            BIDIRECTIONAL: (n + m, "column, then for each row,"),
        }.get(mode, (n, "column"))  # All other modes color the columns.
        if self.colors.shape != (vertices,):
            raise ValueError(
                f"colors must have shape ({vertices},), one for each {kind} of the {m}x{n} "
                f"pattern in mode {mode!r}. Got {self.colors.shape}."
            )
        if (symmetric or mode in HESSIAN_MODES) and sparsity.m != sparsity.n:
            raise ValueError(
                "A symmetric coloring, or one for a Hessian, needs a square pattern. "
                f"Got shape {sparsity.shape}."
            )
        if symmetric and star_set is None and substitution is None:
            raise ValueError(
                "A symmetric coloring needs the star_set that color_symmetric returns."
            )
        if substitution is not None and not (symmetric and star_set is None):
            raise ValueError(
                "A substitution belongs to a symmetric coloring without a star_set."
            )
        if substitution is not None and substitution.num_entries != sparsity.nnz:
            raise ValueError(
                f"The substitution is for a pattern with {substitution.num_entries} "
                f"entries. This one has {sparsity.nnz}."
            )
        if symmetric and not sparsity.is_symmetric:
            raise ValueError(
                "A symmetric coloring needs a symmetric pattern, in which each entry "
                "(i, j) has its mirror (j, i). Add the missing ones, or use "
                "symmetric=False."
            )
        if len(self.sides) > 1 and (symmetric or not self._sides_are_apart()):
            raise ValueError(
                "In a bidirectional coloring, which cannot be symmetric, the colors of the "
                "rows must be larger than those of the columns."
            )
        if substitution is None:
            positions = _positions(self)
        else:
            positions = _positions_for_substitution(self, substitution)
        self._positions = Derived(IndexArray(positions))

    @property
    def colors(self) -> Int32[np.ndarray, " vertices"]:
        """Color of each row (mode `"rev"`) or column (otherwise), read-only.

        In mode `"bidirectional"` first of each column, then of each row.
        """
        return self._colors.array

    @property
    def found_by(self) -> str:
        """The algorithm that the coloring comes from, if known; equality ignores it."""
        return self._origin.value[0]

    @property
    def lower_bound(self) -> int:
        """A number of colors below which there is none; equality ignores it."""
        return self._origin.value[1]

    @property
    def num_jvps(self) -> int:
        """How many of the colors are those of columns; they come first."""
        if self.mode == BIDIRECTIONAL:
            return int(self.colors[: self.sparsity.n].max(initial=-1)) + 1
        return 0 if self.mode == "rev" else self.num_colors

    @property
    def sides(self) -> tuple[Side, ...]:
        """The columns, if they are colored, and then the rows, if they are."""
        (m, n), rows, cols = self.sparsity.shape, self.sparsity.rows, self.sparsity.cols
        colors, jvps = self.colors, self.num_jvps
        sides: list[Side] = []
        if self.mode != "rev":
            sides.append(Side("column", colors[:n], jvps, 0, cols, rows, m))
        if self.mode in ("rev", BIDIRECTIONAL):
            of_rows = colors[colors.size - m :]
            of_rows = np.where(of_rows < 0, of_rows, of_rows - np.int32(jvps))
            vjps = self.num_colors - jvps
            sides.append(Side("row", of_rows, vjps, jvps, rows, cols, n))
        return tuple(sides)

    def _sides_are_apart(self) -> bool:
        row_colors = self.colors[self.sparsity.n :]
        return bool((row_colors[row_colors >= 0] >= self.num_jvps).all())

    @property
    def dim(self) -> int:
        """Length of the rows of the compressed matrix; of the longer ones in mode
        `"bidirectional"`, where the others are filled up with zeros."""
        return max(side.dim for side in self.sides)

    @property
    def positions(self) -> Integer[np.ndarray, " nnz"]:
        """Where each entry of the pattern is in the raveled compressed matrix.

        int32 if the compressed matrix is small enough, otherwise int64.
        """
        return self._positions.value.array

    @property
    def read_from(self) -> Integer[np.ndarray, " nnz"]:
        """The color from which each entry is recovered, computed at every access."""
        return self.positions // max(self.dim, 1)

    def save(self, path: FilePath) -> None:
        """Write the coloring with its pattern to an `.npz` file.

        See `SparsityPattern.save` for what can be saved.
        """
        fields, arrays = pattern_record(self.sparsity)
        fields |= {
            "num_colors": self.num_colors,
            "symmetric": self.symmetric,
            "mode": self.mode,
            "found_by": self.found_by,
            "lower_bound": self.lower_bound,
        }
        arrays["colors"] = self.colors
        if self.star_set is not None:
            arrays |= {name: getattr(self.star_set, name) for name in STAR_SET_ARRAYS}
        if self.substitution is not None:
            fields["num_nodes"] = self.substitution.num_nodes
            arrays |= self.substitution.arrays
        write_file(path, "coloring", fields, arrays)

    @classmethod
    def load(cls, path: FilePath) -> "ColoredPattern":
        """The coloring that `save` wrote to a file, equal to the one that was saved.

        Raises `ValueError` if the file is damaged, lacks a part, was not written by
        `save`, or needs a newer asdex; `OSError` if it cannot be read.
        """
        arrays = read_arrays(path)
        fields = take_header(path, "coloring", arrays)
        with building_from(path):
            stars = [arrays[name] for name in STAR_SET_ARRAYS if name in arrays]
            return cls(
                pattern_from_record(fields, arrays),
                arrays["colors"],
                fields["num_colors"],
                fields["symmetric"],
                fields["mode"],
                StarSet(*stars) if stars else None,
                fields["found_by"],
                fields["lower_bound"],
                _substitution_from_record(fields, arrays),
            )

    def __hash__(self) -> int:
        return hash((self.sparsity, self._colors, self.mode, self.symmetric))

    def __pdoc__(self, **options: Any) -> Any:
        return one_line(self)

    def __repr__(self) -> str:
        return (
            f"ColoredPattern(shape={self.sparsity.shape}, nnz={self.sparsity.nnz}, "
            f"num_colors={self.num_colors}, mode={self.mode!r}, "
            f"symmetric={self.symmetric})"
        )

    def __str__(self) -> str:
        return as_text(self.drawing)

    def _repr_html_(self) -> str:
        return as_html(self.drawing)

    @property
    def drawing(self) -> Drawing:
        """What views of the coloring show."""
        shown = {side.kind: Colors(side.colors, side.num_colors) for side in self.sides}
        return self.sparsity.drawing._replace(
            of_columns=shown.get("column"),
            of_rows=shown.get("row"),
            read_from=self.read_from,
            is_hessian=self.mode in HESSIAN_MODES,
            lower_bound=self.lower_bound,
        )


def _substitution_from_record(
    fields: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Substitution | None:
    if "num_nodes" not in fields:
        return None
    index_arrays = [arrays[name] for name in Substitution.ARRAYS]
    return Substitution(*index_arrays, num_nodes=fields["num_nodes"])


def _positions(coloring: ColoredPattern) -> Integer[np.ndarray, " nnz"]:
    """Compute `ColoredPattern.positions`, or raise `InvalidColoringError`.

    On each side, entry `(i, j)` is added to one element of `B`. It is read from the first
    of them to which no other entry is added; in a symmetric coloring, from that of
    `(spoke, hub)`.
    """
    sides = coloring.sides
    added, candidates = [], []
    for side in sides:
        color, element = _elements(coloring, side, side.seeded, side.along)
        added.append(element[color >= 0])
        if coloring.symmetric:
            color, element = _elements(coloring, side, *_read_ends(coloring, side))
        candidates.append((color >= 0, element))
    elements, size = np.concatenate(added), coloring.num_colors * coloring.dim
    is_alone = [
        is_colored & _occurs_once(elements, np.where(is_colored, element, 0), size)
        for is_colored, element in candidates
    ]
    if (lost := np.flatnonzero(~np.logical_or.reduce(is_alone))).size:
        raise InvalidColoringError(_why_lost(coloring, lost[0]))
    return np.where(is_alone[0], candidates[0][1], candidates[-1][1])


def _why_lost(coloring: ColoredPattern, k: np.integer) -> str:
    """Why entry `k` cannot be recovered."""
    pattern, (side, *others) = coloring.sparsity, coloring.sides
    lost = f"Entry ({pattern.rows[k]}, {pattern.cols[k]}) cannot be recovered:"
    if others:
        by_column, by_row = (
            side.colors[side.seeded[k]] + side.first_color for side in coloring.sides
        )
        return (
            f"{lost} it is alone neither among the columns of color {by_column} nor among "
            f"the rows of color {by_row}."
        )
    vertices, along = _read_ends(coloring, side)
    color, element = _elements(coloring, side, vertices[k : k + 1], along[k : k + 1])
    if color[0] < 0:
        return f"{lost} {side.kind} {vertices[k]} has the neutral color -1."
    colors, elements = _elements(coloring, side, side.seeded, side.along)
    first, second = np.flatnonzero(elements == element)[:2]
    return (
        f"Entries ({pattern.rows[first]}, {pattern.cols[first]}) and "
        f"({pattern.rows[second]}, {pattern.cols[second]}) are in conflict: {side.kind}s "
        f"{side.seeded[first]} and {side.seeded[second]} both have color {colors[first]}."
    )


def _positions_for_substitution(
    coloring: ColoredPattern, substitution: Substitution
) -> Integer[np.ndarray, " nnz"]:
    """Each entry is added where it is read; the substitution has to separate them."""
    pattern, (side,) = coloring.sparsity, coloring.sides
    # By columns in every mode, as the substitution counts: the matrix is symmetric.
    color, positions = _elements(coloring, side, pattern.cols, pattern.rows)
    if (lost := np.flatnonzero(color < 0)).size:
        k = lost[0]
        raise InvalidColoringError(
            f"Entry ({pattern.rows[k]}, {pattern.cols[k]}) cannot be recovered: column "
            f"{pattern.cols[k]} has the neutral color -1."
        )
    # Entries that mirror each other have the same random value, without a sort.
    rows, cols = pattern.rows.astype(np.uint64), pattern.cols.astype(np.uint64)
    values = _mixed(np.minimum(rows, cols) + _mixed(np.maximum(rows, cols)))
    used, place = np.unique(positions, return_inverse=True)
    sums = np.zeros(used.size, np.uint64)
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
    coloring: ColoredPattern,
    side: Side,
    vertices: Int32[np.ndarray, " nnz"],
    along: Int32[np.ndarray, " nnz"],
) -> tuple[Int32[np.ndarray, " nnz"], Integer[np.ndarray, " nnz"]]:
    """Colors of these rows or columns, and the element of the raveled compressed matrix at
    `along` in their sum, undefined where the color is neutral."""
    small = coloring.num_colors * coloring.dim <= np.iinfo(np.int32).max
    dtype = np.int32 if small else np.int64
    color = side.colors[vertices]
    row = color.astype(dtype) + dtype(side.first_color)
    return color, row * dtype(coloring.dim) + along


def _read_ends(
    coloring: ColoredPattern, side: Side
) -> tuple[Int32[np.ndarray, " nnz"], Int32[np.ndarray, " nnz"]]:
    """The row or column whose color each entry is read at, and where along their sum."""
    if not coloring.symmetric:
        return side.seeded, side.along
    return _hubs_and_spokes(coloring.sparsity, cast(StarSet, coloring.star_set))


def _hubs_and_spokes(
    pattern: SparsityPattern, star_set: StarSet
) -> tuple[Int32[np.ndarray, " nnz"], Int32[np.ndarray, " nnz"]]:
    """Hub and spoke of the edge behind each entry; a diagonal entry is its own."""
    rows, cols = pattern.rows, pattern.cols
    hubs = rows.copy()
    off_diagonal = np.flatnonzero(rows != cols)
    hubs[off_diagonal] = star_set.hubs(rows[off_diagonal], cols[off_diagonal])
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
    values = np.sort(values)
    first = np.searchsorted(values, queries, side="left")
    last = np.searchsorted(values, queries, side="right")
    return last - first == 1
