"""The sparse matrix as users want it: a linear map that is an ordinary JAX value.

`operator` holds the class, whose methods only name what the other files do: `space` the
pytrees on both sides, `plans` the static structure of results, `algebra` and `convert` the
numbers, `solve` the door to the solvers.
"""

from .._call.space import Space as Space
from . import export
from .convert import BlockSparse as BlockSparse
from .operator import SparseJacobian as SparseJacobian
from .solve import solve as solve

export.register()
