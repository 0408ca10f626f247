"""Values by accumulation against dense JAX, where a coefficient is not just a factor."""

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import asdex

from .helpers import allclose

X = np.random.default_rng(0).normal(size=30)
A = np.random.default_rng(1).normal(size=(30, 30))
Z, C = X + 1j * X[::-1], A + 1j * A.T


def check(f: Callable[[Any], Any], x: Any, *, holomorphic: bool = False) -> np.ndarray:
    """The accumulated Jacobian, which is that of JAX."""
    jac = asdex.jacobian(
        f, x, mode="accumulate", output_format="dense", holomorphic=holomorphic
    )
    assert jac.coloring is None
    value, expected = jac(x), jax.jacfwd(f, holomorphic=holomorphic)(x)
    assert value.dtype == expected.dtype
    assert allclose(value, expected, value.dtype)
    return np.asarray(value)


def _stretched(z: Any) -> Any:
    return lax.complex(jnp.real(z), 2 * jnp.imag(z))


@pytest.mark.parametrize("function", [jnp.conj, _stretched])
@pytest.mark.parametrize("rows", [slice(None), slice(1, None, 3)])
def test_functions_linear_in_real_numbers_only(function: Any, rows: slice) -> None:
    check(lambda z: function(C @ z)[rows] * z[rows], Z, holomorphic=True)


def test_absolute_values_of_a_complex_product() -> None:
    check(lambda x: A @ (jnp.abs(C @ x.astype(complex)) ** 2), X)


def test_hessian_of_absolute_values() -> None:
    def f(x: Any) -> Any:
        return jnp.sum(jnp.abs(C @ x.astype(complex)) ** 4)

    value = asdex.hessian(f, X, mode="accumulate", output_format="dense")(X)
    assert allclose(value, jax.hessian(f)(X), X.dtype)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, np.float32])
def test_converted_products(dtype: Any) -> None:
    """Matrices keep the values of the dtype in which they were made."""

    def f(x: Any) -> Any:
        return A @ (A.astype(dtype) @ x.astype(dtype)).astype(float) * x

    jac = asdex.jacobian(f, X, mode="accumulate", output_format="dense")
    assert jac.coloring is None
    assert np.allclose(jac(X), jax.jacfwd(f)(X), rtol=0.05, atol=0.2)


def test_products_of_wider_dtype() -> None:
    small = A.astype(np.float16)

    def product(x: Any) -> Any:
        numbers = (((1,), (0,)), ((), ()))
        return lax.dot_general(small, x, numbers, preferred_element_type=np.float32)

    check(lambda x: A.astype(np.float32) @ product(x), X.astype(np.float16))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("scale", [jnp.ones_like, jnp.exp])
def test_sums_of_many_small_numbers(dtype: Any, scale: Callable[[Any], Any]) -> None:
    """One added to 256 is 256 in bfloat16."""

    def f(x: Any) -> Any:
        return jnp.sum((x[:2] * scale(x[:2] * 0))[np.arange(3000) % 2].reshape(2, 1500), 1)

    jac = asdex.jacobian(f, X.astype(dtype), mode="accumulate", output_format="dense")
    value = np.asarray(jac(X.astype(dtype)), float)
    assert np.allclose(value[:, :2], 750, rtol=0.01)


def test_contraction_over_nothing() -> None:
    assert not check(lambda x: x.reshape(15, 2)[:, :0] @ np.zeros((0, 3)), X).any()


@pytest.mark.parametrize("first", [1.0, -1.0])
def test_branches_without_entries(first: float) -> None:
    x = X * np.sign(X[0]) * first

    def f(x: Any) -> Any:
        small = lax.cond(x[0] > 0, lambda x: x[:3] * 0.0, lambda x: jnp.round(x[:3]), x)
        return small + x[:3]

    check(f, x)


def test_constants_that_overflow() -> None:
    """Quietly, as in JAX."""

    def f(x: Any) -> Any:
        return x * 1e300 * 1e300 + x[::-1].astype(np.float32).astype(float)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        jac = asdex.jacobian(f, X, mode="accumulate", output_format="dense")(X)
    assert np.isinf(np.diag(jac)).all()
    assert np.array_equal(np.diag(jac[::-1]), np.ones(30))


@pytest.mark.parametrize("factor", [lambda x: 1e300, lambda x: 1e300 + x[0]])
def test_products_that_overflow_where_they_are_zero(factor: Callable[[Any], Any]) -> None:
    """What is masked does not spoil the entries that are added to it."""
    mask = np.arange(30) > 0

    def f(x: Any) -> Any:
        huge = x * 1e300 * factor(lax.stop_gradient(x))
        return huge * mask.astype(float) + jnp.concatenate([x[1:2], x[1:]])

    jac = asdex.jacobian(f, X, mode="accumulate", output_format="dense")
    assert jac.coloring is None
    assert jac(X)[0, 1] == 1


@pytest.mark.parametrize("scale", [jnp.ones_like, jnp.exp])
def test_an_element_in_addition_to_its_row(scale: Callable[[Any], Any]) -> None:
    """Each entry belongs to one term, so that nothing is added up at the end."""

    def f(x: Any) -> Any:
        rows = x.reshape(10, 3)
        return ((rows - rows.mean(axis=1, keepdims=True)) * scale(rows)).ravel()

    check(f, X)
    jac = asdex.jacobian(f, X, mode="accumulate", output_format="operator")
    assert "scatter" not in str(jax.make_jaxpr(jac)(X))
    constants = jac.constant_entries
    assert constants.is_constant.all() == (scale is jnp.ones_like)
