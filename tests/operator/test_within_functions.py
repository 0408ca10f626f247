"""Functions that contain operators, against dense JAX."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import lineax as lx
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


def in_pairs(u: Array) -> Array:
    """Elements that depend on each other in twos."""
    pairs = u.reshape(3, 2)
    other = pairs[:, ::-1]
    return (pairs * jnp.sin(pairs) + 4 * pairs - 0.5 * other * pairs - 0.3 * other).ravel()


SOLVES = {
    "direct": {"solver": "superlu"},
    "iterative": {"solver": "bicgstab", "preconditioner": "ilu", "rtol": 1e-13},
}


@pytest.mark.parametrize("name", [*SOLVES, "lineax"])
def test_solves_couple_what_is_in_one_block(name: str) -> None:
    """Also where the matrix depends on the input."""
    matrix = asdex.jacobian(in_pairs, X, output_format="operator")
    blocks = np.kron(np.eye(3), np.ones((2, 2)))

    def step(u: Array) -> Array:
        if name != "lineax":
            return u - matrix(u).solve(in_pairs(u), **SOLVES[name])
        operator = lx.JacobianLinearOperator(lambda u, args: in_pairs(u), u)
        return u - lx.linear_solve(operator, in_pairs(u), asdex.lineax.Sparse()).value

    def expected(u: Array) -> Array:
        return u - jnp.linalg.solve(jax.jacobian(in_pairs)(u), in_pairs(u))

    derivative = asdex.jacobian(step, X, output_format="dense")
    np.testing.assert_array_equal(derivative.sparsity.todense(), blocks)
    np.testing.assert_allclose(derivative(X), jax.jacobian(expected)(X), atol=1e-12)
