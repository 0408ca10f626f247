"""Linear solves with the values of a static sparsity pattern.

`solve` makes any way of solving differentiable; `choose` picks one. Each way is a
back end (`backend`) that computes what depends on the pattern when it is made:
`diagonal`, `blocks` and `elimination` in pure JAX, `banded`, `triangular` and
`superlu` by libraries on the host (`host`), whose factors are kept in a `store`,
`cusolver` and `klu` by others.
"""

from .choose import SOLVERS as SOLVERS
from .choose import SolverName as SolverName
from .solve import as_precise as as_precise
from .solve import check_singular as check_singular
from .solve import factor as factor
from .solve import slogdet as slogdet
from .solve import substitute as substitute
