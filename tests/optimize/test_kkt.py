"""KKT matrices agree with dense ones, as do solutions and their derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .problems import PROBLEMS, as_vector, dense, multipliers, program

EVERY = pytest.mark.parametrize("name", PROBLEMS)


def kkt(name: str, d: Any = 0.0, e: Any = 0.0) -> np.ndarray:
    """The dense matrix, with numbers or flat vectors on the diagonals."""
    _, _, x, args, _ = PROBLEMS[name]
    found = dense(name)(x, multipliers(name), args)
    n, m = found.hessian.shape[0], found.constraints.size
    h = found.hessian + np.diag(np.broadcast_to(d, n))
    return np.block(
        [[h, found.jacobian.T], [found.jacobian, -np.diag(np.broadcast_to(e, m))]]
    )


@EVERY
def test_values(name: str) -> None:
    (_, _, x, args, _), p, m = PROBLEMS[name], program(name), multipliers(name)
    found = p.kkt(x, m, *args)
    np.testing.assert_allclose(found.todense(), kkt(name), rtol=1e-12, atol=1e-12)
    assert found.symmetric
    assert found.sparsity.is_sorted
    assert found.sparsity.is_symmetric
    regularized = p.kkt(x, m, *args, primal_regularization=0.5, dual_regularization=2.0)
    assert regularized.sparsity == found.sparsity
    expected = kkt(name, 0.5, 2.0)
    np.testing.assert_allclose(regularized.todense(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["pytrees", "a_scalar_variable", "without_constraints"])
def test_regularization_by_pytrees(name: str) -> None:
    (_, _, x, args, _), p, m = PROBLEMS[name], program(name), multipliers(name)
    found = p.evaluate(x, m, *args).kkt(x, m)
    expected = kkt(name, as_vector(x), as_vector(m))
    np.testing.assert_allclose(found.todense(), expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="primal_regularization must"):
        p.kkt(x, m, *args, primal_regularization=np.ones(99))


def test_the_factor_of_the_objective() -> None:
    (_, _, x, _, _), p, m = PROBLEMS["a_dense_row"], program("a_dense_row"), jnp.zeros(8)
    found = p.kkt(x, m, objective_factor=0.0)
    np.testing.assert_array_equal(found.todense()[:8, :8], 0)


def test_solutions_and_their_derivatives() -> None:
    name = "pytrees"
    (_, _, x, _, _), p, m = PROBLEMS[name], program(name), multipliers(name)

    def sparse(d: Any, e: Any, scale: Any) -> Any:
        matrix = p.evaluate(x, jax.tree.map(lambda leaf: scale * leaf, m)).kkt(d, e)
        step = matrix.solve((x, m))
        assert jax.tree.structure(step) == jax.tree.structure((x, m))
        return as_vector(step)

    def reference(d: Any, e: Any, scale: Any) -> Any:
        found = dense(name)(x, jax.tree.map(lambda leaf: scale * leaf, m), ())
        n, count = found.hessian.shape[0], found.constraints.size
        matrix = jnp.block(
            [
                [found.hessian + d * jnp.eye(n), found.jacobian.T],
                [found.jacobian, -e * jnp.eye(count)],
            ]
        )
        return jnp.linalg.solve(matrix, as_vector((x, m)))

    at = jnp.asarray(3.0), jnp.asarray(0.5), jnp.asarray(1.5)
    np.testing.assert_allclose(sparse(*at), reference(*at), rtol=1e-9)
    found = jax.jit(jax.jacrev(sparse, (0, 1, 2)))(*at)
    expected = jax.jacrev(reference, (0, 1, 2))(*at)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    many = jnp.asarray([1.0, 2.0, 3.0])
    batch = jax.vmap(sparse, (0, None, None))(many, *at[1:])
    for d, step in zip(many, batch, strict=True):
        np.testing.assert_allclose(step, reference(d, *at[1:]), rtol=1e-9)


def test_batches() -> None:
    name = "parameters"
    (_, _, x, (args,), _), p, m = PROBLEMS[name], program(name), multipliers(name)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), args)
    batch = jax.vmap(lambda args: p.evaluate(x, m, args))(many).kkt(x, 0.5)
    assert batch.batch_shape == (2,)
    for k in range(2):
        one = jax.tree.map(lambda leaf, k=k: leaf[k], many)
        expected = p.kkt(x, m, one, primal_regularization=x, dual_regularization=0.5)
        np.testing.assert_allclose(batch.todense()[k], expected.todense(), rtol=1e-12)
