"""The sparse matrix of any linear operator of lineax.

Structure that lineax shows is used: sums, products, multiples, diagonals. What is left, a
function or a Jacobian, is materialized from its product with a vector.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from .._call.space import Space
from .._color import Algorithm
from .._operator import SparseJacobian
from .._structure.pattern import SparsityPattern
from .materialize import DenseOperator, materialize
from .operator import SparseLinearOperator
from .required import lx

OfProducts: TypeAlias = Callable[[Any], SparseJacobian]
"""The matrix of an operator of which only products are known."""


def sparse_matrix(
    operator: Any, algorithm: Algorithm, sparsity: SparsityPattern | None
) -> SparseJacobian:
    """The matrix of an operator, between its structures.

    **Raises:** `DenseOperator` if that is not sparse.
    """

    def of_products(operator: Any) -> SparseJacobian:
        return materialize(operator.mv, operator.in_structure(), algorithm, sparsity)

    matrix = _flat(operator, of_products)
    spaces = operator.in_structure(), operator.out_structure()
    return SparseJacobian(matrix.data, matrix.sparsity, *spaces)


# -- Structure that lineax shows ---------------------------------------------------------


@singledispatch
def _flat(operator: Any, of_products: OfProducts) -> SparseJacobian:
    """The matrix between flat vectors."""
    return of_products(operator).flat


@_flat.register(SparseLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    del of_products
    return operator.matrix.flat


@_flat.register(lx.TaggedLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    return _flat(operator.operator, of_products)


@_flat.register(lx.AddLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    return _flat(operator.operator1, of_products) + _flat(operator.operator2, of_products)


@_flat.register(lx.ComposedLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    return _flat(operator.operator1, of_products) @ _flat(operator.operator2, of_products)


@_flat.register(lx.MulLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    return _flat(operator.operator, of_products) * operator.scalar


@_flat.register(lx.DivLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    return _flat(operator.operator, of_products) / operator.scalar


@_flat.register(lx.NegLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    return -_flat(operator.operator, of_products)


@_flat.register(lx.IdentityLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    del of_products
    m, n = operator.out_size(), operator.in_size()
    dtype = Space.of(operator.in_structure()).dtype
    return _on_diagonals([jnp.ones(min(m, n), dtype)], [0], (m, n))


@_flat.register(lx.DiagonalLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    del of_products
    n = operator.in_size()
    return _on_diagonals([lx.diagonal(operator)], [0], (n, n))


@_flat.register(lx.TridiagonalLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    del of_products
    n = operator.in_size()
    return _on_diagonals(lx.tridiagonal(operator), [0, -1, 1], (n, n))


@_flat.register(lx.MatrixLinearOperator)
@_flat.register(lx.PyTreeLinearOperator)
def _(operator: Any, of_products: OfProducts) -> SparseJacobian:
    del of_products
    n = operator.in_size()
    if lx.is_diagonal(operator):
        return _on_diagonals([lx.diagonal(operator)], [0], (n, n))
    if lx.is_tridiagonal(operator):
        return _on_diagonals(lx.tridiagonal(operator), [0, -1, 1], (n, n))
    raise DenseOperator


def _on_diagonals(
    values: Any, offsets: list[int], shape: tuple[int, int]
) -> SparseJacobian:
    """The matrix with these values on its diagonals, those below the main one negative."""
    rows = [
        np.arange(part.size) - min(k, 0) for part, k in zip(values, offsets, strict=True)
    ]
    cols = [index + k for index, k in zip(rows, offsets, strict=True)]
    pattern = SparsityPattern(np.concatenate(rows), np.concatenate(cols), shape)
    return SparseJacobian(jnp.concatenate(values), pattern)
