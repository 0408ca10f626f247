"""`SparseLinearOperator` agrees with the dense operators of lineax."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import asdex
from asdex import SparseJacobian, SparsityPattern
from asdex.lineax import SparseLinearOperator

MASKS: dict[str, np.ndarray] = {
    "full": np.ones((4, 4)),
    "diagonal": np.eye(4),
    "tridiagonal": np.tri(4, k=1) - np.tri(4, k=-2),
    "lower": np.tri(4),
    "upper": np.tri(4).T,
    "wide": np.ones((3, 5)),
    "tall": np.ones((5, 3)),
}
each_mask = pytest.mark.parametrize("name", MASKS)


def matrix(name: str, dtype: Any = np.float64) -> SparseJacobian:
    pattern = SparsityPattern.from_dense(MASKS[name])
    data = np.random.default_rng(0).normal(size=(2, pattern.nnz))
    data = data[0] + 1j * data[1] if dtype is np.complex128 else data[0]
    square = pattern.m == pattern.n
    a = SparseJacobian(data.astype(dtype), pattern)
    return a.shift(np.asarray(5, dtype)) if square else a


@each_mask
def test_what_the_pattern_proves(name: str) -> None:
    operator = SparseLinearOperator(matrix(name))
    square = name not in ("wide", "tall")
    proved = {
        lx.is_diagonal: ("diagonal",),
        lx.is_symmetric: ("diagonal",),
        lx.is_tridiagonal: ("diagonal", "tridiagonal"),
        lx.is_lower_triangular: ("diagonal", "lower"),
        lx.is_upper_triangular: ("diagonal", "upper"),
        lx.has_unit_diagonal: (),
        lx.is_positive_semidefinite: (),
        lx.is_negative_semidefinite: (),
    }
    tags = {
        lx.is_diagonal: lx.diagonal_tag,
        lx.is_symmetric: lx.symmetric_tag,
        lx.is_tridiagonal: lx.tridiagonal_tag,
        lx.is_lower_triangular: lx.lower_triangular_tag,
        lx.is_upper_triangular: lx.upper_triangular_tag,
        lx.has_unit_diagonal: lx.unit_diagonal_tag,
        lx.is_positive_semidefinite: lx.positive_semidefinite_tag,
        lx.is_negative_semidefinite: lx.negative_semidefinite_tag,
    }
    for question, names in proved.items():
        assert question(operator) == (name in names)
        if square:
            assert question(SparseLinearOperator(operator.matrix, tags[question]))


@each_mask
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_products_and_conversions(name: str, dtype: Any) -> None:
    a = matrix(name, dtype)
    operator, dense = SparseLinearOperator(a), np.asarray(a.todense())
    x, y = np.arange(1.0, dense.shape[1] + 1), np.arange(1.0, dense.shape[0] + 1)
    x, y = jnp.asarray(x, dtype), jnp.asarray(y, dtype)
    np.testing.assert_allclose(operator.mv(x), dense @ x)
    np.testing.assert_allclose(operator.T.mv(y), dense.T @ y)
    np.testing.assert_allclose(lx.conj(operator).mv(x), dense.conj() @ x)
    np.testing.assert_allclose(operator.as_matrix(), dense)
    assert lx.linearise(operator) is lx.materialise(operator) is operator
    assert operator.in_structure().shape == x.shape
    assert operator.out_structure().shape == y.shape
    composed = lx.MatrixLinearOperator(jnp.asarray(dense.T)) @ operator + 2 * (
        operator.T @ operator
    )
    np.testing.assert_allclose(composed.mv(x), 3 * dense.T @ dense @ x)
    if dense.shape[0] == dense.shape[1]:
        np.testing.assert_allclose(lx.diagonal(operator), dense.diagonal())
        diagonal, lower, upper = lx.tridiagonal(operator)
        np.testing.assert_allclose(diagonal, dense.diagonal())
        np.testing.assert_allclose(lower, dense.diagonal(-1))
        np.testing.assert_allclose(upper, dense.diagonal(1))


SOLVERS = {
    "full": [lx.LU(), lx.QR(), lx.SVD(), lx.GMRES(rtol=1e-12, atol=1e-12)],
    "diagonal": [lx.Diagonal(), lx.Triangular(), lx.AutoLinearSolver(well_posed=None)],
    "tridiagonal": [lx.Tridiagonal(), lx.AutoLinearSolver(well_posed=True)],
    "lower": [lx.Triangular()],
    "upper": [lx.Triangular()],
    "wide": [lx.QR(), lx.SVD()],
    "tall": [lx.QR(), lx.SVD(), lx.Normal(lx.Cholesky())],
}
PAIRS = [(name, solver) for name, solvers in SOLVERS.items() for solver in solvers]


@pytest.mark.parametrize(("name", "solver"), PAIRS)
def test_solvers_of_lineax(name: str, solver: Any) -> None:
    """The operator as that of any solver, with its derivatives."""
    a = matrix(name)
    rows, cols = a.sparsity.rows, a.sparsity.cols
    b = jnp.arange(1.0, a.shape[0] + 1)

    def ours(data: Any, b: Any) -> Any:
        operator = SparseLinearOperator(SparseJacobian(data, a.sparsity))
        return lx.linear_solve(operator, b, solver).value

    def theirs(data: Any, b: Any) -> Any:
        dense = jnp.zeros(a.shape).at[rows, cols].set(data)
        return jnp.linalg.pinv(dense) @ b

    for transform in (lambda f: f, jax.jacfwd, jax.jacrev):
        found, expected = (jax.jit(transform(f))(a.data, b) for f in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)
    many = jax.vmap(ours)(jnp.stack([a.data, 2 * a.data]), jnp.stack([b, b]))
    np.testing.assert_allclose(many[1], many[0] / 2, rtol=1e-8, atol=1e-8)


def test_pytrees() -> None:
    x = {"a": jnp.arange(1.0, 3.0), "b": jnp.ones(())}

    def fun(x: Any) -> Any:
        return [x["a"] * x["b"], x["b"] ** 2]

    operator = SparseLinearOperator(asdex.jacobian(fun, x, output_format="operator")(x))
    expected = lx.JacobianLinearOperator(lambda x, _: fun(x), x)
    assert operator.in_structure() == expected.in_structure()
    assert operator.out_structure() == expected.out_structure()
    np.testing.assert_allclose(operator.as_matrix(), expected.as_matrix())
    solution = lx.linear_solve(operator, [jnp.ones(2), jnp.ones(())], lx.LU()).value
    assert jax.tree.map(jnp.shape, solution) == {"a": (2,), "b": ()}


def test_wrong_arguments(without_annotation_checks: None) -> None:
    del without_annotation_checks
    a = matrix("full")
    with pytest.raises(TypeError, match=r"takes a SparseJacobian.*ndarray"):
        SparseLinearOperator(np.eye(2))  # pyright: ignore[reportArgumentType]
    batch = jax.tree.map(lambda data: jnp.stack([data, data]), a)
    with pytest.raises(ValueError, match=r"takes one matrix.*\(2,\)"):
        SparseLinearOperator(batch)
