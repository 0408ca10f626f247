"""Notebook views of patterns and colorings: the header of the text view and inline SVG.

Matrices are scaled down to 64 x 64 cells, and cells in a row are merged, which bounds the
size of a view to a hundred kilobytes. A matrix whose dots are of one color each is drawn in
colors, any other one in shades.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Bool

from .drawing import HUES, Cells, Drawing, palette, scaled

_CELLS = 64
_PIXELS = 256
_SHADES = 4

Layers = list[tuple[str, Bool[np.ndarray, "height width"]]]
"""Attributes of a path, and the dots that it covers."""


def as_html(drawing: Drawing, header: Sequence[str] | None = None) -> str:
    """Header, that of the text view unless another is given, and picture of a matrix and,
    for a coloring, of its compressed forms."""
    height, width = scaled(drawing.shape, _CELLS)
    names = palette(drawing.num_colors)
    picture = _svg(drawing.matrix, names, (height, width))
    if (sums := drawing.summed_columns) is not None:
        size = height, min(sums.shape[1], width)
        picture = f"{picture} → {_svg(sums, names, size)}"
    if (sums := drawing.summed_rows) is not None:
        size = min(sums.shape[0], height), width
        picture = f"{picture}<div>↓</div>{_svg(sums, names, size)}"
    lines = "<br>".join(map(escape, drawing.header if header is None else header))
    return f"<div><div><code>{lines}</code></div>{picture}</div>"


def _svg(cells: Cells, names: Sequence[str], size: tuple[int, int]) -> str:
    """The cells in their colors if each dot can be shown in one, otherwise in shades: the
    darker, the fuller it is."""
    height, width = size
    if height * width == 0:
        return "(empty)"
    if (colors := cells.block_colors(size)) is not None:
        shown = np.unique(colors[colors >= 0])
        layers = [(f'fill="{names[k]}"', colors == k) for k in shown]
    else:
        layers = _shades(cells, size)
    pixels = max(1, min(10, _PIXELS // max(size)))
    paths = "".join(f'<path {fill} d="{_path(dots)}"/>' for fill, dots in layers)
    return (
        f'<svg width="{width * pixels}" height="{height * pixels}" '
        f'viewBox="0 0 {width} {height}" shape-rendering="crispEdges" '
        f'style="border:1px solid;vertical-align:middle">{paths}</svg>'
    )


def _shades(cells: Cells, size: tuple[int, int]) -> Layers:
    """Dots by the share of their elements that are entries, on a scale of square roots."""
    share = cells.counts(size) / cells.sizes(size)
    levels = np.ceil(np.sqrt(share / max(share.max(), 1e-300)) * _SHADES).astype(int)
    return [
        (f'fill="{HUES[0]}" fill-opacity="{k / _SHADES}"', levels == k)
        for k in np.unique(levels[levels > 0])
    ]


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
