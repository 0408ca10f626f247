"""Loops: the body's pattern is derived once, the steps are boolean products.

Only where a rule of the body asks for a value that changes from step to step (an index
made of the loop counter, for example) is the loop followed step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from jax.extend.core import primitives as p
from jax.interpreters.partial_eval import dce_jaxpr
from scipy.sparse import csr_array

from ..._base.compat import scan_lengths
from ..batched import has_predicate_per_element, with_scalar_predicate
from ..compose import as_own_inputs, compose, joined, split
from ..dependence import Dependence, combine, from_matrix, nothing, stack, union
from ..interpret import conservative
from ..known import STEPWISE, UNKNOWN, Status, StepwiseValueNeeded, results, slices
from ..recurrence import Recurrence, closure, flipped, unstack
from ..registry import Outcome, register
from ..value import Scope, Value
from .control import call

_MAX_FOLLOWED_STEPS = 100_000
"""A loop of more steps is not followed: what changes with the steps counts as unknown."""

_MAX_STEPS_FOR_MASKS = 256
"""A loop of more steps is followed for the sake of an index, but not of a mask."""


@dataclass(slots=True)
class _Body:
    """The pattern of one step: what carry and outputs depend on, in terms of the active
    constants, carries and slices, in this order (see `as_own_inputs`)."""

    operands: list[Value]
    """Constants, carries and slices as the step finds them."""
    outputs: list[Value]
    num_consts: int
    num_carry: int

    @property
    def carry(self) -> list[Value]:
        """The carries as the step finds them."""
        return self.operands[self.num_consts : self.num_consts + self.num_carry]

    def carry_out(self) -> Dependence:
        """The active carries as the step leaves them, joined."""
        inner = sum(prod(op.shape) for op in self.operands if op.dependence is not None)
        return joined(
            [
                after.dependence or nothing(after.shape, inner)
                for before, after in zip(self.carry, self.outputs, strict=False)
                if before.dependence is not None
            ],
            inner,
        )


def _body(
    program: ClosedJaxpr,
    operands: Sequence[Value],
    num_consts: int,
    num_carry: int,
    follow: bool,
    scope: Scope,
) -> _Body:
    """Interpret the body on inputs of its own.

    A carry starts out as what it is at the first step, and is lowered (known in each step,
    then unknown, then dependent) until the body leaves no carry lower than it found it.
    """
    jaxpr = program.jaxpr
    operands = list(operands)
    own_carry = range(num_consts, num_consts + num_carry)
    for k in own_carry:
        if jaxpr.invars[k] is not jaxpr.outvars[k - num_consts]:
            operands[k] = _lowered(operands[k], follow)
    while True:
        own, inner = as_own_inputs(operands, scope)
        outputs = call(program, own, inner)
        changed = False
        for k, after in zip(own_carry, outputs, strict=False):
            before = operands[k]
            if after.dependence is not None and before.dependence is None:
                operands[k] = Value(before.aval, nothing(before.shape, scope.n))
                changed = True
            elif before.known is STEPWISE and after.known.status > Status.STEPWISE:
                operands[k] = Value(before.aval)
                changed = True
        if not changed:
            return _Body(operands, outputs, num_consts, num_carry)


def _lowered(value: Value, follow: bool) -> Value:
    """The value as it is known in a step that may be any."""
    if value.dependence is not None:
        return value
    follow = follow and value.known.status <= Status.STEPWISE
    return Value(value.aval, None, STEPWISE if follow else UNKNOWN)


@register(p.scan_p)
def scan(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """A loop over the leading axis of some operands, which writes outputs along it."""
    num_consts, num_carry = scan_lengths(eqn)
    steps = eqn.params["length"]
    if steps == 0:
        init = operands[num_consts : num_consts + num_carry]
        return [*init, *(Value(var.aval) for var in eqn.outvars[num_carry:])]
    if steps > _MAX_FOLLOWED_STEPS:
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
        at_step.append(_lowered(Value(var.aval, dependence, op.known), follow))
    body = _body(program, at_step, num_consts, num_carry, follow, scope)

    known = _known_part(
        eqn,
        operands,
        [
            output.dependence is None and output.known.status <= Status.STEPWISE
            for output in body.outputs
        ],
    )
    consts = joined([op.dependence for op in operands[:num_consts]], scope.n)
    init = _active_carry(operands[num_consts:sliced], body, scope)
    slices = _by_step([op.dependence for op in operands[sliced:]], steps, reverse, scope)
    recurrence = Recurrence(body.carry_out(), consts, init, slices, steps)
    if not slices.size and all(out.dependence is None for out in body.outputs[num_carry:]):
        last = recurrence.last_state()
        return _carry_values(known[:num_carry], body, last) + known[num_carry:]
    states = recurrence.states()

    carries = _carry_values(known[:num_carry], body, states[-1])
    everything, index = recurrence.inputs(states), recurrence.index()
    outputs = []
    for value, output in zip(known[num_carry:], body.outputs[num_carry:], strict=True):
        if output.dependence is None:
            outputs.append(value)
            continue
        stacked = compose(output.dependence, everything, index)
        outputs.append(Value(value.aval, flipped(stacked) if reverse else stacked))
    return carries + outputs


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
        stacked.append(value)
    return [*carry, *stacked]


def _all_known(parts: Sequence[Value]) -> bool:
    return all(p.dependence is None and p.known.status is Status.KNOWN for p in parts)


def _slices(operand: Value, aval: Any, steps: int) -> list[Value]:
    """The operand of each step, a slice along the leading axis."""
    if operand.dependence is not None:
        return [Value(aval, part) for part in unstack(operand.dependence)]
    if operand.known.status is Status.STEPWISE:
        return [Value(aval, None, STEPWISE)] * steps
    if not _is_array(aval):
        return [Value(aval)] * steps
    return [Value(aval, None, part) for part in slices(operand.known, aval.dtype, steps)]


@register(p.while_p)
def while_loop(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """A loop that ends when a predicate says so."""
    if has_predicate_per_element(eqn):
        return call(with_scalar_predicate(eqn), operands, scope)
    try:
        # How many steps there are is not known yet, so they may be too many for a mask.
        inner = replace(scope, follow_masks=False)
        return _while_by_pattern(eqn, operands, inner, follow=True)
    except StepwiseValueNeeded:
        followed = _while_step_by_step(eqn, operands, scope)
    return followed or _while_by_pattern(eqn, operands, scope, follow=False)


def _while_by_pattern(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, *, follow: bool
) -> Outcome:
    """For any number of steps: the smallest carry that holds before and after each.

    With `P` the body's pattern from carry to carry, that is the reflexive transitive
    closure of `P` applied to what enters.
    """
    num_cond_consts, num_consts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    all_operands, operands = operands, operands[num_cond_consts:]
    program, init_values = eqn.params["body_jaxpr"], operands[num_consts:]
    body = _body(program, operands, num_consts, len(init_values), follow, scope)
    init = _active_carry(init_values, body, scope)
    cond_operands = [*all_operands[:num_cond_consts], *body.carry]
    (goes_on,) = call(eqn.params["cond_jaxpr"], cond_operands, scope)
    if goes_on.dependence is not None:
        steps = "a number of steps that the input decides on"
        return conservative(eqn, all_operands, scope, steps)
    consts = joined([op.dependence for op in operands[:num_consts]], scope.n)

    pattern = body.carry_out().matrix()
    entering, repeated = pattern[:, : consts.size], pattern[:, consts.size :]
    entered = compose(from_matrix(csr_array(entering), init.shape), consts)
    steps = from_matrix(closure(csr_array(repeated)), init.shape)
    final = compose(steps, union([init, entered]))
    unchanged = [
        Value(var.aval, None, before.known if at_step.known is before.known else UNKNOWN)
        for var, before, at_step in zip(eqn.outvars, init_values, body.carry, strict=True)
    ]
    return _carry_values(unchanged, body, final)


def _while_step_by_step(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> list[Value] | None:
    """The carry after the last step, `None` unless it is known which one that is."""
    num_cond_consts, num_consts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    cond_consts = operands[:num_cond_consts]
    consts = operands[num_cond_consts : num_cond_consts + num_consts]
    carry = list(operands[num_cond_consts + num_consts :])
    for _ in range(_MAX_FOLLOWED_STEPS):
        (goes_on,) = call(eqn.params["cond_jaxpr"], [*cond_consts, *carry], scope)
        value = scope.value(goes_on) if goes_on.dependence is None else None
        if value is None:
            return None
        if not value:
            return carry
        carry = call(eqn.params["body_jaxpr"], [*consts, *carry], scope)
    return None


def _active_carry(init: Sequence[Value], body: _Body, scope: Scope) -> Dependence:
    """The carries that depend on inputs at some step, as they are before the first."""
    return joined(
        [
            value.dependence or nothing(value.shape, scope.n)
            for value, at_step in zip(init, body.carry, strict=True)
            if at_step.dependence is not None
        ],
        scope.n,
    )


def _carry_values(known: Sequence[Value], body: _Body, final: Dependence) -> list[Value]:
    """The carries after the loop: active ones from `final`, others as they are known."""
    active = [value.shape for value in body.carry if value.dependence is not None]
    finals = iter(split(final, active))
    return [
        value if at_step.dependence is None else Value(value.aval, next(finals))
        for value, at_step in zip(known, body.carry, strict=True)
    ]


def _by_step(
    dependences: Sequence[Dependence | None], steps: int, reverse: bool, scope: Scope
) -> Dependence:
    """What is sliced by the loop, in shape `(steps, size of all slices)`."""
    active = [dep for dep in dependences if dep is not None]
    sizes = [dep.size // steps for dep in active]
    if not active:
        return nothing((steps, 0), scope.n)

    def join(*rows: np.ndarray) -> np.ndarray:
        return np.concatenate([part.reshape(steps, -1) for part in rows], axis=1)

    joined_slices = combine(active, join, (steps, sum(sizes)))
    return flipped(joined_slices) if reverse else joined_slices


def _is_array(aval: Any) -> bool:
    return not jnp.issubdtype(aval.dtype, jax.dtypes.extended)
