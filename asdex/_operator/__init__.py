"""The sparse matrix as users expect it: a linear map that is an ordinary JAX value.

`operator` holds the class, `factorization` what its solves share, `formats` its
conversions, `export` what `jax.export` stores.
"""

from . import export as export
from .factorization import Factorization as Factorization
from .formats import BlockSparse as BlockSparse
from .operator import SparseJacobian as SparseJacobian
from .solve import solve as solve
