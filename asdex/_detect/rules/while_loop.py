"""Loops that end when a predicate says so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jax import lax
from jax.extend.core import JaxprEqn
from jax.extend.core import primitives as p
from scipy.sparse import csr_array

from ..compose import compose, joined
from ..dependence import from_matrix, union
from ..interpret import call, conservative
from ..known import UNKNOWN, StepwiseValueNeeded
from ..loops.batched import has_predicate_per_element, with_scalar_predicate
from ..loops.body import active_carry, body_of, carry_values, product_work
from ..loops.recurrence import closure
from ..loops.steps import Carried
from ..registry import Outcome, register
from ..value import Scope, Value, bare
from .scan import MAX_FOLLOWED_STEPS, MAX_WRITTEN_OUT


@register(p.while_p, coefficients=True)
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
    cond_consts, operands = operands[:num_cond_consts], operands[num_cond_consts:]
    consts, init_values = operands[:num_consts], operands[num_consts:]
    program, quiet = eqn.params["body_jaxpr"], replace(scope, emits=False)
    body = body_of(program, operands, num_consts, len(init_values), follow, quiet)
    (goes_on,) = call(eqn.params["cond_jaxpr"], [*cond_consts, *body.carry], quiet)
    if goes_on.dependence is not None:
        steps = "a number of steps that the input decides on"
        return conservative(eqn, [*cond_consts, *operands], scope, steps)

    init = active_carry(list(map(bare, init_values)), body, scope)
    entering = joined([bare(op).dependence for op in consts], scope.n)
    pattern = body.carry_out().matrix()
    entered, repeated = pattern[:, : entering.size], pattern[:, entering.size :]
    entered = compose(from_matrix(csr_array(entered), init.shape), entering)
    steps = from_matrix(closure(csr_array(repeated)), init.shape)
    final = compose(steps, union([init, entered]))
    unchanged = [
        Value(var.aval, None, before.known if at_step.known is before.known else UNKNOWN)
        for var, before, at_step in zip(eqn.outvars, init_values, body.carry, strict=True)
    ]
    if eqn.effects:
        scope.lacks_coefficients(eqn)
    if scope.emits:
        carried = Carried.of(program, body, consts, final, scope)
        return _carried_along(eqn, cond_consts, init_values, unchanged, carried)
    notes = scope.notes
    notes.pass_work += body.pass_work
    notes.work += body.work + product_work(repeated.nnz, final)
    return carry_values(unchanged, body, final)


def _carried_along(
    eqn: JaxprEqn,
    cond_consts: Sequence[Value],
    init: Sequence[Value],
    known: Sequence[Value],
    carried: Carried,
) -> list[Value]:
    def goes_on(carry: Any) -> Any:
        operands = [*cond_consts, *carried.find(carry)]
        (found,) = call(eqn.params["cond_jaxpr"], operands, carried.scope)
        return found.array

    def step(carry: Any) -> Any:
        return carried.step(carry, [])[0]

    return carried.leave(known, lax.while_loop(goes_on, step, carried.enter(init)))


def _while_step_by_step(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> list[Value] | None:
    """The carry after the last step, `None` unless it is known which one that is."""
    num_cond_consts, num_consts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    cond_consts = operands[:num_cond_consts]
    consts = operands[num_cond_consts : num_cond_consts + num_consts]
    carry = list(operands[num_cond_consts + num_consts :])
    body = eqn.params["body_jaxpr"]
    for step in range(MAX_FOLLOWED_STEPS):
        if step * len(body.jaxpr.eqns) > MAX_WRITTEN_OUT:
            scope.lacks_coefficients(eqn)
        (goes_on,) = call(eqn.params["cond_jaxpr"], [*cond_consts, *carry], scope)
        value = scope.value(goes_on) if goes_on.dependence is None else None
        if value is None:
            return None
        if not value:
            return carry
        carry = call(body, [*consts, *carry], scope)
    return None
