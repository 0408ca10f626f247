"""Lattice colorings of stencils."""

from itertools import product

import jax
import numpy as np
import pytest

import asdex
from asdex import Lattice, SparsityPattern
from asdex._color.lattice_table import search_table

from . import patterns

STENCILS = {
    "1-D": (patterns.grid(50), 3),
    "2-D": (patterns.grid(30, 40), 5),
    "2-D periodic, sides fit": (patterns.grid(20, 25, periodic=True), 5),
    "2-D periodic, 6 colors": (patterns.grid(96, 96, periodic=True), 6),
    "2-D 9-point": (patterns.grid(17, 19, radius=1), 9),
    "3-D 7-point": (patterns.grid(9, 10, 11), 7),
    "3-D 27-point": (patterns.grid(8, 8, 8, radius=1), 27),
    "circulant of width 41": (patterns.grid(20_000, periodic=True, radius=20), 42),
}


def raveled(pattern: SparsityPattern) -> SparsityPattern:
    """The pattern without the shapes of its input and output."""
    return SparsityPattern(pattern.rows, pattern.cols, pattern.shape)


@pytest.mark.parametrize("name", STENCILS)
def test_shapes_of_raveled_arrays_are_guessed(name: str):
    pattern, expected = STENCILS[name]
    pattern = raveled(pattern)
    coloring = asdex.jacobian_coloring_from_sparsity(pattern)
    asdex.check_coloring_cols(pattern, coloring.colors)
    assert coloring.num_colors <= expected


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("side", "expected"), [(24, 6), (32, 7)])
def test_several_raveled_species(side: int, expected: int, interleaved: bool):
    pattern = raveled(patterns.brusselator(side, interleaved=interleaved))
    coloring = asdex.jacobian_coloring_from_sparsity(pattern)
    asdex.check_coloring_cols(pattern, coloring.colors)
    assert coloring.num_colors == expected


@pytest.mark.parametrize("name", STENCILS)
def test_number_of_colors(name: str):
    pattern, expected = STENCILS[name]
    for mode in ("fwd", "rev"):
        coloring = asdex.jacobian_coloring_from_sparsity(
            pattern, mode=mode, algorithm=Lattice()
        )
        assert coloring.num_colors == expected
    coloring = asdex.hessian_coloring_from_sparsity(pattern, algorithm=Lattice())
    assert coloring.num_colors == expected
    asdex.check_coloring_symmetric(pattern, coloring.colors)


ACYCLIC = {
    "1-D": (patterns.grid(50), 2),
    "1-D, two neighbors": (patterns.grid(50, radius=2), 3),
    "2-D": (patterns.grid(30, 40), 3),
    "2-D 9-point": (patterns.grid(17, 19, radius=1), 5),
    "3-D 7-point": (patterns.grid(9, 10, 11), 4),
    "3-D 27-point": (patterns.grid(8, 8, 8, radius=1), 14),
    "2-D, raveled": (raveled(patterns.grid(20, 30)), 3),
}


@pytest.mark.parametrize("name", ACYCLIC)
def test_acyclic(name: str):
    """As many colors as there are differences, and one: the fewest on an endless grid."""
    pattern, expected = ACYCLIC[name]
    for algorithm in ("auto", Lattice()):
        coloring = asdex.hessian_coloring_from_sparsity(
            pattern, algorithm=algorithm, decompression="substitution"
        )
        asdex.check_coloring_acyclic(pattern, coloring.colors)
        assert coloring.num_colors == expected


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("side", [5, 12, 33])
def test_acyclic_on_periodic_grids(side: int, interleaved: bool):
    pattern = patterns.brusselator(side, interleaved=interleaved)
    for algorithm in ("auto", Lattice()):
        coloring = asdex.hessian_coloring_from_sparsity(
            pattern, algorithm=algorithm, decompression="substitution"
        )
        asdex.check_coloring_acyclic(pattern, coloring.colors)
        assert coloring.num_colors <= 8


@pytest.mark.parametrize("interleaved", [False, True])
def test_several_species(interleaved: bool):
    coloring = asdex.jacobian_coloring_from_sparsity(
        patterns.brusselator(24, interleaved=interleaved)
    )
    assert coloring.num_colors == coloring.lower_bound == 6
    assert coloring.found_by == "Lattice"


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("side", [33, 50, 97, 128])
def test_a_table_where_six_colors_do_not_close(side: int, interleaved: bool):
    pattern = patterns.brusselator(side, interleaved=interleaved)
    coloring = asdex.jacobian_coloring_from_sparsity(pattern, mode="fwd")
    asdex.check_coloring_cols(pattern, coloring.colors)
    assert coloring.num_colors == 7


def test_tables_separate_all_differences():
    """Two species on a torus: exactly the conflicts of points at most two steps apart."""
    steps = [
        (other, dx, dy)
        for other, dx, dy in product((0, 1), range(-2, 3), range(-2, 3))
        if 0 < other + abs(dx) + abs(dy) <= 2
    ]
    shape = 2, 32, 64
    is_short = np.array([True, False, False])
    table = search_table(np.array(steps), ~is_short, np.array(shape), is_short, 7)
    assert table is not None
    points = np.indices(shape).reshape(3, -1).T
    colors = table.apply(points).reshape(shape)
    assert set(colors.flat) <= set(range(7))
    for other, dx, dy in steps:
        shifted = np.roll(colors, (-dx, -dy), axis=(1, 2))
        pairs = (colors[0], shifted[1]) if other else (colors, shifted)
        assert (pairs[0] != pairs[1]).all()
    # Five of the points around each are in conflict with each other.
    assert search_table(np.array(steps), ~is_short, np.array(shape), is_short, 5) is None


@pytest.mark.parametrize("sides", [(97, 97), (91, 83), (31, 8), (5, 7)])
def test_periodic_sides_that_do_not_fit(sides: tuple[int, int]):
    pattern = patterns.grid(*sides, periodic=True)
    best = asdex.jacobian_coloring_from_sparsity(pattern, mode="fwd")
    asdex.check_coloring_cols(pattern, best.colors)
    assert best.num_colors <= asdex.color_cols(pattern)[1]


def test_an_empty_pattern_has_no_lattice():
    for shape in ((0, 3), (3, 0), (0, 0), (2, 2)):
        empty = SparsityPattern([], [], shape)
        for mode in ("fwd", "rev"):
            with pytest.raises(ValueError, match="No lattice coloring"):
                asdex.jacobian_coloring_from_sparsity(empty, mode=mode, algorithm=Lattice())


def test_many_colors_on_a_periodic_axis_are_not_searched():
    """All pairs of slopes and jumps would fill the memory."""
    n, k = 400, 300
    rows = np.repeat(np.arange(n), 3 * (k - 1))
    blocks = (np.arange(n)[:, None] + np.arange(-1, 2)) % n
    cols = (blocks[:, :, None] * k + np.arange(k - 1)).ravel()
    aval = jax.ShapeDtypeStruct((n, k), np.dtype(np.float32))
    pattern = SparsityPattern(rows, cols, (n, n * k), (aval,))
    coloring = asdex.jacobian_coloring_from_sparsity(pattern, mode="fwd")
    assert coloring.num_colors >= coloring.lower_bound >= 3 * (k - 1)


def test_a_hole_does_no_harm():
    pattern = patterns.grid(20, 20)
    kept = (pattern.rows != 45) & (pattern.cols != 45)
    with_hole = SparsityPattern(
        pattern.rows[kept],
        pattern.cols[kept],
        pattern.shape,
        pattern.input_avals,
        output_shapes=pattern.output_shapes,
    )
    coloring = asdex.jacobian_coloring_from_sparsity(with_hole, algorithm=Lattice())
    assert coloring.num_colors == 5
    asdex.check_coloring_cols(with_hole, coloring.colors)


def test_missing_diagonal_counts_in_star_colorings():
    pattern = patterns.grid(12, 12)
    off_diagonal = pattern.rows != pattern.cols
    pattern = SparsityPattern(
        pattern.rows[off_diagonal],
        pattern.cols[off_diagonal],
        pattern.shape,
        pattern.input_avals,
    )
    coloring = asdex.hessian_coloring_from_sparsity(pattern, algorithm=Lattice())
    assert coloring.num_colors == 5
    asdex.check_coloring_symmetric(pattern, coloring.colors)


def test_patterns_without_lattice():
    with pytest.raises(ValueError, match="No lattice coloring"):
        asdex.hessian_coloring_from_sparsity(
            patterns.random_symmetric(0, 500, 4), algorithm=Lattice()
        )
