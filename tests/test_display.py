"""The text view: one line of `repr`, a header and a picture in `str`."""

import time

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex._structure.coloring import ColoredPattern
from asdex._structure.pattern import SparsityPattern

TUTORIAL = """\
ColoredPattern(49×50, nnz=98, sparsity=96.0%, JVP, 2 colors)
  2 JVPs (instead of 49 VJPs or 50 JVPs)
⎡⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⎤   ⎡⣿⎤
⎢⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⎥ → ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⠀⠀⎥   ⎢⣿⎥
⎢⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠙⢦⡀⎥   ⎢⣿⎥
⎣⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠉⎦   ⎣⠉⎦"""

ROWS_JOINED = """\
ColoredPattern(3×4, nnz=6, sparsity=50.0%, VJP, 2 colors)
  2 VJPs (instead of 3 VJPs or 4 JVPs)
● ● ⋅ ⋅
⋅ ● ● ⋅
⋅ ⋅ ● ●
   ↓
● ● ● ●
⋅ ● ● ⋅"""

HESSIAN = """\
ColoredPattern(3×3, nnz=3, sparsity=66.7%, HVP, 1 color)
  1 HVP (instead of 3 HVPs)
● ⋅ ⋅   ●
⋅ ● ⋅ → ●
⋅ ⋅ ●   ●"""

BOTH_JOINED = """\
ColoredPattern(4×3, nnz=7, sparsity=41.7%, JVP and VJP, 3 colors)
  1 JVP and 2 VJPs (instead of 4 VJPs or 3 JVPs)
● ● ●   ●
● ● ⋅   ●
● ⋅ ● → ●
⋅ ⋅ ⋅   ⋅
  ↓
● ● ●
● ● ●"""


def bidiagonal(m: int) -> SparsityPattern:
    i = np.arange(m)
    return SparsityPattern(np.r_[i, i], np.r_[i, i + 1], (m, m + 1))


def colored(pattern: SparsityPattern, mode, num_colors: int = 2) -> ColoredPattern:
    vertices = pattern.m if mode == "rev" else pattern.n
    return ColoredPattern(
        pattern, np.arange(vertices) % num_colors, num_colors, False, mode
    )


def picture(text: str) -> list[str]:
    return text.split("\n")[1:]


def dots(text: str) -> np.ndarray:
    """The boolean matrix that a braille picture shows."""
    codes = np.array([[ord(c) - 0x2800 for c in line[1:-1]] for line in picture(text)])
    order = np.array([[0, 3], [1, 4], [2, 5], [6, 7]])
    bits = (codes[:, None, :, None] >> order[None, :, None, :]) & 1
    return bits.reshape(codes.shape[0] * 4, codes.shape[1] * 2).astype(bool)


def test_coloring_prints_as_in_the_tutorial():
    assert str(colored(bidiagonal(49), "fwd")) == TUTORIAL


def test_row_coloring_is_above_its_compressed_form():
    assert str(colored(bidiagonal(3), "rev")) == ROWS_JOINED


def test_bidirectional_coloring_has_two_compressed_forms():
    rows, cols = [0, 0, 0, 1, 1, 2, 2], [0, 1, 2, 0, 1, 0, 2]
    colors = np.array([0, -1, -1, 1, 2, 2, -1])
    pattern = SparsityPattern(rows, cols, (4, 3))
    coloring = ColoredPattern(pattern, colors, 3, False, "bidirectional")
    assert str(coloring) == BOTH_JOINED


@pytest.mark.parametrize("mode", ["fwd_over_rev", "rev_over_fwd", "rev_over_rev"])
def test_hessian_counts_hvps(mode):
    pattern = SparsityPattern.from_dense(np.eye(3))
    assert str(colored(pattern, mode, num_colors=1)) == HESSIAN


def test_pattern_header_and_grid():
    text = str(SparsityPattern([0, 1], [1, 0], (2, 3)))
    assert text == "SparsityPattern(2×3, nnz=2, sparsity=66.7%)\n⋅ ● ⋅\n● ⋅ ⋅"


def test_grid_up_to_16_by_40_then_braille():
    assert "●" in str(SparsityPattern([0], [0], (16, 40)))
    for shape in [(17, 40), (16, 41)]:
        text = str(SparsityPattern([0], [0], shape))
        assert "●" not in text
        assert "⠁" in text


@pytest.mark.parametrize("shape", [(17, 1), (50, 33), (80, 80), (21, 79)])
def test_braille_shows_every_element_while_it_can(shape):
    dense = np.random.default_rng(0).random(shape) < 0.2
    shown = dots(str(SparsityPattern.from_dense(dense)))
    np.testing.assert_array_equal(shown[: shape[0], : shape[1]], dense)
    assert shown.sum() == dense.sum()


@pytest.mark.parametrize(
    ("shape", "lines", "width"),
    [
        ((10_000, 10_000), 20, 40),
        ((10_000, 5_000), 20, 20),
        ((5_000, 10_000), 10, 40),
        ((1_000_000, 2), 20, 1),
        ((2, 1_000_000), 1, 40),
    ],
)
def test_large_matrices_keep_their_aspect_ratio(shape, lines, width):
    drawn = picture(str(SparsityPattern([shape[0] - 1], [shape[1] - 1], shape)))
    assert len(drawn) == lines
    assert {len(line) for line in drawn} == {width + 2}
    assert drawn[-1][-2] != "\u2800"  # The last entry shows in the last character.


def test_blocks_of_a_scaled_picture_are_set_where_they_hold_an_entry():
    rows, cols = np.array([0, 799, 405]), np.array([5, 799, 404])
    shown = dots(str(SparsityPattern(rows, cols, (800, 800))))
    expected = np.zeros((80, 80), bool)
    expected[rows // 10, cols // 10] = True
    np.testing.assert_array_equal(shown, expected)


def test_compressed_form_of_a_large_coloring_has_a_dot_per_color():
    text = str(colored(bidiagonal(1000), "fwd", num_colors=6))
    lines = text.split("\n")[2:]
    assert len(lines) == 20
    assert all(len(line) == 42 + 3 + 5 for line in lines)
    assert [line[43] for line in lines].index("→") == 10


def test_neutral_columns_are_not_drawn():
    pattern = SparsityPattern([0, 1], [0, 1], (2, 3))
    coloring = ColoredPattern(pattern, np.array([0, 0, -1]), 1, False, "fwd")
    assert str(coloring).split("\n")[2:] == ["● ⋅ ⋅   ●", "⋅ ● ⋅ → ●"]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_empty_matrices(shape, mode):
    pattern = SparsityPattern([], [], shape)
    assert picture(str(pattern)) == ["(empty)"]
    vertices = np.full(shape[0] if mode == "rev" else shape[1], -1)
    text = str(ColoredPattern(pattern, vertices, 0, False, mode))
    assert text.split("\n")[2:] == ["(empty)"]


def test_zero_colors():
    pattern = SparsityPattern([], [], (2, 2))
    coloring = ColoredPattern(pattern, np.array([-1, -1]), 0, False, "fwd")
    assert str(coloring).split("\n")[1:] == [
        "  0 JVPs (instead of 2 VJPs or 2 JVPs)",
        "⋅ ⋅",
        "⋅ ⋅ → (empty)",
    ]
    by_rows = ColoredPattern(pattern, np.array([-1, -1]), 0, False, "rev")
    assert str(by_rows).split("\n")[2:] == ["⋅ ⋅", "⋅ ⋅", " ↓", "(empty)"]


@pytest.mark.parametrize(
    ("nnz", "dim", "percent"),
    [
        (0, 1000, "100.0%"),
        (1, 1, "0.0%"),
        (999, 1000, "99.9%"),
        (1, 10**6, "99.9999999999%"),
    ],
)
def test_sparsity_never_rounds_up_to_100_percent(nnz, dim, percent):
    text = str(SparsityPattern(np.arange(nnz), np.arange(nnz), (dim, dim)))
    assert f"sparsity={percent})" in text


def test_repr_is_one_line():
    pattern = SparsityPattern([0, 1], [0, 2], (10, 20))
    assert repr(pattern) == "SparsityPattern(shape=(10, 20), nnz=2)"
    assert repr(colored(pattern, "fwd", 1)) == (
        "ColoredPattern(shape=(10, 20), nnz=2, num_colors=1, mode='fwd', symmetric=False)"
    )


def test_ten_million_entries_print_in_well_under_a_second():
    entries = np.arange(10**7)
    pattern = SparsityPattern(entries // 10, entries % 10, (10**6, 10**6))
    start = time.process_time()
    text = str(pattern)
    assert time.process_time() - start < 1.0
    assert len(text.split("\n")) == 21


def test_coloring_shows_how_many_colors_are_needed():
    cycle = np.eye(5) + np.roll(np.eye(5), 1, axis=1)
    pattern = asdex.SparsityPattern.from_dense(cycle)
    colors = np.array([0, 1, 0, 1, 2])
    text = str(asdex.ColoredPattern(pattern, colors, 3, False, "fwd", lower_bound=2))
    assert "3 JVPs (instead of 5 VJPs or 5 JVPs), no coloring has fewer than 2" in text
    path = str(asdex.jacobian_coloring_from_sparsity(cycle[:4], mode="fwd"))
    assert "fewer" not in path


def test_a_module_that_holds_them_prints_a_line_for_each():
    class Model(eqx.Module):
        coloring: asdex.ColoredPattern
        pattern: asdex.SparsityPattern
        jacobian: asdex.SparseJacobian

    coloring = asdex.jacobian_coloring(jnp.sin, jnp.ones(3))
    jacobian = asdex.jacobian_from_coloring(jnp.sin, coloring, "operator")(jnp.ones(3))
    model = Model(coloring, coloring.sparsity, jacobian)
    assert repr(model).splitlines()[1:-1] == [
        "  coloring=ColoredPattern(shape=(3, 3), nnz=3, num_colors=1, mode='fwd', "
        "symmetric=False),",
        "  pattern=SparsityPattern(shape=(3, 3), nnz=3),",
        "  jacobian=SparseJacobian(shape=(3, 3), nnz=3, dtype=float64)",
    ]
