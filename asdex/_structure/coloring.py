"""`ColoredPattern`: a pattern together with how to compress it."""

from typing import Any, cast

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


class ColoredPattern(eqx.Module):
    """A sparsity pattern and the colors by which its matrix is compressed.

    The compressed matrix `B` has shape `(num_colors, dim)`: its row `c` is the sum of
    the columns of color `c` (`dim` is `m`), or of the rows of color `c` in mode
    `"rev"` (`dim` is `n`). Each entry of the pattern stands alone somewhere in `B`, or,
    with a symmetric coloring, the entry mirrored to it does; where is worked out
    once, here.

    An immutable pytree without leaves, like `SparsityPattern`.

    **Arguments:**

    - `sparsity`: the pattern.
    - `colors`: integers of shape `(m,)` in mode `"rev"` and `(n,)` in every other;
        -1 is neutral: that row or column is not part of any sum.
    - `num_colors`: number of rows of `B`.
    - `symmetric`: whether entries `(i, j)` and `(j, i)` are read from one place.
    - `mode`: the AD mode that computes `B`.
    - `star_set`: the stars of a symmetric coloring, from `color_symmetric`.
    - `found_by`: the algorithm that the coloring comes from, if known.
    - `lower_bound`: a number of colors below which there is no coloring.
    - `substitution`: for a symmetric coloring that is acyclic only, how to work the
        entries out of those read at their positions.

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
        }.get(mode, (n, "column"))
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
        if mode == BIDIRECTIONAL and (symmetric or not self._sides_are_apart()):
            raise ValueError(
                "In a bidirectional coloring, which cannot be symmetric, the colors of the "
                "rows must be larger than those of the columns."
            )
        if mode == BIDIRECTIONAL:
            positions = _bidirectional_positions(self)
        elif substitution is not None:
            positions = _positions_for_substitution(self, substitution)
        else:
            positions = _positions(self)
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

    def _sides_are_apart(self) -> bool:
        row_colors = self.colors[self.sparsity.n :]
        return bool((row_colors[row_colors >= 0] >= self.num_jvps).all())

    @property
    def dim(self) -> int:
        """Length of the rows of the compressed matrix; of the longer ones in mode
        `"bidirectional"`, where the others are filled up with zeros."""
        if self.mode == BIDIRECTIONAL:
            return max(self.sparsity.shape)
        return self.sparsity.n if self.mode == "rev" else self.sparsity.m

    @property
    def positions(self) -> Integer[np.ndarray, " nnz"]:
        """Where each entry of the pattern stands in the raveled compressed matrix.

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
        sparsity, colors, jvps = self.sparsity, self.colors, self.num_jvps
        of_columns = None if self.mode == "rev" else Colors(colors[: sparsity.n], jvps)
        of_rows = None
        if self.mode in ("rev", BIDIRECTIONAL):
            row_colors = colors[colors.size - sparsity.m :]
            row_colors = np.where(row_colors < 0, row_colors, row_colors - jvps)
            of_rows = Colors(row_colors, self.num_colors - jvps)
        return sparsity.drawing._replace(
            of_columns=of_columns,
            of_rows=of_rows,
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
    """Work out `ColoredPattern.positions`, or raise `InvalidColoringError`.

    Entry `(i, j)` is added to one slot of `B`. It can be read from there if nothing else
    is; in a symmetric coloring the entry is read from the slot of `(spoke, hub)`.
    """
    pattern, colors = coloring.sparsity, coloring.colors
    seeded, along = pattern.cols, pattern.rows  # The colored index, and the other one.
    if coloring.mode == "rev":
        seeded, along = along, seeded
    dim = coloring.dim
    slot = _slots(coloring, colors[seeded], along)
    read_hub, read_spoke, read = seeded, along, slot
    if coloring.symmetric:
        read_hub, read_spoke = _hubs_and_spokes(pattern, cast(StarSet, coloring.star_set))
        read = _slots(coloring, colors[read_hub], read_spoke)

    if (lost := np.flatnonzero(colors[read_hub] < 0)).size:
        k = lost[0]
        raise InvalidColoringError(
            f"Entry ({pattern.rows[k]}, {pattern.cols[k]}) cannot be recovered: "
            f"{'row' if coloring.mode == 'rev' else 'column'} {read_hub[k]} has the "
            "neutral color -1."
        )
    added = slot if not coloring.symmetric else slot[colors[seeded] >= 0]
    alone = _occurs_once(added, read, coloring.num_colors * dim)
    if (shared := np.flatnonzero(~alone)).size:
        first, second = np.flatnonzero(slot == read[shared[0]])[:2]
        raise InvalidColoringError(
            f"Entries ({pattern.rows[first]}, {pattern.cols[first]}) and "
            f"({pattern.rows[second]}, {pattern.cols[second]}) are in conflict: "
            f"{'rows' if coloring.mode == 'rev' else 'columns'} {seeded[first]} and "
            f"{seeded[second]} both have color {colors[seeded[first]]}."
        )
    return read


def _bidirectional_positions(coloring: ColoredPattern) -> Integer[np.ndarray, " nnz"]:
    """Read each entry among the columns of its color if it is alone there, otherwise
    among the rows of its color."""
    pattern, n = coloring.sparsity, coloring.sparsity.n
    column_color, row_color = coloring.colors[:n], coloring.colors[n:]
    by_column, by_row = column_color[pattern.cols], row_color[pattern.rows]
    slots = (
        _slots(coloring, by_column, pattern.rows),
        _slots(coloring, by_row, pattern.cols),
    )
    added = np.concatenate([slots[0][by_column >= 0], slots[1][by_row >= 0]])
    size = coloring.num_colors * coloring.dim
    in_column, in_row = (
        (color >= 0) & _occurs_once(added, np.where(color >= 0, slot, 0), size)
        for color, slot in zip((by_column, by_row), slots, strict=True)
    )
    if (lost := np.flatnonzero(~(in_column | in_row))).size:
        k = lost[0]
        raise InvalidColoringError(
            f"Entry ({pattern.rows[k]}, {pattern.cols[k]}) cannot be recovered: it stands "
            f"alone neither among the columns of color {by_column[k]} nor among the rows "
            f"of color {by_row[k]}."
        )
    return np.where(in_column, *slots)


def _positions_for_substitution(
    coloring: ColoredPattern, substitution: Substitution
) -> Integer[np.ndarray, " nnz"]:
    """Each entry is added where it is read; the substitution has to tell them apart."""
    pattern, color = coloring.sparsity, coloring.colors[coloring.sparsity.cols]
    if (lost := np.flatnonzero(color < 0)).size:
        k = lost[0]
        raise InvalidColoringError(
            f"Entry ({pattern.rows[k]}, {pattern.cols[k]}) cannot be recovered: column "
            f"{pattern.cols[k]} has the neutral color -1."
        )
    positions = _slots(coloring, color, pattern.rows)
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


def _slots(
    coloring: ColoredPattern,
    colors: Int32[np.ndarray, " nnz"],
    along: Int32[np.ndarray, " nnz"],
) -> Integer[np.ndarray, " nnz"]:
    """Positions in the raveled compressed matrix: row `colors[k]`, column `along[k]`."""
    small = coloring.num_colors * coloring.dim <= np.iinfo(np.int32).max
    dtype = np.int32 if small else np.int64
    return colors.astype(dtype) * dtype(coloring.dim) + along


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
        return np.bincount(values, minlength=bound)[queries] == 1
    values = np.sort(values)
    first = np.searchsorted(values, queries, side="left")
    last = np.searchsorted(values, queries, side="right")
    return last - first == 1
