"""Notebook views of patterns and colorings: the header of the text view and inline SVG.

Matrices are scaled down to 64 x 64 cells, and cells in a row are merged, which bounds the
size of a view to some ten kilobytes. Up to ten colors are told apart by hue.
"""

from html import escape

import numpy as np
from jaxtyping import Bool, Integer

from ._display import coloring_header, compressed_cells, raster, summary

_CELLS = 64
_PIXELS = 256
_HUES = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
         "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]  # fmt: skip

Cells = Integer[np.ndarray, " cells"]


def pattern_html(rows: Cells, cols: Cells, shape: tuple[int, int]) -> str:
    """Header and picture of a matrix with entries `(rows[k], cols[k])`."""
    header = f"SparsityPattern({summary(rows.size, shape)})"
    size = _picture_size(shape)
    return _page([header], _svg([("currentColor", raster(rows, cols, shape, size))], size))


def coloring_html(
    rows: Cells,
    cols: Cells,
    shape: tuple[int, int],
    colors: Integer[np.ndarray, " vertices"],
    num_colors: int,
    mode: str,
    read_from: Cells,
) -> str:
    """Header, cost, and picture of a colored matrix and its compressed form.

    `colors` are those of the rows in mode `"rev"`, otherwise those of the columns;
    `read_from` are the colors from which the entries are recovered.
    """
    header = coloring_header(rows.size, shape, num_colors, mode)
    height, width = size = _picture_size(shape)
    matrix = _colored_svg(rows, cols, read_from, shape, size, num_colors)

    down, across = compressed_cells(rows, cols, colors, mode)
    if mode == "rev":
        shape, size, arrow = (num_colors, shape[1]), (min(num_colors, height), width), "↓"
    else:
        shape, size, arrow = (shape[0], num_colors), (height, min(num_colors, width)), "→"
    color = down if mode == "rev" else across
    compressed = _colored_svg(down, across, color, shape, size, num_colors)
    join = f"<div>{arrow}</div>" if mode == "rev" else f" {arrow} "
    return _page(header, f"{matrix}{join}{compressed}")


def _picture_size(shape: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _CELLS / max(*shape, 1))
    m, n = (max(round(dim * scale), min(dim, 1)) for dim in shape)
    return m, n


def _colored_svg(
    rows: Cells,
    cols: Cells,
    color: Cells,
    shape: tuple[int, int],
    size: tuple[int, int],
    num_colors: int,
) -> str:
    """The cells in their hues if each can be shown in one, otherwise in one for all."""
    if num_colors > len(_HUES) or size != shape:
        return _svg([("currentColor", raster(rows, cols, shape, size))], size)
    layers = [
        (_HUES[k], raster(rows[color == k], cols[color == k], shape, size))
        for k in range(num_colors)
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
