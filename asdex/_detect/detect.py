"""Detection: the pattern of a function's Jacobian, from its linearized program."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Int32, PyTree

from .._errors import ConservativePatternWarning
from .dependence import identity, nothing
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
    aux: PyTree
    """What the function returned beside, as `jax.ShapeDtypeStruct`s."""


def detect(fun: Callable[..., Any], x: jax.ShapeDtypeStruct, *others: PyTree) -> Detection:
    """Which entries of the Jacobian of `fun` can be nonzero, for any arguments.

    `fun(x, *others)` returns `(y, aux)` with vectors `x` and `y`; `others` are pytrees of
    `jax.ShapeDtypeStruct`.

    The tangent program `v -> jvp(fun, x, v)` is traced once, with nothing known of the
    arguments, and its elements are followed back to those of `v`. It is the very program
    that automatic differentiation runs, so only linear primitives need rules. Where one
    has none, its outputs are taken to depend on all of its inputs, and a
    `ConservativePatternWarning` names it.

    Cost: one trace, and time and memory linear in the sizes of the arrays and the entries
    of the patterns that occur.
    """

    def tangent(x: Any, v: Any, others: Any) -> Any:
        return jax.jvp(lambda x: fun(x, *others), (x,), (v,), has_aux=True)[1:]

    program, (_, aux) = jax.make_jaxpr(tangent, return_shape=True)(x, x, others)
    used = [True] + [False] * (len(program.jaxpr.outvars) - 1)
    jaxpr, _ = dce_jaxpr(program.jaxpr, used, instantiate=True)
    consts = [
        Value(var.aval, None, constant(value))
        for var, value in zip(program.jaxpr.constvars, program.consts, strict=True)
    ]
    (n,) = x.shape
    notes = Notes()
    args = [Value(var.aval) for var in jaxpr.invars]
    args[1].dependence = identity((n,), n)
    (output,) = interpret(jaxpr, consts, args, Scope(n, notes))
    for name in sorted(notes.conservative):
        message = _CONSERVATIVE.format(name=name)
        warnings.warn(message, ConservativePatternWarning, stacklevel=2)
    dependence = output.dependence or nothing(output.shape, n)
    matrix = dependence.matrix()
    size = np.arange(dependence.size, dtype=np.int32)
    return Detection(
        rows=np.repeat(size, np.diff(matrix.indptr)),
        cols=matrix.indices.astype(np.int32, copy=False),
        shape=(dependence.size, n),
        modes=tuple(mode for mode in ("fwd", "rev") if mode not in notes.excluded_modes),
        aux=aux,
    )


_CONSERVATIVE = (
    "There is no rule for the primitive {name!r}: each of its outputs is taken to depend "
    "on all of its inputs. The sparsity pattern is right but may be too dense."
)
