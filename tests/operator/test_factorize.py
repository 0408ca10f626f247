"""`A.factorize()`: factors that are used more than once, in all transformations."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex import Factorization, SparseJacobian, SparsityPattern
from asdex._linalg.solvers import SolverName
from asdex._linalg.solvers.host.store import STORE, Store

from .matrices import PATTERNS, dense, numbers, operator

SUITED: dict[SolverName, str] = {
    "auto": "shuffled",
    "diagonal": "diagonal",
    "tridiagonal": "tridiagonal",
    "banded": "square",
    "block_diagonal": "square",
    "triangular": "strictly upper",
    "dense": "square",
    "superlu": "square",
}
each_solver = pytest.mark.parametrize("solver", SUITED)


def regular(
    solver: SolverName, batch: tuple[int, ...] = (), dtype: Any = np.float64
) -> Any:
    shift = np.asarray(20, dtype)
    return operator(PATTERNS[SUITED[solver]], batch, dtype).shift(shift)


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@each_solver
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_solves_with_the_same_factors(solver: SolverName, dtype: Any) -> None:
    a = regular(solver, dtype=dtype)
    n, matrix = a.sparsity.m, dense(a)
    b, columns = numbers((n,), dtype), numbers((n, 3), dtype)

    @jax.jit
    def compute(f: Factorization) -> Any:
        return f.solve(b), f.T.solve(b), f.T.T.solve(columns), f.slogdet(), f.rcond()

    *solutions, determinant, rcond = compute(a.factorize(solver=solver))
    tolerance = 50 * float(np.finfo(dtype).eps)
    expected = matrix, matrix.T, matrix
    for x, m, right in zip(solutions, expected, (b, b, columns), strict=True):
        assert x.dtype == dtype
        close(x, np.linalg.solve(m, right), tolerance)
    for found, wanted in zip(determinant, np.linalg.slogdet(matrix), strict=True):
        close(found, wanted, tolerance)
    close(rcond, a.rcond(solver=solver), tolerance)


@each_solver
def test_batches(solver: SolverName) -> None:
    a = regular(solver, (2, 3))
    n, matrices = a.sparsity.m, dense(a)
    one, each, columns = numbers((n,)), numbers((2, 3, n)), numbers((2, 3, n, 2))
    f = a.factorize(solver=solver)
    close(f.solve(one), np.linalg.solve(matrices, one))
    close(f.solve(each), np.linalg.solve(matrices, each[..., None])[..., 0])
    close(f.T.solve(columns), np.linalg.solve(np.swapaxes(matrices, -1, -2), columns))
    found = jax.vmap(jax.vmap(lambda a, b: a.factorize(solver=solver).solve(b)))(a, each)
    close(found, f.solve(each))
    expected = np.linalg.slogdet(matrices)
    for k in range(2):
        close(f.slogdet()[k], expected[k])


Steps = Callable[[Factorization, Any], Any]
LOOPS: dict[str, Steps] = {
    "scan": lambda f, b: jax.lax.scan(
        lambda carry, _: ((carry[0], carry[0].solve(carry[1])), None), (f, b), length=3
    )[0][1],
    "while": lambda f, b: jax.lax.while_loop(
        lambda carry: carry[2] < 3,
        lambda carry: (carry[0], carry[0].solve(carry[1]), carry[2] + 1),
        (f, b, 0),
    )[1],
    "cond": lambda f, b: jax.lax.cond(
        b[0] > -1e9, lambda f: f.solve(f.solve(f.solve(b))), lambda f: b, f
    ),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("solver", ["tridiagonal", "dense", "superlu"])
def test_in_loops(loop: str, solver: SolverName) -> None:
    a = regular(solver)
    b, matrix = numbers((a.sparsity.m,)), dense(a)
    compute = jax.jit(lambda a, b: LOOPS[loop](a.factorize(solver=solver), b))
    expected = np.linalg.matrix_power(np.linalg.inv(matrix), 3) @ b
    close(compute(a, b), expected)
    many = jax.vmap(compute, (None, 0))(a, np.stack([b, 2 * b]))
    close(many, np.stack([expected, 2 * expected]))


@each_solver
def test_derivatives_of_any_order(solver: SolverName) -> None:
    a = regular(solver)
    b = numbers((a.sparsity.m,))
    rows, cols = a.sparsity.rows, a.sparsity.cols

    def loss(data: Any, b: Any) -> Any:
        f = SparseJacobian(data, a.sparsity).factorize(solver=solver)
        return (f.solve(f.T.solve(b)) ** 2).sum() + f.slogdet()[1]

    def expected(data: Any, b: Any) -> Any:
        matrix = jnp.zeros(a.shape).at[rows, cols].set(data)
        x = jnp.linalg.solve(matrix, jnp.linalg.solve(matrix.T, b))
        return (x**2).sum() + jnp.linalg.slogdet(matrix)[1]

    def all_of(loss: Any) -> Any:
        gradient = jax.grad(loss, (0, 1))
        both = jax.jit(lambda *args: (gradient(*args), jax.jacfwd(gradient, (0, 1))(*args)))
        return both(a.data, b)

    jax.tree.map(lambda x, y: close(x, y, 1e-10), all_of(loss), all_of(expected))


@each_solver
def test_condition_of_the_transpose(solver: SolverName) -> None:
    """In the norm of column sums it is that of the rows."""
    a = regular(solver)
    scale = jnp.where(np.arange(a.sparsity.m) == 0, 1e3, 1.0)
    a = asdex.diag(scale) @ a
    factors = a.factorize(solver=solver)
    for found, matrix in ((factors, dense(a)), (factors.T, dense(a).T)):
        exact = 1 / np.linalg.cond(matrix, 1)
        assert exact * 0.999 <= found.rcond() <= 3 * exact


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("wide", [np.float64, np.complex128])
def test_solutions_have_the_precision_of_the_factors(dtype: Any, wide: Any) -> None:
    a = asdex.diag(jnp.asarray([3, 7], dtype))
    b = jnp.ones(2, wide)
    x = a.factorize().solve(b)
    assert jnp.finfo(x.dtype).bits == 32
    close(x, np.asarray([1 / 3, 1 / 7]), 1e-6)
    assert jnp.finfo(a.solve(b).dtype).bits == 64
    assert jnp.iscomplexobj(x) == (np.complex64 == dtype or np.complex128 == wide)


def test_matrices_without_entries() -> None:
    none = asdex.SparsityPattern.from_coo([], [], (2, 2))
    for pattern, rcond in ((none, 0), (asdex.SparsityPattern.from_coo([], [], (0, 0)), 1)):
        a = SparseJacobian(jnp.zeros(0), pattern)
        assert a.factorize().rcond() == rcond

        def logarithm(data: Any, a: Any = a) -> Any:
            return replace(a, data=data).factorize().slogdet()[1]

        assert jax.grad(logarithm)(jnp.zeros(0)).shape == (0,)


def test_another_matrix_of_the_same_pattern() -> None:
    a = regular("superlu")
    f, b = a.factorize(solver="superlu"), numbers((6,))
    close(f.update(a * 2).solve(b), f.solve(b) / 2)
    close(f.T.update(a * 2).solve(b), f.T.solve(b) / 2)
    with pytest.raises(ValueError, match="pattern that was factored"):
        f.update(regular("tridiagonal"))


def test_pytrees() -> None:
    flat = regular("superlu")
    domain, codomain = {"a": np.ones(2), "b": np.ones((2, 2))}, (np.ones(()), [np.ones(5)])
    f = SparseJacobian(flat.data, flat.sparsity, domain, codomain).factorize()
    x = f.solve((jnp.asarray(0.5), [numbers((5,))]))
    assert jax.tree.map(jnp.shape, x) == {"a": (2,), "b": (2, 2)}
    back = f.T.solve(x)
    assert jax.tree.structure(back) == jax.tree.structure(codomain)


@each_solver
def test_singular_matrices(solver: SolverName) -> None:
    a = 0 * regular(solver)
    f, b = a.factorize(solver=solver), np.ones(a.sparsity.m)
    with pytest.raises(asdex.SingularMatrixError):
        f.solve(b)
    assert np.isnan(f.T.solve(b, throw=False)).all()
    sign, logarithm = f.slogdet()
    assert sign == 0
    assert logarithm == -np.inf


def test_not_square() -> None:
    oblong = SparseJacobian(np.ones(1), SparsityPattern([0], [1], (2, 3)))
    with pytest.raises(ValueError, match="square matrix"):
        oblong.factorize()


# -- The store ---------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["superlu", "banded"])
def test_results_do_not_depend_on_what_is_stored(solver: SolverName) -> None:
    a = regular(solver)
    b = numbers((6,))
    f = a.factorize(solver=solver)
    first = f.solve(b)
    STORE.clear()
    np.testing.assert_array_equal(f.solve(b), first)
    # A checksum of another matrix, too, only costs time: the values decide.
    factors = 2 * a.data, f.factors[1]
    other = replace(f, data=2 * a.data, factors=factors)
    close(other.solve(b), first / 2)
    np.testing.assert_array_equal(f.solve(b), first)


class Recorder:
    """Has no factors, and counts how often they are made."""

    def __init__(self) -> None:
        self.calls = 0

    def factor(self, values: Any) -> None:
        del values
        self.calls += 1


def test_the_oldest_factors_go_first() -> None:
    store, solver = Store(max_count=3, max_bytes=10**6), Recorder()
    matrices = [np.full(4, float(k)) for k in range(4)]
    for k in (0, 1, 2, 0, 3, 0, 2, 3):  # The fifth one takes the place of 1.
        store.factors(solver, matrices[k], k)
    assert solver.calls == 4
    store.factors(solver, matrices[1], 1)
    assert solver.calls == 5
    # Equal checksums do not make equal matrices.
    store.factors(solver, matrices[2], 1)
    assert solver.calls == 6
    assert len(store) == 3


def test_the_store_is_bounded_by_memory() -> None:
    store, solver = Store(max_count=100, max_bytes=100), Recorder()
    for k in range(10):
        store.factors(solver, np.full(8, float(k)), k)
    assert len(store) == 1
    store.factors(solver, np.full(8, 9.0), 9)
    assert solver.calls == 10
