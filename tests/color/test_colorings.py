"""Colorings of Jacobians and Hessians from their patterns."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Bool

import asdex
from asdex import DenseColoringWarning, SparsityPattern

from . import drawn, patterns

pytestmark = pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")


@given(drawn.matrices)
def test_mode_with_fewest_colors_wins(dense: Bool[np.ndarray, "m n"]):
    pattern = SparsityPattern.from_dense(dense)
    color = asdex.jacobian_coloring_from_sparsity
    coloring, fwd, rev = (color(pattern, mode=mode) for mode in (None, "fwd", "rev"))
    one_sided = fwd if fwd.num_colors <= rev.num_colors else rev
    if coloring.mode == "bidirectional":
        assert 2 * coloring.num_colors <= one_sided.num_colors
    else:
        assert coloring == one_sided


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_arrow_is_colored_in_both_directions(n: int):
    coloring = asdex.jacobian_coloring_from_sparsity(patterns.arrow(n))
    assert (coloring.mode, coloring.num_colors) == ("bidirectional", 3)
    assert coloring.lower_bound == 3


def test_grid_and_dense_rows_are_colored_on_one_side():
    color = asdex.jacobian_coloring_from_sparsity
    assert color(patterns.grid(20, 20)).mode == "fwd"
    dense = patterns.band(100, 3).todense()
    dense[50] = 1
    assert color(dense).mode == "rev"
    assert color(dense.T).mode == "fwd"


@pytest.mark.parametrize("n", [10, 50])
def test_verbs_choose_modes(n: int):
    def arrow(x: jax.Array) -> jax.Array:
        return x[0] * x + jnp.zeros(n).at[0].set((x**2).sum())

    x = jnp.linspace(1.0, 2.0, n)
    assert asdex.jacobian_coloring(arrow, x).mode == "bidirectional"
    found = jax.jit(asdex.jacobian(arrow, x))(x).todense()
    np.testing.assert_allclose(found, jax.jit(jax.jacobian(arrow))(x), rtol=1e-6)
    compressed = asdex.compressed_jacobian(arrow, x)(x)
    assert isinstance(compressed, jax.Array)  # One matrix, unless the mode makes two.
    assert compressed.shape == (n, n)
    pair = asdex.compressed_jacobian(arrow, x, mode="bidirectional")(x)
    assert [len(pair[0]), len(pair[1])] == [2, 1]


@pytest.mark.parametrize("verb", [asdex.jacobian, asdex.compressed_jacobian])
def test_verbs_take_an_algorithm(verb: Callable[..., Any]):
    x = np.ones(20, np.float32)
    lattice = verb(lambda x: x[1:] * x[:-1], x, algorithm=asdex.Lattice())
    assert lattice(x) is not None
    assert verb(lambda x: x * x[::-1], x, algorithm=asdex.Lattice())(x) is not None
    x = np.ones(1000, np.float32)
    with pytest.raises(ValueError, match="No lattice coloring"):
        verb(
            lambda x: x * x[np.random.default_rng(0).permutation(1000)],
            x,
            algorithm=asdex.Lattice(),
        )


def test_hessian_by_substitution():
    def fun(x: jax.Array) -> jax.Array:
        return (x[1:] ** 2 * x[:-1] ** 2).sum()

    x = jnp.linspace(1.0, 2.0, 9)
    found = asdex.hessian(fun, x, decompression="substitution", output_format="dense")(x)
    np.testing.assert_allclose(found, jax.jit(jax.hessian(fun))(x), rtol=1e-5, atol=1e-5)
    color = partial(asdex.hessian_coloring, fun, x, decompression="substitution")
    with pytest.raises(ValueError, match="without postprocess"):
        color(postprocess=True)
    with pytest.raises(ValueError, match="needs a symmetric coloring"):
        color(symmetric=False)


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
            color(np.ones((20, 20)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asdex.jacobian_coloring_from_sparsity(np.ones((16, 16)))
        asdex.hessian_coloring_from_sparsity(patterns.band(9, 3))


@pytest.mark.usefixtures("without_annotation_checks")
def test_unknown_modes():
    with pytest.raises(ValueError, match="Expected 'fwd' or 'rev'"):
        asdex.jacobian_coloring_from_sparsity(np.eye(3), mode="forward")  # pyright: ignore
    with pytest.raises(ValueError, match="Expected 'fwd_over_rev'"):
        asdex.hessian_coloring_from_sparsity(np.eye(3), mode="fwd")  # pyright: ignore
