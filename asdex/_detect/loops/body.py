"""One step of a loop: its pattern in terms of what the step finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from ..compose import as_own_inputs, joined, split
from ..dependence import Dependence, nothing
from ..interpret import call
from ..known import STEPWISE, UNKNOWN, Status
from ..value import Scope, Value

_PRODUCT = 32
"""What a product of two entries of sparse matrices takes, which are gathered, sorted and
added up, in operations on elements of arrays that stay where they are (measured)."""


@dataclass(slots=True)
class Body:
    """The pattern of one step: what carry and outputs depend on, in terms of the active
    constants, carries and slices, in this order (see `as_own_inputs`)."""

    operands: list[Value]
    """Constants, carries and slices as the step finds them."""
    outputs: list[Value]
    counts: tuple[int, int]
    """How many operands are constants, and how many are carried."""
    work: int
    """Coefficients that one step computes; see `Notes`."""
    pass_work: int

    @property
    def carry(self) -> list[Value]:
        """The carries as the step finds them."""
        num_consts, num_carry = self.counts
        return self.operands[num_consts : num_consts + num_carry]

    @property
    def is_one_real_dtype(self) -> bool:
        """Whether all that depends on inputs is of one real dtype. Others have linear maps
        that are not products with a number."""
        values = [*self.operands, *self.outputs]
        dtypes = {value.aval.dtype for value in values if value.dependence is not None}
        return len(dtypes) <= 1 and all(jnp.issubdtype(d, np.floating) for d in dtypes)

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


def body_of(
    program: ClosedJaxpr,
    operands: Sequence[Value],
    num_consts: int,
    num_carry: int,
    follow: bool,
    scope: Scope,
) -> Body:
    """Interpret the body on inputs of its own.

    A carry starts out as what it is at the first step, and is lowered (known in each step,
    then unknown, then dependent) until the body leaves no carry lower than it found it.
    """
    jaxpr = program.jaxpr
    operands = list(operands)
    own_carry = range(num_consts, num_consts + num_carry)
    for k in own_carry:
        if jaxpr.invars[k] is not jaxpr.outvars[k - num_consts]:
            operands[k] = lowered(operands[k], follow)
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
            work = inner.notes.work - scope.notes.work
            pass_work = inner.notes.pass_work - scope.notes.pass_work
            return Body(operands, outputs, (num_consts, num_carry), work, pass_work)


def lowered(value: Value, follow: bool) -> Value:
    """The value as it is known in a step that may be any."""
    if value.dependence is not None:
        return value
    follow = follow and value.known.status <= Status.STEPWISE
    return Value(value.aval, None, STEPWISE if follow else UNKNOWN)


def active_carry(init: Sequence[Value], body: Body, scope: Scope) -> Dependence:
    """The carries that depend on inputs at some step, as they are before the first."""
    return joined(
        [
            value.dependence or nothing(value.shape, scope.n)
            for value, at_step in zip(init, body.carry, strict=True)
            if at_step.dependence is not None
        ],
        scope.n,
    )


def carry_values(known: Sequence[Value], body: Body, final: Dependence) -> list[Value]:
    """The carries after the loop: active ones from `final`, others as they are known."""
    active = [value.shape for value in body.carry if value.dependence is not None]
    finals = iter(split(final, active))
    return [
        value if at_step.dependence is None else Value(value.aval, next(finals))
        for value, at_step in zip(known, body.carry, strict=True)
    ]


def product_work(entries: int, carry: Dependence) -> int:
    """The work of multiplying a matrix of so many entries by that of the carry."""
    return _PRODUCT * entries * (carry.count() // max(1, carry.size))
