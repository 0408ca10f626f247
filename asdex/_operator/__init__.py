"""The sparse matrix as users expect it: a linear map that is an ordinary JAX value.

`operator` holds the class, `formats` its conversions, `export` what `jax.export` stores.
"""

from . import export as export
from .formats import BlockSparse as BlockSparse
from .operator import SparseJacobian as SparseJacobian
from .solve import solve as solve
