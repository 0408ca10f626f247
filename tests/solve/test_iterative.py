"""Iterative solves agree with dense ones, or report that they did not converge."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex import Iterative, NotConvergedError, SparseJacobian, SparsityPattern
from asdex._linalg.solvers.iterative.clusters import clusters

from .cases import check_close, grid_mask

pytestmark = pytest.mark.usefixtures("standard_promotion")

N = 20


def matrix(method: str, dtype: Any = np.float64) -> np.ndarray:
    """A grid, Hermitian and positive definite for `"cg"`."""
    rng = np.random.default_rng(1)
    full = grid_mask(4, 5) * (
        rng.normal(size=(N, N)) + 1j * rng.normal(size=(N, N)) - 2 * np.eye(N)
    )
    if not np.issubdtype(dtype, np.complexfloating):
        full = full.real
    full = full + full.conj().T if method == "cg" else full
    return (full + 12 * np.eye(N)).astype(dtype)


def operator(dense: np.ndarray) -> SparseJacobian:
    pattern = SparsityPattern.from_dense(dense)
    return SparseJacobian(jnp.asarray(dense[pattern.rows, pattern.cols]), pattern)


def rhs(dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng(2)
    b = rng.normal(size=N) + 1j * rng.normal(size=N)
    return (b if np.issubdtype(dtype, np.complexfloating) else b.real).astype(dtype)


def divide(r: Any) -> Any:
    return r / 12


SOLVES: list[tuple[Any, Any, Any]] = [
    ("cg", None, np.complex64),
    ("cg", "jacobi", np.float32),
    ("cg", "block_jacobi", np.complex128),
    ("cg", "ilu", np.complex128),
    ("cg", "amg", np.float64),
    ("gmres", None, np.float32),
    ("gmres", "ilu", np.complex128),
    ("gmres", divide, np.float64),
    ("bicgstab", None, np.complex128),
    ("bicgstab", "ilu", np.float32),
    ("bicgstab", "block_jacobi", np.complex64),
]


@pytest.mark.parametrize(("method", "preconditioner", "dtype"), SOLVES)
def test_solves(method: Any, preconditioner: Any, dtype: Any) -> None:
    if preconditioner == "amg":
        pytest.importorskip("pyamg")
    dense, b = matrix(method, dtype), rhs(dtype)
    rtol = 10 * float(np.finfo(dtype).eps)
    solver = Iterative(method, preconditioner=preconditioner, rtol=rtol)

    @jax.jit
    def compute(a: SparseJacobian, b: Any) -> Any:
        f = a.factorize(solver=solver)
        return f.solve(b), f.T.solve(b)

    x, transposed = compute(operator(dense), b)
    assert x.dtype == dtype
    check_close(x, np.linalg.solve(dense, b), 20 * rtol)
    check_close(transposed, np.linalg.solve(dense.T, b), 20 * rtol)


@pytest.mark.parametrize(
    ("method", "preconditioner"),
    [("cg", "jacobi"), ("bicgstab", "ilu")],
)
def test_derivatives_and_batches(method: Any, preconditioner: Any) -> None:
    a, b = operator(matrix(method)), jnp.asarray(rhs())
    solver = Iterative(method, preconditioner=preconditioner, rtol=1e-13)

    def sparse(scale: Any, b: Any) -> Any:
        return (a.shift(scale) * scale).solve(b, solver=solver)

    def dense(scale: Any, b: Any) -> Any:
        return jnp.linalg.solve(scale * (a.todense() + scale * jnp.eye(N)), b)

    def derived(solve: Callable[[Any, Any], Any]) -> Any:
        def element(scale: Any, b: Any) -> Any:
            return solve(scale, b)[3]

        both = jax.value_and_grad(element, (0, 1))
        second = jax.jvp(jax.grad(element), (2.0, b), (1.0, b))
        scales = jnp.array([1.0, 2.0])
        return jax.vmap(both, (0, None))(scales, b), second

    check_close(jax.jit(lambda: derived(sparse))(), derived(dense), 1e-9)


def test_batches_of_operators_and_several_vectors() -> None:
    dense = np.stack([matrix("gmres"), 2 * matrix("gmres").T])
    pattern = SparsityPattern.from_dense(dense[0])
    a = SparseJacobian(jnp.asarray(dense[:, pattern.rows, pattern.cols]), pattern)
    older = a.factorize()
    solver = Iterative("bicgstab", preconditioner=older, rtol=1e-12)
    b = np.stack([rhs(), 3 * rhs()], -1)
    x = a.solve(jnp.asarray(np.stack([b, b])), solver=solver)
    check_close(x, np.linalg.solve(dense, b), 1e-10)
    one = jax.tree.map(lambda data: data[0], a)
    with pytest.raises(ValueError, match=r"a batch of shape \(2,\)"):
        one.solve(b[:, 0], solver=solver)


def test_no_derivative_by_what_a_preconditioner_refers_to() -> None:
    a, b = operator(matrix("cg")), rhs()

    def total(data: Any, size: Any) -> Any:
        solver = Iterative("cg", preconditioner=lambda r: r / size, rtol=1e-12)
        return SparseJacobian(data, a.sparsity).solve(b, solver=solver).sum()

    np.testing.assert_array_equal(jax.grad(total, 1)(a.data, 12.0), 0.0)
    by_data, by_size = jax.jit(jax.jacfwd(total, (0, 1)))(a.data, 12.0)
    x, y = np.linalg.solve(matrix("cg"), b), np.linalg.solve(matrix("cg").T, np.ones(N))
    rows, cols = a.sparsity.rows, a.sparsity.cols
    np.testing.assert_allclose(by_data, -y[rows] * x[cols], rtol=1e-8)
    np.testing.assert_array_equal(by_size, 0.0)


def test_modules_precondition() -> None:
    class Scaling(eqx.Module):
        sizes: jax.Array

        def __call__(self, r: Any) -> Any:
            return r / self.sizes

    a, b = operator(matrix("gmres")), rhs()
    scaling = Scaling(jnp.full(N, 12.0))
    batch = jax.tree.map(lambda data: jnp.stack([data, 2 * data]), a)
    for op, factor in ((a, 1), (batch, np.array([[1.0], [2.0]]))):
        x = op.solve(
            b * jnp.ones_like(op.data[..., :1]),
            solver="gmres",
            rtol=1e-10,
            preconditioner=scaling,
        )
        check_close(x * factor @ matrix("gmres").T, b * np.ones_like(x), tolerance=1e-8)


def test_an_older_factorization_in_a_loop() -> None:
    """One step would do with the matrix itself, and few do with one near it."""
    a, b = operator(matrix("gmres")), jnp.asarray(rhs())
    few = {"rtol": 1e-8, "max_steps": 4, "preconditioner": a.factorize()}

    @jax.jit
    def compute(a: SparseJacobian) -> Any:
        f = a.factorize(solver="bicgstab", **few)

        def step(f: Any, scale: Any) -> Any:
            f = f.update(a.shift(scale))
            return f, (f.solve(b), f.T.solve(b))

        return jax.lax.scan(step, f, jnp.array([0.0, 0.1]))[1]

    x, transposed = compute(a)
    for k, shift in enumerate((0.0, 0.1)):
        dense = a.todense() + shift * np.eye(N)
        check_close(x[k], np.linalg.solve(dense, b), 1e-7)
        check_close(transposed[k], np.linalg.solve(dense.T, b), 1e-7)


def singular(method: str) -> np.ndarray:
    return grid_mask(4, 5) - np.diag(grid_mask(4, 5).sum(1))


def rotation(method: str) -> np.ndarray:
    return np.eye(N, k=1) - np.eye(N, k=-1) + 0.1 * np.eye(N)


def hard(method: str) -> np.ndarray:
    return np.diag(np.logspace(-12, 0, N)) + 0 * grid_mask(4, 5)


FAILURES: list[tuple[Any, Callable[[str], np.ndarray], dict[str, Any]]] = [
    ("cg", singular, {}),
    ("gmres", singular, {"preconditioner": "jacobi"}),
    ("bicgstab", singular, {"preconditioner": "ilu"}),
    ("cg", rotation, {}),
    ("gmres", hard, {"max_steps": 3}),
    ("bicgstab", hard, {"max_steps": 2}),
    ("cg", matrix, {"rtol": 1e-30}),
    ("cg", matrix, {"preconditioner": lambda r: r * jnp.nan}),
    ("bicgstab", matrix, {"preconditioner": jnp.zeros_like}),
]


@pytest.mark.parametrize(("method", "make", "options"), FAILURES)
def test_not_converged(method: Any, make: Any, options: dict[str, Any]) -> None:
    a, b = operator(make(method)), jnp.asarray(rhs())
    options = {"max_steps": 50} | options
    with pytest.raises(NotConvergedError, match=f"solver='{method}' did not converge"):
        a.solve(b, solver=method, **options)
    assert np.isnan(a.solve(b, solver=method, throw=False, **options)).all()


def test_not_converged_inside_of_jit() -> None:
    a, b = operator(singular("cg")), jnp.asarray(rhs())
    assert np.isnan(jax.jit(lambda a: a.solve(b, solver="cg"))(a)).all()
    with pytest.raises(Exception, match="did not converge"):
        jax.block_until_ready(jax.jit(lambda a: a.solve(b, solver="cg", throw=True))(a))


@pytest.mark.parametrize("method", ["cg", "gmres", "bicgstab"])
def test_right_hand_sides(method: Any) -> None:
    """Zeros, numbers whose squares are out of range, and those that are not finite."""
    a, b = operator(matrix(method, np.float32)), rhs(np.float32)
    x = np.linalg.solve(matrix(method), b)
    f = a.factorize(solver=method, preconditioner="jacobi")
    for scale in (0.0, 1e-30, 1e30):
        found = f.solve(jnp.asarray(np.float32(scale) * b))
        check_close(found, np.float32(scale) * x, 1e-4)
    assert np.isnan(f.solve(jnp.asarray(b).at[3].set(jnp.nan))).all()
    assert np.isnan((a * jnp.nan).solve(b, solver=method)).all()
    check_close(f.solve(1j * b), 1j * x, 1e-4)


def test_least_squares_and_determinants() -> None:
    a, b = operator(matrix("gmres")), rhs()
    solver = Iterative("cg", preconditioner="jacobi", rtol=1e-13)
    check_close(a.lstsq(b, solver=solver), np.linalg.solve(matrix("gmres"), b), 1e-9)
    with pytest.raises(ValueError, match="computes no determinant"):
        a.slogdet(solver=solver)


@pytest.mark.usefixtures("without_annotation_checks")
def test_what_is_refused() -> None:
    a, b = operator(matrix("gmres")), rhs()
    refused: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (TypeError, "rtol: options of iterative solvers", {"rtol": 1e-3}),
        (ValueError, "Unknown preconditioner 'lu'", {"preconditioner": "lu"}),
        (TypeError, "Got int", {"preconditioner": 3}),
        (ValueError, "less than 1", {"rtol": 1.0}),
        (ValueError, "one of them positive", {"rtol": 0}),
        (ValueError, "at least 0", {"atol": float("nan")}),
        (ValueError, "max_steps must be at least 1", {"max_steps": 0}),
        (ValueError, r"equal shape. Got \(19,\)", {"preconditioner": lambda r: r[1:]}),
    ]
    for kind, message, options in refused:
        solver = "superlu" if kind is TypeError and "rtol" in options else "gmres"
        with pytest.raises(kind, match=message):
            a.solve(b, solver=solver, **options)
    smaller = asdex.diag(jnp.ones(3)).factorize()
    with pytest.raises(ValueError, match="has 3 unknowns, but the matrix 20"):
        a.solve(b, solver="gmres", preconditioner=smaller)


def test_clusters_are_small_and_connected() -> None:
    pattern = SparsityPattern.from_dense(np.kron(np.eye(3), grid_mask(10)))
    group = clusters(pattern, 16)
    assert np.bincount(group).max() <= 16
    assert np.unique(group).size < 60
    assert not np.intersect1d(group[:100], group[100:]).size
    inside = group[pattern.rows] == group[pattern.cols]
    assert inside.mean() > 0.5
