"""`A.lstsq`: the solutions of NumPy's `lstsq`, and their derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex import SparseJacobian, SparsityPattern

from .matrices import dense, numbers, operator


def oblong(m: int, n: int, dtype: Any = np.float64) -> SparseJacobian:
    """Of full rank: three entries in each row (column, if it is wide)."""
    lines, places = max(m, n), min(m, n)
    rows = np.repeat(np.arange(lines), 3)
    cols = (rows + np.tile([0, 1, 3], lines)) % places
    if m < n:
        rows, cols = cols, rows
    return operator(SparsityPattern(rows, cols, (m, n)), (), dtype)


def expected(matrix: Any, b: Any, damping: Any = 0.0) -> Any:
    """By the dense normal equations."""
    m, n = matrix.shape
    adjoint = matrix.conj().T
    if m >= n or np.ndim(damping):
        shift = jnp.diag(jnp.broadcast_to(jnp.asarray(damping, matrix.dtype), (n,)))
        return jnp.linalg.solve(adjoint @ matrix + shift, adjoint @ b)
    return adjoint @ jnp.linalg.solve(
        matrix @ adjoint + damping * jnp.eye(m, dtype=matrix.dtype), b
    )


SHAPES = [(12, 7), (7, 12), (8, 8)]
each_shape = pytest.mark.parametrize("shape", SHAPES)


@each_shape
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_solutions(shape: tuple[int, int], dtype: Any) -> None:
    a, b = oblong(*shape, dtype), numbers(shape[:1], dtype)
    matrix = dense(a)
    x = a.lstsq(b)
    assert x.dtype == dtype
    tolerance = 1e4 * float(np.finfo(dtype).eps)
    wanted = np.linalg.lstsq(matrix, b)[0]
    np.testing.assert_allclose(x, wanted, rtol=tolerance, atol=tolerance)
    damped = jax.jit(lambda a, b: a.lstsq(b, damping=0.3))(a, b)
    wanted = expected(matrix, b, np.asarray(0.3, matrix.dtype))
    np.testing.assert_allclose(damped, wanted, rtol=tolerance, atol=tolerance)


def test_one_damping_for_each_column() -> None:
    for shape in SHAPES:
        a, b = oblong(*shape), numbers(shape[:1])
        damping = 0.1 + np.arange(shape[1])
        found = a.lstsq(b, damping=damping)
        np.testing.assert_allclose(found, expected(dense(a), b, damping), rtol=1e-8)


@each_shape
def test_derivatives(shape: tuple[int, int]) -> None:
    a, b = oblong(*shape), numbers(shape[:1])
    rows, cols = a.sparsity.rows, a.sparsity.cols

    def ours(data: Any, b: Any, damping: Any) -> Any:
        return SparseJacobian(data, a.sparsity).lstsq(b, damping=damping)

    def theirs(data: Any, b: Any, damping: Any) -> Any:
        return expected(jnp.zeros(a.shape).at[rows, cols].set(data), b, damping)

    arguments = a.data, jnp.asarray(b), jnp.asarray(0.5)
    for transform in (jax.jacfwd, jax.jacrev):
        pair = [jax.jit(transform(f, (0, 1, 2)))(*arguments) for f in (ours, theirs)]
        for found, wanted in zip(*pair, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8)


def test_the_error_grows_with_the_condition_number_only() -> None:
    """Not with its square, which is 1e10 here."""
    a = oblong(40, 20).scale_cols(np.logspace(0, -5, 20))
    x = numbers((20,)) * np.logspace(0, 5, 20)
    found = a.lstsq(a @ x)
    np.testing.assert_allclose(found, x, rtol=1e-9)


def test_pytrees_and_batches() -> None:
    flat = oblong(7, 4)
    domain, codomain = {"a": np.ones(1), "b": np.ones(3)}, (np.ones(()), np.ones((2, 3)))
    a = SparseJacobian(flat.data, flat.sparsity, domain, codomain)
    b = (jnp.asarray(0.5), jnp.ones((2, 3)))
    x = a.lstsq(b)
    assert jax.tree.map(jnp.shape, x) == {"a": (1,), "b": (3,)}
    many = jax.vmap(lambda a, b: a.lstsq(b))(
        jax.tree.map(lambda data: jnp.stack([data, 2 * data]), a),
        jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), b),
    )
    np.testing.assert_allclose(many["b"], jnp.stack([x["b"], x["b"] / 2]))


def test_matrices_without_full_rank() -> None:
    a = oblong(6, 3) * 0.0
    with pytest.raises(asdex.SingularMatrixError):
        a.lstsq(np.ones(6))
    np.testing.assert_array_equal(a.lstsq(np.ones(6), damping=1.0), np.zeros(3))
