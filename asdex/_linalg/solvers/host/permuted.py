"""A sparse matrix with rows and columns in another order, as SuperLU takes it."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from ...._structure.layouts import compress_lines
from ...._structure.pattern import SparsityPattern
from .calls import parity, sign_and_logarithm
from .selected import selected_inverse
from .store import HostDeterminant, Values, Vectors

_TOGETHER = 4
"""Right-hand sides that are substituted together. 32 of them for a grid of 10 000 unknowns
take 10 ms one by one, 5.7 ms by four, and 7 to 60 ms at once, when BLAS starts threads."""


class Permuted(NamedTuple):
    """Row `rows[k]` and column `cols[k]` at position `k`, compressed by columns.

    `indptr` and `indices` are those of CSC, and `source` gives the entry of the pattern
    that each of its values is.
    """

    rows: Int32[np.ndarray, " n"]
    cols: Int32[np.ndarray, " n"]
    indptr: Int32[np.ndarray, " pointers"]
    indices: Int32[np.ndarray, " nnz"]
    source: Int32[np.ndarray, " nnz"]

    def matrix(self, values: Values) -> Any:
        """The matrix in this order, which shares the index arrays."""
        from scipy.sparse import csc_array

        n = self.rows.size
        matrix = csc_array((values[self.source], self.indices, self.indptr), shape=(n, n))
        # SciPy would check the order each time, and sort again.
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix

    def substitute(self, lu: Any, rhs: Vectors, transposed: bool) -> Vectors:
        """Substitute in the factors of the matrix, and undo the order."""
        rows, cols = (self.cols, self.rows) if transposed else (self.rows, self.cols)
        x, ordered = np.empty_like(rhs), np.take(rhs, rows, axis=1)
        for start in range(0, len(rhs), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            x[some, cols] = lu.solve(ordered[some].T, "T" if transposed else "N").T
        return x


@dataclass(frozen=True, eq=False)
class Factored:
    """SuperLU's factors of a matrix in some order."""

    permuted: Permuted
    lu: Any

    @property
    def nbytes(self) -> int:
        # Numbers of 8 bytes, and an index for some of them.
        return 12 * self.lu.nnz

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors:
        return self.permuted.substitute(self.lu, rhs, transposed)

    def mirrored_inverse(self) -> Values:
        """For each entry `(i, j)` of the pattern the element `(j, i)` of the inverse."""
        permuted, n = self.permuted, self.permuted.rows.size
        place = np.repeat(np.arange(n), np.diff(permuted.indptr))
        rows, cols = self.lu.perm_c[place], self.lu.perm_r[permuted.indices]
        found = np.empty(permuted.source.size, self.lu.U.dtype)
        found[permuted.source] = selected_inverse(self.lu, rows, cols)
        return found

    def slogdet(self) -> HostDeterminant:
        orders = self.lu.perm_r, self.lu.perm_c, self.permuted.rows, self.permuted.cols
        return sign_and_logarithm(self.lu.U.diagonal(), sum(map(parity, orders)))


def permute(
    pattern: SparsityPattern, rows: Int32[np.ndarray, " n"], cols: Int32[np.ndarray, " n"]
) -> Permuted:
    """The pattern with row `rows[k]` and column `cols[k]` at position `k`. Cost: a sort."""
    row_place, col_place = np.empty_like(rows), np.empty_like(cols)
    row_place[rows] = col_place[cols] = np.arange(pattern.n)
    compressed = compress_lines(col_place[pattern.cols], row_place[pattern.rows], pattern.n)
    return Permuted(rows, cols, *compressed)


def decompose(matrix: Any, **options: Any) -> Any:
    """SuperLU's decomposition in the given order, or `None` if it met a zero pivot."""
    from scipy.sparse.linalg import splu

    try:
        return splu(matrix, permc_spec="NATURAL", **options)
    except RuntimeError as error:
        if "singular" not in str(error):
            raise
        return None
