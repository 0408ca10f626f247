"""A nonlinear program between flat vectors of NumPy, as solvers outside of JAX call it."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Inexact

from .._call.space import Space
from .._operator import SparseJacobian
from .._structure.inputs import is_array
from .._structure.layouts import lower_triangle
from .._structure.pattern import SparsityPattern
from .._verbs.derivative import Derivative
from .functions import Functions

Vector: TypeAlias = Float[np.ndarray, " _"]
Static: TypeAlias = tuple[tuple[Any, ...], Any]
"""Leaves that are not arrays, and the structure of their pytree."""


@dataclasses.dataclass(frozen=True, eq=False)
class FlatFunctions:
    """Values and derivatives at flat vectors, compiled once for all `args` of equal types.

    They are compiled by `jax.jit`, whose calls take a quarter of the time of those of
    `eqx.filter_jit`: 11 of 46 microseconds, as much as a small problem itself.
    """

    functions: Functions
    jacobian: Derivative[SparseJacobian]
    hessian: Derivative[SparseJacobian]
    domain: Space
    codomain: Space

    @partial(jax.jit, static_argnums=(0, 1))
    def first_order(
        self, static: Static, arrays: Any, x: Inexact[Array, " n"]
    ) -> tuple[Array, ...]:
        """The objective, its gradient, the constraints and the entries of the Jacobian."""
        args, point = _merge(static, arrays), self._point(x)
        value, gradient = jax.value_and_grad(self.functions.value)(point, *args)
        constraints = self.functions.residuals(point, *args)
        return (
            value,
            self.domain.pack(jax.tree.leaves(gradient)),
            self.codomain.pack(jax.tree.leaves(constraints)),
            self.jacobian(point, *args).data,
        )

    @partial(jax.jit, static_argnums=(0, 1, 2))
    def second_order(
        self,
        static: Static,
        lower: bool,
        arrays: Any,
        x: Inexact[Array, " n"],
        multipliers: Inexact[Array, " m"],
        factor: Any,
    ) -> Inexact[Array, " entries"]:
        """The entries of the Hessian, or if `lower` of its lower triangle."""
        values = self.hessian(
            self._point(x),
            self.codomain.unravel(multipliers.astype(self.codomain.dtype)),
            *_merge(static, arrays),
            objective_factor=factor,
        ).data
        return values[lower_triangle(self.hessian.sparsity).selection] if lower else values

    def _point(self, x: Inexact[Array, " n"]) -> Any:
        return self.domain.unravel(x.astype(self.domain.dtype))


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
        functions: FlatFunctions,
        args: tuple[Any, ...],
        bounds: tuple[Vector, Vector],
        constraint_bounds: tuple[Vector, Vector],
    ):
        self.bounds, self.constraint_bounds = bounds, constraint_bounds
        self._functions = functions
        self._static, self._arrays = _split(args)
        self._point: bytes | None = None
        self._found: FirstOrder | None = None

    @property
    def jacobian(self) -> SparsityPattern:
        """The pattern of the Jacobian of the constraints."""
        return self._functions.jacobian.sparsity

    @property
    def hessian(self) -> SparsityPattern:
        """The pattern of the Hessian of the Lagrangian."""
        return self._functions.hessian.sparsity

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

    def hessian_values(
        self, x: Vector, multipliers: Vector, factor: float, *, lower: bool
    ) -> Vector:
        """The entries of the Hessian of the Lagrangian, or of its lower triangle."""
        x, multipliers = np.array(x, float), np.array(multipliers, float)
        return as_numpy(
            self._functions.second_order(
                self._static, lower, self._arrays, x, multipliers, float(factor)
            )
        )

    def _first_order(self, x: Vector) -> tuple[Array, ...]:
        return self._functions.first_order(self._static, self._arrays, x)


def as_numpy(array: Any) -> Vector:
    """Numbers of double precision, not copied on a CPU if JAX has computed such."""
    return np.asarray(array, float)


def _split(args: tuple[Any, ...]) -> tuple[Static, Any]:
    arrays, static = eqx.partition(args, is_array)
    leaves, treedef = jax.tree.flatten(static)
    return (tuple(leaves), treedef), arrays


def _merge(static: Static, arrays: Any) -> tuple[Any, ...]:
    leaves, treedef = static
    return eqx.combine(arrays, jax.tree.unflatten(treedef, leaves))
