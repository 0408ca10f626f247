"""Loops: the body's pattern is worked out once, the steps are boolean products.

Only where a rule of the body asks for a value that changes from step to step (an index
made of the loop counter, say) is the loop followed step by step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jax.extend.core import primitives as p
from jaxtyping import Int
from scipy.sparse import csr_array, eye_array, vstack

from ..dependence import Dependence, combine, from_matrix, nothing, stack, union
from ..interpret import inactive
from ..known import (
    STEPWISE,
    UNKNOWN,
    Status,
    StepwiseValueNeeded,
    constant,
    evaluate,
    results,
)
from ..local import as_own_inputs, compose, joined, split
from ..table import Scope, Value, register_control
from .control import call

_MAX_FOLLOWED_STEPS = 100_000
"""A loop of more steps is not followed: what changes with the steps counts as unknown."""

_MAX_DEPTH = 4
"""A carry that is forgotten after so many steps is worked out for all steps at once."""


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


@register_control(p.scan_p)
def scan(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """A loop over the leading axis of some operands, which writes outputs along it."""
    if all(operand.dependence is None for operand in operands):
        return inactive(eqn, results(eqn, [operand.known for operand in operands]))
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    steps = eqn.params["length"]
    if steps == 0:
        init = operands[num_consts : num_consts + num_carry]
        return [*init, *(Value(var.aval) for var in eqn.outvars[num_carry:])]
    if steps > _MAX_FOLLOWED_STEPS:
        return _scan_by_pattern(eqn, operands, scope, follow=False)
    try:
        return _scan_by_pattern(eqn, operands, scope, follow=True)
    except StepwiseValueNeeded:
        return _scan_step_by_step(eqn, operands, scope)


def _scan_by_pattern(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, *, follow: bool
) -> list[Value]:
    program, steps, reverse = (eqn.params[k] for k in ("jaxpr", "length", "reverse"))
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    sliced = num_consts + num_carry
    at_step = list(operands[:sliced])
    for var, op in zip(program.jaxpr.invars[sliced:], operands[sliced:], strict=True):
        dependence = op.dependence and nothing(var.aval.shape, scope.n)
        at_step.append(_lowered(Value(var.aval, dependence, op.known), follow))
    body = _body(program, at_step, num_consts, num_carry, follow, scope)

    consts = joined([op.dependence for op in operands[:num_consts]], scope.n)
    init = _active_carry(operands[num_consts:sliced], body, scope)
    slices = _by_step([op.dependence for op in operands[sliced:]], steps, reverse, scope)
    recurrence = _Recurrence(body.carry_out(), consts, init, slices, steps)
    if not slices.size and all(out.dependence is None for out in body.outputs[num_carry:]):
        last = recurrence.last_state()
        carries = _carry_values(eqn, operands[num_consts:sliced], body, last)
        return carries + [Value(var.aval) for var in eqn.outvars[num_carry:]]
    states = recurrence.states()

    carries = _carry_values(eqn, operands[num_consts:sliced], body, states[-1])
    everything, index = recurrence.inputs(states), recurrence.index()
    outputs = []
    for var, output in zip(eqn.outvars[num_carry:], body.outputs[num_carry:], strict=True):
        if output.dependence is None:
            outputs.append(Value(var.aval))
            continue
        stacked = compose(output.dependence, everything, index)
        outputs.append(Value(var.aval, _flipped(stacked) if reverse else stacked))
    return carries + outputs


@dataclass(slots=True)
class _Recurrence:
    """The active carry of a loop: `carry` after a step depends on the constants, the
    carry before the step and the step's slices, in this order."""

    carry: Dependence
    """Flat, in terms of the body's own inputs."""
    consts: Dependence
    init: Dependence
    slices: Dependence
    """Shape `(steps, slice size)`, in the order of the steps."""
    steps: int

    def states(self) -> list[Dependence]:
        """The carry before each step, and after the last."""
        depth = self._depth()
        if depth is None:
            return self._states_one_by_one()
        states = [self.init] + [nothing(self.init.shape, self.init.n)] * self.steps
        for _ in range(depth):
            after = compose(self.carry, self.inputs(states), self.index())
            states = [self.init, *_rows(after)]
        return states

    def inputs(self, states: Sequence[Dependence]) -> Dependence:
        """What the steps find: constants, then all carries, then all slices."""
        before = stack(states[: self.steps])
        return joined([self.consts, before, self.slices], self.consts.n)

    def index(self) -> Int[np.ndarray, "steps inputs"]:
        """Where in `inputs` each step finds each of the body's own inputs."""
        step = np.arange(self.steps)[:, None]
        consts = np.broadcast_to(
            np.arange(self.consts.size), (self.steps, self.consts.size)
        )
        carry = self.consts.size + step * self.init.size + np.arange(self.init.size)
        width = self.slices.shape[1]
        offset = self.consts.size + self.steps * self.init.size
        return np.hstack([consts, carry, offset + step * width + np.arange(width)])

    def _depth(self) -> int | None:
        """After how many steps the carry has forgotten what it was, if soon."""
        first = self.consts.size
        matrix = self.carry.matrix()[:, first : first + self.init.size]
        power = matrix
        for depth in range(1, _MAX_DEPTH + 1):
            if not power.nnz:
                return depth
            power = csr_array(power @ matrix)
        return None

    def _states_one_by_one(self) -> list[Dependence]:
        carry = from_matrix(self.carry.matrix(), self.carry.shape)
        states = [self.init]
        for step in _rows(self.slices):
            state = states[-1]
            after = compose(carry, joined([self.consts, state, step], state.n))
            states.append(from_matrix(after.matrix(), after.shape))
        return states

    def last_state(self) -> Dependence:
        """The carry after the last step, for a loop without slices: a matrix power.

        The constants are made part of the state, which they leave as they are.
        """
        fixed, matrix = self.consts.size, self.carry.matrix()
        keep = eye_array(fixed, matrix.shape[1], dtype=bool, format="csr")
        power = _power(csr_array(vstack([keep, matrix], format="csr")), self.steps)
        start = joined([self.consts, self.init], self.init.n)
        return compose(from_matrix(csr_array(power[fixed:]), self.init.shape), start)


def _power(matrix: csr_array, exponent: int) -> csr_array:
    """A power of a boolean matrix, by repeated squaring."""
    result = None
    while True:
        if exponent % 2:
            result = matrix if result is None else csr_array(result @ matrix)
        exponent //= 2
        if not exponent:
            break
        matrix = csr_array(matrix @ matrix)
    assert result is not None
    result.sort_indices()
    return result


def _scan_step_by_step(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> list[Value]:
    program, steps = eqn.params["jaxpr"], eqn.params["length"]
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
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
    values = [
        Value(var.aval, op.dependence, op.known)
        for var, op in zip(eqn.outvars, carry, strict=False)
    ]
    for var, *parts in zip(eqn.outvars[num_carry:], *written, strict=True):
        if all(part.dependence is None for part in parts):
            values.append(Value(var.aval))
            continue
        values.append(
            Value(
                var.aval,
                stack([part.dependence or nothing(part.shape, scope.n) for part in parts]),
            )
        )
    return values


def _slices(operand: Value, aval: Any, steps: int) -> list[Value]:
    """The operand of each step, a slice along the leading axis."""
    if operand.dependence is not None:
        return [Value(aval, part) for part in _rows(operand.dependence)]
    if operand.known.status is Status.KNOWN and _is_array(aval):
        value = evaluate(operand.known)
        assert value is not None
        return [Value(aval, None, constant(value[step])) for step in range(steps)]
    known = STEPWISE if operand.known.status is Status.STEPWISE else UNKNOWN
    return [Value(aval, None, known)] * steps


@register_control(p.while_p)
def while_loop(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """A loop of unknown length: the smallest carry that holds before and after each step.

    With `P` the body's pattern from carry to carry, that is the reflexive transitive
    closure of `P` applied to what enters. JAX cannot run such a loop in reverse mode.
    """
    num_consts = eqn.params["body_nconsts"]
    operands = operands[eqn.params["cond_nconsts"] :]
    if all(operand.dependence is None for operand in operands):
        return inactive(eqn, [UNKNOWN] * len(eqn.outvars))
    program, init_values = eqn.params["body_jaxpr"], operands[num_consts:]
    body = _body(program, operands, num_consts, len(init_values), False, scope)
    init = _active_carry(init_values, body, scope)
    if init.size:
        scope.notes.excluded_modes.add("rev")
    consts = joined([op.dependence for op in operands[:num_consts]], scope.n)

    pattern = body.carry_out().matrix()
    entering, repeated = pattern[:, : consts.size], pattern[:, consts.size :]
    entered = compose(from_matrix(csr_array(entering), init.shape), consts)
    closure = _closure(csr_array(repeated))
    final = compose(from_matrix(closure, init.shape), union([init, entered]))
    return _carry_values(eqn, init_values, body, final)


def _closure(pattern: csr_array) -> csr_array:
    """The reflexive transitive closure, by repeated squaring."""
    closure = csr_array(pattern + eye_array(pattern.shape[0], dtype=bool, format="csr"))
    while (squared := csr_array(closure @ closure)).nnz > closure.nnz:
        closure = squared
    closure.sort_indices()
    return closure


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


def _carry_values(
    eqn: JaxprEqn, init: Sequence[Value], body: _Body, final: Dependence
) -> list[Value]:
    """The carries after the loop. Of one that depends on no input something is known only
    if no step changes it."""
    is_active = [value.dependence is not None for value in body.carry]
    shapes = [value.shape for value, a in zip(body.carry, is_active, strict=True) if a]
    finals = iter(split(final, shapes))
    values = []
    for var, before, at_step, a in zip(
        eqn.outvars, init, body.carry, is_active, strict=False
    ):
        unchanged = at_step.known is before.known
        known = before.known if unchanged else UNKNOWN
        values.append(Value(var.aval, next(finals) if a else None, UNKNOWN if a else known))
    return values


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
    return _flipped(joined_slices) if reverse else joined_slices


def _flipped(dependence: Dependence) -> Dependence:
    return combine([dependence], lambda rows: rows[::-1], dependence.shape)


def _rows(dependence: Dependence) -> list[Dependence]:
    """The parts along the leading axis."""
    shape = dependence.shape[1:]
    return [
        combine([dependence], lambda rows, k=k: rows[k], shape)
        for k in range(dependence.shape[0])
    ]


def _is_array(aval: Any) -> bool:
    return not jnp.issubdtype(aval.dtype, jax.dtypes.extended)
