"""Star coloring of symmetric patterns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool

import asdex
from asdex import ColoredPattern, InvalidColoringError, SparsityPattern

from . import definitions, drawn, patterns


@given(drawn.symmetric_matrices)
def test_random_patterns(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    colors, num_colors, star_set = asdex.color_symmetric(pattern)
    assert definitions.is_star_coloring(dense, colors.tolist())
    assert num_colors == colors.max() + 1
    asdex.check_coloring_symmetric(pattern, colors)
    # The star set must give where each entry is read: checked at construction.
    ColoredPattern(pattern, colors, num_colors, True, "fwd_over_rev", star_set)


@given(drawn.symmetric_matrices)
def test_stars_are_maximal_and_have_one_hub(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    colors, _, star_set = asdex.color_symmetric(pattern)
    edges = np.stack([star_set.edge_lo, star_set.edge_hi], axis=1)
    np.testing.assert_array_equal(edges, np.argwhere(np.triu(dense, k=1)))
    star = star_set.star[star_set.edge_pos]
    for number, hub in enumerate(star_set.hub):
        members = edges[star == number]
        assert np.unique(colors[members]).size == 2
        if len(members) == 1:
            assert hub == -(members.max() + 1)
        else:
            assert (members == hub).any(axis=1).all()


@given(drawn.symmetric_matrices)
def test_postprocessing(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    _, full_count, _ = asdex.color_symmetric(pattern)
    colors, num_colors, star_set = asdex.color_symmetric(pattern, postprocess=True)
    assert num_colors <= full_count
    assert set(colors) - {-1} == set(range(num_colors))
    asdex.check_coloring_symmetric(pattern, colors)
    ColoredPattern(pattern, colors, num_colors, True, "fwd_over_rev", star_set)


@given(drawn.symmetric_matrices)
def test_forced_colors_of_a_star_coloring_come_back(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    colors, num_colors, star_set = asdex.color_symmetric(pattern)
    forced = asdex.color_symmetric(pattern, forced_colors=colors)
    np.testing.assert_array_equal(forced[0], colors)
    assert forced[1:] == (num_colors, star_set)


@given(drawn.symmetric_matrices, st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_forced_colors_are_checked(dense: Bool[np.ndarray, "m n"], colors: list[int]):
    pattern = SparsityPattern.from_dense(dense)
    colors = colors[: pattern.n]
    if definitions.is_star_coloring(dense, colors):
        forced, num_colors, _ = asdex.color_symmetric(pattern, forced_colors=colors)
        assert pattern.nnz == 0 or forced.tolist() == colors
        assert pattern.nnz == 0 or num_colors == max(colors) + 1
    else:
        with pytest.raises(InvalidColoringError, match=r"\(\d, \d\)"):
            asdex.color_symmetric(pattern, forced_colors=colors)


def test_postprocessing_of_a_cycle_saves_one_color():
    assert asdex.color_symmetric(patterns.cycle(4))[1] == 3
    assert asdex.color_symmetric(patterns.cycle(4), postprocess=True)[1] == 2


def test_postprocessing_of_disjoint_edges_keeps_the_larger_ends():
    edges = SparsityPattern([0, 1, 2, 3], [1, 0, 3, 2], (4, 4))
    colors, num_colors, star_set = asdex.color_symmetric(edges, postprocess=True)
    assert colors.tolist() == [-1, 0, -1, 0]
    assert num_colors == 1
    assert star_set.hub_vertex(0, 1) == star_set.hub_vertex(1, 0) == 1


def test_diagonal_entries_keep_their_colors():
    pattern = patterns.random_symmetric(0, 20, 4)
    colors, num_colors, _ = asdex.color_symmetric(pattern)
    processed = asdex.color_symmetric(pattern, postprocess=True)
    np.testing.assert_array_equal(processed[0], colors)
    assert processed[1] == num_colors


KNOWN = {
    "empty": (SparsityPattern([], [], (5, 5)), 0),
    "zero size": (SparsityPattern([], [], (0, 0)), 0),
    "diagonal": (SparsityPattern.from_dense(np.eye(5)), 1),
    "path 3": (patterns.path(3), 2),
    "path 50": (patterns.path(50), 3),
    "tridiagonal 50": (patterns.band(50, 3), 3),
    "star 9": (patterns.star(9), 2),
    "arrow 9": (patterns.arrow(9), 2),
    "complete 6": (patterns.complete(6), 6),
    "band 9": (patterns.band(100, 9), 9),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_numbers_of_colors(name: str):
    pattern, expected = KNOWN[name]
    colors, num_colors, _ = asdex.color_symmetric(pattern)
    assert num_colors == expected
    asdex.check_coloring_symmetric(pattern, colors)


@given(drawn.symmetric_matrices.filter(lambda dense: len(dense) <= 5))
def test_never_below_the_star_chromatic_number(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    if pattern.nnz:
        fewest = definitions.star_chromatic_number(dense)
        assert asdex.color_symmetric(pattern)[1] >= fewest


def test_hubs_of_huge_degree_get_colors_of_their_own():
    n = 40_000
    colors, num_colors, star_set = asdex.color_symmetric(patterns.arrow(n))
    assert num_colors == 2
    assert np.flatnonzero(colors == colors[n - 1]).tolist() == [n - 1]
    assert star_set.hub_vertex(7, n - 1) == n - 1
    asdex.check_coloring_symmetric(patterns.arrow(n), colors)
    forced = asdex.color_symmetric(patterns.arrow(n), forced_colors=colors)
    np.testing.assert_array_equal(forced[0], colors)


def test_pattern_must_be_square_and_symmetric():
    with pytest.raises(ValueError, match=r"square pattern. Got shape \(2, 3\)"):
        asdex.color_symmetric(SparsityPattern([0], [0], (2, 3)))
    with pytest.raises(ValueError, match=r"entry at \(0, 2\), but none at \(2, 0\)"):
        asdex.color_symmetric(SparsityPattern([0, 1, 0, 2], [1, 0, 2, 1], (3, 3)))


def test_wrong_forced_colors():
    with pytest.raises(ValueError, match=r"shape \(3,\), one for each column. Got \(2,\)"):
        asdex.color_symmetric(patterns.path(3), forced_colors=[0, 1])
    with pytest.raises(ValueError, match="neutral"):
        asdex.color_symmetric(patterns.path(3), forced_colors=[-1, 0, -1])
    with pytest.raises(InvalidColoringError, match=r"\(0, 1\)"):
        asdex.color_symmetric(patterns.path(4), forced_colors=[0, 0, 1, 2])
    with pytest.raises(InvalidColoringError, match=r"\(1, 0\) and \(1, 2\)"):
        asdex.color_symmetric(patterns.path(4), forced_colors=[0, 1, 0, 1])
