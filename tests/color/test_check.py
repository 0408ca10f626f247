"""The public checks compared with the plain definitions."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool

import asdex
from asdex import InvalidColoringError, SparsityPattern

from . import definitions, drawn, patterns

colors_of = st.lists(st.integers(0, 4), min_size=9, max_size=9)


def accepts(check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except InvalidColoringError:
        return False
    return True


@given(drawn.matrices, colors_of)
def test_columns_and_rows(dense: Bool[np.ndarray, "m n"], colors: list[int]):
    pattern = SparsityPattern.from_dense(dense)
    m, n = pattern.shape
    assert accepts(
        asdex.check_coloring_cols, pattern, colors[:n]
    ) == definitions.is_column_coloring(dense, colors[:n])
    assert accepts(
        asdex.check_coloring_rows, pattern, colors[:m]
    ) == definitions.is_column_coloring(dense.T, colors[:m])


@given(drawn.symmetric_matrices, colors_of)
def test_symmetric(dense: Bool[np.ndarray, "m n"], colors: list[int]):
    pattern = SparsityPattern.from_dense(dense)
    colors = colors[: pattern.n]
    assert accepts(
        asdex.check_coloring_symmetric, pattern, colors
    ) == definitions.is_star_coloring(dense, colors)


def test_conflicts_are_named():
    with pytest.raises(InvalidColoringError, match=r"Entries \(1, 0\) and \(1, 2\)"):
        asdex.check_coloring_cols(patterns.band(4, 3), [0, 1, 0, 2])
    with pytest.raises(InvalidColoringError, match=r"Entries \(0, 1\) and \(2, 1\)"):
        asdex.check_coloring_rows(patterns.band(4, 3), [0, 1, 0, 2])
    with pytest.raises(InvalidColoringError, match=r"Entry \(0, 1\) .* share a color"):
        asdex.check_coloring_symmetric(patterns.band(4, 3), [0, 0, 1, 2])


def test_neutral_colors():
    pattern = SparsityPattern([0, 1], [0, 0], (3, 2))
    asdex.check_coloring_cols(pattern, [0, -1])
    asdex.check_coloring_rows(pattern, [0, 1, -1])
    with pytest.raises(InvalidColoringError, match=r"Entry \(0, 0\) .* neutral"):
        asdex.check_coloring_cols(pattern, [-1, 0])
    asdex.check_coloring_symmetric(patterns.path(3), [-1, 0, -1])
    with pytest.raises(InvalidColoringError, match=r"Entry \(0, 1\) .* neutral"):
        asdex.check_coloring_symmetric(patterns.path(3), [-1, -1, 0])
    with pytest.raises(InvalidColoringError, match=r"Entries \(1, 0\) and \(1, 2\)"):
        asdex.check_coloring_symmetric(patterns.path(3), [0, -1, 0])


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"shape \(4,\), one for each column"):
        asdex.check_coloring_cols(patterns.band(4, 3), [0, 1])
    with pytest.raises(ValueError, match="below -1"):
        asdex.check_coloring_rows(patterns.band(2, 3), [0, -2])
    with pytest.raises(ValueError, match="symmetric"):
        asdex.check_coloring_symmetric(SparsityPattern([0], [1], (2, 2)), [0, 1])
