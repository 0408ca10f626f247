"""Plots of patterns and colorings by matplotlib, which is imported only when needed."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from .._structure.coloring import ColoredPattern
from .._structure.pattern import SparsityPattern
from .text import blocks, compressed_columns, compressed_rows, count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_LARGEST_LEGEND = 10
_LONGEST_EQUAL = 8  # Longer matrices are stretched to fill the axes.


def spy(
    pattern: SparsityPattern | ColoredPattern,
    *,
    ax: "Axes | None" = None,
    compressed: bool = False,
    cmap: "str | Colormap | None" = None,
    **kwargs: Any,
) -> "Axes":
    """Plot where the entries of a pattern are.

    A matrix that fits on the pixels of the axes is drawn with one filled cell per entry;
    with a coloring, the cell has the color from which the entry is recovered, and up to
    ten colors are named in a legend. Of a larger matrix the number of entries is drawn,
    counted over blocks of two by two pixels; the matrix is never made dense.

    **Arguments:**

    - `pattern`: a pattern or coloring.
    - `ax`: the axes to draw on; a new figure by default.
    - `compressed`: draw the compressed form of a coloring: the sums of columns side by
        side, or those of rows (in mode `"bidirectional"` both) one below the other. A
        pattern has none and is drawn as it is.
    - `cmap`: colormap of the colors (default: `"tab10"`, repeated if there are more
        than ten) or, for a pattern, of the entries (default: `"Blues"`).
    - `kwargs`: passed on to `ax.imshow`.

    **Returns:** the axes.

    **Raises:** `ImportError` if matplotlib is not installed.

    Cost: O(nnz + pixels).
    """
    ax = _new_axes() if ax is None else ax
    cells = _cells(pattern, compressed)
    size = _image_size(ax, cells.shape)
    in_color = cells.colors is not None and size == cells.shape
    if in_color:
        image = _color_image(cells)
        style = _color_style(cmap, cells.num_colors)
    else:
        image = _count_image(cells, size)
        style = _count_style(cmap, image)
    m, n = max(cells.shape[0], 1), max(cells.shape[1], 1)
    style |= {
        "extent": (-0.5, n - 0.5, m - 0.5, -0.5),
        "aspect": "equal" if _is_equal(cells.shape) else "auto",
        "interpolation": "nearest",
    }
    # imshow needs at least one pixel, which an empty matrix does not have.
    image = image if image.size else np.full((1, 1), np.nan)
    drawn = ax.imshow(image, **{**style, **kwargs})
    _label(ax, _title(pattern, compressed))
    if in_color:
        _add_legend(ax, drawn, cells.num_colors)
    return ax


class _Cells(NamedTuple):
    """The entries of the matrix to draw, and their colors in a coloring."""

    shape: tuple[int, int]
    rows: Integer[np.ndarray, " cells"]
    cols: Integer[np.ndarray, " cells"]
    colors: Integer[np.ndarray, " cells"] | None = None
    num_colors: int = 0


def _new_axes() -> "Axes":
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "spy needs matplotlib. Install it with: pip install 'asdex[plot]'"
        ) from error
    return plt.subplots(layout="constrained")[1]


def _cells(pattern: SparsityPattern | ColoredPattern, compressed: bool) -> _Cells:
    if isinstance(pattern, SparsityPattern):
        return _Cells(pattern.shape, pattern.rows, pattern.cols)
    drawing = pattern.drawing
    rows, cols, shape, of_columns, of_rows, read_from = drawing[:6]
    number = drawing.num_colors
    if not compressed:
        return _Cells(shape, rows, cols, read_from, number)
    if of_rows is None:
        assert of_columns is not None
        down, across = compressed_columns(rows, cols, of_columns)
        return _Cells((shape[0], number), down, across, across, number)
    color, along = compressed_rows(rows, cols, of_rows)
    if of_columns is not None:
        row, of_column = compressed_columns(rows, cols, of_columns)
        color = np.concatenate([of_column, color + of_columns.number])
        along = np.concatenate([row, along])
    return _Cells((number, pattern.dim), color, along, color, number)


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


def _color_image(cells: _Cells) -> Float[np.ndarray, "height width"]:
    """The color of each cell, NaN where there is none."""
    image = np.full(cells.shape, np.nan)
    image[cells.rows, cells.cols] = cells.colors
    return image


def _count_image(cells: _Cells, size: tuple[int, int]) -> Float[np.ndarray, "height width"]:
    """Number of cells in each block of the matrix scaled to `size`, NaN for none."""
    index = blocks(cells.rows, cells.cols, cells.shape, size)
    counts = np.bincount(index, minlength=size[0] * size[1])
    return np.where(counts > 0, counts, np.nan).reshape(size)


def _color_style(cmap: "str | Colormap | None", num_colors: int) -> dict[str, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    chosen = colormaps.get_cmap(cmap or "tab10")
    if isinstance(chosen, ListedColormap) and chosen.N < 256:
        palette = chosen(np.arange(num_colors) % chosen.N)
    else:
        palette = chosen(np.linspace(0, 1, num_colors))
    listed = ListedColormap(palette if num_colors else ["white"])
    return {"cmap": listed, "vmin": -0.5, "vmax": max(num_colors, 1) - 0.5}


def _count_style(
    cmap: "str | Colormap | None", counts: Float[np.ndarray, "height width"]
) -> dict[str, Any]:
    """Colors on a logarithmic scale that gives a single entry a third of the range."""
    from matplotlib.colors import LogNorm

    most = float(np.max(counts, initial=1.0, where=counts > 0))
    return {"cmap": cmap or "Blues", "norm": LogNorm(vmin=0.5 * most**-0.5, vmax=most)}


def _title(pattern: SparsityPattern | ColoredPattern, compressed: bool) -> str:
    if isinstance(pattern, SparsityPattern):
        return f"{pattern.m}×{pattern.n}, nnz={pattern.nnz}"
    sparsity = pattern.sparsity
    form = "compressed to" if compressed else f"nnz={sparsity.nnz},"
    return f"{sparsity.m}×{sparsity.n}, {form} {count(pattern.num_colors, 'color')}"


def _label(ax: "Axes", title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_title(title)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))


def _add_legend(ax: "Axes", drawn: Any, num_colors: int) -> None:
    from matplotlib.patches import Patch

    if 0 < num_colors <= _LARGEST_LEGEND:
        handles = [Patch(color=drawn.to_rgba(k), label=str(k)) for k in range(num_colors)]
        ax.legend(
            handles=handles, title="color", loc="upper left", bbox_to_anchor=(1.02, 1)
        )
