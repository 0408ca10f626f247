"""`block`, `hstack`, `vstack`, `diag` and `kron` agree with those of NumPy."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex import SparseJacobian, SparsityPattern

from .matrices import dense, numbers, operator


def random(m: int, n: int, seed: int, batch: tuple[int, ...] = ()) -> SparseJacobian:
    mask = np.random.default_rng(seed).random((m, n)) < 0.5
    mask[0, 0] = True
    return operator(SparsityPattern.from_dense(mask), batch)


def test_blocks() -> None:
    h, a, d = random(4, 4, 0), random(3, 4, 1), asdex.diag(numbers((3,)))
    kkt = asdex.block([[h, a.T], [a, None]])
    zeros = np.zeros((3, 3))
    expected = np.block([[dense(h), dense(a).T], [dense(a), zeros]])
    np.testing.assert_array_equal(dense(kkt), expected)
    assert kkt.sparsity.is_sorted
    np.testing.assert_array_equal(
        dense(asdex.hstack([d, a])), np.hstack([dense(d), dense(a)])
    )
    np.testing.assert_array_equal(
        dense(asdex.vstack([h, a])), np.vstack([dense(h), dense(a)])
    )
    np.testing.assert_array_equal(dense(d), np.diag(d.data))


def test_kronecker_products() -> None:
    a, b = random(3, 4, 0), random(2, 5, 1)
    product = asdex.kron(a, b)
    np.testing.assert_allclose(dense(product), np.kron(dense(a), dense(b)))
    assert product.sparsity.is_sorted
    batch = asdex.kron(asdex.diag(jnp.ones(2)), random(2, 2, 2, (3,)))
    assert batch.data.shape[0] == 3
    with pytest.raises(ValueError, match=r"one shape. Got \[\(2,\), \(3,\)\]"):
        asdex.kron(asdex.diag(jnp.ones((2, 4))), batch)


def test_transformations() -> None:
    h, a = random(4, 4, 0), random(3, 4, 1)

    def solve(h: Any, a: Any, shift: Any) -> Any:
        corner = asdex.diag(jnp.full(3, -shift))
        return asdex.block([[h.shift(9.0), a.T], [a, corner]]).solve(jnp.ones(7)).sum()

    def expected(h: Any, a: Any, shift: Any) -> Any:
        corner = -shift * jnp.eye(3)
        matrix = jnp.block([[h + 9 * jnp.eye(4), a.T], [a, corner]])
        return jnp.linalg.solve(matrix, jnp.ones(7)).sum()

    found = jax.jit(jax.grad(solve, (0, 1, 2)))(h, a, 2.0)
    wanted = jax.grad(expected, (0, 1, 2))(h.todense(), a.todense(), 2.0)
    for part, whole in zip(found[:2], wanted[:2], strict=True):
        entries = part.sparsity.rows, part.sparsity.cols
        np.testing.assert_allclose(part.data, whole[entries])
    np.testing.assert_allclose(found[2], wanted[2])


def test_batches() -> None:
    h, a = random(4, 4, 0, (2,)), random(3, 4, 1)
    both = asdex.vstack([h, a])
    expected = np.stack([np.vstack([dense(h)[k], dense(a)]) for k in range(2)])
    np.testing.assert_array_equal(dense(both), expected)
    np.testing.assert_array_equal(dense(asdex.diag(jnp.ones((2, 3))))[1], np.eye(3))


def test_wrong_arguments(without_annotation_checks: None) -> None:
    del without_annotation_checks
    h, a = random(4, 4, 0), random(3, 4, 1)
    with pytest.raises(ValueError, match="equally many blocks"):
        asdex.block([[h, h], [a]])
    with pytest.raises(ValueError, match=r"equally many rows.*row 0 have \[3, 4\]"):
        asdex.hstack([h, a])
    with pytest.raises(ValueError, match=r"equally many columns.*column 1 have \[\]"):
        asdex.block([[h, None], [a, None]])
    with pytest.raises(ValueError, match="Got a number"):
        asdex.diag(1.0)
    batches = [asdex.diag(jnp.ones((k, 3))) for k in (2, 4)]
    with pytest.raises(ValueError, match=r"one shape. Got \[\(2,\), \(4,\)\]"):
        asdex.hstack(batches)
    with pytest.raises(TypeError, match=r"must be SparseJacobians\. Got .* ndarray"):
        asdex.block([[cast(Any, np.eye(2))]])
    with pytest.raises(TypeError, match="from a list"):
        asdex.vstack(cast(Any, h))


def test_diagonals_of_integers() -> None:
    np.testing.assert_array_equal(dense(asdex.diag(np.arange(3))), np.diag(np.arange(3.0)))
