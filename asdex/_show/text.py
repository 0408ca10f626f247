"""Text views of patterns and colorings: a header and a picture of the matrix.

A matrix of up to 16 x 40 elements is drawn with one character each, a larger one in
braille, whose characters hold 4 x 2 dots. Up to 80 x 80 elements every dot is one
element; above that the matrix is scaled down to 80 dots along its longer side, and a dot
is a block that holds any entry. A coloring is drawn as the matrix and its compressed form,
whose axis of rows (where rows are colored: of columns) has the same scale, so that equal
rows are side by side.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool

from .drawing import Cells, Drawing, scaled

_GRID = (16, 40)
_DOTS = 80
_BRAILLE_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_EMPTY = "(empty)"


def as_text(drawing: Drawing) -> str:
    """Header and picture of a matrix and, for a coloring, of its compressed forms: the sums
    of columns to the right of it, those of rows below."""
    in_braille = _needs_braille(drawing.shape)
    height, width = size = scaled(drawing.shape, _DOTS)

    def draw(cells: Cells, size: tuple[int, int]) -> list[str]:
        return _draw(cells.counts(size) > 0, in_braille)

    picture = matrix = draw(drawing.matrix, size)
    if height * width and (sums := drawing.summed_columns) is not None:
        size = height, min(sums.shape[1], width)
        picture = _side_by_side(picture, draw(sums, size))
    if height * width and (sums := drawing.summed_rows) is not None:
        size = min(sums.shape[0], height), width
        arrow = "↓".center(len(matrix[0])).rstrip()
        picture = [*picture, arrow, *draw(sums, size)]
    return "\n".join([*drawing.header, *picture])


def _needs_braille(shape: tuple[int, int]) -> bool:
    return shape[0] > _GRID[0] or shape[1] > _GRID[1]


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


def _side_by_side(matrix: list[str], compressed: list[str]) -> list[str]:
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
