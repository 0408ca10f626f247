"""Derivatives through values, products and solves, against dense JAX."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from asdex import SparseJacobian

from .matrices import PATTERNS, numbers, operator, symmetric_operator
from .problems import MODEL, NAMES, Model, X, dense_model, operator_of_model, problem

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]
# Derivatives of these are taken once more.
TWICE = ("linalg-laplacian", "pytrees-nested_dict", "scalars-structured")


def same(found: PyTree, expected: PyTree) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for leaf, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = np.abs(wanted).max(initial=1.0)
        np.testing.assert_allclose(leaf, wanted, rtol=1e-10, atol=1e-10 * scale)


def loss(a: SparseJacobian | Array, more: bool = False) -> Array:
    """A number computed by the operations of a matrix, an operator or dense."""
    m, n = a.shape[-2:]
    x, u = jnp.cos(jnp.arange(n) + 0.5), jnp.sin(jnp.arange(m) + 0.5)
    if isinstance(a, SparseJacobian):
        a = a.flat
        total = jnp.sum(jnp.tanh(a.mv(x))) + jnp.sum(a.rmv(u) ** 2)
        if m == n:
            total += jnp.sum(jnp.sin(a.shift(20.0).solve(u)))
        if not more:
            return total
        total += jnp.sum(a.gram().mv(x) ** 2) + jnp.sum(jnp.sin(a.todense()))
        if m == n:
            total += jnp.sum((a + a.T).shift(20.0).solve(u) ** 2)
        return total + a.norm() ** 2
    total = jnp.sum(jnp.tanh(a @ x)) + jnp.sum((u @ a) ** 2)
    shift = 20 * jnp.eye(m, n)
    if m == n:
        total += jnp.sum(jnp.sin(jnp.linalg.solve(a + shift, u)))
    if not more:
        return total
    total += jnp.sum((a.T @ (a @ x)) ** 2) + jnp.sum(jnp.sin(a))
    if m == n:
        total += jnp.sum(jnp.linalg.solve(a + a.T + shift, u) ** 2)
    return total + jnp.sum(a**2)


@pytest.mark.parametrize("name", NAMES)
def test_by_the_point(name: str) -> None:
    """First derivatives in both modes, and second ones of some."""
    case = problem(name)
    vector, unravel = ravel_pytree(case.arrays)
    direction = jnp.cos(jnp.arange(vector.size))

    def derivatives(matrix: Any, vector: Array) -> Any:
        fun = lambda vector: loss(matrix(unravel(vector)))  # noqa: E731
        pushed = jax.jvp(fun, (vector,), (direction,))
        if name in TWICE:
            return pushed, jax.jvp(jax.grad(fun), (vector,), (direction,))
        return pushed, jax.grad(fun)(vector)

    compute = jax.jit(derivatives, static_argnums=0)
    same(compute(case.operator, vector), compute(case.dense, vector))


def test_by_parameters_of_a_model() -> None:
    arrays, static = eqx.partition(MODEL, eqx.is_inexact_array)

    def fun(arrays: Model, x: Array, matrix: Any) -> Array:
        return loss(matrix(eqx.combine(arrays, static), x))

    def derivatives(matrix: Any, arrays: Model, x: Array) -> Any:
        by_both = jax.value_and_grad(fun, (0, 1))
        tangents = jax.tree.map(jnp.cos, (arrays, x))
        pushed = jax.jvp(lambda *args: by_both(*args, matrix), (arrays, x), tangents)
        rows = jax.jacrev(lambda a: matrix(eqx.combine(a, static), x) @ x)(arrays)
        return pushed, rows

    compute = jax.jit(derivatives, static_argnums=0)

    for found, expected in zip(
        compute(operator_of_model, arrays, X), compute(dense_model, arrays, X), strict=True
    ):
        same(found, expected)


def test_a_step_of_training() -> None:
    """Gradients have the structure of the model, so updates are plain maps of trees."""
    arrays, static = eqx.partition(MODEL, eqx.is_inexact_array)

    def fun(arrays: Model, matrix: Any) -> Array:
        return loss(matrix(eqx.combine(arrays, static), X))

    @jax.jit
    def train(arrays: Model) -> tuple[Model, Array]:
        def step(arrays: Model, _: None) -> tuple[Model, Array]:
            value, gradient = jax.value_and_grad(fun)(arrays, operator_of_model)
            return jax.tree.map(lambda p, g: p - 1e-4 * g, arrays, gradient), value

        return jax.lax.scan(step, arrays, None, length=5)

    trained, values = train(arrays)
    assert np.all(np.diff(values) < 0)
    expected = arrays
    gradient_of = jax.jit(jax.grad(fun), static_argnums=1)
    for _ in range(5):
        gradient = gradient_of(expected, dense_model)
        expected = jax.tree.map(lambda p, g: p - 1e-4 * g, expected, gradient)
    same(trained, expected)


# -- By the values of the operator itself ------------------------------------------------


@pytest.mark.parametrize(
    "a",
    [
        operator(PATTERNS["shuffled"]),
        operator(PATTERNS["all widths"]),
        operator(PATTERNS["no entries, square"]),
        symmetric_operator(),
    ],
    ids=["shuffled", "all widths", "no entries", "symmetric"],
)
def test_by_the_values(a: SparseJacobian) -> None:
    """`jax.grad` by an operator is an operator: the derivative by each of its values."""
    pattern = a.sparsity
    tangent = jax.tree.map(jnp.cos, a)

    def of_values(a: SparseJacobian) -> Array:
        return loss(a, more=True)

    def of_dense(data: Array) -> Array:
        matrix = jnp.zeros(pattern.shape).at[pattern.rows, pattern.cols].set(data)
        return loss(matrix, more=True)

    @jax.jit
    def compute(a: SparseJacobian, tangent: SparseJacobian) -> Any:
        found = jax.jvp(jax.value_and_grad(of_values), (a,), (tangent,))
        data = (a.data,), (tangent.data,)
        return found, jax.jvp(jax.value_and_grad(of_dense), *data)

    found, expected = compute(a, tangent)
    for one, other in zip(found, expected, strict=True):
        assert jax.tree.structure(one[1]) == jax.tree.structure(a)
        same((one[0], one[1].data), other)


def test_many_matrices_and_vectors() -> None:
    a = operator(PATTERNS["tridiagonal"], (3,)).shift(8.0)
    x = numbers((3, 7))

    def total(a: SparseJacobian, x: Array) -> Array:
        return jnp.sum(a.mv(x) ** 2) + jnp.sum(a.solve(x) ** 3) + jnp.sum(a @ x.T)

    def of_dense(matrix: Array, x: Array) -> Array:
        y = jnp.linalg.solve(matrix, x[..., None])
        return jnp.sum((matrix @ x[..., None]) ** 2) + jnp.sum(y**3) + jnp.sum(matrix @ x.T)

    by_values, by_x = jax.jit(jax.grad(total, (0, 1)))(a, x)
    dense, by_dense_x = jax.jit(jax.grad(of_dense, (0, 1)))(a.todense(), x)
    same(by_values.data, dense[:, a.sparsity.rows, a.sparsity.cols])
    same(by_x, by_dense_x)


def test_linear_in_the_vector() -> None:
    """`mv` can be transposed, and iterative solvers of JAX take it."""
    a = operator(PATTERNS["square"])
    x = jax.ShapeDtypeStruct((6,), np.float64)
    u = jnp.asarray(numbers((6,)))
    same(jax.linear_transpose(a.mv, x)(u)[0], a.rmv(u))
    spd = a.gram().shift(1.0)
    found, _ = jax.jit(lambda a, b: jax.scipy.sparse.linalg.cg(a.mv, b, tol=1e-14))(spd, u)
    same(found, jnp.linalg.solve(spd.todense(), u))


def test_a_gradient_need_not_be_symmetric() -> None:
    """Though it has the structure of a symmetric operator, its transpose is another."""
    a = symmetric_operator()
    weights, u = numbers((6, 6)), numbers((6,), seed=3)
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(weights * a.todense())))(a)
    expected = np.where(a.sparsity.todense(), weights, 0)
    assert jax.tree.structure(gradient) == jax.tree.structure(a)
    same(gradient.todense(), expected)
    same(gradient.T.todense(), expected.T)
    same(gradient.rmv(u), u @ expected)
    same(u @ gradient, u @ expected)
    same((gradient + a.T).todense(), expected + np.asarray(a.todense()))
