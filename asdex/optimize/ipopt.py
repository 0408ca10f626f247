"""The callbacks of IPOPT, by its Python interface cyipopt."""

from typing import TypedDict

import numpy as np
from jaxtyping import Int32

from .._structure.layouts import lower_triangle
from .flat import FlatProgram, Vector

Structure = tuple[Int32[np.ndarray, " nnz"], Int32[np.ndarray, " nnz"]]


class Sizes(TypedDict):
    """Arguments of `cyipopt.Problem`: numbers of variables and constraints, and the bounds
    of both."""

    n: int
    m: int
    lb: Vector
    ub: Vector
    cl: Vector
    cu: Vector


class IpoptCallbacks:
    """What `cyipopt.Problem(problem_obj=callbacks, **callbacks.sizes)` calls.

    Vectors are flat, in the order of `jax.flatten_util.ravel_pytree`. Objective, gradient,
    constraints and Jacobian at the same point are computed by one compiled call. Made by
    `NonlinearProgram.cyipopt`.
    """

    def __init__(self, program: FlatProgram, options: dict[str, str]):
        self._program = program
        self._lower = lower_triangle(program.hessian)
        self.options = options
        """Options that spare IPOPT to ask again for what is constant: for
        `cyipopt.Problem.add_option`."""

    @property
    def sizes(self) -> Sizes:
        """The other arguments of `cyipopt.Problem`."""
        (lb, ub), (cl, cu) = self._program.bounds, self._program.constraint_bounds
        return {"n": lb.size, "m": cl.size, "lb": lb, "ub": ub, "cl": cl, "cu": cu}

    def objective(self, x: Vector) -> float:
        """The objective."""
        return self._program.at(x).objective

    def gradient(self, x: Vector) -> Vector:
        """The gradient of the objective."""
        return self._program.at(x).gradient

    def constraints(self, x: Vector) -> Vector:
        """The constraints."""
        return self._program.at(x).constraints

    def jacobianstructure(self) -> Structure:
        """Rows and columns of the entries of the Jacobian."""
        return self._program.jacobian.rows, self._program.jacobian.cols

    def jacobian(self, x: Vector) -> Vector:
        """The entries of the Jacobian, in the order of its structure."""
        return self._program.at(x).jacobian

    def hessianstructure(self) -> Structure:
        """Rows and columns of the entries of the lower triangle of the Hessian."""
        return self._lower.rows, self._lower.cols

    def hessian(self, x: Vector, lagrange: Vector, obj_factor: float) -> Vector:
        """The entries of the lower triangle of the Hessian of the Lagrangian."""
        return self._program.hessian_values(x, lagrange, obj_factor, lower=True)
