"""Coloring: from a sparsity pattern to the passes that compute its matrix.

    loops            algorithms written one element at a time, compiled by XLA
    graph            patterns as graphs: neighbor lists
    orders           in which order a greedy coloring visits the vertices
    bounds           lower bounds on the number of colors
    greedy           columns or rows
    star             symmetric matrices, read directly
    acyclic          symmetric matrices, by substitution; substitution plans it
    bidirectional    columns and rows together
    lattice          stencils, by a formula; lattice_table by a table of colors
    problem          the kinds of coloring behind one interface
    blocks           dense blocks, colored as one
    portfolio        algorithms that search for few colors
    check            the definitions as code, to check given colorings
    color            which side, which algorithm, warnings

Each file imports only from those above it.
"""

from .acyclic import color_acyclic as color_acyclic
from .bidirectional import color_bidirectional as color_bidirectional
from .blocks import lift_coloring as lift_coloring
from .check import check_coloring_acyclic as check_coloring_acyclic
from .check import check_coloring_bidirectional as check_coloring_bidirectional
from .check import check_coloring_cols as check_coloring_cols
from .check import check_coloring_rows as check_coloring_rows
from .check import check_coloring_symmetric as check_coloring_symmetric
from .color import Decompression as Decompression
from .color import color_jacobian as color_jacobian
from .color import color_symmetric as color_symmetric
from .color import hessian_coloring_from_sparsity as hessian_coloring_from_sparsity
from .color import jacobian_coloring_from_sparsity as jacobian_coloring_from_sparsity
from .greedy import color_cols as color_cols
from .greedy import color_rows as color_rows
from .orders import DynamicLargestFirst as DynamicLargestFirst
from .orders import IncidenceDegree as IncidenceDegree
from .orders import LargestFirst as LargestFirst
from .orders import NaturalOrder as NaturalOrder
from .orders import RandomOrder as RandomOrder
from .orders import SmallestFirst as SmallestFirst
from .orders import SmallestLast as SmallestLast
from .portfolio import Algorithm as Algorithm
from .portfolio import Greedy as Greedy
from .portfolio import Lattice as Lattice
from .portfolio import Portfolio as Portfolio
from .portfolio import as_algorithm as as_algorithm
