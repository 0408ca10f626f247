"""Loops: the body's pattern is derived once, the steps are boolean products.

Only where a rule of the body asks for a value that changes from step to step (an index
made of the loop counter, for example) is the loop followed step by step.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Var
from jax.extend.core import primitives as p
from jax.interpreters.partial_eval import dce_jaxpr

from ..._base.compat import scan_lengths
from .. import coefficients as co
from ..coefficients import Coefficients
from ..compose import compose, compose_weighted, joined
from ..dependence import Dependence, combine, nothing, stack
from ..interpret import call
from ..known import STEPWISE, UNKNOWN, Known, Status, StepwiseValueNeeded, results, slices
from ..loops.body import (
    Body,
    active_carry,
    body_of,
    carry_values,
    lowered,
    product_work,
)
from ..loops.peeled import starts_from_zeros, with_first_step_apart
from ..loops.recurrence import Recurrence, element, flipped, unstack
from ..loops.steps import Carried, all_steps, can_be_batched, carry_along
from ..registry import Outcome, register
from ..value import Scope, Value

MAX_FOLLOWED_STEPS = 100_000
"""A loop of more steps is not followed: what changes with the steps counts as unknown."""

_MAX_STEPS_FOR_MASKS = 256
"""A loop of more steps is followed for the sake of an index, but not of a mask."""


MAX_WRITTEN_OUT = 256
"""Equations up to which the steps of a loop may be written out one after the other, for
the sake of their coefficients."""


@register(p.scan_p, coefficients=True)
def scan(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """A loop over the leading axis of some operands, which writes outputs along it."""
    num_consts, num_carry = scan_lengths(eqn)
    steps = eqn.params["length"]
    if steps == 0:
        init = operands[num_consts : num_consts + num_carry]
        return [*init, *map(_empty, eqn.outvars[num_carry:])]
    if steps > MAX_FOLLOWED_STEPS:
        return _scan_by_pattern(eqn, operands, scope, follow=False)
    follow_masks = scope.follow_masks and steps <= _MAX_STEPS_FOR_MASKS
    notes, stepwise = scope.notes, tuple(map(_is_stepwise, operands))
    if (eqn, stepwise) in notes.unresolved:
        raise StepwiseValueNeeded
    try:
        if eqn not in notes.followed:
            inner = replace(scope, follow_masks=follow_masks)
            return _scan_by_pattern(eqn, operands, inner, follow=True)
    except StepwiseValueNeeded:
        if not any(stepwise):
            notes.followed.add(eqn)
    try:
        return _scan_step_by_step(eqn, operands, scope)
    except StepwiseValueNeeded:
        notes.unresolved.add((eqn, stepwise))
        raise


def _empty(var: Var) -> Value:
    """What a loop without steps writes."""
    aval: Any = var.aval
    array = jnp.zeros(aval.shape, aval.dtype) if _is_array(aval) else None
    return Value(aval, array=array)


def _is_stepwise(operand: Value) -> bool:
    return operand.dependence is None and operand.known.status is Status.STEPWISE


def _scan_by_pattern(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, *, follow: bool
) -> list[Value]:
    program, steps, reverse = (eqn.params[k] for k in ("jaxpr", "length", "reverse"))
    num_consts, num_carry = scan_lengths(eqn)
    sliced = num_consts + num_carry
    at_step = list(operands[:sliced])
    for var, op in zip(program.jaxpr.invars[sliced:], operands[sliced:], strict=True):
        dependence = op.dependence and nothing(var.aval.shape, scope.n)
        at_step.append(lowered(Value(var.aval, dependence, op.known), follow))
    quiet = replace(scope, emits=False)
    body = body_of(program, at_step, num_consts, num_carry, follow, quiet)
    if eqn not in scope.notes.peeled and starts_from_zeros(eqn, operands, body):
        return _first_step_apart(eqn, operands, scope)

    known = _known_part(
        eqn,
        operands,
        [
            output.dependence is None and output.known.status <= Status.STEPWISE
            for output in body.outputs
        ],
    )
    consts = joined([op.dependence for op in operands[:num_consts]], scope.n)
    init = active_carry(operands[num_consts:sliced], body, scope)
    slices = _by_step([op.dependence for op in operands[sliced:]], steps, reverse, scope)
    recurrence = Recurrence(body.carry_out(), consts, init, slices, steps)
    way = _way_of_coefficients(eqn, body, recurrence)
    if way is None:
        scope.lacks_coefficients(eqn)
    elif scope.emits:
        return way(eqn, operands, known, body, recurrence, scope)
    if not slices.size and all(out.dependence is None for out in body.outputs[num_carry:]):
        last = recurrence.last_state()
        _count(body, recurrence, last, scope)
        return carry_values(known[:num_carry], body, last) + known[num_carry:]
    states = recurrence.states()
    last = element(states, -1)
    _count(body, recurrence, last, scope)
    carries = carry_values(known[:num_carry], body, last)
    everything, index = recurrence.inputs(states), recurrence.index()
    outputs = []
    for value, output in zip(known[num_carry:], body.outputs[num_carry:], strict=True):
        if output.dependence is None:
            outputs.append(value)
            continue
        stacked = compose(output.dependence, everything, index)
        outputs.append(Value(value.aval, flipped(stacked) if reverse else stacked))
    return carries + outputs


def _first_step_apart(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> list[Value]:
    peeled = with_first_step_apart(eqn)
    *_, others = (step for step in peeled.eqns if step.primitive is p.scan_p)
    scope.notes.peeled.add(others)
    return call(peeled, operands, scope)


def _count(body: Body, recurrence: Recurrence, last: Dependence, scope: Scope) -> None:
    """Add the work of the steps."""
    steps, notes = recurrence.steps, scope.notes
    notes.pass_work += steps * body.pass_work
    notes.work += steps * body.work
    if recurrence.depth() is None:
        notes.work += steps * product_work(recurrence.carry.count(), last)


_Way: TypeAlias = Callable[
    [JaxprEqn, Sequence[Value], list[Value], Body, Recurrence, Scope], list[Value]
]


def _way_of_coefficients(eqn: JaxprEqn, body: Body, recurrence: Recurrence) -> _Way | None:
    """How the coefficients of a loop are computed, `None` if there is no way."""
    program = eqn.params["jaxpr"]
    if program.jaxpr.effects:
        return None  # They would occur more than once.
    is_forgotten = recurrence.depth() is not None
    if is_forgotten and body.is_one_real_dtype and can_be_batched(program.jaxpr):
        return _all_steps
    if not recurrence.slices.size:
        return _carried_along
    return _written_out if _is_short(eqn) else None


def _is_short(eqn: JaxprEqn) -> bool:
    return eqn.params["length"] * len(eqn.params["jaxpr"].jaxpr.eqns) <= MAX_WRITTEN_OUT


def _all_steps(
    eqn: JaxprEqn,
    operands: Sequence[Value],
    known: list[Value],
    body: Body,
    recurrence: Recurrence,
    scope: Scope,
) -> list[Value]:
    found, num_carry = all_steps(eqn, operands, body, scope), body.counts[1]
    of_carry = [
        found.weights[k]
        for k, value in enumerate(body.outputs[:num_carry])
        if value.dependence is not None
    ]
    weights = co.concatenate(of_carry, axis=1) if of_carry else None
    states = recurrence.states(weights)
    carries = carry_values(known[:num_carry], body, element(states, -1))
    for k, array in found.carry.items():
        carries[k] = replace(carries[k], array=array)
    everything, index = recurrence.inputs(states), recurrence.index()
    outputs = []
    for k, value in enumerate(known[num_carry:], num_carry):
        local = body.outputs[k].dependence
        if local is None:
            outputs.append(replace(value, array=found.outputs[k]))
            continue
        stacked = compose_weighted(local, found.weights[k], everything, index)
        stacked = flipped(stacked) if eqn.params["reverse"] else stacked
        outputs.append(Value(value.aval, stacked))
    return carries + outputs


def _carried_along(
    eqn: JaxprEqn,
    operands: Sequence[Value],
    known: list[Value],
    body: Body,
    recurrence: Recurrence,
    scope: Scope,
) -> list[Value]:
    seen = replace(recurrence, consts=recurrence.consts.bare, init=recurrence.init.bare)
    carried = Carried.of(
        eqn.params["jaxpr"], body, operands[: body.counts[0]], seen.any_state(), scope
    )
    return carry_along(eqn, operands, known, carried)


def _written_out(
    eqn: JaxprEqn,
    operands: Sequence[Value],
    known: list[Value],
    body: Body,
    recurrence: Recurrence,
    scope: Scope,
) -> list[Value]:
    del known, body, recurrence
    return _scan_step_by_step(eqn, operands, scope)


def _known_part(
    eqn: JaxprEqn, operands: Sequence[Value], wanted: Sequence[bool]
) -> list[Value]:
    """The outputs of a loop, of which the wanted ones are made of known values alone.

    Those are the results of the loop that is left when all other outputs are removed.
    """
    values = [Value(var.aval) for var in eqn.outvars]
    if not any(wanted):
        return values
    invars: list[Any] = [Var(atom.aval) for atom in eqn.invars]
    outvars: list[Any] = [Var(var.aval) for var in eqn.outvars]
    alone = eqn.replace(invars=invars, outvars=outvars)
    debug_info = eqn.params["jaxpr"].jaxpr.debug_info
    whole = Jaxpr((), invars, outvars, [alone], eqn.effects, debug_info)
    rest, used = dce_jaxpr(whole, wanted)
    for loop in rest.eqns:
        inputs = [op.known for op, is_used in zip(operands, used, strict=True) if is_used]
        found = dict(zip(loop.outvars, results(loop, inputs), strict=True))
        for k, var in enumerate(outvars):
            if wanted[k]:
                values[k] = Value(var.aval, None, found.get(var, UNKNOWN))
    return values


def _scan_step_by_step(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> list[Value]:
    program, steps = eqn.params["jaxpr"], eqn.params["length"]
    num_consts, num_carry = scan_lengths(eqn)
    sliced = num_consts + num_carry
    consts, carry = list(operands[:num_consts]), list(operands[num_consts:sliced])
    avals = [var.aval for var in program.jaxpr.invars[sliced:]]
    columns = [
        _slices(op, aval, steps) for op, aval in zip(operands[sliced:], avals, strict=True)
    ]
    order = range(steps - 1, -1, -1) if eqn.params["reverse"] else range(steps)
    if not _is_short(eqn):
        scope.lacks_coefficients(eqn)
    written: list[list[Value]] = [[]] * steps
    for step in order:
        outputs = call(program, [*consts, *carry, *(col[step] for col in columns)], scope)
        carry, written[step] = outputs[:num_carry], outputs[num_carry:]
    columns = list(zip(*written, strict=True))
    known = _known_part(eqn, operands, [False] * num_carry + list(map(_all_known, columns)))
    stacked = []
    for value, parts in zip(known[num_carry:], columns, strict=True):
        if any(part.dependence is not None for part in parts):
            dependences = [
                part.dependence or nothing(part.shape, scope.n) for part in parts
            ]
            value = Value(value.aval, stack(dependences))
        elif scope.emits:
            value = replace(value, array=jnp.stack([part.array for part in parts]))
        stacked.append(value)
    return [*carry, *stacked]


def _all_known(parts: Sequence[Value]) -> bool:
    return all(p.dependence is None and p.known.status is Status.KNOWN for p in parts)


def _slices(operand: Value, aval: Any, steps: int) -> list[Value]:
    """The operand of each step, a slice along the leading axis."""
    if operand.dependence is not None:
        return [Value(aval, part) for part in unstack(operand.dependence)]
    arrays = [None] * steps if operand.array is None else jnp.asarray(operand.array)
    if operand.known.status is Status.STEPWISE:
        parts: Sequence[Known] = [STEPWISE] * steps
    elif not _is_array(aval):
        parts = [UNKNOWN] * steps
    else:
        parts = slices(operand.known, aval.dtype, steps)
    return [Value(aval, None, *part) for part in zip(parts, arrays, strict=True)]


def _by_step(
    dependences: Sequence[Dependence | None], steps: int, reverse: bool, scope: Scope
) -> Dependence:
    """What is sliced by the loop, in shape `(steps, size of all slices)`."""
    active = [dep for dep in dependences if dep is not None]
    sizes = [dep.size // steps for dep in active]
    if not active:
        return nothing((steps, 0), scope.n)

    def join(*rows: Coefficients) -> Coefficients:
        return co.concatenate([part.reshape(steps, -1) for part in rows], axis=1)

    joined_slices = combine(active, join, (steps, sum(sizes)))
    return flipped(joined_slices) if reverse else joined_slices


def _is_array(aval: Any) -> bool:
    return not jnp.issubdtype(aval.dtype, jax.dtypes.extended)
