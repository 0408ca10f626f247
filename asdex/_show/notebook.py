"""Notebook views of patterns and colorings: the header of the text view and inline SVG.

Matrices are scaled down to 64 x 64 cells, and cells in a row are merged, which bounds the
size of a view to some ten kilobytes. Up to ten colors are distinguished by hue.
"""

from html import escape

import numpy as np
from jaxtyping import Bool

from .drawing import Cells, Drawing, scaled

_CELLS = 64
_PIXELS = 256
_HUES = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd",
         "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]  # fmt: skip


def as_html(drawing: Drawing) -> str:
    """Header and picture of a matrix and, for a coloring, of its compressed forms."""
    height, width = scaled(drawing.shape, _CELLS)
    picture = _svg(drawing.matrix, (height, width))
    if (sums := drawing.summed_columns) is not None:
        picture = f"{picture} → {_svg(sums, (height, min(sums.shape[1], width)))}"
    if (sums := drawing.summed_rows) is not None:
        svg = _svg(sums, (min(sums.shape[0], height), width))
        picture = f"{picture}<div>↓</div>{svg}"
    lines = "<br>".join(map(escape, drawing.header))
    return f"<div><div><code>{lines}</code></div>{picture}</div>"


def _svg(cells: Cells, size: tuple[int, int]) -> str:
    """The cells in their hues if each can be shown in one, otherwise in one for all."""
    height, width = size
    if height * width == 0:
        return "(empty)"
    layers = {"currentColor": cells}
    in_color = cells.colors is not None and cells.colors.max(initial=0) < len(_HUES)
    if in_color and size == cells.shape:
        layers = {fill: cells.of_color(k) for k, fill in enumerate(_HUES)}
    pixels = max(1, min(10, _PIXELS // max(size)))
    paths = "".join(
        f'<path fill="{fill}" d="{_path(layer.counts(size) > 0)}"/>'
        for fill, layer in layers.items()
        if layer.rows.size
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
