"""General sparse matrices, by KLU on the host."""

from dataclasses import dataclass, field
from functools import partial
from threading import Lock

import numpy as np

from ..backend import Backend
from ..host.calls import Host
from ..host.judged import Checked, Judged
from ..host.klu_library import Analysis, Numeric, analyze
from ..host.permuted import Permuted, permute
from ..host.store import Values, Vectors
from ..matching import Facts
from .superlu import SuperLU


def plan_klu(facts: Facts) -> Backend:
    """LU decomposition by KLU, in block triangular form with threshold pivoting.

    KLU computes in double precision, whatever the dtype. Its solutions are judged and
    refined like those of SuperLU, which takes its place where its pivots are too small, and
    for determinants. A matrix is factored without regard to the one before, whose pivots
    would do in half of the time: a result must not depend on which matrices came first.

    Cost of planning: one analysis of the pattern. Raises `ImportError` if klujax is
    missing.
    """
    given = np.arange(facts.pattern.n, dtype=np.int32)
    permuted = permute(facts.pattern, given, given)
    analysis = analyze(permuted.indptr, permuted.indices)
    return Host(Klu(permuted, analysis, SuperLU(facts, None)))


@dataclass(frozen=True, eq=False)
class Klu:
    """Factors by KLU, with those of SuperLU in reserve."""

    permuted: Permuted
    analysis: Analysis
    reserve: SuperLU

    def factor(self, values: Values) -> Judged | None:
        matrix = self.permuted.matrix(values)
        numeric = self.analysis.factor(np.asarray(matrix.data, _double(values)))
        if numeric is None:
            return None
        factored = _Factored(self.permuted, self.analysis, numeric)
        checked = Checked(factored, matrix, abs(matrix))
        return Judged(checked, partial(self.reserve.with_pivoting, values))


@dataclass(frozen=True, eq=False)
class _Factored:
    """KLU's factors, which contain the memory that it works in."""

    permuted: Permuted
    analysis: Analysis
    numeric: Numeric
    lock: Lock = field(default_factory=Lock)

    @property
    def nbytes(self) -> int:
        return self.numeric.nbytes

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors:
        x = np.array(rhs, _double(rhs), order="C")
        with self.lock:
            self.analysis.solve(self.numeric, x, transposed)
        return x.astype(rhs.dtype, copy=False)


def _double(values: np.ndarray) -> type:
    return np.complex128 if np.iscomplexobj(values) else np.float64
