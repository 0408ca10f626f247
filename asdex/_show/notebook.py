"""Notebook views of patterns and colorings: the header of the text view and inline SVG.

Matrices are scaled down to 64 x 64 cells, and cells in a row are merged, which bounds the
size of a view to some ten kilobytes. Up to ten colors are told apart by hue.
"""

from html import escape

import numpy as np
from jaxtyping import Bool, Integer

from .text import (
    Drawing,
    coloring_header,
    compressed_columns,
    compressed_rows,
    raster,
    summary,
)

_CELLS = 64
_PIXELS = 256
_HUES = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
         "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]  # fmt: skip

Cells = Integer[np.ndarray, " cells"]


def pattern_html(
    rows: Cells, cols: Cells, shape: tuple[int, int], *, is_local: bool
) -> str:
    """Header and picture of a matrix with entries `(rows[k], cols[k])`."""
    header = f"SparsityPattern({summary(rows.size, shape, is_local=is_local)})"
    size = _picture_size(shape)
    return _page([header], _svg([("currentColor", raster(rows, cols, shape, size))], size))


def coloring_html(drawing: Drawing) -> str:
    """Header, cost, and picture of a colored matrix and its compressed forms."""
    rows, cols, shape, *_ = drawing
    (m, n), (height, width) = shape, _picture_size(shape)
    picture = _colored_svg((rows, cols), drawing.read_from, shape, (height, width))
    if drawing.of_columns is not None:
        k = drawing.of_columns.number
        cells = compressed_columns(rows, cols, drawing.of_columns)
        svg = _colored_svg(cells, cells[1], (m, k), (height, min(k, width)))
        picture = f"{picture} → {svg}"
    if drawing.of_rows is not None:
        k = drawing.of_rows.number
        first = drawing.num_colors - k
        cells = compressed_rows(rows, cols, drawing.of_rows)
        svg = _colored_svg(cells, cells[0] + first, (k, n), (min(k, height), width))
        picture = f"{picture}<div>↓</div>{svg}"
    return _page(coloring_header(drawing), picture)


def _picture_size(shape: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _CELLS / max(*shape, 1))
    m, n = (max(round(dim * scale), min(dim, 1)) for dim in shape)
    return m, n


def _colored_svg(
    cells: tuple[Cells, Cells],
    color: Cells,
    shape: tuple[int, int],
    size: tuple[int, int],
) -> str:
    """The cells in their hues if each can be shown in one, otherwise in one for all."""
    rows, cols = cells
    if size != shape or color.max(initial=0) >= len(_HUES):
        return _svg([("currentColor", raster(rows, cols, shape, size))], size)
    layers = [
        (fill, raster(rows[color == k], cols[color == k], shape, size))
        for k, fill in enumerate(_HUES)
    ]
    return _svg(layers, size)


def _svg(
    layers: list[tuple[str, Bool[np.ndarray, "height width"]]], size: tuple[int, int]
) -> str:
    height, width = size
    if height * width == 0:
        return "(empty)"
    pixels = max(1, min(10, _PIXELS // max(size)))
    paths = "".join(
        f'<path fill="{fill}" d="{_path(dots)}"/>' for fill, dots in layers if dots.any()
    )
    return (
        f'<svg width="{width * pixels}" height="{height * pixels}" '
        f'viewBox="0 0 {width} {height}" shape-rendering="crispEdges" '
        f'style="border:1px solid;vertical-align:middle">{paths}</svg>'
    )


def _path(dots: Bool[np.ndarray, "height width"]) -> str:
    """Outline of all true cells, one rectangle for each run in a row."""
    edges = np.diff(np.pad(dots, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    lengths = np.nonzero(edges == -1)[1] - starts
    return "".join(
        f"M{x} {y}h{length}v1h-{length}z"
        for x, y, length in zip(
            starts.tolist(), rows.tolist(), lengths.tolist(), strict=True
        )
    )


def _page(header: tuple[str, ...] | list[str], picture: str) -> str:
    lines = "<br>".join(map(escape, header))
    return f"<div><div><code>{lines}</code></div>{picture}</div>"
