"""Jacobians in mode `"bidirectional"`, from the coloring to the values."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Array, Bool, Float

import asdex
from asdex import ColoredPattern, InvalidColoringError, OutputFormat, SparsityPattern

from ..helpers import todense
from . import drawn


def arrow(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Its Jacobian has a dense last row and column, and a diagonal."""
    return jnp.append(x[:-1] ** 2 * x[-1], jnp.sum(jnp.sin(x)))


X = jnp.linspace(0.5, 1.5, 12)


@pytest.mark.parametrize("output_format", ["bcoo", "dense", "scipy_csr"])
@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_three_passes_give_the_whole_matrix(
    output_format: OutputFormat, chunk_size: int | None
):
    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    assert coloring.num_colors == 3
    assert 0 < coloring.num_jvps < 3
    jacobian = asdex.jacobian_from_coloring(
        arrow, coloring, output_format, chunk_size=chunk_size
    )
    found = jacobian(X)
    np.testing.assert_allclose(todense(found), jax.jit(jax.jacobian(arrow))(X), rtol=1e-12)


def test_a_chunk_holds_products_of_one_kind():
    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    jacobian = asdex.jacobian_from_coloring(arrow, coloring, "dense", chunk_size=1)
    loops = [
        equation
        for equation in jax.make_jaxpr(jax.jit(jacobian, inline=True))(X).eqns
        if equation.primitive.name == "scan"
    ]
    lengths = sorted(loop.params["length"] for loop in loops)
    assert lengths == sorted((coloring.num_jvps, 3 - coloring.num_jvps))


def test_inside_transformations():
    jacobian = asdex.jacobian(arrow, X, mode="bidirectional", output_format="dense")
    expected = jax.jit(jax.jacobian(arrow))
    batch = jnp.stack([X, 2 * X])
    np.testing.assert_allclose(jax.jit(jacobian)(X), expected(X), rtol=1e-12)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(jacobian))(batch), jax.vmap(expected)(batch)
    )
    found = jax.jit(jax.grad(lambda x: jacobian(x).sum()))(X)
    np.testing.assert_allclose(found, jax.grad(lambda x: expected(x).sum())(X), rtol=1e-12)


def test_wide_and_tall():
    for function, x in (
        (lambda x: jnp.stack([x.sum(), x[0] * x[1], x[2]]), X),
        (lambda x: jnp.outer(x, jnp.ones(5)).ravel() * x[0], X[:3]),
    ):
        jacobian = asdex.jacobian(function, x, mode="bidirectional", output_format="dense")
        np.testing.assert_allclose(
            jacobian(x), jax.jit(jax.jacobian(function))(x), rtol=1e-12
        )


def test_function_is_traced_once():
    calls = []

    def function(x: Float[Array, " n"]) -> Float[Array, " n"]:
        calls.append(x)
        return arrow(x)

    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    asdex.jacobian_from_coloring(function, coloring)(X)
    assert len(calls) == 1


def test_compressed_form_is_a_pair():
    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    forward, reverse = asdex.compressed_jacobian_from_coloring(arrow, coloring)(X)
    assert forward.shape == (coloring.num_jvps, 12)
    assert reverse.shape == (3 - coloring.num_jvps, 12)
    matrix = asdex.decompress((forward, reverse), coloring)
    np.testing.assert_allclose(
        matrix.todense(), jax.jit(jax.jacobian(arrow))(X), rtol=1e-12
    )
    with pytest.raises(ValueError, match="shapes"):
        asdex.decompress_data((reverse, forward[:0]), coloring)


@pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")
@given(drawn.matrices)
def test_any_matrix_is_recovered(dense: Bool[np.ndarray, "m n"]):
    matrix = dense * np.arange(1.0, dense.size + 1).reshape(dense.shape)
    coloring = asdex.jacobian_coloring_from_sparsity(dense, mode="bidirectional")
    n, k = coloring.sparsity.n, coloring.num_jvps
    seeds = np.arange(coloring.num_colors)[:, None] == coloring.colors
    pair = jnp.asarray(seeds[:k, :n] @ matrix.T), jnp.asarray(seeds[k:, n:] @ matrix)
    found = jax.jit(lambda pair: asdex.decompress(pair, coloring, "dense"))(pair)
    np.testing.assert_array_equal(found, matrix)


def test_checks_of_correctness():
    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    asdex.check_jacobian_correctness(arrow, X, coloring)
    asdex.check_jacobian_correctness(arrow, X, coloring, method="dense")


def test_text_file_and_equality(tmp_path: Path):
    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    assert "2 JVPs and 1 VJP (instead of 12 VJPs or 12 JVPs)" in str(coloring)
    coloring.save(tmp_path / "coloring.npz")
    assert ColoredPattern.load(tmp_path / "coloring.npz") == coloring


def test_colorings_made_by_hand():
    pattern = SparsityPattern.from_dense(np.array([[1, 1], [0, 1]]))
    ColoredPattern(pattern, np.array([-1, 0, 1, -1]), 2, False, "bidirectional")
    with pytest.raises(InvalidColoringError, match=r"Entry \(0, 0\)"):
        ColoredPattern(pattern, np.array([-1, 0, -1, 1]), 2, False, "bidirectional")
    with pytest.raises(InvalidColoringError, match=r"Entry \(0, 0\)"):
        ColoredPattern(pattern, np.array([0, 0, -1, -1]), 1, False, "bidirectional")
    with pytest.raises(ValueError, match="must be larger"):
        ColoredPattern(pattern, np.array([-1, 1, 0, -1]), 2, False, "bidirectional")
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        ColoredPattern(pattern, np.array([0, 1]), 2, False, "bidirectional")


@pytest.mark.parametrize("chunk_size", [None, 1, 2])
def test_an_infinite_derivative_spoils_nothing_else(chunk_size: int | None):
    def fun(x: Float[Array, " n"]) -> Float[Array, " n"]:
        return jnp.append(jnp.sqrt(x[1:]) * x[0], jnp.sum(x))

    x = jnp.arange(1.0, 17.0).at[3].set(0.0)
    derivative = asdex.jacobian(
        fun, x, mode="bidirectional", output_format="dense", chunk_size=chunk_size
    )
    found = derivative(x)
    forward, reverse = jax.jit(lambda x: (jax.jacfwd(fun)(x), jax.jacrev(fun)(x)))(x)
    finite = jnp.isfinite(forward) & jnp.isfinite(reverse)
    np.testing.assert_allclose(found[finite], forward[finite])


def test_what_is_impossible():
    @jax.custom_vjp
    def square(x: Float[Array, " n"]) -> Float[Array, " n"]:
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))
    with pytest.raises(ValueError, match="impossible for this function"):
        asdex.jacobian_coloring(square, X, mode="bidirectional")
    with pytest.raises(ValueError, match="cannot be symmetric"):
        asdex.jacobian_coloring(arrow, X, mode="bidirectional", symmetric=True)
    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    with pytest.raises(ValueError, match="Hessian needs a coloring"):
        asdex.hessian_from_coloring(lambda x: x.sum(), coloring)
