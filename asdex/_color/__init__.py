"""Coloring: from a sparsity pattern to the passes that compute its matrix."""

from .acyclic import color_acyclic as color_acyclic
from .bidirectional import color_bidirectional as color_bidirectional
from .check import check_coloring_acyclic as check_coloring_acyclic
from .check import check_coloring_bidirectional as check_coloring_bidirectional
from .check import check_coloring_cols as check_coloring_cols
from .check import check_coloring_rows as check_coloring_rows
from .check import check_coloring_symmetric as check_coloring_symmetric
from .colorings import hessian_coloring_from_sparsity as hessian_coloring_from_sparsity
from .colorings import jacobian_coloring_from_sparsity as jacobian_coloring_from_sparsity
from .greedy import color_cols as color_cols
from .greedy import color_rows as color_rows
from .order import DynamicLargestFirst as DynamicLargestFirst
from .order import IncidenceDegree as IncidenceDegree
from .order import LargestFirst as LargestFirst
from .order import NaturalOrder as NaturalOrder
from .order import RandomOrder as RandomOrder
from .order import SmallestLast as SmallestLast
from .portfolio import Greedy as Greedy
from .portfolio import Lattice as Lattice
from .portfolio import Portfolio as Portfolio
from .star import color_symmetric as color_symmetric
