"""Linear solves with the values of a static sparsity pattern.

`solve` makes any way of solving differentiable and batched. A way is a back end
(`backend`) that computes what depends on the pattern when it is made: `direct` solvers
factor the matrix, `iterative` ones take products with it. What a user passes to name one
is a `solver`.
"""

from .direct.choose import SOLVERS as SOLVERS
from .iterative.methods import Iterative as Iterative
from .solve import as_precise as as_precise
from .solve import check_solved as check_solved
from .solve import factor as factor
from .solve import slogdet as slogdet
from .solve import substitute as substitute
from .solver import AnySolver as AnySolver
from .solver import Solver as Solver
from .solver import SolverName as SolverName
from .solver import as_solver as as_solver
