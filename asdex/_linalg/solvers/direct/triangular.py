"""Triangular matrices, also after renumbering, by SuperLU on the host."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from ..backend import Backend, refuse
from ..host.calls import Host
from ..host.permuted import Factored, Permuted, decompose, permute
from ..host.store import Values
from ..matching import Facts


def plan_triangular(facts: Facts) -> Backend:
    """Substitution. Rows and columns may come in any order. Cost: O(nnz).

    Raises `ValueError` if no order makes the pattern triangular.
    """
    pattern, row_of_col, triangle = facts.pattern, facts.row_of_col, facts.triangle
    if triangle.num_blocks < pattern.n:
        block_of_row = np.empty_like(triangle.block)
        block_of_row[row_of_col] = triangle.block
        is_matched = row_of_col[pattern.cols] == pattern.rows
        in_cycle = block_of_row[pattern.rows] == triangle.block[pattern.cols]
        refuse(
            "triangular",
            pattern,
            np.flatnonzero(in_cycle & ~is_matched),
            "rows and columns that can be ordered so that the matrix is triangular",
            "solver='superlu'",
        )
    permuted = permute(pattern, triangle.rows, triangle.cols)
    # No entry is below the diagonal, so that of the diagonal is the last of each column.
    return Host(_Triangle(permuted, permuted.indptr[1:] - 1))


@dataclass(frozen=True, eq=False)
class _Triangle:
    """Solves in an order in which the matrix is upper triangular.

    `diagonal` gives the positions of the diagonal among its permuted values.
    """

    permuted: Permuted
    diagonal: Int32[np.ndarray, " n"]

    def factor(self, values: Values) -> Factored | None:
        matrix = self.permuted.matrix(values)
        if (matrix.data[self.diagonal] == 0).any():
            return None
        # There is nothing to eliminate, so no pivots or groups of columns are
        # searched for: 1.7 ms instead of 3.0 ms for 10 000 unknowns.
        lu = decompose(matrix, diag_pivot_thresh=0.0, relax=1, panel_size=1)
        return None if lu is None else Factored(self.permuted, lu)
