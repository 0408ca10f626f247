"""What the two ways to the values of the entries cost, counted on the tangent program."""

from typing import NamedTuple

import numpy as np

from .._structure.pattern import SparsityPattern
from .value import Notes


class Costs(NamedTuple):
    """Counts of one detection, in elements of arrays that are computed.

    Constants, which cost nothing, are counted like all others: they are not known before
    the coefficients are followed.
    """

    lacking: tuple[str, ...]
    """Primitives that pass on dependence, but have no coefficients: if there are any, the
    values cannot be accumulated."""
    coefficients: int
    """Coefficients of all terms of all arrays."""
    one_pass: int
    """Elements of the tangent program, which runs once per color."""

    @classmethod
    def of(cls, notes: Notes) -> "Costs":
        """The counts of a detection."""
        lacking = tuple(sorted(notes.without_coefficients))
        return cls(lacking, notes.work, notes.pass_work)

    def favor_accumulation(self, pattern: SparsityPattern) -> bool:
        """Whether accumulation takes less work than the fewest colors there can be."""
        return self.coefficients <= fewest_passes(pattern) * self.one_pass


def fewest_passes(pattern: SparsityPattern) -> int:
    """A bound on the number of colors: entries in one row have different ones."""
    rows = np.bincount(pattern.rows, minlength=1).max()
    cols = np.bincount(pattern.cols, minlength=1).max()
    return int(min(rows, cols))
