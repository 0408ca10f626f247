"""`spy`: the plot of a pattern or a coloring."""

from typing import TYPE_CHECKING, Any

from .._show.plot import plot
from .coloring import ColoredPattern
from .pattern import SparsityPattern

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


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

    **Raises:** `ImportError` if matplotlib is not installed; `TypeError` for anything else
    than a pattern or coloring.

    Cost: O(nnz + pixels).
    """
    if not isinstance(pattern, SparsityPattern | ColoredPattern):
        raise TypeError(
            "spy needs a SparsityPattern or a ColoredPattern. Got "
            f"{type(pattern).__name__}. Of an operator A, draw A.sparsity."
        )
    return plot(pattern.drawing, ax, compressed, cmap, kwargs)
