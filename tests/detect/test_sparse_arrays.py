"""Products with constant sparse arrays of JAX, whose patterns are those of dense ones."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.experimental.sparse import BCOO, BCSR, bcoo_dot_general, bcsr_dot_general

import asdex

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]

N = 6
D = jnp.diag(jnp.arange(1.0, N + 1)).at[4, 1].set(3.0).at[0, 2].set(2.0)
BATCH = jnp.stack([D, D.T, 2 * D])
M, ROWS = BCOO.fromdense(D), BCSR.fromdense(D)
PADDED = BCOO.fromdense(D, nse=20)
BATCHED, BATCHED_ROWS = BCOO.fromdense(BATCH, n_batch=1), BCSR.fromdense(BATCH, n_batch=1)
BLOCKS = BCOO.fromdense(jnp.moveaxis(BATCH, 0, 2), n_dense=1)

PLAIN: Any = (((1,), (0,)), ((), ()))
PER_MATRIX: Any = (((2,), (1,)), ((0,), (0,)))
SUM_OF_BATCH: Any = (((0, 2), (0, 1)), ((), ()))

PAIRS: dict[str, Any] = {
    "matrix_vector": (lambda x: M @ x[0], lambda x: D @ x[0]),
    "vector_matrix": (lambda x: x[0] @ M, lambda x: x[0] @ D),
    "transposed": (lambda x: M.T @ x[0], lambda x: D.T @ x[0]),
    "rows": (lambda x: x @ M, lambda x: x @ D),
    "columns": (lambda x: M.T @ x.T, lambda x: D.T @ x.T),
    "padded": (lambda x: PADDED @ x[0], lambda x: D @ x[0]),
    "vmap": (jax.vmap(lambda x: x @ M), lambda x: x @ D),
    "vmap_of_matrices": (
        lambda x: jax.vmap(lambda m, x: m @ x)(BATCHED, x),
        lambda x: jnp.einsum("bij,bj->bi", BATCH, x),
    ),
    "batch": (
        lambda x: bcoo_dot_general(BATCHED, x, dimension_numbers=PER_MATRIX),
        lambda x: jnp.einsum("bij,bj->bi", BATCH, x),
    ),
    "contracted_batch": (
        lambda x: bcoo_dot_general(BATCHED, x, dimension_numbers=SUM_OF_BATCH),
        lambda x: jnp.einsum("bij,bj->i", BATCH, x),
    ),
    "compressed_rows": (lambda x: ROWS @ x.T, lambda x: D @ x.T),
    "compressed_rows_vmap": (jax.vmap(lambda x: ROWS @ x), lambda x: x @ D.T),
    "compressed_rows_batch": (
        lambda x: bcsr_dot_general(BATCHED_ROWS, x, dimension_numbers=PER_MATRIX),
        lambda x: jnp.einsum("bij,bj->bi", BATCH, x),
    ),
    "scaled_and_transposed": (lambda x: (M * x[0]).T @ x[1], lambda x: (D * x[0]).T @ x[1]),
}


def check(verb: Any, f: Any, expected: Array, x: Array) -> None:
    derivative = verb(f, x, output_format="dense")
    assert derivative.sparsity.nnz == np.count_nonzero(expected)
    np.testing.assert_allclose(derivative(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_products_are_as_tight_as_dense_ones(name: str) -> None:
    sparse, dense = PAIRS[name]
    x = jnp.linspace(0.3, 1.0, 3 * N).reshape(3, N)
    check(asdex.jacobian, sparse, jax.jacobian(dense)(x), x)
    check(
        asdex.hessian,
        lambda x: jnp.sum(jnp.sin(sparse(x))),
        jax.hessian(lambda x: jnp.sum(jnp.sin(dense(x))))(x),
        x,
    )


def test_dense_axes() -> None:
    x = jnp.linspace(0.3, 1.0, N)
    expected = jax.jacobian(lambda x: jnp.einsum("bij,j->ib", BATCH, x))(x)
    f = lambda x: bcoo_dot_general(BLOCKS, x, dimension_numbers=PLAIN)  # noqa: E731
    check(asdex.jacobian, f, expected, x)


def test_quadratic_form() -> None:
    x = jnp.linspace(0.3, 1.0, N)
    check(asdex.hessian, lambda x: x @ (M @ x), D + D.T, x)


def test_product_of_two_sparse_matrices() -> None:
    x = jnp.linspace(0.3, 1.0, N)
    expected = jax.jacobian(lambda x: (D * x) @ D @ x)(x)
    check(asdex.jacobian, lambda x: (M * x) @ M @ x, expected, x)


def test_indices_that_are_not_known() -> None:
    def f(x: Array, cols: Array) -> Array:
        indices = jnp.stack([jnp.arange(3), cols], axis=1)
        return BCOO((jnp.ones(3), indices), shape=(3, 4)) @ x

    with pytest.warns(asdex.ConservativePatternWarning, match="indices that are not known"):
        assert asdex.jacobian_sparsity(f, jnp.ones(4), jnp.arange(3)).nnz == 12
