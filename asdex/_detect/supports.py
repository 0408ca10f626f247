"""Where the results of a program are zero, if it is linear as a whole but not step by step.

The backward pass of a `custom_vjp` is such a program: an integrator chooses its steps by
the size of all cotangents. For the pattern it is enough to know where the results can be
nonzero if one cotangent is and all others are zero. A product is zero there wherever one
factor is, so a step size, whatever it is, leaves the zeros of what it multiplies.

The dependence of an element then means that it is zero unless one of these inputs is not.
Values without dependence can be anything, unless they are known to be zero; so can be
elements that depend on one more input, the last one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jax.extend.core import primitives as p
from jaxtyping import Bool

from .._base.compat import CALLS, POLYNOMIAL, scan_lengths
from .dependence import Dependence, identity, nothing, union
from .registry import Entry
from .value import Notes, Scope, Value, shape_of

Call = Callable[[ClosedJaxpr, Sequence[Value], Scope], list[Value]]
"""The interpreter of programs."""

_MAX_ROUNDS = 8
"""So often the body of a loop is followed. What then still changes can be anything."""


ADDED: dict[Any, slice] = {
    **dict.fromkeys((lax.add_p, lax.sub_p, p.add_jaxvals_p, lax.complex_p), slice(0, 2)),
    **dict.fromkeys((lax.concatenate_p, lax.stack_p, lax.pad_p), slice(None)),
    lax.reduce_p: slice(None),
    lax.dynamic_update_slice_p: slice(0, 2),
    **dict.fromkeys((lax.scatter_p, lax.scatter_add_p), slice(0, 3, 2)),
    lax.select_n_p: slice(1, None),
}
"""Operands that become part of the result: where one is linear, the others must be zero
unless they are linear, too."""


def supports(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, entry: Entry | None, call: Call
) -> list[Value]:
    """The results of an equation some operands of which have dependence."""
    primitive, loop = eqn.primitive, _LOOPS.get(eqn.primitive)
    if loop is not None:
        return loop(eqn, operands, scope, call)
    anything = [Value(var.aval) for var in eqn.outvars]
    if entry is None:
        return anything
    if primitive in CALLS or primitive.name in CALLS:
        return _values(eqn, entry, operands, scope)
    if primitive is lax.mul_p and all(operand.dependence for operand in operands):
        return [_settled(Value(eqn.outvars[0].aval, _product(eqn, operands)))]
    if primitive in POLYNOMIAL:  # Zero if its coefficients are, wherever it is evaluated.
        return [_settled(Value(eqn.outvars[0].aval, _sum(eqn, operands[1:], scope)))]
    operands = list(operands)
    if primitive in ADDED:
        added = [_with_dependence(value, scope) for value in operands[ADDED[primitive]]]
        operands[ADDED[primitive]] = added
    if primitive is lax.select_n_p:
        operands[0] = replace(operands[0], dependence=None)
    if not entry.coefficients or entry.not_covered(operands) or fills(eqn):
        return anything
    alone = replace(scope, notes=Notes())
    outputs = _values(eqn, entry, operands, alone)
    is_linear = _moves_by_index(eqn, operands) or not alone.notes.without_coefficients
    return list(map(_settled, outputs)) if is_linear else anything


def fills(eqn: JaxprEqn) -> bool:
    """Whether something else than zero is filled in where an index is out of bounds."""
    fill = eqn.params.get("fill_value") if eqn.primitive is lax.gather_p else None
    return bool(fill) and not np.isnan(fill)  # NaN marks an index that is an error.


def _moves_by_index(eqn: JaxprEqn, operands: Sequence[Value]) -> bool:
    """Whether elements are moved to or from places that no dependence decides on, though
    these are perhaps not known, so that there are no coefficients."""
    indices = _INDICES.get(eqn.primitive)
    return indices is not None and all(
        operand.dependence is None for operand in operands[indices]
    )


_INDICES: dict[Any, slice] = {
    lax.gather_p: slice(1, None),
    lax.dynamic_slice_p: slice(1, None),
    lax.dynamic_update_slice_p: slice(2, None),
    **dict.fromkeys((lax.scatter_p, lax.scatter_add_p), slice(1, 2)),
}


def _values(
    eqn: JaxprEqn, entry: Entry, operands: Sequence[Value], scope: Scope
) -> list[Value]:
    outcome = entry.rule(eqn, operands, scope)
    outputs = [outcome] if isinstance(outcome, Dependence) else outcome
    return [
        output if isinstance(output, Value) else Value(var.aval, output)
        for var, output in zip(eqn.outvars, outputs, strict=True)
    ]


def _product(eqn: JaxprEqn, operands: Sequence[Value]) -> Dependence:
    """Zero where one factor is: the other one where one can be anything."""
    shape = shape_of(eqn.outvars[0])
    first, second = (
        value.dependence.broadcast(shape) for value in operands if value.dependence
    )
    is_any = is_anything(first)
    return union([second.where(is_any), first.where(~is_any)])


def _sum(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    """Zero where all terms are."""
    terms = [_with_dependence(operand, scope).dependence for operand in operands]
    shape = shape_of(eqn.outvars[0])
    return union([(term or nothing((), scope.n)).broadcast(shape) for term in terms])


def is_anything(dependence: Dependence) -> Bool[np.ndarray, "*shape"]:
    """Which elements need not be zero for any input."""
    last, found = dependence.n - 1, np.zeros(dependence.shape, bool)
    for term in dependence.terms:
        if term.base is None:
            found |= term.rows == last
        else:
            matrix = term.base.matrix
            rows = np.flatnonzero(np.diff(matrix.indptr))
            of_row = np.zeros(matrix.shape[0] + 1, bool)  # No row, number -1, has none.
            of_row[rows] = matrix.indices[matrix.indptr[rows + 1] - 1] == last
            found |= of_row[term.rows]
    return found


def _settled(value: Value) -> Value:
    """Without dependence if all elements can be anything."""
    if value.dependence is None or not is_anything(value.dependence).all():
        return value
    return Value(value.aval)


def _with_dependence(value: Value, scope: Scope) -> Value:
    if value.dependence is not None:
        return value
    anything = identity((1,) * len(value.shape), scope.n, scope.n - 1)
    anything = anything.broadcast(value.shape)
    known = scope.partial_value(value)
    anything = anything if known is None else anything.without(known.zero)
    return Value(value.aval, anything)


# --- Loops and branches -------------------------------------------------------------------


def _while(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, call: Call
) -> list[Value]:
    num_cond, num_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    consts, init = operands[num_cond:][:num_body], operands[num_cond + num_body :]

    def body(carry: Sequence[Value]) -> list[Value]:
        return call(eqn.params["body_jaxpr"], [*consts, *carry], scope)

    return _any_step(body, init, scope)[0]


def _scan(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, call: Call
) -> list[Value]:
    """Each step finds what any of the slices has, and writes what any step does."""
    num_consts, num_carry = scan_lengths(eqn)
    program, sliced = eqn.params["jaxpr"], num_consts + num_carry
    consts, init = operands[:num_consts], operands[num_consts:sliced]
    slices = [
        Value(var.aval, _any_slice(value.dependence))
        for var, value in zip(program.jaxpr.invars[sliced:], operands[sliced:], strict=True)
    ]

    def body(carry: Sequence[Value]) -> list[Value]:
        return call(program, [*consts, *carry, *slices], scope)

    carry, outputs = _any_step(body, init, scope)
    written = []
    for var, value in zip(eqn.outvars[num_carry:], outputs[num_carry:], strict=True):
        found = value.dependence
        if found is not None:
            found = found.reshape((1, *value.shape)).broadcast(shape_of(var))
        written.append(Value(var.aval, found))
    return [*carry, *written]


def _cond(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, call: Call
) -> list[Value]:
    results, *others = (
        call(branch, operands[1:], scope) for branch in eqn.params["branches"]
    )
    for other in others:
        results = _either(results, other, scope)
    return results


_LOOPS = {p.while_p: _while, p.scan_p: _scan, p.cond_p: _cond}


def _any_slice(dependence: Dependence | None) -> Dependence | None:
    if dependence is None:
        return None
    return dependence.merge((0,)).reshape(dependence.shape[1:])


def _any_step(
    body: Callable[[Sequence[Value]], list[Value]], init: Sequence[Value], scope: Scope
) -> tuple[list[Value], list[Value]]:
    """The carry before or after any step, and what the body makes of it."""
    carry = list(init)
    for _ in range(_MAX_ROUNDS):
        outputs = body(carry)
        after = _either(carry, outputs[: len(carry)], scope)
        if all(map(_is_same, carry, after)):
            return carry, outputs
        carry = after
    carry = [Value(value.aval) for value in init]
    return carry, body(carry)


def _either(values: Sequence[Value], others: Sequence[Value], scope: Scope) -> list[Value]:
    return [_one_of(*pair, scope) for pair in zip(values, others, strict=True)]


def _one_of(value: Value, other: Value, scope: Scope) -> Value:
    if value.dependence is None and other.dependence is None:
        return value if value.known is other.known else Value(value.aval)
    parts = [_with_dependence(part, scope).dependence for part in (value, other)]
    joined = union([part or nothing(value.shape, scope.n) for part in parts])
    return _settled(Value(value.aval, joined))


def _is_same(value: Value, other: Value) -> bool:
    if value.dependence is None or other.dependence is None:
        return value.dependence is other.dependence and value.known is other.known
    before, after = value.dependence.matrix(), other.dependence.matrix()
    return before.nnz == after.nnz  # The one holds the other.
