"""General sparse matrices, by SuperLU on the host.

SuperLU finds an order of the columns that keeps the factors sparse each time it is called.
That order depends on the pattern alone, so it is found here once, and the matrices are
handed over with rows and columns in that order.

Partial pivoting may take any row. Orders that allow for this (COLAMD) fill more than those
that expect pivots on the diagonal (minimum degree of `A + A.T`). The latter fill far more
if the pivots are elsewhere: a grid of 10 000 unknowns with random values gets 36 times the
fill of COLAMD, in 300 times its time. So both orders are kept, and the values decide
between them each time. Relative to SciPy with its own ordering, such a grid then takes 0.9
of the time, and 0.5 if its diagonal dominates.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from ..._structure.layouts import find_entries, transpose_map
from ..._structure.pattern import SparsityPattern
from .backend import Backend
from .host import Host, HostSolution, Values, Vectors
from .matching import Facts
from .permuted import Permuted, decompose, permute

_PANEL = 2
"""Vectors that SuperLU updates together. Measured on grids of 900 to 40 000 unknowns in two
and three dimensions: up to a third faster than its default, never much slower."""

_MAX_FILL = 0.9
"""Fill of the order with pivots on the diagonal, relative to that of the general order, up
to which it is kept as well."""

_MIN_MIRRORED = 0.8
"""Share of the entries with a mirror from which on pivots on the diagonal are considered:
the fill is that of `A + A.T`."""

_MAX_SQUARE = 100
"""Square of the entries in the fullest column, in multiples of all entries, up to which an
order by minimum degree is searched."""

_SLACK = 1e-6
"""Relative error up to which sums and mirrored values count as equal."""

_MAX_ERROR = 100.0
"""Backward error, in units of rounding, up to which a solution counts as stable. That of
partial pivoting was below 30 wherever it was measured."""


def plan_superlu(facts: Facts) -> Backend:
    """LU decomposition with partial pivoting in an order that keeps the factors sparse.

    Cost of planning: up to three decompositions of a matrix of this pattern.
    """
    pattern, row_of_col = facts.pattern, facts.row_of_col
    trial = _Trial(facts)
    cols = trial.general_order()
    general = permute(pattern, row_of_col[cols], cols)
    if not _is_mostly_mirrored(pattern) or _has_full_column(pattern):
        return Host(_Sparse(general, None))
    if (row_of_col != np.arange(pattern.n)).any():
        return Host(_Sparse(general, None))
    fill, cols = trial.order_for_diagonal()
    if fill > _MAX_FILL * trial.fill(general):
        return Host(_Sparse(general, None))
    return Host(_Sparse(general, _diagonal_order(pattern, cols)))


def _has_full_column(pattern: SparsityPattern) -> bool:
    """Whether minimum degree would take time that is quadratic in the size.

    It takes 4 s for an arrow of 100 000 unknowns, and finds no less fill than COLAMD does
    in 0.05 s.
    """
    return bool(np.bincount(pattern.cols).max() ** 2 > _MAX_SQUARE * pattern.nnz)


def _is_mostly_mirrored(pattern: SparsityPattern) -> bool:
    mirrored = find_entries(pattern, pattern.cols, pattern.rows) >= 0
    return bool(np.count_nonzero(mirrored) >= _MIN_MIRRORED * pattern.nnz)


# -- Orders ------------------------------------------------------------------------------


class _Trial:
    """A matrix with the matched entries on its diagonal, which dominate it.

    Its decomposition shows an order and its fill as they are when pivots stay where they
    are expected. The numbers differ so that nothing cancels by chance.
    """

    def __init__(self, facts: Facts):
        self.facts, pattern, row_of_col = facts, facts.pattern, facts.row_of_col
        values = np.random.default_rng(0).uniform(-1, -0.5, pattern.nnz)
        on_diagonal = row_of_col[pattern.cols] == pattern.rows
        values[on_diagonal] = 1 + np.bincount(pattern.cols)[pattern.cols[on_diagonal]]
        self.values = values.astype(np.float32)

    def general_order(self) -> Int32[np.ndarray, " n"]:
        """The block triangular form, with the columns of each block ordered by COLAMD.

        No pivot can come from another block, since a column has no entry below its own.
        Twenty grids of 900 unknowns that depend on each other in turn take 95 ms so, and
        6 s if COLAMD orders the whole.
        """
        pattern = self.facts.pattern
        rows, cols, block = self.facts.triangle
        block_of_row = np.empty_like(block)
        block_of_row[rows] = block[cols]
        inside = block_of_row[pattern.rows] == block[pattern.cols]
        diagonal_blocks = SparsityPattern(
            pattern.rows[inside], pattern.cols[inside], pattern.shape
        )
        chosen = _place_to_col(self._splu(diagonal_blocks, self.values[inside], "COLAMD"))
        return chosen[np.argsort(block[chosen], kind="stable")]

    def order_for_diagonal(self) -> tuple[int, Int32[np.ndarray, " n"]]:
        """The order that expects pivots on the diagonal, and its fill."""
        options = {"SymmetricMode": True}
        lu = self._splu(self.facts.pattern, self.values, "MMD_AT_PLUS_A", options=options)
        return lu.nnz, _place_to_col(lu)

    def fill(self, permuted: Permuted) -> int:
        """Numbers that SuperLU stores for the factors in this order."""
        lu = decompose(permuted.matrix(self.values), diag_pivot_thresh=0.0)
        return lu.nnz

    def _splu(
        self, pattern: SparsityPattern, values: Values, permc_spec: str, **options: Any
    ) -> Any:
        from scipy.sparse.linalg import splu

        as_they_are = np.arange(pattern.n, dtype=np.int32)
        matrix = permute(pattern, self.facts.row_of_col, as_they_are).matrix(values)
        return splu(matrix, permc_spec=permc_spec, diag_pivot_thresh=0.0, **options)


def _place_to_col(lu: Any) -> Int32[np.ndarray, " n"]:
    return np.argsort(lu.perm_c).astype(np.int32)


# -- Solves ------------------------------------------------------------------------------


class _DiagonalOrder(NamedTuple):
    """An order for matrices whose pivots may be taken from the diagonal.

    `diagonal` gives the positions of the diagonal among the permuted values, `mirror` that
    of the mirrored entry of each, if the pattern is symmetric.
    """

    permuted: Permuted
    diagonal: Int32[np.ndarray, " n"]
    mirror: Int32[np.ndarray, " nnz"] | None


def _diagonal_order(
    pattern: SparsityPattern, cols: Int32[np.ndarray, " n"]
) -> _DiagonalOrder:
    permuted = permute(pattern, cols, cols)
    place = np.repeat(np.arange(pattern.n, dtype=np.int32), np.diff(permuted.indptr))
    diagonal = np.flatnonzero(permuted.indices == place).astype(np.int32)
    mirror = None
    if pattern.is_symmetric:
        mirrored = SparsityPattern(place, permuted.indices, pattern.shape)
        mirror = transpose_map(mirrored)
    return _DiagonalOrder(permuted, diagonal, mirror)


@dataclass(frozen=True, eq=False)
class _Sparse:
    """Solves without pivoting where that is stable, otherwise with partial pivoting.

    It is stable if the diagonal dominates the rows or the columns (Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd ed., Theorem 9.9), or if the matrix is positive
    definite. It is tried if the former holds up to `_SLACK`, or if the matrix is symmetric
    with a positive diagonal. The solution is checked by its residual in both cases: within
    the slack a pivot can all but vanish, and the factors then lose half of the digits.
    """

    general: Permuted
    for_diagonal: _DiagonalOrder | None

    def __call__(self, values: Values, rhs: Vectors, transposed: bool) -> HostSolution:
        x = self._without_pivoting(values, rhs, transposed)
        if x is not None:
            return x, False
        lu = decompose(self.general.matrix(values), panel_size=_PANEL)
        if lu is None:
            return rhs, True
        return self.general.substitute(lu, rhs, transposed), False

    def _without_pivoting(
        self, values: Values, rhs: Vectors, transposed: bool
    ) -> Vectors | None:
        if self.for_diagonal is None:
            return None
        permuted = self.for_diagonal.permuted
        permuted_values = values[permuted.source]
        if not (
            _is_dominant(self.for_diagonal, permuted_values)
            or _may_be_definite(self.for_diagonal, permuted_values)
        ):
            return None
        matrix = permuted.matrix(values)
        lu = decompose(matrix, diag_pivot_thresh=0.0, panel_size=_PANEL)
        if lu is None:
            return None
        x = permuted.substitute(lu, rhs, transposed)
        is_stable = permuted.is_backward_stable(matrix, x, rhs, transposed, _MAX_ERROR)
        return x if is_stable else None


def _is_dominant(order: _DiagonalOrder, permuted_values: Values) -> bool:
    """Whether the diagonal dominates all columns or all rows."""
    sizes = np.abs(permuted_values)
    twice = (2 + _SLACK) * sizes[order.diagonal]
    if (twice >= np.add.reduceat(sizes, order.permuted.indptr[:-1])).all():
        return True
    sums: Float[np.ndarray, " n"] = np.bincount(order.permuted.indices, weights=sizes)
    return bool((twice >= sums).all())


def _may_be_definite(order: _DiagonalOrder, permuted_values: Values) -> bool:
    """Whether the matrix is symmetric, or Hermitian, with a positive diagonal."""
    if order.mirror is None or (np.real(permuted_values[order.diagonal]) <= 0).any():
        return False
    difference = np.abs(permuted_values - permuted_values[order.mirror].conj()).max()
    return bool(difference <= _SLACK * np.abs(permuted_values).max())
