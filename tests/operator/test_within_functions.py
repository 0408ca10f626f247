"""Functions that contain operators, against dense JAX."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import asdex

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]

X = jnp.linspace(0.1, 1, 6)


def residual(u: Array) -> Array:
    return u * jnp.sin(u) + 3 * u - 0.5 * jnp.roll(u, 1) * u - 0.3 * jnp.roll(u, -1)


A = asdex.jacobian(residual, X, output_format="operator")
D = jax.jacobian(residual)

PAIRS = {
    "solve": (lambda u: A(X).solve(u), lambda u: jnp.linalg.solve(D(X), u)),
    "transposed_solve": (lambda u: A(X).T.solve(u), lambda u: jnp.linalg.solve(D(X).T, u)),
    "newton_step": (
        lambda u: u - A(u).solve(residual(u)),
        lambda u: u - jnp.linalg.solve(D(u), residual(u)),
    ),
    "product": (lambda u: A(u) @ u, lambda u: D(u) @ u),
    "gram": (lambda u: (A(u).T @ A(u)) @ u, lambda u: D(u).T @ (D(u) @ u)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_operators_within(name: str) -> None:
    """Products are sparse; the inverse of a matrix is full within its blocks."""
    sparse, dense = PAIRS[name]
    expected = jax.jacobian(dense)(X)
    found = asdex.jacobian(sparse, X, output_format="dense")(X)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    pattern = asdex.jacobian_sparsity(sparse, X)
    assert pattern.nnz == np.count_nonzero(np.abs(expected) > 1e-12)

    def total(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda u: jnp.sum(f(u) ** 2)

    expected = jax.hessian(total(dense))(X)
    found = asdex.hessian(total(sparse), X, output_format="dense")(X)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_solver_that_returns_more_than_the_solution() -> None:
    """What a solver returns in addition does not depend on the right-hand side."""
    matrix = jnp.kron(jnp.eye(2), jnp.array([[2.0, 1.0], [0.0, 3.0]]))

    def f(x: Array) -> Array:
        def solve(_: object, b: Array) -> tuple[Array, tuple[Array, Array]]:
            return jnp.linalg.solve(matrix, b), (jnp.sum(b), jnp.asarray(3))

        x, (total, _) = jax.lax.custom_linear_solve(
            lambda v: matrix @ v, x, solve, has_aux=True
        )
        return x + total

    x = jnp.arange(1.0, 5.0)
    found = asdex.jacobian(f, x, output_format="dense")(x)
    np.testing.assert_allclose(found, jax.jacfwd(f)(x))
    assert asdex.jacobian_sparsity(f, x).nnz == 8
