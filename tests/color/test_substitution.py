"""Hessians by substitution, from the acyclic coloring to the values."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Array, Bool, Float

import asdex
from asdex import ColoredPattern, InvalidColoringError, OutputFormat, SparsityPattern
from asdex._color.substitution import plan_substitution

from ..helpers import todense
from . import drawn, patterns

pytestmark = pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")


def rosenbrock(x: Float[Array, " n"]) -> Float[Array, ""]:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def membrane(u: Float[Array, "side side"]) -> Float[Array, ""]:
    return jnp.sum(jnp.cosh(jnp.diff(u, axis=0))) + jnp.sum(jnp.diff(u, axis=1) ** 4)


X = jnp.linspace(0.5, 1.5, 40)
U = jnp.sin(jnp.arange(36.0)).reshape(6, 6)


def coloring_of(function: Callable[..., Array], x: Array) -> ColoredPattern:
    return asdex.hessian_coloring(function, x, decompression="substitution")


@pytest.mark.parametrize("output_format", ["bcoo", "dense"])
@pytest.mark.parametrize("chunk_size", [None, 1])
def test_hessians(output_format: OutputFormat, chunk_size: int | None):
    for function, x, most in ((rosenbrock, X, 2), (membrane, U, 4)):
        coloring = coloring_of(function, x)
        assert coloring.num_colors <= most
        hessian = asdex.hessian_from_coloring(
            function, coloring, output_format, chunk_size=chunk_size
        )
        found = hessian(x)
        np.testing.assert_allclose(
            todense(found), jax.jit(jax.hessian(function))(x), rtol=1e-9, atol=1e-9
        )


def test_inside_transformations():
    hessian = asdex.hessian_from_coloring(rosenbrock, coloring_of(rosenbrock, X), "dense")
    expected, batch = jax.jit(jax.hessian(rosenbrock)), jnp.stack([X, 2 * X])
    np.testing.assert_allclose(jax.jit(hessian)(X), expected(X), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(hessian))(batch), jax.vmap(expected)(batch), rtol=1e-9, atol=1e-9
    )
    found = jax.jit(jax.grad(lambda x: (hessian(x) ** 2).sum()))(X)
    reference = jax.grad(lambda x: (expected(x) ** 2).sum())(X)
    np.testing.assert_allclose(found, reference, rtol=1e-9)


def test_several_inputs():
    def function(x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
        return jnp.sum(x[1:] * y[:-1] ** 2) + rosenbrock(x)

    coloring = asdex.hessian_coloring(
        function, X, X, argnums=(0, 1), decompression="substitution"
    )
    found = asdex.hessian_from_coloring(function, coloring, "dense")(X, X)
    expected = jax.jit(jax.hessian(function, argnums=(0, 1)))(X, X)
    for i in range(2):
        for j in range(2):
            np.testing.assert_allclose(found[i][j], expected[i][j], rtol=1e-9, atol=1e-9)


@given(drawn.symmetric_matrices)
def test_any_matrix_is_recovered(dense: Bool[np.ndarray, "n n"]):
    numbers = np.arange(1.0, dense.size + 1).reshape(dense.shape)
    matrix = dense * (numbers + numbers.T)
    coloring = asdex.hessian_coloring_from_sparsity(dense, decompression="substitution")
    asdex.check_coloring_acyclic(dense, np.maximum(coloring.colors, 0))
    seeds = np.arange(coloring.num_colors)[:, None] == coloring.colors
    recover = jax.jit(lambda compressed: asdex.decompress(compressed, coloring, "dense"))
    found = recover(jnp.asarray(seeds @ matrix))
    np.testing.assert_allclose(found, matrix, rtol=1e-12)


def test_checks_and_files(tmp_path: Path):
    coloring = coloring_of(membrane, U)
    asdex.check_hessian_correctness(membrane, U, coloring)
    coloring.save(tmp_path / "coloring.npz")
    assert ColoredPattern.load(tmp_path / "coloring.npz") == coloring
    assert jax.tree.leaves(coloring) == []


@given(drawn.symmetric_matrices, st.lists(st.integers(-1, 3), min_size=7, max_size=7))
def test_colors_that_do_not_fit_the_substitution(
    dense: Bool[np.ndarray, "n n"], others: list[int]
):
    """A plan is accepted with other colors only if it recovers any matrix from them."""
    pattern = SparsityPattern.from_dense(dense)
    coloring = asdex.hessian_coloring_from_sparsity(pattern, decompression="substitution")
    colors = np.array(others[: pattern.n], np.int32)

    def build() -> asdex.ColoredPattern:
        return asdex.ColoredPattern(
            pattern, colors, 4, True, "fwd", substitution=coloring.substitution
        )

    matrix = np.random.default_rng(0).integers(1, 2**20, dense.shape).astype(float)
    matrix = np.where(dense, matrix + matrix.T, 0.0)
    try:
        accepted = build()
    except asdex.InvalidColoringError:
        return
    compressed = np.zeros((4, pattern.n))
    for color, column in zip(colors, matrix.T, strict=True):
        if color >= 0:
            compressed[color] += column
    with jax.enable_x64(True):
        found = asdex.decompress_data(jnp.asarray(compressed), accepted)
    np.testing.assert_array_equal(found, matrix[pattern.rows, pattern.cols])


def test_plans_of_other_colorings_are_refused():
    pattern = patterns.band(4, 3)
    plan = asdex.hessian_coloring_from_sparsity(
        pattern, decompression="substitution"
    ).substitution
    for colors in ([0, 0, 0, 0], [0, 1, 1, 0], [0, -1, 1, 0], [-1] * 4):
        with pytest.raises(asdex.InvalidColoringError):
            asdex.ColoredPattern(
                pattern, np.array(colors), 2, True, "fwd", substitution=plan
            )


def test_what_is_refused():
    with pytest.raises(InvalidColoringError, match="cycle of two colors"):
        plan_substitution(patterns.cycle(4), np.array([0, 1, 0, 1], np.int32))
    with pytest.raises(ValueError, match="needs a symmetric coloring"):
        asdex.hessian_coloring_from_sparsity(
            np.eye(3), symmetric=False, decompression="substitution"
        )
    colors = np.array([0, 1, 0], np.int32)
    plan = plan_substitution(patterns.path(3), colors)
    with pytest.raises(ValueError, match="for a pattern with 4 entries"):
        ColoredPattern(
            SparsityPattern.from_dense(np.eye(3)), colors, 2, True, "fwd_over_rev",
            substitution=plan,
        )  # fmt: skip
    with pytest.raises(ValueError, match="belongs to a symmetric coloring"):
        ColoredPattern(patterns.path(3), colors, 2, False, "fwd", substitution=plan)
