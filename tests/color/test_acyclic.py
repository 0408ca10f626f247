"""Acyclic coloring of symmetric patterns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool

import asdex
from asdex import InvalidColoringError, SparsityPattern

from . import definitions, drawn, patterns


@given(drawn.symmetric_matrices)
def test_any_pattern(dense: Bool[np.ndarray, "n n"]):
    pattern = SparsityPattern.from_dense(dense)
    colors, num_colors = asdex.color_acyclic(pattern)
    assert num_colors == colors.max() + 1
    if pattern.nnz:
        assert definitions.is_acyclic_coloring(dense, colors.tolist())
        asdex.check_coloring_acyclic(pattern, colors)


@given(drawn.symmetric_matrices, st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_check(dense: Bool[np.ndarray, "n n"], colors: list[int]):
    pattern, colors = SparsityPattern.from_dense(dense), colors[: len(dense)]
    if definitions.is_acyclic_coloring(dense, colors):
        asdex.check_coloring_acyclic(pattern, colors)
    else:
        with pytest.raises(InvalidColoringError, match=r"Entry \(\d, \d\)"):
            asdex.check_coloring_acyclic(pattern, colors)


KNOWN = {
    "empty": (SparsityPattern([], [], (5, 5)), 0),
    "diagonal": (SparsityPattern.from_dense(np.eye(5)), 1),
    "path": (patterns.path(50), 2),
    "tridiagonal": (patterns.band(50, 3), 2),
    "pentadiagonal": (patterns.band(50, 5), 3),
    "cycle": (patterns.cycle(7), 3),
    "tree": (patterns.binary_tree(31), 2),
    "star": (patterns.star(9), 2),
    "complete": (patterns.complete(6), 6),
    "grid": (patterns.grid(30, 30), 4),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_numbers_of_colors(name: str):
    pattern, expected = KNOWN[name]
    assert asdex.color_acyclic(pattern)[1] == expected


def test_fewer_colors_than_a_star_coloring():
    pattern = patterns.random_symmetric(0, 2000, 8)
    colors, num_colors = asdex.color_acyclic(pattern)
    asdex.check_coloring_acyclic(pattern, colors)
    assert 2 * num_colors <= asdex.color_symmetric(pattern)[1]


def test_hubs_of_huge_degree_get_colors_of_their_own():
    pattern = patterns.arrow(40_000)
    colors, num_colors = asdex.color_acyclic(pattern)
    assert num_colors == 2
    asdex.check_coloring_acyclic(pattern, colors)


def test_cycles_are_named():
    with pytest.raises(InvalidColoringError, match="cycle of two colors"):
        asdex.check_coloring_acyclic(patterns.cycle(4), [0, 1, 0, 1])
    with pytest.raises(InvalidColoringError, match="share a color"):
        asdex.check_coloring_acyclic(patterns.cycle(4), [0, 0, 1, 2])
    with pytest.raises(ValueError, match="no neutral color"):
        asdex.check_coloring_acyclic(patterns.cycle(4), [0, 1, -1, 1])
    with pytest.raises(ValueError, match="symmetric"):
        asdex.color_acyclic(SparsityPattern([0], [1], (2, 2)))
