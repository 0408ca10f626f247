"""Automatic sparse differentiation in JAX.

A derivative in one call, from the function and samples of its arguments:

- `jacobian`, `hessian`, and with the value `value_and_jacobian`, `value_and_hessian`
  return a `Derivative`: a function that computes the matrix, in the format that
  `output_format` names, such as `SparseJacobian`, an operator with products, algebra and
  `solve`.

The steps, one by one:

- detect: `jacobian_sparsity`, `hessian_sparsity` give a `SparsityPattern`, and
  `explain_sparsity` the reasons for it;
- color: `jacobian_coloring`, `hessian_coloring`, or with `_from_sparsity` from a pattern,
  give a `ColoredPattern`;
- evaluate: `jacobian_from_coloring` and so on, or up to the compressed matrix
  `compressed_jacobian` and so on, which `decompress` takes further.

Of what does not change, `constant_entries` tells the values, and `materialize` makes the
matrix of a linear function.

In addition, `check_jacobian_correctness` and `check_hessian_correctness` compare with JAX,
`spy` draws, `register_rule` teaches detection a primitive, `csr_structure` and others hand
index arrays to other libraries, and `asdex.dense` computes dense derivatives in blocks.
"""

from . import dense as dense
from ._base.errors import ConservativePatternWarning as ConservativePatternWarning
from ._base.errors import DenseColoringWarning as DenseColoringWarning
from ._base.errors import InvalidColoringError as InvalidColoringError
from ._base.errors import NearlySingularWarning as NearlySingularWarning
from ._base.errors import PatternTooLargeError as PatternTooLargeError
from ._base.errors import SingularMatrixError as SingularMatrixError
from ._base.errors import VerificationError as VerificationError
from ._base.types import ColoringMode as ColoringMode
from ._base.types import HessianMode as HessianMode
from ._base.types import JacobianMode as JacobianMode
from ._base.types import OutputFormat as OutputFormat
from ._color import DynamicLargestFirst as DynamicLargestFirst
from ._color import Greedy as Greedy
from ._color import IncidenceDegree as IncidenceDegree
from ._color import LargestFirst as LargestFirst
from ._color import Lattice as Lattice
from ._color import NaturalOrder as NaturalOrder
from ._color import Portfolio as Portfolio
from ._color import RandomOrder as RandomOrder
from ._color import SmallestLast as SmallestLast
from ._color import check_coloring_acyclic as check_coloring_acyclic
from ._color import check_coloring_bidirectional as check_coloring_bidirectional
from ._color import check_coloring_cols as check_coloring_cols
from ._color import check_coloring_rows as check_coloring_rows
from ._color import check_coloring_symmetric as check_coloring_symmetric
from ._color import color_acyclic as color_acyclic
from ._color import color_bidirectional as color_bidirectional
from ._color import color_cols as color_cols
from ._color import color_rows as color_rows
from ._color import color_symmetric as color_symmetric
from ._color import hessian_coloring_from_sparsity as hessian_coloring_from_sparsity
from ._color import jacobian_coloring_from_sparsity as jacobian_coloring_from_sparsity
from ._color import lift_coloring as lift_coloring
from ._detect import Dependence as Dependence
from ._detect import register_rule as register_rule
from ._evaluate.accumulate import ConstantEntries as ConstantEntries
from ._evaluate.decompress import decompress as decompress
from ._evaluate.decompress import decompress_data as decompress_data
from ._linalg.solvers import SolverName as SolverName
from ._operator import BlockSparse as BlockSparse
from ._operator import SparseJacobian as SparseJacobian
from ._operator import solve as solve
from ._structure.coloring import ColoredPattern as ColoredPattern
from ._structure.layouts import CompressedStructure as CompressedStructure
from ._structure.layouts import TriangleStructure as TriangleStructure
from ._structure.layouts import csc_structure as csc_structure
from ._structure.layouts import csr_structure as csr_structure
from ._structure.layouts import lower_triangle as lower_triangle
from ._structure.layouts import transpose_map as transpose_map
from ._structure.pattern import SparsityPattern as SparsityPattern
from ._structure.spy import spy as spy
from ._structure.stars import StarSet as StarSet
from ._verbs.check import check_hessian_correctness as check_hessian_correctness
from ._verbs.check import check_jacobian_correctness as check_jacobian_correctness
from ._verbs.colorings import hessian_coloring as hessian_coloring
from ._verbs.colorings import hessian_sparsity as hessian_sparsity
from ._verbs.colorings import jacobian_coloring as jacobian_coloring
from ._verbs.colorings import jacobian_sparsity as jacobian_sparsity
from ._verbs.compressed import compressed_hessian as compressed_hessian
from ._verbs.compressed import (
    compressed_hessian_from_coloring as compressed_hessian_from_coloring,
)
from ._verbs.compressed import compressed_jacobian as compressed_jacobian
from ._verbs.compressed import (
    compressed_jacobian_from_coloring as compressed_jacobian_from_coloring,
)
from ._verbs.compressed import value_and_compressed_hessian as value_and_compressed_hessian
from ._verbs.compressed import (
    value_and_compressed_hessian_from_coloring as value_and_compressed_hessian_from_coloring,  # noqa: E501
)
from ._verbs.compressed import (
    value_and_compressed_jacobian as value_and_compressed_jacobian,
)
from ._verbs.compressed import (
    value_and_compressed_jacobian_from_coloring as value_and_compressed_jacobian_from_coloring,  # noqa: E501
)
from ._verbs.derivative import Derivative as Derivative
from ._verbs.derivatives import hessian as hessian
from ._verbs.derivatives import hessian_from_coloring as hessian_from_coloring
from ._verbs.derivatives import jacobian as jacobian
from ._verbs.derivatives import jacobian_from_coloring as jacobian_from_coloring
from ._verbs.explain import SparsityReport as SparsityReport
from ._verbs.explain import SparsityStep as SparsityStep
from ._verbs.explain import explain_sparsity as explain_sparsity
from ._verbs.linear import constant_entries as constant_entries
from ._verbs.linear import materialize as materialize
from ._verbs.values import value_and_hessian as value_and_hessian
from ._verbs.values import (
    value_and_hessian_from_coloring as value_and_hessian_from_coloring,
)
from ._verbs.values import value_and_jacobian as value_and_jacobian
from ._verbs.values import (
    value_and_jacobian_from_coloring as value_and_jacobian_from_coloring,
)

__version__ = "0.1.0"
