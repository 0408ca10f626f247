"""Orders of visit: each compared with its definition, and in every kind of coloring."""

import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Bool, Int

import asdex
from asdex import SparsityPattern
from asdex._color.graph import column_graph
from asdex._color.orders import AbstractOrder

from . import drawn, patterns
from .orders import ORDERS

order_names = [type(order).__name__ for order in ORDERS]


@pytest.mark.parametrize("order", ORDERS, ids=order_names)
@given(dense=drawn.matrices)
def test_columns_and_rows(order: AbstractOrder, dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    asdex.check_coloring_cols(pattern, asdex.color_cols(pattern, order=order)[0])
    asdex.check_coloring_rows(pattern, asdex.color_rows(pattern, order=order)[0])


@pytest.mark.parametrize("order", ORDERS, ids=order_names)
@given(dense=drawn.symmetric_matrices)
def test_symmetric(order: AbstractOrder, dense: Bool[np.ndarray, "n n"]):
    pattern = SparsityPattern.from_dense(dense)
    asdex.check_coloring_symmetric(pattern, asdex.color_symmetric(pattern, order=order)[0])
    if pattern.nnz:
        asdex.check_coloring_acyclic(pattern, asdex.color_acyclic(pattern, order=order)[0])


def shared_rows(dense: Bool[np.ndarray, "m n"]) -> Int[np.ndarray, "n n"]:
    """How many rows each two columns share."""
    counts = dense.T.astype(int) @ dense.astype(int)
    np.fill_diagonal(counts, 0)
    return counts


def arrange(order: AbstractOrder, dense: Bool[np.ndarray, "m n"]) -> list[int]:
    graph = column_graph(SparsityPattern.from_dense(dense))
    visits = order.arrange(graph).tolist()
    assert sorted(visits) == list(range(dense.shape[1]))
    return visits


@given(drawn.matrices)
def test_static_orders(dense: Bool[np.ndarray, "m n"]):
    n = dense.shape[1]
    degrees = shared_rows(dense).sum(axis=1)
    assert arrange(asdex.NaturalOrder(), dense) == list(range(n))
    by_degree = sorted(range(n), key=lambda v: (-degrees[v], v))
    assert arrange(asdex.LargestFirst(), dense) == by_degree
    ascending = sorted(range(n), key=lambda v: (degrees[v], v))
    assert arrange(asdex.SmallestFirst(), dense) == ascending
    assert arrange(asdex.RandomOrder(1), dense) == arrange(asdex.RandomOrder(1), dense)


@given(drawn.matrices)
def test_dynamic_orders(dense: Bool[np.ndarray, "m n"]):
    shared = shared_rows(dense)
    for order, sign, seen_counts in (
        (asdex.SmallestLast(), -1, True),
        (asdex.IncidenceDegree(), 1, True),
        (asdex.DynamicLargestFirst(), 1, False),
    ):
        visits = arrange(order, dense)
        if isinstance(order, asdex.SmallestLast):
            visits, seen_counts = visits[::-1], False
        for t, v in enumerate(visits):
            counted, left = (visits[:t], visits[t:]) if seen_counts else 2 * [visits[t:]]
            keys = sign * shared[np.ix_(left, counted)].sum(axis=1)
            assert keys[left.index(v)] == keys.max()


def test_seeds_differ():
    dense = np.eye(50, dtype=bool)
    assert arrange(asdex.RandomOrder(1), dense) != arrange(asdex.RandomOrder(2), dense)


def test_incidence_degree_reaches_the_bound_on_a_grid():
    grid = patterns.grid(20, 20)
    assert asdex.color_cols(grid)[1] > 5
    assert asdex.color_cols(grid, order=asdex.IncidenceDegree())[1] == 5


def test_dense_nets_are_overlooked():
    order = asdex.SmallestLast().arrange(column_graph(patterns.arrow(20_000)))
    assert np.array_equal(np.sort(order), np.arange(20_000))
