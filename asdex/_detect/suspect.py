"""Which equation is the cause of an entry that a pattern lacks.

The tangent program is followed twice for one column: once on patterns, once in numbers. A
number that is not zero where the pattern has no entry shows the equation whose
rule is wrong.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Shaped

from .._base.types import PyTree
from .dependence import identity
from .detect import trace
from .interpret import interpret
from .known import compute, constant
from .source import describe
from .trail import chain
from .value import Notes, Scope, Step, Trail, Value


def suspicion(
    fun: Callable[..., Any],
    x: Inexact[Array, " n"],
    *others: PyTree,
    row: int,
    col: int,
    local: bool = False,
) -> str:
    """A sentence on why a pattern lacks entry `(row, col)`, which is nonzero at these
    values; empty if no reason is found. See `detect` for the other arguments.

    Cost: that of detection for one column, and of one directional derivative, equation by
    equation.
    """
    program = trace(fun, x, others, local)
    is_seed = np.arange(program.n) == col
    seed = identity((1,), 1).take(np.where(is_seed, 0, -1))
    patterns = _Patterns()
    x_arg, v_arg, *other_args = program.args
    args = [x_arg, Value(v_arg.aval, seed), *other_args]
    scope = Scope(1, Notes(trail=patterns), local=local)
    (patterns.output,) = interpret(program.jaxpr, program.consts, args, scope)
    if _can_be_nonzero(patterns.output)[row]:
        steps = chain(patterns, row, 0)
        where = f", made at {_described(steps[-1])}" if steps else ""
        return _HAS_ENTRY.format(row=row, col=col, where=where)

    numbers = _Numbers(patterns)
    values = jax.tree.leaves((x, jnp.asarray(is_seed, x.dtype), others))
    args = [
        Value(arg.aval, None, constant(value))
        for arg, value in zip(program.args, values, strict=True)
    ]
    interpret(program.jaxpr, program.consts, args, Scope(0, Notes(trail=numbers)))
    if numbers.wrong is not None:
        return _LOST.format(col=col, where=f"at {_described(numbers.wrong)}")
    if numbers.unknown is not None:
        return _LOST.format(col=col, where=f"at or after {_described(numbers.unknown)}")
    return ""


class _Patterns(Trail):
    """All steps, by their position in the program."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[tuple[int, ...], Step] = {}

    def add(self, step: Step) -> None:
        super().add(step)
        self.at[_place(step)] = step


class _Numbers(Trail):
    """The first step whose numbers contradict its patterns, and the first that has
    patterns but no numbers."""

    def __init__(self, patterns: _Patterns) -> None:
        super().__init__()
        self.patterns = patterns
        self.wrong: Step | None = None
        self.unknown: Step | None = None

    def add(self, step: Step) -> None:
        predicted = self.patterns.at.get(_place(step))
        if predicted is None or self.wrong is not None:
            return
        for value, prediction in zip(step.outputs, predicted.outputs, strict=True):
            if prediction.dependence is None or not _is_inexact(value):
                continue
            number = _number(value)
            if number is None:
                self.unknown = self.unknown or step
                continue
            # What led to the number need not be kept.
            value.known = constant(number)
            # A zero tangent times an infinite coefficient is not a number.
            nonzero = (number != 0) & ~np.isnan(number)
            if (nonzero.reshape(-1) & ~_can_be_nonzero(prediction)).any():
                self.wrong = step


def _place(step: Step) -> tuple[int, ...]:
    """The equation, among those of a program that is called more than once."""
    return tuple(map(id, (*step.callers, step.eqn)))


def _number(value: Value) -> Shaped[np.ndarray, "..."] | None:
    try:
        return compute(value.known)
    except TypeError:  # A loop over a custom_vjp, which JAX cannot run forward.
        return None


def _can_be_nonzero(value: Value) -> Bool[np.ndarray, " size"]:
    if value.dependence is None:
        return np.zeros(int(np.prod(value.shape)), bool)
    return value.dependence.matrix().toarray()[:, 0]


def _is_inexact(value: Value) -> bool:
    return jnp.issubdtype(value.aval.dtype, np.inexact)


def _described(step: Step) -> str:
    return describe(step.eqn, step.callers)


_HAS_ENTRY = (
    "Detection does find entry ({row}, {col}) in this function{where}: the pattern was "
    "made by hand, or for another function or point."
)
_LOST = "Detection loses column {col} {where}."
