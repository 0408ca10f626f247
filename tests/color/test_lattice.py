"""Lattice colorings of stencils."""

import pytest

import asdex
from asdex import Lattice, SparsityPattern

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


@pytest.mark.parametrize("interleaved", [False, True])
def test_several_species(interleaved: bool):
    coloring = asdex.jacobian_coloring_from_sparsity(
        patterns.brusselator(24, interleaved=interleaved)
    )
    assert coloring.num_colors == coloring.lower_bound == 6
    assert coloring.found_by == "Lattice"


@pytest.mark.parametrize("sides", [(97, 97), (91, 83), (31, 8), (5, 7)])
def test_periodic_sides_that_do_not_fit(sides: tuple[int, int]):
    pattern = patterns.grid(*sides, periodic=True)
    best = asdex.jacobian_coloring_from_sparsity(pattern, mode="fwd")
    asdex.check_coloring_cols(pattern, best.colors)
    assert best.num_colors <= asdex.color_cols(pattern)[1]


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
