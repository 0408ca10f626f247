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
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from ..._structure.layouts import find_entries, transpose_map
from ..._structure.pattern import SparsityPattern
from .backend import Backend
from .host import Host
from .matching import Facts
from .permuted import Factored, Permuted, decompose, permute
from .store import NO_VOLUME, HostDeterminant, Values, Vectors

_PANEL = 2
"""Vectors that SuperLU updates together. Measured on grids of 900 to 40 000 unknowns in two
and three dimensions: up to a third faster than its default, never much slower."""

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

_MAX_STEPS = 3
"""Steps of refinement after which factors without pivoting are given up. The normal matrix
of a bundle adjustment of 2640 unknowns takes 8 ms without pivoting and 1.06 s with it."""


def plan_superlu(facts: Facts) -> Backend:
    """LU decomposition with partial pivoting in an order that keeps the factors sparse.

    Cost of planning: at most one decomposition of a matrix of this pattern, with pivots on
    the diagonal.
    """
    pattern, row_of_col = facts.pattern, facts.row_of_col
    if (
        not _is_mostly_mirrored(pattern)
        or _has_full_column(pattern)
        or (row_of_col != np.arange(pattern.n)).any()
    ):
        return Host(SuperLU(facts, None))
    cols = _Trial(facts).order_for_diagonal()
    return Host(SuperLU(facts, _diagonal_order(pattern, cols)))


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

    def order_for_diagonal(self) -> Int32[np.ndarray, " n"]:
        """The order that expects pivots on the diagonal."""
        options = {"SymmetricMode": True}
        lu = self._splu(self.facts.pattern, self.values, "MMD_AT_PLUS_A", options=options)
        return _place_to_col(lu)

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
class SuperLU:
    """Factors without pivoting where that is stable, otherwise with partial pivoting.

    It is stable if the diagonal dominates the rows or the columns (Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd ed., Theorem 9.9), or if the matrix is positive
    definite. It is tried if the former holds up to `_SLACK`, or if the matrix is symmetric
    with a positive diagonal. Each solution is checked by its residual in both cases: within
    the slack a pivot can all but vanish, and the factors then lose half of the digits.
    """

    facts: Facts
    for_diagonal: _DiagonalOrder | None

    @cached_property
    def general(self) -> Permuted:
        """The order for partial pivoting, found when a matrix first needs it: COLAMD shows
        its order by a decomposition, which takes minutes for the normal equations of a
        bundle adjustment, whose matrices never need it."""
        cols = _Trial(self.facts).general_order()
        return permute(self.facts.pattern, self.facts.row_of_col[cols], cols)

    def factor(self, values: Values) -> "_Factors | None":
        unpivoted = self._without_pivoting(values)
        factors = _Factors(self, values, unpivoted)
        if unpivoted is None and factors.pivoted is None:
            return None
        return factors

    def with_pivoting(self, values: Values) -> Factored | None:
        """The factors, with any row as the pivot of a column; `None` if there is no pivot
        that is not zero."""
        lu = decompose(self.general.matrix(values), panel_size=_PANEL)
        return None if lu is None else Factored(self.general, lu)

    def _without_pivoting(self, values: Values) -> "_Checked | None":
        if self.for_diagonal is None:
            return None
        permuted = self.for_diagonal.permuted
        matrix = permuted.matrix(values)
        if not (
            _is_dominant(self.for_diagonal, matrix.data)
            or _may_be_definite(self.for_diagonal, matrix.data)
        ):
            return None
        lu = decompose(matrix, diag_pivot_thresh=0.0, panel_size=_PANEL)
        return None if lu is None else _Checked(Factored(permuted, lu), matrix, abs(matrix))


@dataclass(eq=False)
class _Factors:
    """Factors without pivoting, and with it where a solution needs them."""

    solver: SuperLU
    values: Values
    unpivoted: "_Checked | None"

    @cached_property
    def pivoted(self) -> Factored | None:
        """Made at most once, by the first solution that needs them."""
        return self.solver.with_pivoting(self.values)

    @property
    def nbytes(self) -> int:
        both = self.unpivoted and self.unpivoted.factored, self.__dict__.get("pivoted")
        return sum(factors.nbytes for factors in both if factors is not None)

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors | None:
        x = None if self.unpivoted is None else self.unpivoted.solve(rhs, transposed)
        if x is not None:
            return x
        return None if self.pivoted is None else self.pivoted.solve(rhs, transposed)

    def slogdet(self) -> HostDeterminant:
        if self.unpivoted is not None and self.unpivoted.is_stable:
            return self.unpivoted.factored.slogdet()
        return NO_VOLUME if self.pivoted is None else self.pivoted.slogdet()


class _Checked(NamedTuple):
    """Factors that may be unstable, with the matrix in their order and its absolute values
    to tell."""

    factored: Factored
    matrix: Any
    sizes: Any

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors | None:
        """Solutions whose residual is within rounding errors, if need be after a few steps
        of iterative refinement; `None` if that does not help."""
        x = self.factored.solve(rhs, transposed)
        for _ in range(_MAX_STEPS):
            residual, is_stable = self._residual(x, rhs, transposed)
            if is_stable:
                return x
            x = x + self.factored.solve(residual, transposed)
        return x if self._residual(x, rhs, transposed)[1] else None

    @property
    def is_stable(self) -> bool:
        """Whether a solution is exact up to rounding errors without refinement."""
        rhs = np.ones((1, self.matrix.shape[0]), self.matrix.dtype)
        return self._residual(self.factored.solve(rhs, False), rhs, False)[1]

    def _residual(self, x: Vectors, rhs: Vectors, transposed: bool) -> tuple[Vectors, bool]:
        """The residual, and whether each element is within `_MAX_ERROR` units of rounding
        of the terms that it is the sum of.

        Row by row (Oettli and Prager, "Compatibility of approximate solution of linear
        equations", Numer. Math. 6 (1964)): relative to the largest numbers of the whole
        matrix, those of a part with small ones could be anything.
        """
        rows, cols, matrix, sizes = *self.factored.permuted[:2], self.matrix, self.sizes
        if transposed:
            rows, cols, matrix, sizes = cols, rows, matrix.T, sizes.T
        moved, right = np.take(x, cols, axis=1).T, np.take(rhs, rows, axis=1).T
        difference = right - matrix @ moved
        terms = sizes @ np.abs(moved) + np.abs(right)
        residual = np.empty_like(rhs)
        residual[:, rows] = difference.T
        limit = _MAX_ERROR * np.finfo(rhs.dtype).eps * terms
        return residual, bool((np.abs(difference) <= limit).all())


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
