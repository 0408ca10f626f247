"""Calls, branches and the derivative rules of custom functions."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, JaxprEqn, Var
from jax.extend.core import primitives as p
from scipy.sparse import csr_array

from ..._base.compat import CALLS, called_program
from .. import coefficients as co
from ..compose import as_own_inputs, joined, split, values_in
from ..dependence import Dependence, as_matrix, from_matrix, nothing, union
from ..interpret import call, conservative
from ..known import UNKNOWN, Known, results
from ..registry import Outcome, register
from ..repeats import called
from ..supports import is_anything
from ..value import ConservativeRuleNeeded, Scope, Value, bare, shape_of


@register(*CALLS, always=True, coefficients=True)
def inline(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The program, inlined."""
    program, inner = called_program(eqn), scope.called_by(eqn)
    return called(program, operands, scope, lambda given: call(program, given, inner))


def implementation(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> list[Value]:
    """The program that the primitive's own implementation runs, inlined: a rule for
    primitives that are written in terms of others."""

    def run(*arrays: Any) -> Any:
        return eqn.primitive.impl(*arrays, **eqn.params)

    program = jax.make_jaxpr(run)(*(operand.aval for operand in operands))
    return call(program, operands, scope.called_by(eqn))


@register(p.cond_p, always=True, coefficients=True)
def cond(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """The branch taken where that is known, otherwise the union of those that can be."""
    which, *args = operands
    branches, inner = eqn.params["branches"], scope.called_by(eqn)
    if which.dependence is not None:
        return conservative(eqn, operands, scope, "a choice that the input makes")
    number, last = scope.indices(which), len(branches) - 1
    first, final = (0, last) if number is None else (int(number.lo), int(number.hi))
    first = min(max(first, 0), last)
    final = min(max(final, first), last)
    if first == final:
        return call(branches[first], args, inner)
    possible = branches[first : final + 1]
    quiet, seen = replace(inner, emits=False), list(map(bare, args))
    outcomes = [call(branch, seen, quiet) for branch in possible]
    merged = []
    for var, *values in zip(eqn.outvars, *outcomes, strict=True):
        dependences = [value.dependence for value in values if value.dependence]
        if dependences:
            merged.append(Value(var.aval, union(dependences)))
        else:
            merged.append(Value(var.aval, None, _known_in_all(values)))
    if not scope.emits or all(arg.dependence is None for arg in args):
        return merged
    number = jnp.clip(which.array, first, final) - first
    return _switch(number, possible, args, merged, inner)


def _known_in_all(values: Sequence[Value]) -> Known:
    """What is known of a value that is one of these: what all of them have in common."""
    aval = values[0].aval
    if not all(value.known.informs for value in values):
        return UNKNOWN
    if jnp.issubdtype(aval.dtype, jax.dtypes.extended):
        return UNKNOWN
    which = jax.ShapeDtypeStruct((), bool if len(values) == 2 else np.int32)
    selection = jax.make_jaxpr(lax.select_n)(which, *(value.aval for value in values))
    (eqn,) = selection.jaxpr.eqns
    (known,) = results(eqn, [UNKNOWN, *(value.known for value in values)])
    return known


def _switch(
    number: Any,
    branches: Sequence[ClosedJaxpr],
    args: Sequence[Value],
    merged: Sequence[Value],
    scope: Scope,
) -> list[Value]:
    """The outputs of a branch with their coefficients, which each branch computes for all
    entries that any branch has."""
    matrices = [value.dependence and value.dependence.matrix() for value in merged]

    def run(branch: ClosedJaxpr) -> list[Any]:
        outcome = call(branch, args, scope)
        return [
            value.array if matrix is None else co.as_jax(values_in(value, matrix))
            for value, matrix in zip(outcome, matrices, strict=True)
        ]

    arrays = lax.switch(number, [partial(run, branch) for branch in branches])
    return [
        Value(value.aval, None, array=array)
        if matrix is None
        else Value(value.aval, from_matrix(matrix, value.shape, array))
        for value, matrix, array in zip(merged, matrices, arrays, strict=True)
    ]


@register(p.custom_lin_p, always=True, coefficients=True)
def custom_vjp(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """The tangent of a function with a custom VJP: the transpose of its `bwd`.

    `bwd` is traced, its pattern from cotangents to input cotangents transposed. JAX cannot
    run such a function in forward mode.
    """
    scope.notes.custom_vjps.append(eqn)
    num_res = eqn.params["num_res"]
    residuals, tangents = operands[:num_res], operands[num_res:]
    if all(tangent.dependence is None for tangent in tangents):
        return [Value(var.aval) for var in eqn.outvars]
    if any(residual.dependence is not None for residual in residuals):
        return conservative(eqn, operands, scope, "residuals that depend on the input")

    program, outputs = _transposed(eqn, residuals, tangents)
    cotangents = [Value(var.aval, nothing(shape_of(var), 0)) for var in outputs]
    own, inner = as_own_inputs([*residuals, *cotangents], scope.apart())
    try:
        results = call(program, own, replace(inner, is_tentative=True))
        backward = [value.dependence for value in results]
    except ConservativeRuleNeeded:
        scope.lacks_coefficients(eqn)
        backward = _by_supports(program, [*residuals, *cotangents], scope)
        backward = backward or [value.dependence for value in call(program, own, inner)]

    pulled = [
        dep or nothing(tangent.shape, inner.n)
        for dep, tangent in zip(backward, filter(_is_inexact, tangents), strict=True)
    ]
    if len({var.aval.dtype for var in [*outputs, *tangents] if _is_inexact(var)}) > 1:
        scope.lacks_coefficients(eqn)
    (entries,) = as_matrix(joined(pulled, inner.n)).entries()
    sources = [
        t.dependence or nothing(t.shape, scope.n) for t in filter(_is_inexact, tangents)
    ]
    # Rows and columns change their roles: those are the cotangents' and these the inputs'.
    flat = joined(sources, scope.n).spread(
        entries.cols, entries.rows, (inner.n,), entries.values
    )
    found = iter(split(flat, [shape_of(var) for var in outputs]))
    return [Value(var.aval, next(found) if var in outputs else None) for var in eqn.outvars]


def _by_supports(
    program: ClosedJaxpr, operands: Sequence[Value], scope: Scope
) -> Sequence[Dependence | None] | None:
    """What the results of a program depend on if it is linear as a whole, though not step
    by step; `None` if nothing is known of some. See `supports`."""
    anything = Value(jax.typeof(0.0), nothing((), 0))
    own, inner = as_own_inputs([*operands, anything], scope.apart())
    results = call(program, own[:-1], replace(inner, of_supports=True))
    found = [value.dependence for value in results if value.dependence is not None]
    if len(found) < len(results) or any(is_anything(dep).any() for dep in found):
        return None
    return [from_matrix(csr_array(dep.matrix()[:, :-1]), dep.shape) for dep in found]


def _transposed(
    eqn: JaxprEqn, residuals: Sequence[Value], tangents: Sequence[Value]
) -> tuple[ClosedJaxpr, list[Var]]:
    """The program from residuals and cotangents to the cotangents of the tangents; and
    the outputs that have a cotangent; integers have none."""
    outputs = [var for var in eqn.outvars if _is_inexact(var)]
    selected = [k for k, var in enumerate(eqn.outvars) if _is_inexact(var)]

    constants = [_at_hand(residual) for residual in residuals]

    def transpose(residual_values: list[Any], cotangents: list[Any]) -> Any:
        # A constant must remain one: `bwd` may use its value.
        residual_values = [
            traced if constant is None else constant
            for traced, constant in zip(residual_values, constants, strict=True)
        ]

        def linear(*inexact: Any) -> list[Any]:
            given = iter(inexact)
            values = [
                next(given) if _is_inexact(t) else np.zeros(t.shape, jax.dtypes.float0)
                for t in tangents
            ]
            outs = eqn.primitive.bind(*residual_values, *values, **eqn.params)
            return [outs[k] for k in selected]

        avals = [tangent.aval for tangent in tangents if _is_inexact(tangent)]
        return jax.linear_transpose(linear, *avals)(cotangents)

    avals = [value.aval for value in residuals], [var.aval for var in outputs]
    return jax.make_jaxpr(transpose)(*avals), outputs


def _at_hand(value: Value) -> Any:
    """The constant that a value is, as an array of JAX, which can be indexed by a traced
    number. `None` if it is not a constant."""
    constant = value.known.constant
    if not isinstance(constant, np.ndarray) or constant.dtype == jax.dtypes.float0:
        return constant
    with jax.ensure_compile_time_eval():
        return jnp.asarray(constant)


def _is_inexact(value: Value | Var) -> bool:
    return jnp.issubdtype(cast(ShapedArray, value.aval).dtype, np.inexact)
