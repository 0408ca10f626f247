"""The sparse matrix as users expect it: a linear map that is an ordinary JAX value.

`operator` holds the class, `factorization` what its solves share, `blocks` puts
matrices together, `formats` holds conversions, `export` what `jax.export` stores.
"""

from . import export as export
from .blocks import block as block
from .blocks import diag as diag
from .blocks import hstack as hstack
from .blocks import kron as kron
from .blocks import vstack as vstack
from .factorization import Factorization as Factorization
from .formats import BlockSparse as BlockSparse
from .operator import SparseJacobian as SparseJacobian
from .solve import solve as solve
