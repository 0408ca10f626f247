"""The interpreter: follows dependence through a jaxpr, equation by equation."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from jax.core import ShapedArray
from jax.extend.core import AbstractToken, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from .._base.compat import CALLS
from .dependence import Dependence, union
from .folding.bounds import is_plain
from .known import constant, results
from .matrices import TooManyEntries
from .parts import with_parts
from .registry import Outcome, Rule, rule_for
from .selection import with_selection
from .source import describe
from .supports import supports
from .value import ConservativeRuleNeeded, Scope, Step, Value, shape_of


def interpret(
    jaxpr: Jaxpr, consts: Sequence[Value], args: Sequence[Value], scope: Scope
) -> list[Value]:
    """The outputs of `jaxpr` for the given constants and arguments.

    The environment exists only during this call: JAX uses one jaxpr object for all calls
    of a jitted function, so what is known in one call must not be kept for the next.
    """
    environment = dict(zip(jaxpr.constvars, consts, strict=True))
    environment |= zip(jaxpr.invars, args, strict=True)

    last_uses = _last_uses(jaxpr)
    for eqn, done in zip(jaxpr.eqns, last_uses, strict=True):
        _refuse_references(eqn)
        operands = [_read(environment, atom) for atom in eqn.invars]
        if not eqn.outvars:  # For example a print.
            if scope.emits and all(operand.dependence is None for operand in operands):
                emit(eqn, operands)
            continue
        environment |= zip(eqn.outvars, _apply_and_note(eqn, operands, scope), strict=True)
        for var in done:
            environment.pop(var, None)
    return [_read(environment, atom) for atom in jaxpr.outvars]


def _read(environment: Mapping[Var, Value], atom: Var | Literal) -> Value:
    if isinstance(atom, Var):
        return environment[atom]
    return Value(atom.aval, None, constant(atom.val), _literal(atom))


def call(program: ClosedJaxpr, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The outputs of a program that holds its constants."""
    consts = [
        Value(var.aval, None, constant(value), value)
        for var, value in zip(program.jaxpr.constvars, program.consts, strict=True)
    ]
    return interpret(program.jaxpr, consts, operands, scope)


def _last_uses(jaxpr: Jaxpr) -> list[list[Var]]:
    """For each equation the variables that nothing needs after it."""
    needed = {atom for atom in jaxpr.outvars if isinstance(atom, Var)}
    last_uses = []
    for eqn in reversed(jaxpr.eqns):
        used = {atom for atom in (*eqn.invars, *eqn.outvars) if isinstance(atom, Var)}
        last_uses.append(list(used - needed))
        needed |= used
    return last_uses[::-1]


def _apply_and_note(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope
) -> Sequence[Value]:
    try:
        outputs = apply_rule(eqn, operands, scope)
    except TooManyEntries as error:
        error.where = error.where or describe(eqn, scope.callers)
        raise
    if scope.notes.trail is not None:
        scope.notes.trail.add(Step(eqn, operands, outputs, scope.callers))
    return outputs


def _refuse_references(eqn: JaxprEqn) -> None:
    """What is written to a mutable reference would escape an environment of values."""
    for atom in (*eqn.invars, *eqn.outvars):
        if not isinstance(atom.aval, ShapedArray | AbstractToken):
            raise NotImplementedError(
                "Sparsity detection does not follow mutable references, but the function "
                f"has a value of type {atom.aval} (primitive {eqn.primitive.name!r}). "
                "Write it with pure array updates (x.at[i].set(y)), or make the pattern "
                "by hand (SparsityPattern.from_coo)."
            )


def apply_rule(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Sequence[Value]:
    """The results of one equation, by the rule of its primitive."""
    entry = rule_for(eqn.primitive)
    is_active = any(operand.dependence is not None for operand in operands)
    if not is_active and not (entry and entry.always):
        known = results(eqn, [operand.known for operand in operands])
        arrays = emit(eqn, operands) if scope.emits else [None] * len(eqn.outvars)
        triples = zip(eqn.outvars, known, arrays, strict=True)
        return [Value(var.aval, None, k, array) for var, k, array in triples]
    if is_active and scope.of_supports:
        return supports(eqn, operands, scope, entry, call)
    uncovered = entry.not_covered(operands) if entry else []
    if entry is None:
        outcome = conservative(eqn, operands, scope, "")
    elif uncovered:
        names = " and ".join(map(str, uncovered))
        outcome = conservative(eqn, operands, scope, f"dependence through operand {names}")
    else:
        if is_active and not entry.coefficients:
            scope.lacks_coefficients(eqn)
        outcome = entry.rule(eqn, operands, scope)
    values = _as_values(eqn, outcome)
    if is_active and entry is not None and not (scope.emits or uncovered):
        apply = partial(_by_rule, entry.rule, eqn, scope)
        values = with_parts(eqn, operands, values, apply, scope)
        values = with_selection(eqn, operands, values, apply, scope)
    if is_active and eqn.primitive not in CALLS:
        scope.notes.count(value.dependence for value in values)
    if scope.emits:
        _check_coefficients(values)
    if scope.emits and not is_active and any(value.array is None for value in values):
        for value, array in zip(values, emit(eqn, operands), strict=True):
            value.array = array
    return values


def _by_rule(
    rule: Rule, eqn: JaxprEqn, scope: Scope, operands: Sequence[Value]
) -> Sequence[Value]:
    return _as_values(eqn, rule(eqn, operands, scope))


def _as_values(eqn: JaxprEqn, outcome: Outcome) -> list[Value]:
    outputs = [outcome] if isinstance(outcome, Dependence) else outcome
    return [
        output if isinstance(output, Value) else Value(var.aval, output)
        for var, output in zip(eqn.outvars, outputs, strict=True)
    ]


def _check_coefficients(values: Sequence[Value]) -> None:
    for value in values:
        for term in value.dependence.terms if value.dependence else ():
            found = term.coefficients
            assert found.shape == term.rows.shape == value.shape, found.shape
            assert found.dtype == value.aval.dtype, found.dtype


def emit(eqn: JaxprEqn, operands: Sequence[Value]) -> list[Any]:
    """The results of an equation on values that depend on no input."""
    with eqn.ctx.manager:
        params = eqn.primitive.get_bind_params(eqn.params)
        out = eqn.primitive.bind(*(operand.array for operand in operands), **params)
    return list(out) if eqn.primitive.multiple_results else [out]


def _literal(atom: Literal) -> Any:
    aval = cast(ShapedArray, atom.aval)
    return np.asarray(atom.val, aval.dtype) if is_plain(atom) else atom.val


def conservative(
    eqn: JaxprEqn, operands: Sequence[Value], scope: Scope, uncovered: str
) -> list[Dependence]:
    """Every element of every output depends on all that the operands depend on.

    `uncovered`: what the rule of the primitive does not cover, empty if there is no rule.
    """
    if scope.is_tentative:
        raise ConservativeRuleNeeded
    scope.notes.conservative[eqn] = uncovered
    scope.lacks_coefficients(eqn)
    wholes = [operand.dependence.whole() for operand in operands if operand.dependence]
    everything = union(wholes)
    return [everything.broadcast(shape_of(var)) for var in eqn.outvars]
