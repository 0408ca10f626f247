"""What the views show: a matrix, perhaps colored, and its compressed forms, as arrays."""

from colorsys import hls_to_rgb
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Integer

HUES = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
        "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]  # fmt: skip

_GOLDEN = 0.61803399
"""Multiples of it, modulo one, are far apart from those next to them."""

Indices = Integer[np.ndarray, " cells"]


class Cells(NamedTuple):
    """Elements of a matrix, some perhaps repeated, and the color of each, if any."""

    shape: tuple[int, int]
    rows: Indices
    cols: Indices
    colors: Indices | None = None

    def blocks(self, size: tuple[int, int]) -> Indices:
        """The block that each cell falls into, of the matrix scaled to `size`."""
        (m, n), (height, width) = self.shape, size
        down = self.rows.astype(np.int64) * height // max(m, 1)
        across = self.cols.astype(np.int64) * width // max(n, 1)
        return down * width + across

    def block_colors(self, size: tuple[int, int]) -> Int[np.ndarray, "h w"] | None:
        """The color of the cells in each block, -1 where there are none; `None` if cells of
        one block differ."""
        if self.colors is None:
            return None
        blocks, image = self.blocks(size), np.full(size[0] * size[1], -1)
        image[blocks] = self.colors
        return image.reshape(size) if (image[blocks] == self.colors).all() else None

    def counts(self, size: tuple[int, int]) -> Int[np.ndarray, "height width"]:
        """How many cells fall into each block of the matrix scaled to `size`."""
        return np.bincount(self.blocks(size), minlength=size[0] * size[1]).reshape(size)

    def sizes(self, size: tuple[int, int]) -> Int[np.ndarray, "height width"]:
        """How many elements each block has."""
        (m, n), (height, width) = self.shape, size
        down = np.bincount(np.arange(m) * height // max(m, 1), minlength=height)
        across = np.bincount(np.arange(n) * width // max(n, 1), minlength=width)
        return np.outer(down, across)


class Colors(NamedTuple):
    """Colors of the columns or of the rows of a matrix, -1 for none, and their number."""

    colors: Integer[np.ndarray, " vertices"]
    number: int


class Drawing(NamedTuple):
    """A matrix with entries `(rows[k], cols[k])`, and how a coloring compresses it."""

    rows: Indices
    cols: Indices
    shape: tuple[int, int]
    is_local: bool
    of_columns: Colors | None = None
    of_rows: Colors | None = None
    read_from: Indices | None = None  # The color from which each entry is recovered.
    is_hessian: bool = False
    lower_bound: int = 0

    @property
    def is_colored(self) -> bool:
        """Whether it shows a coloring."""
        return self.read_from is not None

    @property
    def num_colors(self) -> int:
        """Number of colors of columns and of rows together."""
        return sum(side.number for side in (self.of_columns, self.of_rows) if side)

    @property
    def matrix(self) -> Cells:
        """The entries."""
        return Cells(self.shape, self.rows, self.cols, self.read_from)

    @property
    def summed_columns(self) -> Cells | None:
        """The matrix of shape `(m, colors)`, in which columns of one color are summed."""
        if self.of_columns is None:
            return None
        color = self.of_columns.colors[self.cols]
        rows, color = self.rows[color >= 0], color[color >= 0]
        return Cells((self.shape[0], self.of_columns.number), rows, color, color)

    @property
    def summed_rows(self) -> Cells | None:
        """The matrix of shape `(colors, n)`, in which rows of one color are summed."""
        if self.of_rows is None:
            return None
        color, number = self.of_rows.colors[self.rows], self.of_rows.number
        cols, color = self.cols[color >= 0], color[color >= 0]
        first = self.num_colors - number  # Columns have the first colors.
        return Cells((number, self.shape[1]), color, cols, color + first)

    @property
    def header(self) -> list[str]:
        """The matrix in a line and, for a coloring, what it saves in another one."""
        (m, n), title = self.shape, self._summary
        if not self.is_colored:
            return [f"SparsityPattern({title})"]
        forward = "HVP" if self.is_hessian else "JVP"
        sides = [(self.of_columns, forward), (self.of_rows, "VJP")]
        products = " and ".join(name for side, name in sides if side)
        passes = " and ".join(count(side.number, name) for side, name in sides if side)
        dense = count(n, "HVP")
        if not self.is_hessian:
            dense = f"{count(m, 'VJP')} or {count(n, 'JVP')}"
        bound = ""
        if 0 < self.lower_bound < self.num_colors:
            bound = f", no coloring has fewer than {self.lower_bound}"
        return [
            f"ColoredPattern({title}, {products}, {count(self.num_colors, 'color')})",
            f"  {passes} (instead of {dense}){bound}",
        ]

    @property
    def _summary(self) -> str:
        """Shape, number of entries and share of zeros, and whether the pattern holds at one
        point only."""
        (m, n), nnz = self.shape, self.rows.size
        density = nnz / (m * n) if m * n else 0.0
        percent = f"{1 - density:.1%}"
        decimals = 1
        while percent.startswith("100") and nnz and decimals < 12:
            # A matrix that has entries is not entirely sparse; show the digits that say so.
            decimals += 1
            percent = f"{1 - density:.{decimals}%}"
        return f"{m}×{n}, nnz={nnz}, sparsity={percent}{', local' if self.is_local else ''}"


def scaled(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """The size of a picture of at most `longest` dots along each axis; the aspect ratio is
    kept, up to at least one dot."""
    scale = min(1.0, longest / max(*shape, 1))
    height, width = (max(round(dim * scale), min(dim, 1)) for dim in shape)
    return height, width


def palette(number: int) -> list[str]:
    """So many colors, as `#rrggbb`; those with numbers close to each other are easy to tell
    apart."""
    if number <= len(HUES):
        return HUES[:number]
    lightness = (0.45, 0.62, 0.32)
    mixed = [hls_to_rgb(k * _GOLDEN % 1, lightness[k % 3], 0.75) for k in range(number)]
    return ["#" + "".join(f"{round(255 * part):02x}" for part in rgb) for rgb in mixed]


def count(number: int, noun: str) -> str:
    """The number with its noun, in the plural unless it is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
