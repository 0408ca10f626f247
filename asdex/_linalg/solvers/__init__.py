"""Linear solves with the values of a static sparsity pattern.

`solve` makes any way of solving differentiable; `choose` picks one. Each way is a
back end (`backend`) that computes what depends on the pattern when it is made:
`diagonal`, `blocks` and `elimination` in pure JAX, `banded`, `triangular`, `superlu` and
`klu` by libraries on the host (`host`), whose factors are kept in a `store`, `cusolver` on
GPUs. `iterative` solvers take products with the matrix, and
`preconditioners`. What a user passes to name one is a `solver`.
"""

from .choose import SOLVERS as SOLVERS
from .iterative import Iterative as Iterative
from .solve import as_precise as as_precise
from .solve import check_solved as check_solved
from .solve import factor as factor
from .solve import slogdet as slogdet
from .solve import substitute as substitute
from .solver import AnySolver as AnySolver
from .solver import Solver as Solver
from .solver import SolverName as SolverName
from .solver import as_solver as as_solver
