"""General sparse matrices, by SuperLU on the host.

SuperLU finds an order of the columns that keeps the factors sparse each time it is called.
That order depends on the pattern alone, so it is found here once, and the matrices are
handed over with rows and columns in that order.

Partial pivoting may take any row. Orders that allow for this (COLAMD) fill more than those
that count on pivots on the diagonal (minimum degree of `A + A.T`). These fill beyond
measure if the pivots are elsewhere after all: a grid of 10 000 unknowns with random values
gets 36 times the fill of COLAMD, in 300 times its time. So both orders are kept, and
the values decide between them each time.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from .._pattern import SparsityPattern
from .._structure import transpose_map
from .backend import Backend
from .host import Columns, Host, HostSolution, Values
from .ordered import Ordered, decompose, order
from .orders import BlockTriangle, block_triangle, match_rows

_PANEL = 2
"""Columns that SuperLU updates together. Measured on grids of 900 to 40 000 unknowns in two
and three dimensions: up to a third faster than its default, never much slower."""

_MIN_GAIN = 0.9
"""Fill of the order with pivots on the diagonal, relative to that of the general order,
from which on it is kept as well."""

_SLACK = 1e-6
"""Relative error up to which sums and mirrored values count as equal."""

_MAX_ERROR = 100.0
"""Backward error, in units of rounding, up to which a solution counts as stable. That of
partial pivoting was below 30 wherever it was measured."""


def plan_superlu(pattern: SparsityPattern) -> Backend:
    """LU decomposition with partial pivoting in an order that keeps the factors sparse.

    Cost of planning: two to four decompositions of a matrix of this pattern.
    """
    row_of_col = match_rows(pattern)
    assert row_of_col is not None
    trial = _Trial(pattern, row_of_col)
    fill, cols = min(trial.orders(), key=lambda candidate: candidate[0])
    general = order(pattern, row_of_col[cols], cols)
    if (row_of_col != np.arange(pattern.n)).any():
        return Host(_Sparse(general, None))
    fill_on_diagonal, cols = trial.order_for_diagonal()
    if fill_on_diagonal > _MIN_GAIN * fill:
        return Host(_Sparse(general, None))
    return Host(_Sparse(general, _diagonal_order(pattern, cols)))


# -- Orders ------------------------------------------------------------------------------


class _Trial:
    """A matrix with the matched entries on its diagonal, which dominate it.

    Its decomposition shows an order and its fill as they are when pivots stay where they
    are expected. The numbers differ so that nothing cancels by chance.
    """

    def __init__(self, pattern: SparsityPattern, row_of_col: Int32[np.ndarray, " n"]):
        identity = np.arange(pattern.n, dtype=np.int32)
        self.pattern, self.row_of_col = pattern, row_of_col
        self.values = np.random.default_rng(0).uniform(-1, -0.5, pattern.nnz)
        on_diagonal = row_of_col[pattern.cols] == pattern.rows
        self.values[on_diagonal] = 1 + np.bincount(pattern.cols)[pattern.cols[on_diagonal]]
        self.values = self.values.astype(np.float32)
        self.matrix = order(pattern, row_of_col, identity).matrix(self.values)

    def orders(self) -> list[tuple[int, Int32[np.ndarray, " n"]]]:
        """Orders of the columns that allow for any pivots, and their fill."""
        lu = _splu(self.matrix, "COLAMD")
        found = [(lu.nnz, _place_to_col(lu))]
        triangle = block_triangle(self.pattern, self.row_of_col)
        if triangle.num_blocks > 1:
            cols = self._order_in_blocks(triangle)
            matrix = order(self.pattern, self.row_of_col[cols], cols).matrix(self.values)
            found.append((_splu(matrix, "NATURAL").nnz, cols))
        return found

    def order_for_diagonal(self) -> tuple[int, Int32[np.ndarray, " n"]]:
        """The order that counts on pivots on the diagonal, and its fill."""
        lu = _splu(self.matrix, "MMD_AT_PLUS_A", options={"SymmetricMode": True})
        return lu.nnz, _place_to_col(lu)

    def _order_in_blocks(self, triangle: BlockTriangle) -> Int32[np.ndarray, " n"]:
        """The block triangular form, with the columns of each block ordered by COLAMD.

        No pivot can come from another block, since a column has nothing below its own.
        """
        pattern, block = self.pattern, triangle.block
        col_of_row = np.empty_like(self.row_of_col)
        col_of_row[self.row_of_col] = np.arange(pattern.n)
        inside = block[col_of_row[pattern.rows]] == block[pattern.cols]
        rows, cols = pattern.rows[inside], pattern.cols[inside]
        diagonal_blocks = SparsityPattern(rows, cols, pattern.shape)
        ordered = order(
            diagonal_blocks, self.row_of_col, np.arange(pattern.n, dtype=np.int32)
        )
        chosen = _place_to_col(_splu(ordered.matrix(self.values[inside]), "COLAMD"))
        return chosen[np.argsort(block[chosen], kind="stable")]


def _splu(matrix: Any, permc_spec: str, **options: Any) -> Any:
    from scipy.sparse.linalg import splu

    return splu(matrix, permc_spec=permc_spec, diag_pivot_thresh=0.0, **options)


def _place_to_col(lu: Any) -> Int32[np.ndarray, " n"]:
    return np.argsort(lu.perm_c).astype(np.int32)


# -- Solves ------------------------------------------------------------------------------


class _DiagonalOrder(NamedTuple):
    """An order for matrices whose pivots may be taken from the diagonal.

    `diagonal` says where among the ordered values the diagonal is, `mirror` where the
    value at the mirrored place is, if the pattern is symmetric.
    """

    ordered: Ordered
    diagonal: Int32[np.ndarray, " n"]
    mirror: Int32[np.ndarray, " nnz"] | None


def _diagonal_order(
    pattern: SparsityPattern, cols: Int32[np.ndarray, " n"]
) -> _DiagonalOrder:
    ordered = order(pattern, cols, cols)
    place = np.repeat(np.arange(pattern.n, dtype=np.int32), np.diff(ordered.indptr))
    diagonal = np.flatnonzero(ordered.indices == place).astype(np.int32)
    mirror = None
    if pattern.is_symmetric:
        permuted = SparsityPattern(place, ordered.indices, pattern.shape)
        mirror = transpose_map(permuted)
    return _DiagonalOrder(ordered, diagonal, mirror)


@dataclass(frozen=True, eq=False)
class _Sparse:
    """Solves without pivoting where that is stable, otherwise with partial pivoting.

    It is stable if the diagonal dominates the rows or the columns (Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd ed., Theorems 9.9 and 13.8), or if the matrix is
    positive definite. The latter is tried if it is symmetric with a positive diagonal, and
    what comes of it is checked.
    """

    general: Ordered
    for_diagonal: _DiagonalOrder | None

    def __call__(self, values: Values, columns: Columns, transposed: bool) -> HostSolution:
        x = self._without_pivoting(values, columns, transposed)
        if x is not None:
            return x, False
        lu = decompose(self.general.matrix(values), panel_size=_PANEL)
        if lu is None:
            return columns, True
        return self.general.solve(lu, columns, transposed), False

    def _without_pivoting(
        self, values: Values, columns: Columns, transposed: bool
    ) -> Columns | None:
        if self.for_diagonal is None:
            return None
        ordered = self.for_diagonal.ordered
        ordered_values = values[ordered.source]
        is_dominant = _is_dominant(self.for_diagonal, ordered_values)
        if not is_dominant and not _may_be_definite(self.for_diagonal, ordered_values):
            return None
        matrix = ordered.matrix(values)
        lu = decompose(matrix, diag_pivot_thresh=0.0, panel_size=_PANEL)
        if lu is None:
            return None
        x = ordered.solve(lu, columns, transposed)
        is_stable = is_dominant or ordered.is_backward_stable(
            matrix, x, columns, transposed, _MAX_ERROR
        )
        return x if is_stable else None


def _is_dominant(order: _DiagonalOrder, ordered_values: Values) -> bool:
    """Whether the diagonal dominates all columns or all rows."""
    sizes = np.abs(ordered_values)
    twice = (2 + _SLACK) * sizes[order.diagonal]
    if (twice >= np.add.reduceat(sizes, order.ordered.indptr[:-1])).all():
        return True
    sums: Float[np.ndarray, " n"] = np.bincount(order.ordered.indices, weights=sizes)
    return bool((twice >= sums).all())


def _may_be_definite(order: _DiagonalOrder, ordered_values: Values) -> bool:
    """Whether the matrix is symmetric, or Hermitian, with a positive diagonal."""
    if order.mirror is None or (np.real(ordered_values[order.diagonal]) <= 0).any():
        return False
    difference = np.abs(ordered_values - ordered_values[order.mirror].conj()).max()
    return bool(difference <= _SLACK * np.abs(ordered_values).max())
