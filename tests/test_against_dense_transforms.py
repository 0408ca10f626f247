"""Sparse derivatives under JAX's transformations, and detection inside them."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from jax.experimental.sparse import BCOO

import asdex

from .helpers import todense

pytestmark = pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning")
N = 5
X = jnp.linspace(0.5, 1.5, N) ** 2
V = jnp.cos(jnp.arange(N))


def residual(x: Array) -> Array:
    return jnp.sin(x) * x[::-1] + jnp.roll(x, 1) ** 2


def energy(x: Array) -> Array:
    return jnp.sum(x[1:] ** 3 * x[:-1]) + jnp.sum(jnp.exp(x))


EXPECTED_JACOBIAN = jax.jit(jax.jacfwd(residual))
EXPECTED_HESSIAN = jax.jit(jax.hessian(energy))
DERIVATIVES: list[tuple[str, Callable, Callable]] = [
    ("fwd", asdex.jacobian(residual, X, mode="fwd"), EXPECTED_JACOBIAN),
    ("rev", asdex.jacobian(residual, X, mode="rev"), EXPECTED_JACOBIAN),
    *(
        (mode, asdex.hessian(energy, X, mode=mode), EXPECTED_HESSIAN)
        for mode in ("fwd_over_rev", "rev_over_fwd", "rev_over_rev")
    ),
]
each_mode = pytest.mark.parametrize(
    ("sparse", "dense"),
    [pair[1:] for pair in DERIVATIVES],
    ids=[pair[0] for pair in DERIVATIVES],
)


def same(actual: Array | BCOO, expected: Array) -> None:
    np.testing.assert_allclose(todense(actual), np.asarray(expected), atol=1e-12)


@each_mode
def test_grad_of_a_function_of_the_matrix(sparse: Callable, dense: Callable) -> None:
    weights = np.arange(1.0, 1 + N * N).reshape(N, N)
    loss = lambda f, x: jnp.sum(jnp.tanh(_dense(f(x))) * weights)  # noqa: E731
    expected = jax.jit(jax.grad(partial(loss, dense)))(X)
    same(jax.grad(partial(loss, sparse))(X), expected)
    same(jax.jit(jax.grad(partial(loss, sparse)))(X), expected)


@each_mode
def test_grad_of_the_stored_values(sparse: Callable, dense: Callable) -> None:
    actual = jax.grad(lambda x: jnp.sum(sparse(x).data ** 2))(X)
    same(actual, jax.jit(jax.grad(lambda x: jnp.sum(dense(x) ** 2)))(X))


@each_mode
def test_jvp_and_vjp(sparse: Callable, dense: Callable) -> None:
    expected = jax.jit(jax.jacfwd(dense))(X)
    for transform in (jax.jacfwd, jax.jacrev):
        same(jax.jit(transform(lambda x: _dense(sparse(x))))(X), expected)
    value, tangent = jax.jvp(lambda x: _dense(sparse(x)), (X,), (V,))
    same(value, dense(X))
    same(tangent, expected @ V)


@each_mode
def test_vmap_and_jit_in_both_orders(sparse: Callable, dense: Callable) -> None:
    batch = jnp.stack([X, V, X * V])
    expected = jax.vmap(dense)(batch)
    same(jax.vmap(jax.jit(sparse))(batch), expected)
    same(jax.jit(jax.vmap(sparse))(batch), expected)
    same(jax.vmap(sparse, in_axes=1)(batch.T), expected)
    nested = jax.vmap(jax.vmap(sparse))(batch[None])
    same(nested, expected[None])


@each_mode
def test_inside_loops(sparse: Callable, dense: Callable) -> None:
    def newton_like(derivative: Callable, x: Array) -> Array:
        body = lambda y, _: (y - 0.1 * jnp.tanh(_dense(derivative(y)) @ y), y)  # noqa: E731
        return lax.scan(body, x, None, length=3)[1]

    same(newton_like(sparse, X), newton_like(dense, X))
    branch = lax.cond(X[0] > 0, lambda x: sparse(x).data, lambda x: 0 * sparse(x).data, X)
    same(branch, sparse(X).data)
    mapped = lax.map(lambda x: _dense(sparse(x)), jnp.stack([X, V]))
    same(mapped, jnp.stack([dense(X), dense(V)]))


def test_jit_then_eager_leaks_no_tracer() -> None:
    sparse = asdex.jacobian(residual, X)
    with jax.checking_leaks():
        same(jax.jit(sparse)(X), EXPECTED_JACOBIAN(X))
        same(sparse(X), EXPECTED_JACOBIAN(X))


def test_other_dtype_than_the_sample() -> None:
    sparse = asdex.jacobian(residual, X)
    single = X.astype(np.float32)
    actual = sparse(single)
    assert actual.data.dtype == np.float32
    np.testing.assert_allclose(actual.todense(), EXPECTED_JACOBIAN(X), rtol=1e-4)


CLOSURES: list[Callable[[Array, Array, Array], Array]] = [
    lambda y, w, k: w * y,
    lambda y, w, k: y[k],
    lambda y, w, k: y.at[k].add(w),
    lambda y, w, k: y.at[k].set(y * w),
    lambda y, w, k: jnp.where(w > 0.5, y, y[::-1]),
    lambda y, w, k: lax.dynamic_slice(y, (k[0],), (2,)) * w[:2],
    lambda y, w, k: lax.dynamic_update_slice(y, w[:2] * y[:2], (k[1],)),
    lambda y, w, k: jnp.outer(w, w) @ y,
    lambda y, w, k: jnp.convolve(y, w),
    lambda y, w, k: lax.cond(k[0] > 2, lambda: y, lambda: jnp.cumsum(y)),
    lambda y, w, k: lax.switch(k[0], [lambda: y, lambda: y[::-1], lambda: y * w]),
    lambda y, w, k: lax.scan(lambda c, e: (c * e[0], y[e[1]] * c), y[0], (w, k))[1],
    lambda y, w, k: lax.fori_loop(0, N, lambda i, z: z.at[k[i]].add(y[i]), 0 * y),
    lambda y, w, k: jax.jit(lambda a, b: a * b)(0.0 * w, y) + jax.jit(jnp.multiply)(w, y),
    lambda y, w, k: jnp.interp(w, jnp.arange(N, dtype=w.dtype), y),
    lambda y, w, k: lax.map(lambda i: y[i] * w[i], k),
]
WEIGHTS = jnp.stack([V, X, 0 * X])
INDICES = jnp.array([[2, 0, 2, 4, 1], [1, 4, 2, 0, 2], [0, 0, 0, 0, 0]])


@pytest.mark.filterwarnings("ignore::asdex._base.errors.ConservativePatternWarning")
@pytest.mark.parametrize("closure", CLOSURES)
def test_closed_over_tracers(closure: Callable) -> None:
    """Detection and coloring run while the constants of the function are traced."""

    def sparse(x: Array, w: Array, k: Array) -> Array:
        return asdex.jacobian(lambda y: closure(y, w, k), x)(x).todense()

    def dense(x: Array, w: Array, k: Array) -> Array:
        return jax.jacfwd(lambda y: closure(y, w, k))(x)

    def compute(weights: Array, indices: Array) -> tuple[Array, ...]:
        one = sparse(X, weights[0], indices[0])
        each = lax.map(lambda wk: sparse(X, *wk), (weights, indices))
        in_axes = (None, 0, 0)
        batch = jax.vmap(sparse, in_axes)(X, weights, indices)
        return one, each, batch, jax.vmap(dense, in_axes)(X, weights, indices)

    one, each, batch, expected = jax.jit(compute)(WEIGHTS, INDICES)
    same(one, expected[0])
    same(each, expected)
    same(batch, expected)
    same(sparse(X, WEIGHTS[0], INDICES[0]), expected[0])
    if closure in CLOSURES[:4]:
        same(jax.vmap(sparse, (None, 0, 0))(X, WEIGHTS, INDICES), expected)


def test_detection_inside_grad() -> None:
    def loss(w: Array, derivative: Callable) -> Array:
        return jnp.sum(derivative(lambda x: jnp.sin(w * x) * x[::-1]) ** 2)

    def sparse(fun: Callable) -> Array:
        return asdex.jacobian(fun, X)(X).data

    def dense(fun: Callable) -> Array:
        return jax.jacfwd(fun)(X)

    same(jax.grad(loss)(V, sparse), jax.grad(loss)(V, dense))
    same(jax.jit(jax.grad(loss), static_argnums=1)(V, sparse), jax.grad(loss)(V, dense))


def test_hessian_with_traced_multipliers() -> None:
    def sparse(x: Array, multipliers: Array) -> Array:
        lagrangian = lambda y: energy(y) + multipliers @ residual(y)  # noqa: E731
        return asdex.hessian(lagrangian, x)(x).todense()

    def dense(x: Array, multipliers: Array) -> Array:
        return jax.hessian(lambda y: energy(y) + multipliers @ residual(y))(x)

    same(jax.jit(sparse)(X, V), dense(X, V))
    same(jax.jit(sparse)(X, 0 * V), dense(X, 0 * V))


def test_pattern_detected_inside_jit_is_static() -> None:
    @jax.jit
    def shifted(x: Array) -> Array:
        pattern = asdex.jacobian_sparsity(residual, x)
        assert isinstance(pattern.rows, np.ndarray)
        return x + pattern.nnz

    same(shifted(X), X + asdex.jacobian_sparsity(residual, X).nnz)


class Settings:
    """State that is not reached through the closure of the function."""

    scale = 1.0
    __slots__ = ("shift",)

    def total(self) -> float:
        return Settings.scale + self.shift


@pytest.mark.parametrize("output_format", ["bcoo", "dense", "numpy_dense", "scipy_csr"])
def test_function_that_changes_between_calls(output_format) -> None:
    """Numbers follow the function as it is when called, not as it was when detected."""
    settings, numbers = Settings(), np.ones(2)

    def fun(x: Array) -> Array:
        return (settings.total() + numbers[0]) * residual(x)

    settings.shift = 0.0
    sparse = asdex.jacobian(fun, X, output_format=output_format)
    expected = EXPECTED_JACOBIAN(X)
    same(jnp.asarray(todense(sparse(X))), 2 * expected)
    Settings.scale, settings.shift, numbers[0] = 3.0, 1.0, 5.0
    same(jnp.asarray(todense(sparse(X))), 9 * expected)
    Settings.scale = 1.0


def test_x64_differs_between_detection_and_call() -> None:
    with jax.enable_x64(False):
        sparse = asdex.jacobian(residual, jax.ShapeDtypeStruct((N,), np.float32))
        hessian = asdex.hessian(energy, jax.ShapeDtypeStruct((N,), np.float32))
    same(sparse(X), EXPECTED_JACOBIAN(X))
    same(hessian(X), EXPECTED_HESSIAN(X))


def _dense(matrix: BCOO) -> Array:
    return matrix.todense() if isinstance(matrix, BCOO) else matrix
