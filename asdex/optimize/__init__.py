"""Constrained optimization: objective and constraints as one object, and all derivatives.

`NonlinearProgram` finds the structure of the Jacobian of the constraints and of the Hessian
of the Lagrangian once, and computes their values, or the KKT matrix made of them, as often
as a solver asks. For IPOPT and SciPy it makes the callbacks that they take.
"""

from .bounds import Bounds as Bounds
from .ipopt import IpoptCallbacks as IpoptCallbacks
from .kkt import Derivatives as Derivatives
from .program import NonlinearProgram as NonlinearProgram
