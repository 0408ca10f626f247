"""Programs that are called again with equal operands are not interpreted again.

JAX uses one program for all calls of a jitted function. Where each level of a program calls
the next one several times, the calls multiply from level to level, the programs do not.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr
from jax.extend.core import primitives as p

from .._base.compat import CALLS
from .known import UNKNOWN, Known, Status, bounds
from .terms import Rows
from .value import Scope, Value
from .vanishing import is_masked

_KEPT = 64
"""Calls whose results are kept, those that were made or used last."""

_COMPARED = 2**16
"""Row numbers up to which dependences are compared by content, not by identity."""


def called(
    program: ClosedJaxpr,
    operands: Sequence[Value],
    scope: Scope,
    call: Callable[[Sequence[Value]], list[Value]],
) -> list[Value]:
    """What `call` returns, or what it returned for the same program and equal operands.

    Only for programs that call others: the results of all others are not worth the memory.
    """
    selects = any(operand.selected is not None for operand in operands)
    if scope.emits or selects or not _calls_others(program):
        return call(operands)
    operands = list(map(_forgetful, operands))
    kept, notes = scope.notes.calls, scope.notes
    flags = scope.follow_masks, scope.local, scope.of_supports
    key = (id(program), scope.n, *flags, *map(_content, operands))
    key += _repeated(operands)
    if key in kept:
        kept.move_to_end(key)
        *_, outputs, work = kept[key]
    else:
        before = notes.work, notes.pass_work
        outputs = call(operands)
        work = notes.work - before[0], notes.pass_work - before[1]
        notes.work, notes.pass_work = before
        if any(output.selected is not None for output in outputs):
            notes.work, notes.pass_work = before[0] + work[0], before[1] + work[1]
            return outputs
        kept[key] = (program, operands, outputs, work)  # Keeps alive what the key names.
        if len(kept) > _KEPT:
            kept.popitem(last=False)
    notes.work += work[0]
    notes.pass_work += work[1]
    return outputs


def _calls_others(program: ClosedJaxpr) -> bool:
    return any(
        eqn.primitive in _CALLING or eqn.primitive.name in _CALLING
        for eqn in program.jaxpr.eqns
    )


_CALLING = {*CALLS, p.cond_p, p.scan_p, p.while_p}


def _forgetful(value: Value) -> Value:
    """The value as unknown, if what it is made of says nothing about it."""
    known = value.known
    if value.dependence is not None or known.status is not Status.UNKNOWN:
        return value
    if known.origin is None or not jnp.issubdtype(value.aval.dtype, jnp.inexact):
        return value
    found = bounds(known)
    informs = found is not None and (
        found.zero.any() or np.isfinite(found.lo).any() or np.isfinite(found.hi).any()
    )
    informs = informs or is_masked(known)
    return value if informs else replace(value, known=UNKNOWN)


def _repeated(operands: Sequence[Value]) -> tuple[int, ...]:
    """Which operands are one value: what is read at one can be added back at the other."""
    first = {id(operand): k for k, operand in reversed([*enumerate(operands)])}
    return tuple(first[id(operand)] for operand in operands)


def _content(value: Value) -> Hashable:
    """Equal only for values of which the same is known, if both are alive."""
    if value.dependence is None:
        return _identity(value.known)
    terms = ((_rows(term.rows), id(term.base)) for term in value.dependence.terms)
    return (value.shape, *terms)


def _rows(rows: Rows) -> Hashable:
    return id(rows) if rows.size > _COMPARED else rows.tobytes()


def _identity(known: Known) -> int:
    is_constant = known.origin is None and known.constant is not None
    return id(known.constant if is_constant else known)
