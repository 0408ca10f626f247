"""`SparseLinearOperator`: a sparse matrix as an operator of lineax."""

from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Inexact

from .._base.types import PyTree
from .._operator import SparseJacobian
from .required import lx


class SparseLinearOperator(lx.AbstractLinearOperator):
    """A `SparseJacobian` as a linear operator of lineax.

    It maps the pytrees that the matrix maps. lineax sees what the pattern proves: that the
    matrix is diagonal, tridiagonal or triangular, and what `symmetric` promises.

    **Arguments:**

    - `matrix`: a single matrix, not a batch; under `jax.vmap` it becomes one.
    - `tags`: what else is known of it, such as `lineax.positive_semidefinite_tag`. It is
        not checked.
    """

    matrix: SparseJacobian
    tags: frozenset[object] = eqx.field(static=True)

    def __init__(
        self, matrix: SparseJacobian, tags: object | Iterable[object] = ()
    ) -> None:
        if not isinstance(matrix, SparseJacobian):
            raise TypeError(
                "SparseLinearOperator takes a SparseJacobian, as "
                f"output_format='operator' returns it. Got {type(matrix).__name__}."
            )
        if matrix.batch_shape:
            raise ValueError(
                "SparseLinearOperator takes one matrix. This one is a batch of shape "
                f"{matrix.batch_shape}. Use jax.vmap."
            )
        self.matrix = matrix
        self.tags = frozenset(tags) if isinstance(tags, Iterable) else frozenset([tags])

    def mv(self, vector: PyTree) -> PyTree:
        """The product with a pytree like `in_structure()`."""
        return self.matrix.mv(vector)

    def as_matrix(self) -> Inexact[Array, "m n"]:
        """The dense matrix."""
        return self.matrix.todense()

    def transpose(self) -> "SparseLinearOperator":
        """The transposed operator, without conjugation."""
        return SparseLinearOperator(self.matrix.T, lx.transpose_tags(self.tags))

    def in_structure(self) -> PyTree[jax.ShapeDtypeStruct]:
        """What the operator takes."""
        return self.matrix.in_structure

    def out_structure(self) -> PyTree[jax.ShapeDtypeStruct]:
        """What the operator returns."""
        return self.matrix.out_structure


# -- What lineax asks of an operator -----------------------------------------------------


def _is_within(low: int, high: int) -> Callable[[SparseLinearOperator], bool]:
    """Whether all entries `(i, j)` have `low <= j - i <= high`."""

    def test(operator: SparseLinearOperator) -> bool:
        pattern = operator.matrix.sparsity
        distance = pattern.cols - pattern.rows
        return bool(np.all((low <= distance) & (distance <= high)))

    return test


_FAR = 2**31
_SHAPES: dict[Any, tuple[Any, Callable[[SparseLinearOperator], bool]]] = {
    lx.is_diagonal: (lx.diagonal_tag, _is_within(0, 0)),
    lx.is_tridiagonal: (lx.tridiagonal_tag, _is_within(-1, 1)),
    lx.is_lower_triangular: (lx.lower_triangular_tag, _is_within(-_FAR, 0)),
    lx.is_upper_triangular: (lx.upper_triangular_tag, _is_within(0, _FAR)),
    lx.has_unit_diagonal: (lx.unit_diagonal_tag, lambda operator: False),
    lx.is_positive_semidefinite: (lx.positive_semidefinite_tag, lambda operator: False),
    lx.is_negative_semidefinite: (lx.negative_semidefinite_tag, lambda operator: False),
}
"""The tag by which each question is answered, and how the pattern answers it."""


def _register(question: Any, tag: Any, proved: Callable[..., bool]) -> None:
    @question.register(SparseLinearOperator)
    def _(operator: SparseLinearOperator) -> bool:
        return tag in operator.tags or (_is_square(operator) and proved(operator))


def _is_square(operator: SparseLinearOperator) -> bool:
    m, n = operator.matrix.sparsity.shape
    return m == n


for _question, (_tag, _proved) in _SHAPES.items():
    _register(_question, _tag, _proved)


@lx.is_symmetric.register(SparseLinearOperator)
def _(operator: SparseLinearOperator) -> bool:
    semidefinite = lx.positive_semidefinite_tag, lx.negative_semidefinite_tag
    is_tagged = any(tag in operator.tags for tag in (lx.symmetric_tag, *semidefinite))
    # lineax solves a symmetric system in the dtype and structure of either side.
    return is_tagged or operator.matrix.symmetric or lx.is_diagonal(operator)


@lx.linearise.register(SparseLinearOperator)
def _(operator: SparseLinearOperator) -> SparseLinearOperator:
    return operator


@lx.materialise.register(SparseLinearOperator)
def _(operator: SparseLinearOperator) -> SparseLinearOperator:
    return operator


@lx.diagonal.register(SparseLinearOperator)
def _(operator: SparseLinearOperator) -> Inexact[Array, " n"]:
    return operator.matrix.diagonal()


@lx.tridiagonal.register(SparseLinearOperator)
def _(operator: SparseLinearOperator) -> tuple[Array, Array, Array]:
    matrix, n = operator.matrix.flat, operator.matrix.sparsity.m
    first, last = np.arange(n - 1), np.arange(1, n)
    lower, upper = matrix.submatrix(last, first), matrix.submatrix(first, last)
    return matrix.diagonal(), lower.diagonal(), upper.diagonal()


@lx.conj.register(SparseLinearOperator)
def _(operator: SparseLinearOperator) -> SparseLinearOperator:
    return SparseLinearOperator(operator.matrix.conj(), operator.tags)
