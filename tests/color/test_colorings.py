"""Colorings of Jacobians and Hessians from their patterns."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Bool

import asdex
from asdex import DenseColoringWarning, SparsityPattern

from . import patterns

pytestmark = pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")


@given(patterns.matrices)
def test_side_with_fewer_colors_wins(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    color = asdex.jacobian_coloring_from_sparsity
    coloring = color(pattern)
    by_mode = {mode: color(pattern, mode=mode).num_colors for mode in ("fwd", "rev")}
    assert coloring.num_colors == min(by_mode.values())
    assert coloring.mode == ("fwd" if by_mode["fwd"] <= by_mode["rev"] else "rev")


def test_tall_and_wide():
    dense = np.ones((6, 2))
    assert asdex.jacobian_coloring_from_sparsity(dense).mode == "fwd"
    assert asdex.jacobian_coloring_from_sparsity(dense.T).mode == "rev"


def test_pattern_without_entries():
    coloring = asdex.jacobian_coloring_from_sparsity(SparsityPattern([], [], (3, 4)))
    assert coloring.num_colors == 0
    assert coloring.mode == "fwd"
    assert coloring.colors.tolist() == [-1] * 4


def test_symmetric_jacobian():
    coloring = asdex.jacobian_coloring_from_sparsity(patterns.arrow(9), symmetric=True)
    assert (coloring.num_colors, coloring.mode) == (2, "fwd")
    assert coloring.star_set is not None
    coloring = asdex.jacobian_coloring_from_sparsity(
        patterns.cycle(4), symmetric=True, mode="rev", postprocess=True
    )
    assert (coloring.num_colors, coloring.mode) == (2, "rev")


def test_hessian():
    coloring = asdex.hessian_coloring_from_sparsity(patterns.arrow(9))
    assert (coloring.num_colors, coloring.mode) == (2, "fwd_over_rev")
    assert coloring.symmetric
    coloring = asdex.hessian_coloring_from_sparsity(
        patterns.cycle(4), mode="rev_over_rev", postprocess=True
    )
    assert (coloring.num_colors, coloring.mode) == (2, "rev_over_rev")
    coloring = asdex.hessian_coloring_from_sparsity(patterns.band(9, 3), symmetric=False)
    assert (coloring.num_colors, coloring.symmetric) == (3, False)
    assert coloring.star_set is None


def test_diagonal_hessian_has_a_star_set():
    coloring = asdex.hessian_coloring_from_sparsity(np.eye(5))
    assert coloring.num_colors == 1
    assert coloring.star_set is not None


def test_dense_coloring_warns():
    for color in (
        asdex.jacobian_coloring_from_sparsity,
        asdex.hessian_coloring_from_sparsity,
    ):
        with pytest.warns(DenseColoringWarning, match="same as the dense case"):
            color(np.ones((3, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asdex.jacobian_coloring_from_sparsity(np.ones((1, 1)))
        asdex.hessian_coloring_from_sparsity(patterns.band(9, 3))


@pytest.mark.usefixtures("without_annotation_checks")
def test_unknown_modes():
    with pytest.raises(ValueError, match="Expected 'fwd' or 'rev'"):
        asdex.jacobian_coloring_from_sparsity(np.eye(3), mode="forward")  # pyright: ignore
    with pytest.raises(ValueError, match="Expected 'fwd_over_rev'"):
        asdex.hessian_coloring_from_sparsity(np.eye(3), mode="fwd")  # pyright: ignore
