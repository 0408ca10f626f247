"""Plots of patterns and colorings by matplotlib, which is imported only when needed."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from .drawing import Cells, Drawing, count, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_LARGEST_LEGEND = 10
_LONGEST_EQUAL = 8  # Longer matrices are stretched to fill the axes.


def plot(
    drawing: Drawing,
    ax: "Axes | None",
    compressed: bool,
    cmap: "str | Colormap | None",
    options: dict[str, Any],
) -> "Axes":
    """Draw a matrix, or its compressed form, on `ax`; see `spy` for the arguments."""
    ax = _new_axes() if ax is None else ax
    cells = _cells(drawing, compressed)
    size = _image_size(ax, cells.shape)
    colors, counts = cells.block_colors(size), cells.counts(size)
    if colors is not None:
        image = np.where(colors >= 0, colors, np.nan)
        style = _color_style(cmap, drawing.num_colors)
    else:
        image = np.where(counts > 0, counts, np.nan)
        style = _count_style(cmap, counts)
    m, n = max(cells.shape[0], 1), max(cells.shape[1], 1)
    style |= {
        "extent": (-0.5, n - 0.5, m - 0.5, -0.5),
        "aspect": "equal" if _is_equal(cells.shape) else "auto",
        "interpolation": "nearest",
    }
    # imshow needs at least one pixel, which an empty matrix does not have.
    image = image if image.size else np.full((1, 1), np.nan)
    drawn = ax.imshow(image, **{**style, **options})
    _label(ax, _title(drawing, compressed))
    if colors is not None:
        _add_legend(ax, drawn, drawing.num_colors)
    elif size != cells.shape and cells.rows.size:
        height, width = (round(a / b, 1) for a, b in zip(cells.shape, size, strict=True))
        label = f"entries per block of {height:g}×{width:g}"
        bar = ax.figure.colorbar(drawn, ax=ax, label=label)
        bar.ax.set_ylim(min(1, counts.max() / 2), counts.max())
    return ax


def _new_axes() -> "Axes":
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "spy needs the package matplotlib. Install it with `pip install matplotlib`."
        ) from error
    return plt.subplots(layout="constrained")[1]


def _cells(drawing: Drawing, compressed: bool) -> Cells:
    columns, rows = drawing.summed_columns, drawing.summed_rows
    if not compressed or (columns is None and rows is None):
        return drawing.matrix
    if columns is None or rows is None:
        return columns or rows or drawing.matrix
    colors = np.concatenate([columns.cols, rows.rows + columns.shape[1]])
    along = np.concatenate([columns.rows, rows.cols])
    return Cells((drawing.num_colors, max(drawing.shape)), colors, along, colors)


def _image_size(ax: "Axes", shape: tuple[int, int]) -> tuple[int, int]:
    """`shape` if every element can have a pixel, otherwise a size of 2 x 2 pixels each."""
    box = ax.get_window_extent()
    down, across = shape[0] / box.height, shape[1] / box.width
    if _is_equal(shape):
        down = across = max(down, across)
    if down <= 1 and across <= 1:
        return shape
    return (
        shape[0] if down <= 1 else max(1, round(shape[0] / (2 * down))),
        shape[1] if across <= 1 else max(1, round(shape[1] / (2 * across))),
    )


def _is_equal(shape: tuple[int, int]) -> bool:
    return max(shape) <= _LONGEST_EQUAL * min(shape)


def _color_style(cmap: "str | Colormap | None", num_colors: int) -> dict[str, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    if cmap is None:
        listed = palette(num_colors)
    else:
        chosen = colormaps.get_cmap(cmap)
        is_listed = isinstance(chosen, ListedColormap) and chosen.N < 256
        places = np.arange(num_colors) % chosen.N
        listed = chosen(places if is_listed else np.linspace(0, 1, num_colors))
    listed = ListedColormap(listed if num_colors else ["white"])
    return {"cmap": listed, "vmin": -0.5, "vmax": max(num_colors, 1) - 0.5}


def _count_style(
    cmap: "str | Colormap | None", counts: Int[np.ndarray, "height width"]
) -> dict[str, Any]:
    """Colors on a logarithmic scale that gives a single entry a third of the range."""
    from matplotlib.colors import LogNorm

    most = float(np.max(counts, initial=1.0, where=counts > 0))
    return {"cmap": cmap or "Blues", "norm": LogNorm(vmin=0.5 * most**-0.5, vmax=most)}


def _title(drawing: Drawing, compressed: bool) -> str:
    (m, n), nnz = drawing.shape, drawing.rows.size
    if not drawing.is_colored:
        return f"{m}×{n}, nnz={nnz}"
    form = "compressed to" if compressed else f"nnz={nnz},"
    return f"{m}×{n}, {form} {count(drawing.num_colors, 'color')}"


def _label(ax: "Axes", title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_title(title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(
            MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
        )


def _add_legend(ax: "Axes", drawn: Any, num_colors: int) -> None:
    from matplotlib.patches import Patch

    if 0 < num_colors <= _LARGEST_LEGEND:
        handles = [Patch(color=drawn.to_rgba(k), label=str(k)) for k in range(num_colors)]
        ax.legend(
            handles=handles, title="color", loc="upper left", bbox_to_anchor=(1.02, 1)
        )
