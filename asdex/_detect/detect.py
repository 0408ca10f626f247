"""Detection: the pattern of a function's Jacobian, from its linearized program."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Int32

from .._base.errors import ConservativePatternWarning, PatternTooLargeError
from .._base.types import PyTree
from .._base.warn import warn
from .costs import Costs
from .dependence import identity, nothing
from .interpret import interpret
from .known import constant
from .matrices import DEFAULT_MAX_NNZ, TooManyEntries, at_most
from .source import describe
from .trail import densest
from .value import Notes, Scope, Trail, Value


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """The entries of a Jacobian of shape `shape` that can be nonzero, sorted row-major."""

    rows: Int32[np.ndarray, " nnz"]
    cols: Int32[np.ndarray, " nnz"]
    shape: tuple[int, int]
    excludes_forward: bool
    """Whether JAX cannot run the function in forward mode: it has a `custom_vjp`."""
    costs: Costs
    aux: PyTree
    """What the function returned in addition, as `jax.ShapeDtypeStruct`s."""
    retrace: Callable[[], Trail]
    """Follows the program once more, and keeps the steps."""


def detect(
    fun: Callable[..., Any],
    x: Any,
    *others: PyTree,
    local: bool = False,
    max_nnz: int = DEFAULT_MAX_NNZ,
    trail: Trail | None = None,
) -> Detection:
    """Which entries of the Jacobian of `fun` can be nonzero, for any arguments.

    `fun(x, *others)` returns `(y, aux)` with vectors `x` and `y`. Arguments are arrays or
    `jax.ShapeDtypeStruct`s; their values are used only if `local`, and the pattern then
    holds at these values only. What the steps do is added to `trail`.

    The tangent program `v -> jvp(fun, x, v)` is traced once, with nothing known of the
    arguments, and its elements are followed back to those of `v`. It is the very program
    that automatic differentiation runs, so only linear primitives need rules. Where one
    has none, its outputs are taken to depend on all of its inputs, and a
    `ConservativePatternWarning` names it. `PatternTooLargeError` is raised before some
    pattern has more than `max_nnz` entries.

    Cost: one trace, and time and memory linear in the sizes of the arrays and the entries
    of the patterns that occur.
    """
    program = trace(fun, x, others, local)
    notes = Notes(trail=trail)
    scope = Scope(program.n, notes, local=local)
    with at_most(max_nnz):
        try:
            output = _follow(program, scope)
            matrix = (output.dependence or nothing(output.shape, program.n)).matrix()
        except TooManyEntries as error:
            raise _too_large(error, program, scope) from None
    if trail is not None:
        trail.conservative |= notes.conservative
    for message in sorted({_assumption(*item) for item in notes.conservative.items()}):
        warn(message, ConservativePatternWarning)
    m, n = matrix.shape
    return Detection(
        rows=np.repeat(np.arange(m, dtype=np.int32), np.diff(matrix.indptr)),
        cols=matrix.indices.astype(np.int32, copy=False),
        shape=(m, n),
        excludes_forward=bool(notes.custom_vjps),
        costs=Costs.of(notes),
        aux=program.aux,
        retrace=partial(_steps, program, scope),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """The tangent program of a function, less what its tangent does not need."""

    jaxpr: Jaxpr
    consts: list[Value]
    args: list[Value]
    n: int
    aux: PyTree


def trace(fun: Callable[..., Any], x: Any, others: PyTree, local: bool) -> Program:
    def tangent(x: Any, v: Any, others: Any) -> Any:
        return jax.jvp(lambda x: fun(x, *others), (x,), (v,), has_aux=True)[1:]

    program, (_, aux) = jax.make_jaxpr(tangent, return_shape=True)(x, x, others)
    used = [True] + [False] * (len(program.jaxpr.outvars) - 1)
    jaxpr, _ = dce_jaxpr(program.jaxpr, used, instantiate=True)
    consts = [
        Value(var.aval, None, constant(value))
        for var, value in zip(program.jaxpr.constvars, program.consts, strict=True)
    ]
    args = [Value(var.aval) for var in jaxpr.invars]
    if local:
        for arg, value in zip(args, jax.tree.leaves((x, x, others)), strict=True):
            arg.known = constant(value)
    (n,) = x.shape
    args[1] = Value(args[1].aval, identity((n,), n))
    return Program(jaxpr, consts, args, n, aux)


def _follow(program: Program, scope: Scope) -> Value:
    (output,) = interpret(program.jaxpr, program.consts, program.args, scope)
    if scope.notes.trail is not None:
        scope.notes.trail.output = output
    return output


def _steps(program: Program, scope: Scope) -> Trail:
    """The steps of a program, as many as there are before a pattern is too large."""
    trail = Trail()
    with contextlib.suppress(TooManyEntries):
        _follow(program, replace(scope, notes=Notes(trail=trail)))
    return trail


def _too_large(
    error: TooManyEntries, program: Program, scope: Scope
) -> PatternTooLargeError:
    """Interpret once more, to find at which line the pattern became dense."""
    where = f" at primitive {error.where}" if error.where else ""
    step = densest(_steps(program, scope).steps)
    line = f" It becomes dense at {describe(step.eqn, step.callers)}." if step else ""
    return PatternTooLargeError(
        f"The sparsity pattern needs {error.entries} entries or more{where}, but "
        f"max_nnz={error.limit}.{line} Rewrite that line, or raise max_nnz if so many "
        "entries fit into memory (each takes up to 60 bytes)."
    )


def _assumption(eqn: JaxprEqn, uncovered: str) -> str:
    """What was assumed of an equation, and why."""
    name = repr(eqn.primitive.name)
    reason = f"The rule of the primitive {name} does not cover {uncovered}"
    if not uncovered:
        reason = f"There is no rule for the primitive {name}"
    return (
        f"{reason}: each of its outputs is taken to depend on all of its inputs. The "
        "sparsity pattern is right but may be too dense."
    )
