"""The sparse matrix of any linear operator of lineax.

Structure that lineax shows is used: sums, products, multiples, diagonals. What is left, a
function or a Jacobian, is materialized from its product with a vector.
"""

import warnings
from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from .._base.errors import DenseColoringWarning, PatternTooLargeError
from .._base.warn import warn
from .._call.space import Space
from .._color import Algorithm
from .._operator import SparseJacobian
from .._structure.pattern import SparsityPattern
from .._verbs.derivatives import jacobian
from .operator import SparseLinearOperator
from .required import lx

Materialize: TypeAlias = Callable[[Any], SparseJacobian]
"""The matrix of an operator of which only products are known."""

_MOST = 0.5
"""Share of entries from which on an operator counts as dense."""

_FEW = 32
"""Unknowns up to which an operator may be dense without a warning."""


class DenseOperator(Exception):
    """The operator has so many entries that a dense solver is quicker."""


def sparse_matrix(
    operator: Any, algorithm: Algorithm, sparsity: SparsityPattern | None
) -> SparseJacobian:
    """The matrix of an operator, between its structures.

    **Raises:** `DenseOperator` if that is not sparse.
    """

    def materialize(operator: Any) -> SparseJacobian:
        return _materialize(operator, algorithm, sparsity)

    matrix = _flat(operator, materialize)
    spaces = operator.in_structure(), operator.out_structure()
    return SparseJacobian(matrix.data, matrix.sparsity, *spaces)


def _materialize(
    operator: Any, algorithm: Algorithm, sparsity: SparsityPattern | None
) -> SparseJacobian:
    """The matrix, from its products with vectors.

    The pattern is detected on the linear map as it is traced now; values that it closes
    over are not known if they belong to a program that is being traced.
    """
    structure = operator.in_structure()
    leaves = jax.tree.leaves(structure)
    is_complex = any(jnp.issubdtype(leaf.dtype, jnp.complexfloating) for leaf in leaves)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DenseColoringWarning)
            derivative = jacobian(
                operator.mv,
                structure,
                sparsity=sparsity,
                algorithm=algorithm,
                output_format="operator",
                holomorphic=is_complex,
            )
    except PatternTooLargeError as error:
        raise DenseOperator from error
    pattern = derivative.sparsity
    if pattern.density >= _MOST and max(pattern.shape) > 1:
        if max(pattern.shape) > _FEW:
            warn(_DENSE.format(pattern=pattern), DenseColoringWarning)
        raise DenseOperator
    return derivative(
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), structure)
    )


_DENSE = (
    "The operator that asdex.lineax.Sparse is to solve with may have all entries, "
    "{pattern!r}, and is solved with by lineax.AutoLinearSolver. If it is sparse, pass its "
    "pattern: Sparse(sparsity=asdex.jacobian_sparsity(...)). Indices that reach lineax as "
    "arguments of a program, as in x[indices], are not known there."
)


# -- Structure that lineax shows ---------------------------------------------------------


@singledispatch
def _flat(operator: Any, materialize: Materialize) -> SparseJacobian:
    """The matrix between flat vectors."""
    return materialize(operator).flat


@_flat.register(SparseLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    del materialize
    return operator.matrix.flat


@_flat.register(lx.TaggedLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    return _flat(operator.operator, materialize)


@_flat.register(lx.AddLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    return _flat(operator.operator1, materialize) + _flat(operator.operator2, materialize)


@_flat.register(lx.ComposedLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    return _flat(operator.operator1, materialize) @ _flat(operator.operator2, materialize)


@_flat.register(lx.MulLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    return _flat(operator.operator, materialize) * operator.scalar


@_flat.register(lx.DivLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    return _flat(operator.operator, materialize) / operator.scalar


@_flat.register(lx.NegLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    return -_flat(operator.operator, materialize)


@_flat.register(lx.IdentityLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    del materialize
    m, n = operator.out_size(), operator.in_size()
    dtype = Space.of(operator.in_structure()).dtype
    return _on_diagonals([jnp.ones(min(m, n), dtype)], [0], (m, n))


@_flat.register(lx.DiagonalLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    del materialize
    n = operator.in_size()
    return _on_diagonals([lx.diagonal(operator)], [0], (n, n))


@_flat.register(lx.TridiagonalLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    del materialize
    n = operator.in_size()
    return _on_diagonals(lx.tridiagonal(operator), [0, -1, 1], (n, n))


@_flat.register(lx.MatrixLinearOperator)
@_flat.register(lx.PyTreeLinearOperator)
def _(operator: Any, materialize: Materialize) -> SparseJacobian:
    del materialize
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
