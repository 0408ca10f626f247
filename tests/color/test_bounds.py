"""Lower bounds: never above what a coloring takes, and sharp where it matters."""

import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Bool

import asdex
from asdex import SparsityPattern
from asdex._color.bounds import fewest_colors, fewest_star_colors
from asdex._color.graph import adjacency, column_graph

from . import definitions, drawn, patterns


@given(drawn.symmetric_matrices.filter(lambda dense: 0 < len(dense) <= 5))
def test_star_colors(dense: Bool[np.ndarray, "n n"]):
    bound = fewest_star_colors(adjacency(SparsityPattern.from_dense(dense)))
    assert bound <= definitions.star_chromatic_number(dense)


@given(drawn.matrices)
def test_column_colors(dense: Bool[np.ndarray, "m n"]):
    bound = fewest_colors(column_graph(SparsityPattern.from_dense(dense)))
    assert bound <= asdex.color_cols(dense)[1]


@pytest.mark.parametrize(
    ("pattern", "fewest"),
    [
        (patterns.grid(2, 50), 4),
        (patterns.grid(30, 30), 5),
        (patterns.grid(31, 33, periodic=True), 5),
        (patterns.band(50, 5), 5),
        (patterns.band(200, 9), 9),
        (patterns.complete(20), 20),
        (patterns.complete(50), 50),
        (patterns.binary_tree(200), 3),
        (patterns.cycle(5), 4),
        (SparsityPattern([], [], (4, 4)), 1),
        (SparsityPattern([], [], (0, 0)), 0),
    ],
)
def test_star_colors_of_families(pattern: SparsityPattern, fewest: int):
    assert fewest_star_colors(adjacency(pattern)) == fewest


@pytest.mark.parametrize(
    ("pattern", "fewest"),
    [
        # Five points tile a torus, but not one of 96 x 96 points.
        (patterns.grid(100, 100, periodic=True), 5),
        (patterns.grid(96, 96, periodic=True), 6),
        (patterns.grid(2000, periodic=True, radius=10), 22),
        (patterns.brusselator(96, interleaved=True), 6),
        (patterns.brusselator(128, interleaved=True), 7),
        (SparsityPattern([0, 0], [1, 3], (2, 4)), 2),
        (SparsityPattern([], [], (2, 4)), 0),
    ],
)
def test_column_colors_of_families(pattern: SparsityPattern, fewest: int):
    assert fewest_colors(column_graph(pattern)) == fewest
