"""The arguments of `scipy.optimize.minimize`."""

from typing import Any

import numpy as np
from scipy.sparse import sparray

from .flat import FlatProgram, Vector


def scipy_arguments(program: FlatProgram) -> dict[str, Any]:
    """Keyword arguments for `minimize` with `method="trust-constr"`: functions, bounds and
    constraints, with sparse derivatives."""
    from scipy.optimize import Bounds, NonlinearConstraint

    m = program.jacobian.m

    def hessian(x: Vector, multipliers: Vector, factor: float) -> sparray:
        values = program.hessian_values(x, multipliers, factor, lower=False)
        return program.hessian.to_scipy(values)

    arguments: dict[str, Any] = {
        "fun": lambda x: program.at(x).objective,
        "jac": lambda x: program.at(x).gradient,
        "hess": lambda x: hessian(x, np.zeros(m), 1.0),
    }
    if np.isfinite(program.bounds).any():
        arguments["bounds"] = Bounds(*program.bounds)
    if m:
        arguments["constraints"] = NonlinearConstraint(
            lambda x: program.at(x).constraints,
            *program.constraint_bounds,
            jac=lambda x: program.jacobian.to_scipy(program.at(x).jacobian),
            hess=lambda x, multipliers: hessian(x, multipliers, 0.0),
        )
    return arguments
