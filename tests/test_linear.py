"""What does not change: constant entries, and the matrices of linear functions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Array

import asdex

X = jnp.linspace(0.1, 1.0, 8)
A = np.diag(np.arange(1.0, 9.0)) + np.diag(np.full(7, -2.0), 1)


def heat(u: Array) -> Array:
    """Constant diffusion, a source that is not linear, and fixed ends."""
    inside = 3 * (u[2:] - 2 * u[1:-1] + u[:-2]) + u[1:-1] ** 2
    return jnp.concatenate([u[:1] - 1, inside, u[-1:]])


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "heat": heat,
    "linear": lambda u: 2 * jnp.roll(u, 1) - jnp.asarray(A) @ u,
    "nonlinear": lambda u: jnp.sin(u[1:]) * u[:-1],
    "partly": lambda u: jnp.concatenate([u[:3] * 2, u[3:] ** 2, jnp.sum(u)[None]]),
    "independent": lambda u: jnp.ones(3) + 0 * u[:3],
    "without_coefficients": jnp.sort,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_constant_entries_have_these_values_everywhere(name: str) -> None:
    fun = FUNCTIONS[name]
    found = asdex.constant_entries(fun, X)
    assert found.sparsity == asdex.jacobian_sparsity(fun, X)
    assert not found.values[~found.is_constant].any()
    for scale in (1.0, -3.0, 17.0):
        at = found.sparsity.rows, found.sparsity.cols
        dense = np.asarray(jax.jacfwd(fun)(scale * X))[at]
        np.testing.assert_array_equal(
            dense[found.is_constant], found.values[found.is_constant]
        )


def test_which_entries_are_constant() -> None:
    found = asdex.constant_entries(heat, X)
    on_diagonal = found.sparsity.rows == found.sparsity.cols
    at_ends = np.isin(found.sparsity.rows, (0, 7))
    np.testing.assert_array_equal(found.is_constant, ~on_diagonal | at_ends)
    assert asdex.constant_entries(FUNCTIONS["linear"], X).is_constant.all()
    assert not asdex.constant_entries(FUNCTIONS["nonlinear"], X).is_constant.any()
    assert not asdex.constant_entries(jnp.sort, X).is_constant.any()


def test_constant_entries_of_a_hessian() -> None:
    def energy(u: Array) -> Array:
        return jnp.sum((u[1:] - u[:-1]) ** 2) + jnp.sum(u**4)

    found = asdex.constant_entries(energy, X, order=2)
    diagonal = found.sparsity.rows == found.sparsity.cols
    np.testing.assert_array_equal(found.is_constant, ~diagonal)
    np.testing.assert_array_equal(found.values, np.where(diagonal, 0, -2))
    derivative = asdex.hessian(energy, X)
    np.testing.assert_array_equal(derivative.constant_entries.values, found.values)
    with pytest.raises(ValueError, match="order must be 1 or 2"):
        asdex.constant_entries(energy, X, order=3)


def test_a_linear_function_takes_no_pass() -> None:
    derivative = asdex.jacobian(FUNCTIONS["linear"], X, output_format="operator")
    program = jax.make_jaxpr(lambda x: derivative(x).data)(X)
    jaxpr, used = dce_jaxpr(program.jaxpr, [True])
    assert used == [False]
    assert not jaxpr.eqns or {eqn.primitive.name for eqn in jaxpr.eqns} <= {"copy"}


LINEAR: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "stencil": (FUNCTIONS["linear"], X),
    "traced_factor": (lambda u: jnp.sin(jnp.arange(8.0)) * u, X),
    "without_coefficients": (jnp.cumsum, X),
    "solve": (lambda u: jnp.linalg.solve(jnp.asarray(A), u), X),
    "tree": (lambda t: {"a": 2 * t["u"][1:], "b": jnp.sum(t["v"])}, {"u": X, "v": X[:3]}),
    "masked": (lambda u: jnp.where(jnp.arange(8) < 3, u, 0.0), X),
    "written": (lambda u: jnp.zeros(9).at[1:].add(u), X),
    "filled": (lambda u: u.at[jnp.array([3, 1])].get(mode="fill"), X),
    "loop": (lambda u: jax.lax.fori_loop(0, 3, lambda _, v: v[::-1] * 2, u), X),
}


@pytest.mark.parametrize("name", LINEAR)
def test_materialized_functions(name: str) -> None:
    fun, x = LINEAR[name]
    avals = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x)
    for sample in (x, avals):
        matrix = asdex.materialize(fun, sample)
        assert isinstance(matrix, asdex.SparseJacobian)
        jax.tree.map(
            lambda found, expected: np.testing.assert_allclose(
                found, expected, rtol=1e-12, atol=1e-12
            ),
            matrix.mv(x),
            fun(x),
        )


def test_a_materialized_function_may_close_over_tracers() -> None:
    def product(a: Array) -> Array:
        return asdex.materialize(lambda u: a * jnp.roll(u, 1), X).mv(X)

    np.testing.assert_allclose(jax.jit(product)(X), X * jnp.roll(X, 1))
    gradient = jax.grad(lambda a: jnp.sum(product(a)))(X)
    np.testing.assert_allclose(gradient, jnp.roll(X, 1))


def test_a_materialized_complex_function() -> None:
    z = X.astype(complex) * (1 + 2j)
    matrix = asdex.materialize(lambda u: (1 - 3j) * u[::-1], z)
    np.testing.assert_allclose(matrix.mv(z), (1 - 3j) * z[::-1])


@pytest.mark.parametrize(
    "fun", [jnp.conj, lambda u: jax.lax.complex(jnp.real(u), jnp.real(u))]
)
def test_functions_linear_in_real_numbers_only(fun: Callable[[Array], Array]) -> None:
    with pytest.raises(ValueError, match="not linear: complex numbers are taken apart"):
        asdex.materialize(fun, X.astype(complex))


def test_a_branch_that_is_not_linear() -> None:
    def product(which: Array) -> Array:
        def fun(u: Array) -> Array:
            return jax.lax.cond(which, lambda u: u, jnp.ones_like, u)

        return asdex.materialize(fun, X).mv(X)

    with pytest.raises(ValueError, match="only some branches depend on the argument"):
        jax.jit(product)(jnp.array(True))


@pytest.mark.parametrize(
    ("fun", "where"),
    [
        (lambda u: u**2, "depends on the argument at .*mul"),
        (lambda u: jnp.where(u > 0, u, 0.0), "depends on the argument at .*select_n"),
        (jax.jit(jnp.sin), "depends on the argument at .*mul"),
        (lambda u: u[0] * u, "depends on the argument at .*mul"),
        (lambda u: u + 1, "added at .*add"),
        (lambda u: jnp.pad(u, 1, constant_values=2.0), "added at .*pad"),
        (lambda u: jnp.concatenate([u, jnp.ones(2)]), "added at .*concatenate"),
        (lambda u: u.at[0].set(1.0), "added at .*scatter"),
        (lambda u: jnp.stack([u[0], 1.0]), "added at"),
        (lambda u: jax.lax.reduce(u, 1.0, jax.lax.add, (0,)), "added at .*reduce"),
        (lambda u: u.at[jnp.array([9])].get(mode="fill", fill_value=7.0), "filled in at"),
        (lambda u: jax.lax.fori_loop(0, 3, lambda _, v: v + 1, u), "added at .*add"),
        (lambda u: jax.lax.map(lambda v: v + 1, u), "added at .*add"),
        (lambda u: jax.lax.scan(lambda c, v: (c + v, c), 1.0, u)[1], "added at"),
        (lambda u: jnp.floor(u) + u, "derivative is zero, .*floor"),
        (lambda u: jax.lax.stop_gradient(u) + u, "derivative is zero, .*stop_gradient"),
        (lambda u: jnp.astype(u > 0, float), "derivative is zero, .*gt"),
        (lambda u: u + jnp.argmax(u).astype(float), "derivative is zero, .*argmax"),
        (lambda u: jnp.ones(3), "does not depend on its argument"),
    ],
)
def test_functions_that_are_not_linear(fun: Callable[[Array], Array], where: str) -> None:
    with pytest.raises(ValueError, match=f"not linear: .*{where}"):
        asdex.materialize(fun, X)
