"""A nonlinear program between flat vectors of NumPy, as solvers outside of JAX call it."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from .._structure.pattern import SparsityPattern

Vector: TypeAlias = Float[np.ndarray, " _"]


class FirstOrder(NamedTuple):
    """Values and first derivatives at a point; those of the Jacobian are its entries."""

    objective: float
    gradient: Vector
    constraints: Vector
    jacobian: Vector


class FlatProgram:
    """The functions of a nonlinear program for given `args`, on vectors of NumPy.

    Solvers ask for values and first derivatives at one point one by one. They are computed
    together, and kept until another point comes. What is returned shares its memory with
    JAX on a CPU, and is read-only.
    """

    def __init__(
        self,
        jacobian: SparsityPattern,
        hessian: SparsityPattern,
        bounds: tuple[Vector, Vector],
        constraint_bounds: tuple[Vector, Vector],
        first_order: Callable[[Vector], Any],
        second_order: Callable[[Vector, Vector, Any], Any],
    ):
        self.jacobian, self.hessian = jacobian, hessian
        self.bounds, self.constraint_bounds = bounds, constraint_bounds
        self._first_order, self._second_order = first_order, second_order
        self._point: bytes | None = None
        self._found: FirstOrder | None = None

    def at(self, x: Vector) -> FirstOrder:
        """What is known of a point, computed at the first call with it."""
        # A copy: solvers change their vectors in place, and JAX may return the memory of
        # what it is given.
        x = np.array(x, float)
        if self._found is None or x.tobytes() != self._point:
            value, *arrays = self._first_order(x)
            self._found = FirstOrder(float(value), *map(as_numpy, arrays))
            self._point = x.tobytes()
        return self._found

    def hessian_values(self, x: Vector, multipliers: Vector, factor: float) -> Vector:
        """The entries of the Hessian of the Lagrangian."""
        x, multipliers = np.array(x, float), np.array(multipliers, float)
        return as_numpy(self._second_order(x, multipliers, float(factor)))


def as_numpy(array: Any) -> Vector:
    """Numbers of double precision, not copied on a CPU if JAX has computed such."""
    return np.asarray(array, float)
