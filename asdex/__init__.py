"""Automatic sparse differentiation in JAX.

A derivative in one call, from a function and samples of its arguments:

- `jacobian`, `hessian`, and with the value `value_and_jacobian`, `value_and_hessian`
    return a `Derivative`: a function that computes the matrix, in the format that
    `output_format` names, such as `SparseJacobian`, an operator with products, algebra and
    `solve`.
- `materialize` makes the matrix of a linear function, and `constant_entries` gives the
    values of a derivative that never change.

The steps, one by one:

- detect: `jacobian_sparsity`, `hessian_sparsity` give a `SparsityPattern`, and
    `explain_sparsity` the reasons for it;
- evaluate: by accumulation, with `mode="accumulate"` of the verbs above, or by colors;
- color: `jacobian_coloring`, `hessian_coloring`, or with `_from_sparsity` from a pattern,
    give a `ColoredPattern`, by which `jacobian_from_coloring` and others evaluate, or up to
    the compressed matrix `compressed_jacobian` and others, which `decompress` takes on.

In addition, `check_jacobian_correctness` and `check_hessian_correctness` compare with JAX,
`spy` draws, `register_rule` teaches detection a primitive, `csr_structure` and others hand
index arrays to other libraries, `asdex.optimize` is for constrained problems,
`asdex.lineax` solves within lineax, optimistix and diffrax, and `asdex.dense` computes
dense derivatives in blocks.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

from . import dense, optimize
from ._base.errors import (
    ConservativePatternWarning,
    DenseColoringWarning,
    InvalidColoringError,
    NearlySingularWarning,
    NotConvergedError,
    PatternTooLargeError,
    SingularMatrixError,
    VerificationError,
)
from ._base.types import ColoringMode, HessianMode, JacobianMode, OutputFormat
from ._color import (
    DynamicLargestFirst,
    Greedy,
    IncidenceDegree,
    LargestFirst,
    Lattice,
    NaturalOrder,
    Portfolio,
    RandomOrder,
    SmallestFirst,
    SmallestLast,
    check_coloring_acyclic,
    check_coloring_bidirectional,
    check_coloring_cols,
    check_coloring_rows,
    check_coloring_symmetric,
    color_acyclic,
    color_bidirectional,
    color_cols,
    color_rows,
    color_symmetric,
    hessian_coloring_from_sparsity,
    jacobian_coloring_from_sparsity,
    lift_coloring,
)
from ._detect import Dependence, register_rule
from ._evaluate.accumulate import ConstantEntries
from ._evaluate.decompress import decompress, decompress_data
from ._linalg.solvers import Iterative, SolverName
from ._operator import (
    BlockSparse,
    Factorization,
    SparseJacobian,
    block,
    diag,
    hstack,
    kron,
    solve,
    vstack,
)
from ._structure.coloring import ColoredPattern
from ._structure.layouts import (
    CompressedStructure,
    TriangleStructure,
    csc_structure,
    csr_structure,
    lower_triangle,
    transpose_map,
)
from ._structure.matrices import union
from ._structure.padding import pad_rows
from ._structure.pattern import SparsityPattern
from ._structure.spy import spy
from ._structure.stars import StarSet
from ._verbs.check import check_hessian_correctness, check_jacobian_correctness
from ._verbs.colorings import (
    hessian_coloring,
    hessian_sparsity,
    jacobian_coloring,
    jacobian_sparsity,
)
from ._verbs.compressed import (
    compressed_hessian,
    compressed_hessian_from_coloring,
    compressed_jacobian,
    compressed_jacobian_from_coloring,
    value_and_compressed_hessian,
    value_and_compressed_hessian_from_coloring,
    value_and_compressed_jacobian,
    value_and_compressed_jacobian_from_coloring,
)
from ._verbs.derivative import Derivative
from ._verbs.derivatives import (
    hessian,
    hessian_from_coloring,
    jacobian,
    jacobian_from_coloring,
)
from ._verbs.explain import SparsityReport, SparsityStep, explain_sparsity
from ._verbs.linear import constant_entries, materialize
from ._verbs.values import (
    value_and_hessian,
    value_and_hessian_from_coloring,
    value_and_jacobian,
    value_and_jacobian_from_coloring,
)

__version__ = "0.1.0"


def __getattr__(name: str) -> _Any:
    # Imported when it is used: it needs a package that need not be installed.
    if name == "lineax":
        return _import_module(".lineax", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# In the order of the reference.
__all__ = [  # noqa: RUF022
    # Derivatives
    "jacobian",
    "value_and_jacobian",
    "hessian",
    "value_and_hessian",
    "Derivative",
    "constant_entries",
    "ConstantEntries",
    "materialize",
    "jacobian_from_coloring",
    "value_and_jacobian_from_coloring",
    "hessian_from_coloring",
    "value_and_hessian_from_coloring",
    # The operator
    "SparseJacobian",
    "solve",
    "Factorization",
    "block",
    "hstack",
    "vstack",
    "diag",
    "kron",
    "SolverName",
    "Iterative",
    "csr_structure",
    "csc_structure",
    "CompressedStructure",
    "transpose_map",
    "lower_triangle",
    "TriangleStructure",
    "BlockSparse",
    # Compressed derivatives
    "decompress_data",
    "decompress",
    "compressed_jacobian",
    "compressed_jacobian_from_coloring",
    "value_and_compressed_jacobian",
    "value_and_compressed_jacobian_from_coloring",
    "compressed_hessian",
    "compressed_hessian_from_coloring",
    "value_and_compressed_hessian",
    "value_and_compressed_hessian_from_coloring",
    # Detection and coloring
    "jacobian_sparsity",
    "hessian_sparsity",
    "explain_sparsity",
    "SparsityReport",
    "SparsityStep",
    "register_rule",
    "Dependence",
    "jacobian_coloring",
    "hessian_coloring",
    "jacobian_coloring_from_sparsity",
    "hessian_coloring_from_sparsity",
    "color_cols",
    "color_rows",
    "color_symmetric",
    "color_acyclic",
    "color_bidirectional",
    "lift_coloring",
    "Portfolio",
    "Greedy",
    "Lattice",
    "NaturalOrder",
    "LargestFirst",
    "SmallestFirst",
    "SmallestLast",
    "IncidenceDegree",
    "DynamicLargestFirst",
    "RandomOrder",
    "check_coloring_cols",
    "check_coloring_rows",
    "check_coloring_symmetric",
    "check_coloring_acyclic",
    "check_coloring_bidirectional",
    # Patterns
    "SparsityPattern",
    "union",
    "pad_rows",
    "ColoredPattern",
    "StarSet",
    # Constrained optimization
    "optimize",
    # Dense derivatives in blocks
    "dense",
    # Checks, plots, errors, names
    "check_jacobian_correctness",
    "check_hessian_correctness",
    "spy",
    "InvalidColoringError",
    "VerificationError",
    "PatternTooLargeError",
    "SingularMatrixError",
    "NotConvergedError",
    "NearlySingularWarning",
    "DenseColoringWarning",
    "ConservativePatternWarning",
    "JacobianMode",
    "HessianMode",
    "ColoringMode",
    "OutputFormat",
]
