"""Dense derivatives in column blocks."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from asdex import dense

from .compiling import optimized_jit

X = {"a": jnp.linspace(0.5, 1.0, 6).reshape(2, 3), "b": (jnp.asarray(2.0), jnp.ones(4))}


def f(x: Any) -> jax.Array:
    return jnp.outer(jnp.sin(x["a"].ravel()), x["b"][1] * x["b"][0])


def g(x: Any) -> jax.Array:
    return jnp.sum(f(x) ** 2)


EXPECTED_JACOBIAN, EXPECTED_HESSIAN = jax.jit(jax.jacobian(f)), jax.jit(jax.hessian(g))


@pytest.mark.parametrize("nbatches", [1, 2, 3, 11, 20])
@pytest.mark.parametrize(
    ("jit", "checkpoint"), [(True, False), (True, True), (False, True)]
)
def test_blocks_of_columns(nbatches: int, jit: bool, checkpoint: bool) -> None:
    options = {"nbatches": nbatches, "jit": jit, "checkpoint": checkpoint}
    J, unflatten = dense.jacobian(f, X, **options)
    assert J.shape == (6, 4, 11)
    jax.tree.map(
        np.testing.assert_allclose,
        dense.jacobian_to_pytree(J, X),
        EXPECTED_JACOBIAN(X),
    )
    H, _ = dense.hessian(g, X, **options)
    assert H.shape == (11, 11)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12),
        dense.hessian_to_pytree(H, X),
        EXPECTED_HESSIAN(X),
    )
    jax.tree.map(np.testing.assert_array_equal, unflatten(ravel_pytree(X)[0]), X)


def test_flat_and_scalar_arguments() -> None:
    x = jnp.arange(1.0, 4.0)
    np.testing.assert_allclose(dense.jacobian(jnp.sum, x, 2)[0], jnp.ones(3))
    np.testing.assert_allclose(
        dense.hessian(lambda x: jnp.sum(x**3), x, 2)[0], 6 * np.diag(x)
    )
    np.testing.assert_allclose(dense.hessian(jnp.sin, jnp.asarray(1.0))[0], [[-np.sin(1)]])
    tree = dense.hessian_to_pytree(jnp.ones((1, 1)), jnp.asarray(1.0))
    assert tree.shape == ()


def test_under_transformations() -> None:
    def matrix(scale: jax.Array) -> jax.Array:
        return dense.hessian(lambda x: scale * g(x), X, 3)[0]

    expected = dense.hessian(g, X)[0]
    np.testing.assert_allclose(jax.jit(matrix)(jnp.asarray(2.0)), 2 * expected)
    np.testing.assert_allclose(jax.jacfwd(matrix)(jnp.asarray(2.0)), expected, atol=1e-12)


@pytest.mark.parametrize("verb", [dense.jacobian, dense.hessian])
def test_memory_falls_with_the_number_of_blocks(verb: Callable[..., Any]) -> None:
    n = 256
    weights = jnp.ones((2048, n))

    def vector(x: jax.Array) -> jax.Array:
        inner = jnp.sin(weights @ x)
        return jnp.cos(weights.T @ inner)[:8] if verb is dense.jacobian else inner.sum()

    def memory(nbatches: int) -> int:
        compiled = (
            optimized_jit(lambda x: verb(vector, x, nbatches)[0])
            .lower(jnp.ones(n))
            .compile()
        )
        return cast(Any, compiled.memory_analysis()).temp_size_in_bytes

    assert memory(32) < memory(4) < memory(1)


@pytest.mark.usefixtures("without_annotation_checks")
def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="nbatches must be positive"):
        dense.jacobian(f, X, 0)
    with pytest.raises(ValueError, match=r"must return a scalar. Got .* \(6, 4\)"):
        dense.hessian(f, X)
    with pytest.raises(TypeError, match=r"must return an array. Got a pytree"):
        dense.jacobian(lambda x: x, X)
    with pytest.raises(ValueError, match=r"H must have shape \(11, 11\)"):
        dense.hessian_to_pytree(jnp.ones((11, 10)), X)
    with pytest.raises(ValueError, match=r"J must have shape \(2, 11\)"):
        dense.jacobian_to_pytree(jnp.ones((2, 10)), X)
