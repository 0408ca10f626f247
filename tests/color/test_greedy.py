"""Greedy coloring of columns and rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Bool

import asdex
from asdex import SparsityPattern
from asdex._color import greedy

from . import definitions, drawn, patterns


@given(drawn.matrices)
def test_columns_and_rows_of_any_pattern(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)

    colors, num_colors = asdex.color_cols(pattern)
    assert definitions.is_column_coloring(dense, colors.tolist())
    assert num_colors == colors.max() + 1
    asdex.check_coloring_cols(pattern, colors)

    colors, num_colors = asdex.color_rows(pattern)
    assert definitions.is_column_coloring(dense.T, colors.tolist())
    assert num_colors == colors.max() + 1
    asdex.check_coloring_rows(pattern, colors)


@pytest.mark.parametrize("width", [1, 3, 5, 41])
@pytest.mark.parametrize("n", [50, 2000])
def test_band_needs_its_width(n: int, width: int):
    assert asdex.color_cols(patterns.band(n, width))[1] == width
    assert asdex.color_rows(patterns.band(n, width))[1] == width


def test_colors_are_int32_and_plain():
    colors, num_colors = asdex.color_cols(patterns.band(10, 3))
    assert colors.dtype == np.int32
    assert colors.shape == (10,)
    assert type(num_colors) is int


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (3, 4)])
def test_pattern_without_entries(shape: tuple[int, int]):
    pattern = SparsityPattern([], [], shape)
    colors, num_colors = asdex.color_cols(pattern)
    assert num_colors == 0
    assert colors.tolist() == [-1] * shape[1]
    colors, num_colors = asdex.color_rows(pattern)
    assert num_colors == 0
    assert colors.tolist() == [-1] * shape[0]


def test_entries_in_any_order():
    rng = np.random.default_rng(0)
    pattern = SparsityPattern.from_dense(rng.random((30, 40)) < 0.1)
    shuffle = rng.permutation(pattern.nnz)
    shuffled = SparsityPattern(pattern.rows[shuffle], pattern.cols[shuffle], pattern.shape)
    np.testing.assert_array_equal(
        asdex.color_cols(pattern)[0], asdex.color_cols(shuffled)[0]
    )


def test_largest_first_visits_the_fullest_column_first():
    # Column 2 is adjacent to both others; in natural order it would take color 1.
    pattern = SparsityPattern.from_dense(np.array([[1, 0, 1], [0, 1, 1]]))
    assert asdex.color_cols(pattern)[0].tolist() == [1, 1, 0]


def test_matrix_types():
    dense = np.eye(4) + np.eye(4, k=1)
    expected, _ = asdex.color_cols(SparsityPattern.from_dense(dense))
    bcoo = SparsityPattern.from_dense(dense).to_bcoo()
    np.testing.assert_array_equal(asdex.color_cols(dense)[0], expected)
    np.testing.assert_array_equal(asdex.color_cols(bcoo)[0], expected)


def test_dense_nets_keep_sets_of_colors():
    # 300 columns, 10 rows with half of them each: far above the bound for walking.
    rng = np.random.default_rng(1)
    dense = rng.random((40, 300)) < 0.5
    dense[10:] &= rng.random((30, 300)) < 0.02
    colors, num_colors = asdex.color_cols(dense)
    asdex.check_coloring_cols(dense, colors)
    assert num_colors >= dense.sum(axis=1).max()


def test_arrow_of_any_size_is_cheap():
    colors, num_colors = asdex.color_cols(patterns.arrow(20_000))
    assert num_colors == 20_000
    assert np.unique(colors).size == 20_000


@pytest.mark.parametrize("most_steps_in_python", [-1, 1000])
def test_inside_transformations(most_steps_in_python: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(greedy, "MOST_STEPS_IN_PYTHON", most_steps_in_python)
    pattern = patterns.band(12, 3)

    def passes(x: jax.Array) -> jax.Array:
        return x * asdex.color_cols(pattern)[1]

    assert jax.jit(passes)(1.0) == 3.0
    assert jax.grad(passes)(1.0) == 3.0
    np.testing.assert_array_equal(jax.vmap(passes)(jnp.ones(2)), [3.0, 3.0])
    with jax.disable_jit():
        assert passes(jnp.ones(())) == 3.0


def test_patterns_of_similar_size_share_one_compilation(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(greedy, "MOST_STEPS_IN_PYTHON", -1)
    asdex.color_cols(patterns.band(900, 3))
    with jax.log_compiles():
        asdex.color_cols(patterns.band(901, 3))
        asdex.color_cols(patterns.random_symmetric(0, 800, 3))
    assert not [record for record in caplog.records if "Compiling" in record.message]
