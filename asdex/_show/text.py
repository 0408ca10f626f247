"""Text views of patterns and colorings: a header and a picture of the matrix.

A matrix of up to 16 x 40 elements is drawn with one character each, a larger one in
braille, whose characters hold 4 x 2 dots. Up to 80 x 80 elements every dot is one
element; above that the matrix is scaled down to 80 dots along its longer side, and a dot
stands for a block that holds any entry. A coloring is drawn as the matrix and its
compressed form, whose axis of rows (where rows are colored: of columns) is scaled alike,
so that lines stay opposite each other.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

_GRID = (16, 40)
_BRAILLE_DOTS = (80, 80)
_BRAILLE_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_EMPTY = "(empty)"


class Colors(NamedTuple):
    """Colors of the columns or of the rows of a matrix, -1 for none, and their number."""

    colors: Integer[np.ndarray, " vertices"]
    number: int


class Drawing(NamedTuple):
    """What the views of a coloring show."""

    rows: Integer[np.ndarray, " nnz"]
    cols: Integer[np.ndarray, " nnz"]
    shape: tuple[int, int]
    of_columns: Colors | None
    of_rows: Colors | None
    read_from: Integer[np.ndarray, " nnz"]
    is_hessian: bool
    is_local: bool
    lower_bound: int = 0

    @property
    def num_colors(self) -> int:
        """Number of colors of columns and of rows together."""
        return sum(side.number for side in (self.of_columns, self.of_rows) if side)


def pattern_text(
    rows: Integer[np.ndarray, " nnz"],
    cols: Integer[np.ndarray, " nnz"],
    shape: tuple[int, int],
    *,
    is_local: bool,
) -> str:
    """Header and picture of a matrix with entries `(rows[k], cols[k])`."""
    header = f"SparsityPattern({summary(rows.size, shape, is_local=is_local)})"
    dots = raster(rows, cols, shape, _picture_size(shape))
    return "\n".join([header, *_draw(dots, in_braille=_needs_braille(shape))])


def coloring_text(drawing: Drawing) -> str:
    """Header, cost, and picture of a colored matrix and its compressed forms: the one of
    the columns beside it, the one of the rows below."""
    rows, cols, shape, *_ = drawing
    m, n = shape
    in_braille = _needs_braille(shape)
    height, width = size = _picture_size(shape)
    picture = matrix = _draw(raster(rows, cols, shape, size), in_braille)
    if m * n and drawing.of_columns is not None:
        k = drawing.of_columns.number
        cells = compressed_columns(rows, cols, drawing.of_columns)
        dots = raster(*cells, (m, k), (height, min(k, width)))
        picture = _beside(picture, _draw(dots, in_braille))
    if m * n and drawing.of_rows is not None:
        k = drawing.of_rows.number
        cells = compressed_rows(rows, cols, drawing.of_rows)
        dots = raster(*cells, (k, n), (min(k, height), width))
        arrow = "↓".center(len(matrix[0])).rstrip()
        picture = [*picture, arrow, *_draw(dots, in_braille)]
    return "\n".join([*coloring_header(drawing), *picture])


def coloring_header(drawing: Drawing) -> tuple[str, str]:
    """What the coloring is of, and what it saves."""
    m, n = drawing.shape
    forward = "HVP" if drawing.is_hessian else "JVP"
    sides = [(drawing.of_columns, forward), (drawing.of_rows, "VJP")]
    products = " and ".join(name for side, name in sides if side)
    passes = " and ".join(count(side.number, name) for side, name in sides if side)
    colors = count(drawing.num_colors, "color")
    dense = count(n, "HVP")
    if not drawing.is_hessian:
        dense = f"{count(m, 'VJP')} or {count(n, 'JVP')}"
    title = summary(drawing.rows.size, drawing.shape, is_local=drawing.is_local)
    title = f"{title}, {products}, {colors}"
    bound = ""
    if 0 < drawing.lower_bound < drawing.num_colors:
        bound = f", no coloring has fewer than {drawing.lower_bound}"
    return f"ColoredPattern({title})", f"  {passes} (instead of {dense}){bound}"


def compressed_columns(
    rows: Integer[np.ndarray, " nnz"], cols: Integer[np.ndarray, " nnz"], side: Colors
) -> tuple[Integer[np.ndarray, " cells"], Integer[np.ndarray, " cells"]]:
    """Rows and columns of the nonzeros, with repetitions, of the matrix of shape
    `(m, colors)` whose columns are sums of the columns of one color."""
    color = side.colors[cols]
    return rows[color >= 0], color[color >= 0]


def compressed_rows(
    rows: Integer[np.ndarray, " nnz"], cols: Integer[np.ndarray, " nnz"], side: Colors
) -> tuple[Integer[np.ndarray, " cells"], Integer[np.ndarray, " cells"]]:
    """The same for the matrix of shape `(colors, n)` of sums of rows."""
    color = side.colors[rows]
    return color[color >= 0], cols[color >= 0]


def summary(nnz: int, shape: tuple[int, int], *, is_local: bool) -> str:
    """Shape, number of entries and share of zeros, as headers show them, and whether the
    pattern holds at one point only."""
    m, n = shape
    density = nnz / (m * n) if m * n else 0.0
    percent = f"{1 - density:.1%}"
    decimals = 1
    while percent.startswith("100") and nnz and decimals < 12:
        # A matrix that has entries is not entirely sparse; show the digits that say so.
        decimals += 1
        percent = f"{1 - density:.{decimals}%}"
    return f"{m}×{n}, nnz={nnz}, sparsity={percent}{', local' if is_local else ''}"


def count(number: int, noun: str) -> str:
    """The number with its noun, in the plural unless it is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def raster(
    rows: Integer[np.ndarray, " nnz"],
    cols: Integer[np.ndarray, " nnz"],
    shape: tuple[int, int],
    size: tuple[int, int],
) -> Bool[np.ndarray, "height width"]:
    """The matrix scaled to `size`: true where a block holds at least one entry."""
    dots = np.zeros(size[0] * size[1], np.bool_)
    dots[blocks(rows, cols, shape, size)] = True
    return dots.reshape(size)


def blocks(
    rows: Integer[np.ndarray, " nnz"],
    cols: Integer[np.ndarray, " nnz"],
    shape: tuple[int, int],
    size: tuple[int, int],
) -> Integer[np.ndarray, " nnz"]:
    """Which block each entry falls into, the matrix scaled to `size`, row by row."""
    (m, n), (height, width) = shape, size
    down = rows.astype(np.int64) * height // max(m, 1)
    across = cols.astype(np.int64) * width // max(n, 1)
    return down * width + across


def _needs_braille(shape: tuple[int, int]) -> bool:
    return shape[0] > _GRID[0] or shape[1] > _GRID[1]


def _picture_size(shape: tuple[int, int]) -> tuple[int, int]:
    """Dots along each axis; the aspect ratio is kept, up to at least one dot."""
    m, n = shape
    scale = min(1.0, _BRAILLE_DOTS[0] / max(m, 1), _BRAILLE_DOTS[1] / max(n, 1))
    return (
        max(round(m * scale), min(m, 1)),
        max(round(n * scale), min(n, 1)),
    )


def _draw(dots: Bool[np.ndarray, "height width"], in_braille: bool) -> list[str]:
    if dots.size == 0:
        return [_EMPTY]
    return _braille(dots) if in_braille else _grid(dots)


def _grid(dots: Bool[np.ndarray, "height width"]) -> list[str]:
    return [" ".join(row) for row in np.where(dots, "●", "⋅").tolist()]


def _braille(dots: Bool[np.ndarray, "height width"]) -> list[str]:
    height, width = dots.shape
    dots = np.pad(dots, ((0, -height % 4), (0, -width % 2)))
    cells = dots.reshape(dots.shape[0] // 4, 4, dots.shape[1] // 2, 2)
    codes = 0x2800 + np.einsum("hawb,ab->hw", cells, _BRAILLE_BITS)
    lines = ["".join(map(chr, row)) for row in codes.tolist()]
    if len(lines) == 1:
        return [f"[{lines[0]}]"]
    lefts = "⎡" + "⎢" * (len(lines) - 2) + "⎣"
    rights = "⎤" + "⎥" * (len(lines) - 2) + "⎦"
    return [a + line + b for a, line, b in zip(lefts, lines, rights, strict=True)]


def _beside(matrix: list[str], compressed: list[str]) -> list[str]:
    middle = len(matrix) // 2
    if compressed == [_EMPTY]:
        compressed = ["" if k != middle else _EMPTY for k in range(len(matrix))]
    return [
        f"{left} {'→' if k == middle else ' '} {right}".rstrip()
        for k, (left, right) in enumerate(zip(matrix, compressed, strict=True))
    ]


def one_line(value: Any) -> Any:
    """How a module that holds `value` prints it: by its `repr`, not field by field.

    For `__pdoc__`, which the library that Equinox prints modules with calls.
    """
    from wadler_lindig import TextDoc

    return TextDoc(repr(value))
