"""Sparse solves in lineax, and in optimistix and diffrax, which solve by lineax.

`Sparse` is a solver for any linear operator, `SparseLinearOperator` makes an operator of a
`SparseJacobian`. Needs the package lineax: `pip install lineax`.
"""

from .operator import SparseLinearOperator as SparseLinearOperator
from .solver import Sparse as Sparse
