"""`A.solve`: pytrees, batches, several right-hand sides, and singular matrices.

The back ends are tested in `tests/solve`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex import SparseJacobian, SparsityPattern

from .matrices import PATTERNS, dense, numbers, operator, symmetric_operator

NAMES = ["square", "shuffled", "tridiagonal", "diagonal", "arrow", "strictly upper"]


def regular(
    name: str, batch: tuple[int, ...] = (), dtype: Any = np.float64
) -> SparseJacobian:
    return operator(PATTERNS[name], batch, dtype).shift(np.asarray(20, dtype))


def close(found: Any, expected: Any, dtype: Any = np.float64) -> None:
    assert found.dtype == dtype
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_patterns(name: str) -> None:
    a = regular(name)
    n = a.sparsity.m
    b, columns = numbers((n,)), numbers((n, 3))

    def solve(a: SparseJacobian, b: Any, columns: Any) -> Any:
        return a.solve(b), a.T.solve(b), a.solve(columns), asdex.solve(a, b)

    for compute in (jax.jit(solve), solve) if name == "square" else (jax.jit(solve),):
        found = compute(a, b, columns)
        close(found[0], np.linalg.solve(dense(a), b))
        close(found[1], np.linalg.solve(dense(a).T, b))
        close(found[2], np.linalg.solve(dense(a), columns))
        close(found[3], found[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_types(dtype: Any) -> None:
    a = regular("shuffled", (), dtype)
    b = numbers((6,), dtype)
    found = jax.jit(lambda a, b: (a.solve(b), a.H.solve(b), a.solve(np.arange(6))))(a, b)
    close(found[0], np.linalg.solve(dense(a), b), dtype)
    close(found[1], np.linalg.solve(dense(a).conj().T, b), dtype)
    close(found[2], np.linalg.solve(dense(a), np.arange(6)), dtype)


@pytest.mark.parametrize("name", ["shuffled", "tridiagonal", "diagonal"])
def test_batches(name: str) -> None:
    a = regular(name, (2, 3))
    n = a.sparsity.m
    one, each, columns = (numbers(shape) for shape in ((n,), (2, 3, n), (2, 3, n, 2)))

    @jax.jit
    def compute(a: SparseJacobian, one: Any, each: Any, columns: Any) -> Any:
        first = jax.tree.map(lambda data: data[0, 0], a)
        return (
            (a.solve(one), jax.vmap(jax.vmap(lambda a: a.solve(one)))(a)),
            (a.solve(each), jax.vmap(jax.vmap(lambda a, b: a.solve(b)))(a, each)),
            (a.solve(columns), jax.vmap(lambda a, b: a.solve(b))(a, columns)),
            jax.vmap(first.solve)(each[0]),
        )

    *found, with_first = compute(a, one, each, columns)
    matrices = dense(a)
    ones = np.broadcast_to(one, (2, 3, n))
    for pair, b in zip(found, (ones[..., None], each[..., None], columns), strict=True):
        for x in pair:
            close(x.reshape(b.shape), np.linalg.solve(matrices, b))
    close(with_first, np.linalg.solve(matrices[0, 0], each[0].T).T)


def test_a_batch_as_large_as_the_matrix() -> None:
    """Shapes distinguish vectors from columns even if all numbers are equal."""
    a = regular("strictly upper", (4,))
    b = numbers((4, 4))
    close(a.solve(b), np.linalg.solve(dense(a), b[..., None])[..., 0])
    columns = numbers((4, 4, 4))
    close(a.solve(columns), np.linalg.solve(dense(a), columns))
    one = jax.tree.map(lambda data: data[0], a)
    close(one.solve(b), np.linalg.solve(dense(one), b))


def test_nothing_to_solve() -> None:
    assert regular("nothing").solve(np.ones(0)).shape == (0,)
    assert regular("nothing").solve(np.ones((0, 2))).shape == (0, 2)
    assert regular("square").solve(np.ones((6, 0))).shape == (6, 0)
    assert regular("square", (0,)).solve(np.ones((0, 6))).shape == (0, 6)


def test_pytrees() -> None:
    flat = regular("square")
    domain, codomain = {"a": np.ones(2), "b": np.ones((2, 2))}, (np.ones(()), [np.ones(5)])
    a = SparseJacobian(flat.data, flat.sparsity, domain, codomain)
    b = (jnp.asarray(0.5), [numbers((5,))])
    x = a.solve(b)
    assert jax.tree.map(jnp.shape, x) == {"a": (2,), "b": (2, 2)}
    found = a.mv(x)
    close(found[0], b[0])
    close(found[1][0], b[1][0])
    back = a.T.mv(a.T.solve(x))
    assert jax.tree.structure(back) == jax.tree.structure(x)
    close(back["b"], x["b"])
    # Flat right-hand sides go to the flat operator, where many are allowed.
    vectors = numbers((6, 2))
    close(a.flat.solve(vectors), np.linalg.solve(dense(a), vectors))
    many = jax.vmap(a.solve)((jnp.ones(3), [numbers((3, 5))]))
    assert many["b"].shape == (3, 2, 2)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_symmetric(batch: tuple[int, ...]) -> None:
    a = symmetric_operator(batch=batch).shift(20.0)
    b = numbers((*batch, 6))
    assert a.symmetric
    expected = np.linalg.solve(dense(a), b[..., None])[..., 0]
    close(a.solve(b), expected)
    close(a.T.solve(b), expected)


# -- Singular matrices -------------------------------------------------------------------

DIAGONAL = PATTERNS["diagonal"]
SINGULAR: dict[str, SparseJacobian] = {
    "diagonal": SparseJacobian(np.array([1.0, 0.0, 2.0, 1.0, 1.0]), DIAGONAL),
    "tridiagonal": 0 * operator(PATTERNS["tridiagonal"]),
    "by structure": operator(PATTERNS["strictly upper"]),
    "sparse": operator(PATTERNS["arrow"]).scale_rows(np.arange(18) != 3),
    "dense": SparseJacobian(np.ones(9), SparsityPattern.from_dense(np.ones((3, 3)))),
    "no entries": operator(PATTERNS["no entries, square"]),
}
each_singular = pytest.mark.parametrize("a", SINGULAR.values(), ids=SINGULAR)


@each_singular
def test_singular_outside_of_jit(a: SparseJacobian) -> None:
    b = np.ones(a.sparsity.m)
    for throw in (None, True):
        with pytest.raises(asdex.SingularMatrixError, match=r"singular.*throw=False"):
            a.solve(b, throw=throw)
    assert issubclass(asdex.SingularMatrixError, np.linalg.LinAlgError)
    assert np.isnan(a.solve(b, throw=False)).all()


@each_singular
def test_singular_inside_of_jit(a: SparseJacobian) -> None:
    b = np.ones(a.sparsity.m)
    compiled: Callable[..., Any] = jax.jit(
        lambda a, b: (a.solve(b), a.solve(b, throw=False), a.T.solve(b))
    )
    assert all(np.isnan(x).all() for x in compiled(a, b))


def test_throw_inside_of_jit() -> None:
    solve = jax.jit(lambda a, b: a.solve(b, throw=True))
    with pytest.raises(RuntimeError, match=r"singular.*throw=False"):
        jax.block_until_ready(solve(SINGULAR["diagonal"], np.ones(5)))
    close(solve(regular("diagonal"), np.ones(5)), 1 / dense(regular("diagonal")).diagonal())


def test_singular_under_other_transformations() -> None:
    a, b = SINGULAR["diagonal"], np.ones(5)
    with pytest.raises(asdex.SingularMatrixError):
        jax.grad(lambda b: jnp.sum(a.solve(b)))(b)
    assert np.isnan(jax.grad(lambda b: jnp.sum(a.solve(b, throw=False)))(b)).any()
    assert np.isnan(jax.vmap(a.solve)(np.ones((2, 5)))).all()


def test_one_singular_matrix_of_a_batch() -> None:
    data = jnp.stack([SINGULAR["diagonal"].data, jnp.full(5, 2.0)])
    batch, b = SparseJacobian(data, DIAGONAL), np.ones((2, 5))
    with pytest.raises(asdex.SingularMatrixError):
        batch.solve(b)
    for x in (
        batch.solve(b, throw=False),
        jax.jit(lambda a: a.solve(b))(batch),
        jax.vmap(lambda a: a.solve(np.ones(5)))(batch),
    ):
        assert np.isnan(x[0]).all()
        close(x[1], np.full(5, 0.5))


def test_values_that_are_not_finite_are_no_singular_matrix() -> None:
    a = regular("square") * np.nan
    assert np.isnan(a.solve(np.ones(6))).all()
    assert np.isnan(regular("square").solve(np.full(6, np.nan))).all()
