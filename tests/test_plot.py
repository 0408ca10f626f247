"""Pictures: the drawn data of `spy`, and the SVG of the notebook views."""

import re
import sys
import time
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import asdex
from asdex._base.types import ColoringMode
from asdex._structure.coloring import ColoredPattern
from asdex._structure.pattern import SparsityPattern
from asdex._structure.spy import spy
from asdex._structure.stars import StarSet

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def tridiagonal(n: int) -> SparsityPattern:
    i = np.arange(n)
    rows, cols = np.r_[i, i[1:], i[:-1]], np.r_[i, i[:-1], i[1:]]
    return SparsityPattern(rows, cols, (n, n))


def colored(n: int, mode: ColoringMode = "fwd") -> ColoredPattern:
    return ColoredPattern(tridiagonal(n), np.arange(n) % 3, 3, False, mode)


def image(ax) -> np.ma.MaskedArray:
    return np.ma.masked_invalid(ax.images[0].get_array())


def test_a_pattern_is_drawn_cell_by_cell():
    ax = spy(tridiagonal(20))
    np.testing.assert_array_equal(~image(ax).mask, tridiagonal(20).todense())
    assert tuple(ax.images[0].get_extent()) == (-0.5, 19.5, 19.5, -0.5)
    assert ax.get_title() == "20×20, nnz=58"
    assert ax.get_aspect() == 1.0


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_a_coloring_is_drawn_in_its_colors(mode):
    ax = spy(colored(7, mode))
    rows, cols = np.nonzero(tridiagonal(7).todense())
    expected = (rows if mode == "rev" else cols) % 3
    np.testing.assert_array_equal(image(ax)[rows, cols], expected)
    assert image(ax).count() == rows.size
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1", "2"]


def colored_path() -> ColoredPattern:
    stars = StarSet(*(np.array(a) for a in ([0, 0], [1], [0, 1], [1, 2], [0, 1])))
    colors = np.array([0, 1, 0])
    return ColoredPattern(tridiagonal(3), colors, 2, True, "fwd_over_rev", stars)


def test_entries_of_a_symmetric_coloring_have_the_color_they_are_read_from():
    expected = np.array([[0, 1, np.nan], [1, 1, 1], [np.nan, 1, 0]])
    np.testing.assert_array_equal(image(spy(colored_path())).filled(np.nan), expected)
    matrix, _ = pictures(colored_path()._repr_html_())
    np.testing.assert_array_equal(list(matrix.values()), [expected == 0, expected == 1])


@pytest.mark.parametrize(("mode", "shape"), [("fwd", (5, 3)), ("rev", (3, 5))])
def test_the_compressed_form(mode, shape):
    ax = spy(colored(5, mode), compressed=True)
    along_color = image(ax) if mode == "fwd" else image(ax).T
    assert image(ax).shape == shape
    reached = [[1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0]]
    np.testing.assert_array_equal(~along_color.mask, reached)
    np.testing.assert_array_equal(along_color[1], [0, 1, 2])


def test_both_compressed_forms_of_a_bidirectional_coloring():
    rows, cols = [0, 0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 0, 2]
    colors = np.array([0, -1, -1, 1, 2, 2, -1])
    pattern = SparsityPattern(rows, cols, (4, 3))
    coloring = ColoredPattern(pattern, colors, 3, False, "bidirectional")
    none = np.nan
    expected = [[0, 0, 0, none], [1, 1, 1, none], [2, 2, 2, none]]
    drawn = image(spy(coloring, compressed=True)).filled(none)
    np.testing.assert_array_equal(drawn, expected)
    entries = [[0, 1, 1], [0, 2, none], [0, none, 2], [none, none, none]]
    np.testing.assert_array_equal(image(spy(coloring)).filled(none), entries)
    matrix, by_columns, by_rows = pictures(coloring._repr_html_())
    assert [len(matrix), len(by_columns), len(by_rows)] == [3, 1, 2]
    assert list(by_columns) + list(by_rows) == list(matrix)


def test_neutral_columns_are_left_out_of_the_compressed_form():
    pattern = SparsityPattern([0, 1], [0, 1], (2, 3))
    ax = spy(
        ColoredPattern(pattern, np.array([0, 0, -1]), 1, False, "fwd"), compressed=True
    )
    assert image(ax).shape == (2, 1)


def test_a_large_pattern_is_counted_over_blocks():
    n = 1_000_000
    start = time.process_time()
    ax = spy(tridiagonal(n))
    assert time.process_time() - start < 2.0
    counts = image(ax)
    assert max(counts.shape) < 1000
    assert counts.sum() == 3 * n - 2
    filled = np.argwhere(~counts.mask)
    assert (np.abs(filled[:, 0] - filled[:, 1]) <= 1).all()
    assert {tuple(p) for p in filled} >= {(k, k) for k in range(len(counts))}


def test_a_large_coloring_is_counted_too():
    ax = spy(colored(100_000))
    assert image(ax).sum() == 300_000 - 2
    assert ax.get_legend() is None
    (_, bar) = ax.figure.axes
    assert bar.get_ylabel().startswith("entries per block of ")
    assert bar.get_ylim()[0] >= 1


def test_a_large_matrix_is_colored_where_each_block_has_one_color():
    ax = spy(colored(100_000), compressed=True)
    assert image(ax).shape[1] == 3
    assert (image(ax) == [0, 1, 2]).all()
    assert ax.get_legend() is not None
    assert len(ax.figure.axes) == 1


def test_a_single_row_has_a_single_tick():
    ax = spy(SparsityPattern(np.zeros(9, int), range(9), (1, 9)))
    ax.figure.canvas.draw()
    assert [tick for tick in ax.get_yticks() if abs(tick) <= 0.5] == [0]


@pytest.mark.usefixtures("without_annotation_checks")
def test_any_matrix_is_drawn():
    dense = np.eye(4) + np.eye(4, k=1)
    pattern = SparsityPattern.from_dense(dense)
    operator = asdex.SparseJacobian(np.ones(7), pattern)
    for matrix in (dense, pattern.to_scipy(), pattern.to_bcoo(), operator):
        assert spy(matrix).get_title() == "4×4, nnz=7"
    assert "SparseJacobian(shape=(4, 4), nnz=7, " in operator._repr_html_()
    assert len(pictures(operator._repr_html_())) == 1
    with pytest.raises(ValueError, match="dense must be a matrix"):
        spy(np.ones(3))
    with pytest.raises(TypeError, match=r"Got the function .* jacobian_sparsity"):
        spy(lambda x: x)


def test_a_single_entry_of_a_large_pattern_is_visible():
    ax = spy(SparsityPattern([5], [10**6 - 1], (10**6, 10**6)))
    assert image(ax).count() == 1
    red, green, blue, _ = ax.images[0].to_rgba(np.array([1.0]))[0]
    assert red + green + blue < 2


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (3, 4)])
def test_empty_patterns(shape):
    pattern = SparsityPattern([], [], shape)
    assert image(spy(pattern)).count() == 0
    neutral = ColoredPattern(pattern, np.full(shape[1], -1), 0, False, "fwd")
    for compressed in (False, True):
        ax = spy(neutral, compressed=compressed)
        assert image(ax).count() == 0
        ax.figure.canvas.draw()


def test_options():
    figure, ax = plt.subplots()
    assert spy(tridiagonal(5), ax=ax, alpha=0.5, aspect="auto") is ax
    assert ax.images[0].get_alpha() == 0.5
    assert ax.get_aspect() == "auto"
    figure.canvas.draw()


def test_colormaps():
    first = spy(colored(5)).images[0].cmap(0)
    assert first[:3] == to_rgb("tab:blue")
    assert spy(colored(5), cmap="viridis").images[0].cmap(2) == plt.get_cmap("viridis")(1.0)
    assert spy(tridiagonal(5), cmap="Reds").images[0].cmap.name == "Reds"
    many = ColoredPattern(tridiagonal(40), np.arange(40), 40, False, "fwd")
    ax = spy(many)
    hues = ax.images[0].cmap(np.arange(40))
    distances = np.abs(hues[:, None] - hues).sum(-1) + 9 * np.eye(40)
    assert distances.min() > 0.05
    assert np.diagonal(distances, 1).min() > 0.5
    assert ax.get_legend() is None
    repeated = spy(many, cmap="tab10").images[0].cmap
    assert repeated(10) == repeated(0)


def test_a_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install matplotlib"):
        spy(tridiagonal(3))


# Notebook views


def cells(svg: ElementTree.Element) -> dict[str, np.ndarray]:
    """For each fill, the boolean matrix that its path covers."""
    width, height = map(int, (svg.get("viewBox") or "").split()[2:])
    layers = {}
    for path in svg.iter("path"):
        shown = np.zeros((height, width), bool)
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)", path.get("d") or ""):
            shown[int(y), int(x) : int(x) + int(length)] = True
        layers[path.get("fill")] = shown
    return layers


def pictures(html: str) -> list[dict[str, np.ndarray]]:
    return [
        cells(svg) for svg in ElementTree.fromstring(html.replace("<br>", "")).iter("svg")
    ]


def test_html_of_a_pattern():
    html = tridiagonal(20)._repr_html_()
    assert "SparsityPattern(20×20, nnz=58, sparsity=85.5%)" in html
    (picture,) = pictures(html)
    np.testing.assert_array_equal(sum(picture.values()), tridiagonal(20).todense())


@pytest.mark.parametrize(("mode", "arrow"), [("fwd", "→"), ("rev", "↓")])
def test_html_of_a_coloring(mode, arrow):
    html = colored(7, mode)._repr_html_()
    assert "(instead of 7 VJPs or 7 JVPs)" in html
    assert arrow in html
    matrix, compressed = pictures(html)
    np.testing.assert_array_equal(sum(matrix.values()), tridiagonal(7).todense())
    assert len(matrix) == len(compressed) == 3
    assert compressed[next(iter(compressed))].shape == ((7, 3) if mode == "fwd" else (3, 7))


def test_html_of_large_and_empty_matrices_is_small():
    rows, cols = np.random.default_rng(0).integers(0, 10**6, (2, 10**5))
    dense = SparsityPattern(rows, cols, (10**6, 10**6))
    for pattern in (tridiagonal(100_000), dense):
        assert len(pattern._repr_html_()) < 30_000
    assert "(empty)" in SparsityPattern([], [], (0, 3))._repr_html_()
    many = ColoredPattern(tridiagonal(50), np.arange(50), 50, False, "fwd")
    assert len(pictures(many._repr_html_())[0]) == 50


@pytest.mark.parametrize("n", [30, 70, 100, 1000])
@pytest.mark.parametrize("width", [2, 12])
def test_html_has_no_holes(n, width):
    """A band stays one, whatever it is scaled by, and is colored."""
    band = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) < width
    pattern = SparsityPattern.from_dense(band)
    coloring = asdex.jacobian_coloring_from_sparsity(pattern, mode="fwd")
    for view in (pattern, coloring):
        html = view._repr_html_()
        assert "currentColor" not in html
        shown = sum(layer.astype(int) for layer in pictures(html)[0].values())
        assert np.max(shown) == 1
        for row in np.atleast_2d(shown):
            (filled,) = np.nonzero(row)
            assert filled.size
            assert np.ptp(filled) == filled.size - 1
