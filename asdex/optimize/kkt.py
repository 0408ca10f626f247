"""The derivatives of a nonlinear program at one point, and its KKT matrix."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Inexact, Int32

from .._base.types import PyTree
from .._call.space import Space
from .._linalg.algebra import compiled, spread
from .._linalg.multiply import take
from .._operator import SparseJacobian
from .._structure.layouts import find_entries
from .._structure.pattern import SparsityPattern


class Derivatives(NamedTuple):
    """Values and derivatives of a nonlinear program at one point, or under `jax.vmap` at
    each point of a batch."""

    objective: Inexact[Array, "..."]
    """The value of the objective."""
    gradient: PyTree
    """The gradient of the objective, like `x`."""
    constraints: PyTree
    """The values of the constraints."""
    jacobian: SparseJacobian
    """The Jacobian of the constraints."""
    lagrangian_gradient: PyTree
    """The gradient of the Lagrangian, like `x`."""
    hessian: SparseJacobian
    """The Hessian of the Lagrangian."""

    def kkt(
        self,
        primal_regularization: ArrayLike | PyTree = 0.0,
        dual_regularization: ArrayLike | PyTree = 0.0,
    ) -> SparseJacobian:
        """The KKT matrix at this point; see `NonlinearProgram.kkt`."""
        return assemble(
            self.hessian, self.jacobian, primal_regularization, dual_regularization
        )


@compiled
def assemble(
    hessian: SparseJacobian,
    jacobian: SparseJacobian,
    primal: ArrayLike | PyTree,
    dual: ArrayLike | PyTree,
) -> SparseJacobian:
    """The matrix `[[H + D, J^T], [J, -E]]`, with the numbers `primal` and `dual` on the
    diagonals of `D` and `E`.

    Its entries are in row-major order; the whole diagonal is stored. Cost: one gather, and
    while tracing a sort of the entries.
    """
    x, multipliers = hessian.domain, jacobian.codomain
    both = Space.of((x.tree, multipliers.tree))
    plan = _plan(hessian.sparsity, jacobian.sparsity)
    batch = jnp.broadcast_shapes(hessian.batch_shape, jacobian.batch_shape)

    def values(
        h: Inexact[Array, " h"],
        j: Inexact[Array, " j"],
        d: Inexact[Array, " n"],
        e: Inexact[Array, " m"],
    ) -> Inexact[Array, " nnz"]:
        parts = h, j, spread(h, plan.diagonal) + d, -e
        return take(jnp.concatenate(parts), plan.source)

    data = jnp.vectorize(values, signature="(h),(j),(n),(m)->(k)")(
        hessian.data.astype(both.dtype),
        jacobian.data.astype(both.dtype),
        _on_diagonal("primal_regularization", primal, x, batch, both),
        _on_diagonal("dual_regularization", dual, multipliers, batch, both),
    )
    return SparseJacobian(data, plan.pattern, both, both, symmetric=True)


class _Plan(NamedTuple):
    """The pattern of a KKT matrix, and where its values come from.

    - `source`: the position of each entry among the values of the Hessian, those of the
        Jacobian, and the diagonals of both blocks, one after the other.
    - `diagonal`: which entry of the Hessian each element of its diagonal is, -1 for none.
    """

    pattern: SparsityPattern
    source: Int32[np.ndarray, " nnz"]
    diagonal: Int32[np.ndarray, " n"]


def _plan(hessian: SparsityPattern, jacobian: SparsityPattern) -> _Plan:
    m, n = jacobian.shape
    off_diagonal = np.flatnonzero(hessian.rows != hessian.cols)
    diagonal, of_jacobian = np.arange(n + m), np.arange(jacobian.nnz)
    below = jacobian.rows.astype(np.int64) + n
    rows = hessian.rows[off_diagonal], jacobian.cols, below, diagonal
    cols = hessian.cols[off_diagonal], below, jacobian.cols, diagonal
    source = (
        off_diagonal,
        *(2 * (hessian.nnz + of_jacobian,)),
        hessian.nnz + jacobian.nnz + diagonal,
    )
    rows, cols, source = map(np.concatenate, (rows, cols, source))
    order = np.lexsort((cols, rows))
    return _Plan(
        SparsityPattern(rows[order], cols[order], (n + m, n + m)),
        source[order].astype(np.int32),
        find_entries(hessian, np.arange(n), np.arange(n)),
    )


def _on_diagonal(
    name: str, given: ArrayLike | PyTree, space: Space, batch: tuple[int, ...], both: Space
) -> Inexact[Array, "... size"]:
    """A number for all elements of a space, or a pytree, as a flat vector."""
    if getattr(given, "shape", None) == ():
        return jnp.full(space.size, given, both.dtype)
    return space.ravel(name, given, batch, both.dtype)
