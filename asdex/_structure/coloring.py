"""`ColoredPattern`: a pattern together with how to compress it."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Int32, Integer

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
from .recovery import Substitution
from .sides import Side, compressed_shape, find_positions, positions_for_substitution
from .stars import STAR_SET_ARRAYS, StarSet


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
            stars = star_set if symmetric else None
            positions = find_positions(sparsity, self.sides, stars)
        else:
            positions = positions_for_substitution(sparsity, self.sides, substitution)
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
        return compressed_shape(self.sides)[1]

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
