"""Detection: the pattern of a function's Jacobian, from its linearized program."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Array, Inexact, Int32

from .._errors import ConservativePatternWarning
from .dependence import Dependence, identity, nothing
from .interpret import interpret
from .known import constant
from .table import Notes, Scope, Value


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """The entries of a Jacobian of shape `shape` that can be nonzero, sorted row-major,
    and the AD modes, of `"fwd"` and `"rev"`, that JAX can use on the function."""

    rows: Int32[np.ndarray, " nnz"]
    cols: Int32[np.ndarray, " nnz"]
    shape: tuple[int, int]
    modes: tuple[str, ...]


def detect(
    fun: Callable[[Inexact[Array, " n"]], Inexact[Array, " m"]], aval: jax.ShapeDtypeStruct
) -> Detection:
    """Which entries of the Jacobian of `fun` can be nonzero, for any argument.

    The tangent program `v -> jvp(fun, x, v)` is traced once, with nothing known of `x`,
    and its elements are followed back to those of `v`. It is the very program that
    automatic differentiation runs, so only linear primitives need rules. Where one has
    none, its outputs are taken to depend on all of its inputs, and a
    `ConservativePatternWarning` names it.

    Cost: one trace, and time and memory linear in the sizes of the arrays and the entries
    of the patterns that occur.
    """

    def tangent(x, v):
        return jax.jvp(fun, (x,), (v,))[1]

    program = jax.make_jaxpr(tangent)(aval, aval)
    jaxpr, _ = dce_jaxpr(program.jaxpr, [True], instantiate=True)
    consts = [
        Value(var.aval, None, constant(value))
        for var, value in zip(program.jaxpr.constvars, program.consts, strict=True)
    ]
    (n,) = aval.shape
    notes = Notes()
    x, v = Value(aval), Value(aval, identity((n,), n))
    (output,) = interpret(jaxpr, consts, [x, v], Scope(n, notes))
    for name in sorted(notes.conservative):
        warnings.warn(
            _CONSERVATIVE.format(name=name), ConservativePatternWarning, stacklevel=2
        )
    return _detection(output.dependence or nothing(output.shape, n), notes)


def _detection(dependence: Dependence, notes: Notes) -> Detection:
    matrix = dependence.matrix()
    rows = np.repeat(np.arange(dependence.size, dtype=np.int32), np.diff(matrix.indptr))
    cols = matrix.indices.astype(np.int32, copy=False)
    modes = tuple(mode for mode in ("fwd", "rev") if mode not in notes.excluded_modes)
    return Detection(rows, cols, (dependence.size, dependence.n), modes)


_CONSERVATIVE = (
    "There is no rule for the primitive {name!r}: each of its outputs is taken to depend "
    "on all of its inputs. The sparsity pattern is right but may be too dense."
)
