"""`spy`: the plot of a pattern or a coloring."""

from typing import TYPE_CHECKING, Any

from .._show.plot import plot
from .coloring import ColoredPattern
from .matrices import PatternLike, as_pattern

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


def spy(
    pattern: ColoredPattern | PatternLike | Any,
    *,
    ax: "Axes | None" = None,
    compressed: bool = False,
    cmap: "str | Colormap | None" = None,
    **kwargs: Any,
) -> "Axes":
    """Plot where the entries of a pattern are.

    A matrix that fits on the pixels of the axes is drawn with one filled cell per entry;
    with a coloring, the cell has the color from which the entry is recovered, and up to
    ten colors are named in a legend. Of a larger matrix, unless every block of two by two
    pixels has entries of one color only, the number of entries in each block is drawn in
    shades, which a colorbar explains; the matrix is never made dense.

    **Arguments:**

    - `pattern`: a pattern or coloring, an operator, or a matrix of NumPy, JAX or SciPy.
    - `ax`: the axes to draw on; a new figure by default.
    - `compressed`: draw the compressed form of a coloring: the sums of columns side by
        side, or those of rows (in mode `"bidirectional"` both) one below the other. A
        pattern has none and is drawn as it is.
    - `cmap`: colormap of the colors (default: `"tab10"`, or for more than ten colors
        hues far apart from each other) or, for a pattern, of the entries (default:
        `"Blues"`).
    - `kwargs`: passed on to `ax.imshow`.

    **Returns:** the axes.

    **Raises:** `ImportError` if matplotlib is not installed; `ValueError` for anything else
    than a matrix.

    Cost: O(nnz + pixels).
    """
    if not isinstance(pattern, ColoredPattern):
        pattern = as_pattern(pattern)
    return plot(pattern.drawing, ax, compressed, cmap, kwargs)
