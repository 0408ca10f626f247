"""Factorizations that libraries on the host have made, kept for the next solve.

A factorization of such a library is no array, so it cannot travel through a program. The
values of the matrix do, with their checksum, and find it here. If it is not here, it is
made again from these values: how a result comes out never depends on what is stored.
"""

from collections import OrderedDict
from threading import Lock
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Inexact, Shaped

Values: TypeAlias = Inexact[np.ndarray, " nnz"]
Vectors: TypeAlias = Inexact[np.ndarray, "k n"]
"""Right-hand sides or solutions, one after another in memory, like columns in Fortran."""

HostDeterminant: TypeAlias = tuple[complex, float]
"""Its sign, for complex numbers a number of size one, and the logarithm of its size."""

NO_VOLUME: HostDeterminant = 0j, -np.inf
"""The determinant of a singular matrix."""


@runtime_checkable
class HostFactors(Protocol):
    """Factors of one matrix, which any number of threads may use at once."""

    @property
    def nbytes(self) -> int:
        """Memory that they take, roughly."""
        ...

    def solve(self, rhs: Vectors, transposed: bool) -> Vectors | None:
        """Solutions for `k` right-hand sides, or `None` if the matrix is singular."""
        ...

    def slogdet(self) -> HostDeterminant:
        """The determinant."""
        ...


@runtime_checkable
class InvertibleFactors(HostFactors, Protocol):
    """Factors that also have elements of the inverse."""

    def mirrored_inverse(self) -> Values | None:
        """For each entry `(i, j)` of the pattern the element `(j, i)` of the inverse;
        `None` if the matrix is singular."""
        ...


@runtime_checkable
class HostSolver(Protocol):
    """Factors the matrices of one pattern."""

    def factor(self, values: Values) -> HostFactors | None:
        """The factors of the matrix with these values, which are finite; `None` if it is
        singular."""
        ...


class Entry(NamedTuple):
    """What is kept of one matrix. The solver belongs to its pattern."""

    solver: HostSolver
    values: Values
    factors: HostFactors | None

    def is_of(self, solver: HostSolver, values: Values) -> bool:
        """Whether this is the same matrix, bit by bit."""
        return self.solver is solver and np.array_equal(_bits(self.values), _bits(values))

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + (0 if self.factors is None else self.factors.nbytes)


class Store:
    """The factorizations that were used last, up to a number and up to an amount of memory.

    The one that was unused for the longest time goes first; the newest one always stays.
    """

    def __init__(self, max_count: int, max_bytes: int):
        self.max_count, self.max_bytes = max_count, max_bytes
        self._entries: OrderedDict[tuple[int, int], Entry] = OrderedDict()
        self._lock = Lock()

    def factors(
        self, solver: HostSolver, values: Values, checksum: int
    ) -> HostFactors | None:
        """The factors of a matrix, made now unless they are stored.

        The checksum only makes them quick to find; the values decide.
        """
        place = id(solver), checksum
        with self._lock:
            entry = self._entries.get(place)
            if entry is not None:
                self._entries.move_to_end(place)
        if entry is not None and entry.is_of(solver, values):
            return entry.factors
        # The memory of the argument belongs to the program, which will use it again.
        values = values.copy()
        entry = Entry(solver, values, solver.factor(values))
        with self._lock:
            self._entries[place] = entry
            self._entries.move_to_end(place)
            self._drop_oldest()
        return entry.factors

    def clear(self) -> None:
        """Forget everything, which changes no result."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def _drop_oldest(self) -> None:
        total = sum(entry.nbytes for entry in self._entries.values())
        while len(self) > 1 and (len(self) > self.max_count or total > self.max_bytes):
            _, entry = self._entries.popitem(last=False)
            total -= entry.nbytes


def _bits(values: Values) -> Shaped[np.ndarray, " words"]:
    return np.ascontiguousarray(values).view(np.uint32)


STORE = Store(max_count=256, max_bytes=2**30)
"""The store of the process: 256 factorizations, but not more than one GiB."""
