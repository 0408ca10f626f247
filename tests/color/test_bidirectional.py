"""Colorings of columns and rows together."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool, Int

import asdex
from asdex import InvalidColoringError, SparsityPattern
from asdex._color.orders import AbstractOrder

from . import drawn, patterns
from .orders import ORDERS


def passes(colors: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]) -> int:
    return sum(int(side.max(initial=-1)) + 1 for side in colors)


def can_be_recovered(
    dense: Bool[np.ndarray, "m n"], column_colors: list[int], row_colors: list[int]
) -> bool:
    """Each entry is alone among the columns, or among the rows, of its color."""
    m, n = dense.shape

    def alone_in_row(i: int, j: int) -> bool:
        color = column_colors[j]
        sharing = [k for k in range(n) if dense[i, k] and column_colors[k] == color]
        return color >= 0 and sharing == [j]

    def alone_in_column(i: int, j: int) -> bool:
        color = row_colors[i]
        sharing = [k for k in range(m) if dense[k, j] and row_colors[k] == color]
        return color >= 0 and sharing == [i]

    return all(
        alone_in_row(i, j) or alone_in_column(i, j)
        for i, j in product(range(m), range(n))
        if dense[i, j]
    )


@given(drawn.matrices)
def test_any_pattern(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    colors = asdex.color_bidirectional(pattern)
    assert can_be_recovered(dense, colors[0].tolist(), colors[1].tolist())
    asdex.check_coloring_bidirectional(pattern, *colors)
    one_sided = asdex.color_cols(pattern)[1], asdex.color_rows(pattern)[1]
    assert passes(colors) <= min(one_sided)
    for side in colors:
        assert set(side.tolist()) - {-1} == set(range(side.max(initial=-1) + 1))


some_colors = st.lists(st.integers(-1, 4), min_size=9, max_size=9)


@given(drawn.matrices, some_colors, some_colors)
def test_check(dense: Bool[np.ndarray, "m n"], columns: list[int], rows: list[int]):
    m, n = dense.shape
    pattern = SparsityPattern.from_dense(dense)
    if can_be_recovered(dense, columns[:n], rows[:m]):
        asdex.check_coloring_bidirectional(pattern, columns[:n], rows[:m])
    else:
        with pytest.raises(InvalidColoringError, match=r"\(\d, \d\)"):
            asdex.check_coloring_bidirectional(pattern, columns[:n], rows[:m])


@pytest.mark.parametrize("n", [3, 4, 5, 10, 100, 5000])
def test_arrow_takes_three_passes(n: int):
    pattern = patterns.arrow(n)
    colors = asdex.color_bidirectional(pattern)
    asdex.check_coloring_bidirectional(pattern, *colors)
    assert passes(colors) <= 3


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
@pytest.mark.parametrize("seed", range(2))
def test_orders(order: AbstractOrder, seed: int):
    pattern = patterns.power_law(seed, 200, 60)
    colors = asdex.color_bidirectional(pattern, order=order)
    asdex.check_coloring_bidirectional(pattern, *colors)
    color = asdex.jacobian_coloring_from_sparsity
    given = color(pattern, mode="bidirectional", algorithm=asdex.Greedy(order))
    best = color(pattern, mode="bidirectional")
    assert given.num_colors == passes(colors) >= best.lower_bound
    if isinstance(order, asdex.LargestFirst | asdex.SmallestLast):
        assert given.num_colors >= best.num_colors
    assert given.found_by == type(order).__name__


def test_lattice_does_not_fit():
    with pytest.raises(ValueError, match="No lattice coloring"):
        asdex.jacobian_coloring_from_sparsity(
            patterns.arrow(9), mode="bidirectional", algorithm=asdex.Lattice()
        )


def test_dense_rows_and_columns_in_a_band():
    dense = patterns.band(300, 5).todense()
    dense[[5, 77]] = 1
    dense[:, [20, 150]] = 1
    coloring = asdex.jacobian_coloring_from_sparsity(dense)
    asdex.check_coloring_bidirectional(dense, *np.split(coloring.colors, [300]))
    assert coloring.num_colors <= 5 + 4


def test_pattern_without_entries():
    columns, rows = asdex.color_bidirectional(SparsityPattern([], [], (2, 3)))
    assert columns.tolist() == [-1] * 3
    assert rows.tolist() == [-1] * 2
