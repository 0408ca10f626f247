"""General sparse matrices, by SuperLU on the host.

SuperLU finds an order of the columns that keeps the factors sparse each time it is called.
That order depends on the pattern alone, so it is found here once, and the matrices are
handed over with rows and columns in that order.

Partial pivoting may take any row. Orders that allow for this (COLAMD) fill more than those
that expect pivots on the diagonal (minimum degree of `A + A.T`): twice as much for a grid,
and 27 times for the normal matrix of a bundle adjustment. The latter in turn fill far more
if many pivots are elsewhere: a grid of 10 000 unknowns with random values takes 200 times
as long with partial pivoting in that order. So the diagonal is left only where it all but
vanishes, which loses digits, and iterative refinement wins them back (Li and Demmel,
"SuperLU_DIST: A scalable distributed-memory sparse direct solver", ACM TOMS 29 (2003)).
Solutions by such factors are judged by their backward error; if that stays large, the
matrix is factored again with partial pivoting in the other order, and no more is asked: its
solutions are exact for a matrix that differs by rounding errors of its largest elements.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from ...._structure.layouts import find_entries
from ...._structure.pattern import SparsityPattern
from ..backend import Backend
from ..host.calls import Host
from ..host.judged import Checked, Judged
from ..host.permuted import Factored, Permuted, decompose, permute
from ..host.store import Values
from ..matching import Facts

_PANEL = 2
"""Vectors that SuperLU updates together. Measured on grids of 900 to 40 000 unknowns in two
and three dimensions: up to a third faster than its default, never much slower."""

_MIN_MIRRORED = 0.8
"""Share of the entries with a mirror from which on pivots on the diagonal are considered:
the fill is that of `A + A.T`."""

_MAX_SQUARE = 100
"""Square of the entries in the fullest column, in multiples of all entries, up to which an
order by minimum degree is searched."""

_MIN_PIVOT = 1e-4
"""Share of the largest element of its column from which on an element of the diagonal is
taken as the pivot. Random grids of 900 to 10 000 unknowns fill up to 1% more than without
any exchange, and need one step of refinement; 1e-3 adds up to 20%, 1e-2 up to 150%."""

_MAX_SMALL = 0.01
"""Share of the diagonal that may be smaller than that. Each exchange fills the factors: a
random grid of 10 000 unknowns takes twice as long if 1% is zero, 40 times if 10% are."""


def plan_superlu(facts: Facts) -> Backend:
    """LU decomposition with pivots on the diagonal where that is stable, else with partial
    pivoting, in orders that keep the factors sparse.

    Cost of planning: that of an order by minimum degree. Nothing is factored.
    """
    return Host(SuperLU.of(facts))


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


def _order_for_diagonal(facts: Facts) -> Int32[np.ndarray, " n"]:
    """The order that expects pivots on the diagonal."""
    options = {"SymmetricMode": True}
    return _ordered(facts, facts.pattern, "MMD_AT_PLUS_A", options=options)


def _general_order(facts: Facts) -> Int32[np.ndarray, " n"]:
    """The block triangular form, with the columns of each block ordered by COLAMD.

    No pivot can come from another block, since a column has no entry below its own. Twenty
    grids of 900 unknowns that depend on each other in turn take 95 ms so, and 6 s if COLAMD
    orders the whole.
    """
    pattern = facts.pattern
    rows, cols, block = facts.triangle
    block_of_row = np.empty_like(block)
    block_of_row[rows] = block[cols]
    inside = block_of_row[pattern.rows] == block[pattern.cols]
    blocks = SparsityPattern(pattern.rows[inside], pattern.cols[inside], pattern.shape)
    chosen = _ordered(facts, blocks, "COLAMD")
    return chosen[np.argsort(block[chosen], kind="stable")]


def _ordered(
    facts: Facts, pattern: SparsityPattern, permc_spec: str, **options: Any
) -> Int32[np.ndarray, " n"]:
    """The columns of a pattern, which has the matched entries, as SuperLU orders them.

    SciPy shows an order only with a decomposition. One that drops all it may drop, of a
    matrix whose matched entries dominate, costs little more than the order itself.
    """
    from scipy.sparse.linalg import spilu

    as_they_are = np.arange(pattern.n, dtype=np.int32)
    permuted = permute(pattern, facts.row_of_col, as_they_are)
    matrix = permuted.matrix(_dominant_values(facts, pattern))
    lu = spilu(matrix, drop_tol=1.0, fill_factor=1.0, permc_spec=permc_spec, **options)
    return np.argsort(lu.perm_c).astype(np.int32)


def _dominant_values(facts: Facts, pattern: SparsityPattern) -> Values:
    """Of a matrix whose matched entries dominate their columns."""
    is_matched = facts.row_of_col[pattern.cols] == pattern.rows
    return np.where(is_matched, 1 + np.bincount(pattern.cols)[pattern.cols], 0.5)


def trial_factors(facts: Facts) -> tuple[int, int]:
    """How many entries the factors of a matrix have, if its pivots are where they are
    expected, and how many multiplications it takes to compute them.

    Cost: a decomposition.
    """
    solver = SuperLU.of(facts)
    order = solver.for_diagonal
    permuted = solver.general if order is None else order.permuted
    matrix = permuted.matrix(_dominant_values(facts, facts.pattern))
    lu = decompose(matrix, diag_pivot_thresh=0.0, panel_size=_PANEL)
    below = np.diff(lu.L.indptr) - 1
    beside = np.bincount(lu.U.indices, minlength=below.size).astype(np.int64)
    return lu.nnz, int(below @ beside)


# -- Solves ------------------------------------------------------------------------------


class _DiagonalOrder(NamedTuple):
    """An order for pivots on the diagonal, and the positions of the diagonal among the
    values in this order."""

    permuted: Permuted
    diagonal: Int32[np.ndarray, " n"]

    @classmethod
    def of(cls, permuted: Permuted) -> "_DiagonalOrder":
        """An order of rows that is that of the columns, with a full diagonal."""
        n = permuted.rows.size
        place = np.repeat(np.arange(n, dtype=np.int32), np.diff(permuted.indptr))
        return cls(permuted, np.flatnonzero(permuted.indices == place).astype(np.int32))

    def suits(self, permuted_values: Values) -> bool:
        """Whether few elements of the diagonal are small for their column."""
        sizes = np.abs(permuted_values)
        largest = np.maximum.reduceat(sizes, self.permuted.indptr[:-1])
        small = np.count_nonzero(sizes[self.diagonal] < _MIN_PIVOT * largest)
        return bool(small <= _MAX_SMALL * largest.size)


@dataclass(frozen=True, eq=False)
class SuperLU:
    """Factors with pivots on the diagonal where that is stable, otherwise with partial
    pivoting."""

    facts: Facts
    for_diagonal: _DiagonalOrder | None

    @classmethod
    def of(cls, facts: Facts) -> "SuperLU":
        """With an order for pivots on the diagonal, if the pattern suggests these."""
        pattern, row_of_col = facts.pattern, facts.row_of_col
        if (
            not _is_mostly_mirrored(pattern)
            or _has_full_column(pattern)
            or (row_of_col != np.arange(pattern.n)).any()
        ):
            return cls(facts, None)
        cols = _order_for_diagonal(facts)
        return cls(facts, _DiagonalOrder.of(permute(pattern, cols, cols)))

    def diagonal_order(self, values: Values) -> Permuted | None:
        """The order for pivots on the diagonal, if the values allow these."""
        if self.for_diagonal is None:
            return None
        permuted = self.for_diagonal.permuted
        is_suited = self.for_diagonal.suits(permuted.matrix(values).data)
        return permuted if is_suited else None

    @cached_property
    def general(self) -> Permuted:
        """The order for partial pivoting, found when a matrix first needs it."""
        cols = _general_order(self.facts)
        return permute(self.facts.pattern, self.facts.row_of_col[cols], cols)

    def factor(self, values: Values) -> Judged | None:
        factors = Judged(self._on_diagonal(values), partial(self.with_pivoting, values))
        return None if factors.quick is None and factors.stable is None else factors

    def with_pivoting(self, values: Values) -> Factored | None:
        """The factors, with any row as the pivot of a column; `None` if there is no pivot
        that is not zero."""
        lu = decompose(self.general.matrix(values), panel_size=_PANEL)
        return None if lu is None else Factored(self.general, lu)

    def _on_diagonal(self, values: Values) -> Checked | None:
        if (permuted := self.diagonal_order(values)) is None:
            return None
        matrix = permuted.matrix(values)
        lu = decompose(matrix, diag_pivot_thresh=_MIN_PIVOT, panel_size=_PANEL)
        return None if lu is None else Checked(Factored(permuted, lu), matrix, abs(matrix))
