"""Names of modes and formats, and the type of pytrees."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    # Type checkers cannot resolve that of jaxtyping. A strict one would report it in the
    # programs of users, wherever a public signature contains it.
    # (Pyright takes `x | y` for a union of types if `x` is of an alias made by `=`.)
    from typing import Any as PyTree
else:
    from jaxtyping import PyTree as PyTree

JacobianMode: TypeAlias = Literal["fwd", "rev", "bidirectional"]
"""AD mode of a Jacobian: `"fwd"` pushes one JVP per color of the columns, `"rev"`
pulls one VJP per color of the rows, `"bidirectional"` does both for some of them."""

HessianMode: TypeAlias = Literal["fwd_over_rev", "rev_over_fwd", "rev_over_rev"]
"""AD composition of a Hessian-vector product: `"fwd_over_rev"` is the JVP of the
gradient, `"rev_over_fwd"` the gradient of the directional derivative,
`"rev_over_rev"` the VJP of the gradient."""

Accumulate: TypeAlias = Literal["accumulate"]
"""In place of a mode: the values are accumulated along the linearized program."""

ColoringMode: TypeAlias = JacobianMode | HessianMode
"""AD mode that a coloring was computed for."""

OutputFormat: TypeAlias = Literal[
    "bcoo",
    "bcsr",
    "dense",
    "operator",
    "numpy_dense",
    "scipy_coo",
    "scipy_csr",
    "scipy_csc",
]
"""Type of a result: `BCOO` or `BCSR` of `jax.experimental.sparse`, `jax.Array`,
`SparseJacobian`, `numpy.ndarray` or one of SciPy's sparse arrays. `BCSR` and SciPy's are
one matrix between flat vectors, in the order of `jax.flatten_util.ravel_pytree`."""

ChunkSize: TypeAlias = int | Literal["auto"] | None
"""How many colors to process at a time; `None` means all."""

ONE_SIDED_MODES: tuple[JacobianMode, ...] = ("fwd", "rev")
ACCUMULATE: Accumulate = "accumulate"
BIDIRECTIONAL = "bidirectional"
"""Both of `ONE_SIDED_MODES` together, with a compressed matrix for each."""

JACOBIAN_MODES: tuple[JacobianMode, ...] = (*ONE_SIDED_MODES, BIDIRECTIONAL)

HESSIAN_MODES: tuple[HessianMode, ...] = get_args(HessianMode)
OUTPUT_FORMATS: tuple[str, ...] = get_args(OutputFormat)
OPERATOR = "operator"
FLAT_FORMATS = ("bcsr", "scipy_coo", "scipy_csr", "scipy_csc")
"""Of one matrix between flat vectors, whatever the pytrees of the function."""

HOST_FORMATS = ("numpy_dense", "scipy_coo", "scipy_csr", "scipy_csc")


def check_jacobian_mode(mode: object) -> None:
    """Raise `ValueError` unless `mode` is one of a Jacobian."""
    if mode not in JACOBIAN_MODES:
        raise ValueError(
            f"Unknown mode {mode!r}. Expected 'fwd' or 'rev', or {BIDIRECTIONAL!r}; "
            f"derivatives also take {ACCUMULATE!r}."
        )


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise `ValueError` unless `value`, given as argument `name`, is allowed."""
    if value not in allowed:
        *most, last = map(repr, allowed)
        expected = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"Unknown {name} {value!r}. Expected {expected}.")
