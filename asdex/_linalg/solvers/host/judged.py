"""Factors that may be unstable, and others in their place where a residual shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from .permuted import Factored, Permuted
from .store import NO_VOLUME, HostDeterminant, Values, Vectors

_MAX_ERROR = 100.0
"""Backward error, in units of rounding, up to which a solution counts as stable. That of
partial pivoting was below 30 wherever it was measured."""

_MAX_STEPS = 3
"""Steps of refinement after which the factors are given up."""


class Quick(Protocol):
    """Factors of a matrix with rows and columns in some order."""

    @property
    def permuted(self) -> Permuted: ...
    @property
    def nbytes(self) -> int: ...
    def solve(self, rhs: Vectors, transposed: bool) -> Vectors: ...


@dataclass(eq=False)
class Judged:
    """Quick factors, and stable ones, made at most once, where a solution needs them."""

    quick: "Checked | None"
    make_stable: Callable[[], Factored | None]

    @cached_property
    def stable(self) -> Factored | None:
        """`None` if the matrix is singular."""
        return self.make_stable()

    @property
    def nbytes(self) -> int:
        """Memory of what has been made."""
        both = self.quick and self.quick.factored, self.__dict__.get("stable")
        return sum(factors.nbytes for factors in both if factors is not None)

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors | None:
        """Solutions that are backward stable; `None` if the matrix is singular."""
        x = None if self.quick is None else self.quick.solve(rhs, transposed)
        if x is not None:
            return x
        return None if self.stable is None else self.stable.solve(rhs, transposed)

    def slogdet(self) -> HostDeterminant:
        """The determinant."""
        factored = self._shown
        return NO_VOLUME if factored is None else factored.slogdet()

    def mirrored_inverse(self) -> Values | None:
        """For each entry `(i, j)` of the pattern the element `(j, i)` of the inverse;
        `None` if the matrix is singular."""
        factored = self._shown
        return None if factored is None else factored.mirrored_inverse()

    @property
    def _shown(self) -> Factored | None:
        """The quick factors, if they show their elements and are as good as the stable
        ones, or else these."""
        quick = self.quick
        if quick and isinstance(quick.factored, Factored) and quick.is_stable:
            return quick.factored
        return self.stable


class Checked(NamedTuple):
    """Factors that may be unstable, with the matrix in their order and its absolute values
    to tell."""

    factored: Quick
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
        # Other factors would not help where a right-hand side is not finite.
        is_small = (np.abs(difference) <= limit)[:, np.isfinite(rhs).all(axis=1)]
        return residual, bool(is_small.all())
