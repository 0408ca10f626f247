"""Verification catches what is wrong, and only that."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]
X = jnp.linspace(1.0, 2.0, 7)


def f(x: jax.Array) -> jax.Array:
    return (x[1:] - x[:-1]) ** 3 + jnp.sin(x[:-1])


def g(x: jax.Array) -> jax.Array:
    return jnp.sum(f(x) ** 2)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
@pytest.mark.parametrize("method", ["matvec", "dense"])
def test_right_derivatives_pass(method: Any, dtype: Any) -> None:
    x = X.astype(dtype)
    for mode in ("fwd", "rev"):
        coloring = asdex.jacobian_coloring(f, x, mode=mode)
        asdex.check_jacobian_correctness(f, x, coloring, method=method)
    for mode in ("fwd_over_rev", "rev_over_fwd", "rev_over_rev"):
        coloring = asdex.hessian_coloring(g, x, mode=mode)
        asdex.check_hessian_correctness(g, x, coloring, method=method)


def test_several_arguments_and_complex_numbers() -> None:
    def fun(x: jax.Array, y: jax.Array, flag: bool) -> dict[str, jax.Array]:
        return {"a": x * y.sum(), "b": y**2 if flag else y}

    args = (X, X[:3], True)
    coloring = asdex.jacobian_coloring(fun, *args, argnums=(1, 0))
    asdex.check_jacobian_correctness(fun, *args, coloring)
    z = X + 1j
    asdex.check_jacobian_correctness(f, z, asdex.jacobian_coloring(f, z))


def test_bidirectional_colorings() -> None:
    def arrow(x: jax.Array) -> jax.Array:
        return x**2 + x[0] + jnp.zeros_like(x).at[0].set(x.sum())

    coloring = asdex.jacobian_coloring(arrow, X, mode="bidirectional")
    assert coloring.num_colors < 7
    for method in ("matvec", "dense"):
        asdex.check_jacobian_correctness(arrow, X, coloring, method=method)
    for build in (
        asdex.jacobian_from_coloring,
        asdex.compressed_jacobian_from_coloring,
    ):
        build(arrow, coloring, checked=True)(X)
    with pytest.raises(asdex.VerificationError, match="row 2, column 3: not in"):
        asdex.check_jacobian_correctness(
            lambda x: arrow(x) + jnp.zeros_like(x).at[2].set(x[3]), X, coloring
        )


def test_substitution() -> None:
    def arrow(x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(x[1:] * x[:-1])) + x[0] ** 2 * jnp.sum(x**2)

    pattern = asdex.hessian_sparsity(arrow, X)
    coloring = asdex.hessian_coloring_from_sparsity(pattern, decompression="substitution")
    assert coloring.substitution is not None
    for method in ("matvec", "dense"):
        asdex.check_hessian_correctness(arrow, X, coloring, method=method)
    for build in (asdex.hessian_from_coloring, asdex.compressed_hessian_from_coloring):
        build(arrow, coloring, checked=True)(X)


@pytest.mark.parametrize("shape", [(6, 8), (8, 6)])
def test_every_missing_entry_is_found(shape: tuple[int, int]) -> None:
    """Random matrices, whose colorings lack one entry."""
    rng = np.random.default_rng(shape[0])
    m, n = shape
    for _ in range(15):
        matrix = np.where(rng.random((m, n)) < 0.4, rng.lognormal(sigma=2, size=(m, n)), 0)
        entries = np.argwhere(matrix)
        row, col = entries[rng.integers(len(entries))]
        mode = ("fwd", "rev")[rng.integers(2)]
        method = ("matvec", "dense")[rng.integers(2)]
        colors = np.arange(m if mode == "rev" else n)
        pattern = matrix.copy()
        pattern[row, col] = 0
        coloring = asdex.ColoredPattern(
            asdex.SparsityPattern.from_dense(pattern), colors, colors.size, False, mode
        )

        x = jnp.asarray(rng.standard_normal(n))
        fun = partial(jnp.matmul, jnp.asarray(matrix))
        where = f"row {row}, column {col}: not in the pattern, by JAX"
        with pytest.raises(asdex.VerificationError, match=where):
            asdex.check_jacobian_correctness(fun, x, coloring, method=method)


def test_wrong_values_are_named() -> None:
    """A symmetric coloring of a matrix that is not symmetric."""

    def fun(x: jax.Array) -> jax.Array:
        return jnp.stack([x[0] + x[1], 3 * x[0] + x[1]])

    coloring = asdex.jacobian_coloring(fun, X[:2], symmetric=True)
    for method in ("matvec", "dense"):
        with pytest.raises(asdex.VerificationError, match=r"row \d, column \d: \d.0, by"):
            asdex.check_jacobian_correctness(fun, X[:2], coloring, method=method)


def test_tolerances() -> None:
    coloring = asdex.jacobian_coloring_from_sparsity(np.eye(7))

    def nearly_diagonal(x: jax.Array) -> jax.Array:
        return x + 1e-3 * jnp.roll(x, 1)

    for method in ("matvec", "dense"):
        with pytest.raises(asdex.VerificationError, match=r"and \d+ more|column"):
            asdex.check_jacobian_correctness(nearly_diagonal, X, coloring, method=method)
        asdex.check_jacobian_correctness(
            nearly_diagonal, X, coloring, method=method, atol=1e-2
        )


@pytest.mark.usefixtures("without_annotation_checks")
def test_wrong_use() -> None:
    jacobian, hessian = asdex.jacobian_coloring(f, X), asdex.hessian_coloring(g, X)
    with pytest.raises(ValueError, match=r"method 'sparse'. Expected 'matvec' or 'dense'"):
        asdex.check_jacobian_correctness(f, X, jacobian, method="sparse")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"mode 'fwd_over_rev'. Expected 'fwd' or 'rev'"):
        asdex.check_jacobian_correctness(g, X, hessian)
    with pytest.raises(ValueError, match=r"mode 'fwd'"):
        asdex.check_hessian_correctness(g, X, jacobian)
    with pytest.raises(ValueError, match="num_probes must be positive"):
        asdex.check_jacobian_correctness(f, X, jacobian, num_probes=0)
    with pytest.raises(ValueError, match="does not match expected"):
        asdex.check_jacobian_correctness(f, X[1:], jacobian)


def saturated(x: jax.Array) -> jax.Array:
    return jax.nn.softmax(x)


def saturated_in_parts(x: jax.Array) -> jax.Array:
    return jax.nn.softmax(x.reshape(2, -1), axis=1).ravel()


def underflowing(x: jax.Array) -> jax.Array:
    return jnp.exp(-(x**2)) * jnp.roll(x, 1)


def cancelling(x: jax.Array) -> jax.Array:
    return (1e4 + x) ** 2 - (1e4 + jnp.roll(x, 1)) ** 2


@pytest.mark.parametrize("scale", [30.0, 60.0, 100.0])
@pytest.mark.parametrize(
    "function", [saturated, saturated_in_parts, underflowing, cancelling]
)
def test_rounding_errors_of_numbers_that_cancel_are_no_mistakes(
    function: Any, scale: float
) -> None:
    x = jnp.asarray(scale * np.random.default_rng(0).normal(size=20), jnp.float32)
    coloring = asdex.jacobian_coloring(function, x)
    for method in ("matvec", "dense"):
        asdex.check_jacobian_correctness(function, x, coloring=coloring, method=method)
    asdex.jacobian_from_coloring(function, coloring, checked=True)(x)


@pytest.mark.parametrize("function", [saturated_in_parts, underflowing])
def test_missing_entries_among_such_numbers_are_found(function: Any) -> None:
    x = jnp.asarray(3 * np.random.default_rng(0).normal(size=20), jnp.float32)
    pattern = asdex.jacobian_sparsity(function, x)
    dense = jax.jit(jax.jacfwd(function))(x)
    values = np.abs(np.asarray(dense)[pattern.rows, pattern.cols])
    for missing in np.flatnonzero(values > 1e-3 * values.max())[::9]:
        rows, cols = np.delete(pattern.rows, missing), np.delete(pattern.cols, missing)
        coloring = asdex.jacobian_coloring_from_sparsity(
            asdex.SparsityPattern(rows, cols, pattern.shape), algorithm=asdex.Greedy()
        )
        with pytest.raises(asdex.VerificationError):
            asdex.check_jacobian_correctness(function, x, coloring=coloring, num_probes=1)


def test_arguments_are_those_of_the_function() -> None:
    def fun(x: jax.Array, y: jax.Array, *, scale: float) -> jax.Array:
        return scale * x * y

    coloring = asdex.jacobian_coloring(fun, X, X, scale=2.0, argnums=1)
    asdex.check_jacobian_correctness(fun, X, X, scale=3.0, coloring=coloring)
    asdex.check_jacobian_correctness(fun, X, X, coloring, scale=3.0)


def test_without_a_coloring(without_annotation_checks: None) -> None:
    del without_annotation_checks
    asdex.check_jacobian_correctness(f, X)
    asdex.check_hessian_correctness(lambda x: (f(x) ** 2).sum(), X)
    pattern: Any = asdex.jacobian_sparsity(f, X)
    with pytest.raises(TypeError, match=r"_from_sparsity\. Got SparsityPattern"):
        asdex.check_jacobian_correctness(f, X, coloring=pattern)
