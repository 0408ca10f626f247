"""Constant folding: the bounds of an equation's results, from those of its operands."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Primitive
from jax.extend.core import primitives as p

from ..._base.compat import CALLS, called_program, scan_lengths, with_constants
from ..loops.batched import has_predicate_per_element, with_scalar_predicate
from ..moves import move_for
from .bounds import (
    Atom,
    Bounds,
    dtype_of,
    exact,
    hull,
    is_inexact,
    is_plain,
    merged,
    only_zeros,
    shape_of,
    unknown,
)
from .table import FOLDS

Found = Bounds | None
"""What is known of a value; `None` if that is nothing."""

_MAX_EQUATIONS = 20_000
"""A loop whose steps have more equations in all is not followed."""


def fold_equation(eqn: JaxprEqn, operands: Sequence[Found]) -> Sequence[Found]:
    """The bounds of the results of an equation. Nothing is known of one with effects, or
    with results of its own on each backend."""
    try:
        return _fold(eqn, operands, _Budget(_MAX_EQUATIONS))
    except _OverBudget:
        return [None] * len(eqn.outvars)


def needs_compilation(eqn: JaxprEqn) -> bool:
    """Whether JAX must compile something to fold an equation."""
    plain = all(map(is_plain, (*eqn.invars, *eqn.outvars)))
    return not plain or not (eqn.primitive in FOLDS or move_for(eqn.primitive) is not None)


def is_opaque(eqn: JaxprEqn) -> bool:
    """Whether nothing is known of the results: they differ between backends, or from
    call to call, or are those of a program that is not folded."""
    if eqn.effects:
        return True
    if eqn.primitive is p.random_bits_p:
        return str(dtype_of(eqn.invars[0])) != "key<fry>"
    return eqn.primitive.name in _OPAQUE


class _OverBudget(Exception):
    """A loop is too long to be followed."""


class _Budget:
    """How many more equations may be folded."""

    def __init__(self, equations: int):
        self.equations = equations

    def spend(self) -> None:
        self.equations -= 1
        if self.equations < 0:
            raise _OverBudget


def _fold(eqn: JaxprEqn, operands: Sequence[Found], budget: _Budget) -> Sequence[Found]:
    budget.spend()
    nothing: list[Found] = [None] * len(eqn.outvars)
    if is_opaque(eqn):
        return nothing
    if eqn.primitive in CALLS or eqn.primitive.name in CALLS:
        return _fold_program(called_program(eqn), operands, budget)
    is_exact = all(operand is not None and operand.is_exact for operand in operands)
    if is_exact and _is_free_of_floats(eqn) and eqn.primitive not in _OPEN:
        found = _fold_in_numpy(eqn, operands)
        return _run(eqn, [b.lo for b in operands if b]) if None in found else found
    if eqn.primitive in _COPIES:
        return operands
    if eqn.primitive is p.cond_p:
        return _fold_cond(eqn, operands, budget)
    if eqn.primitive is p.scan_p:
        return _fold_scan(eqn, operands, budget)
    if eqn.primitive is p.while_p:
        return _fold_while(eqn, operands, budget)
    found = _fold_in_numpy(eqn, operands)
    if found[0] is None and eqn.primitive in _KEEPS_ZEROS:
        return _structural_zeros(eqn, operands)
    if is_exact and eqn.primitive is lax.bitcast_convert_type_p and not _takes_floats(eqn):
        return _run(eqn, [b.lo for b in operands if b])
    return found


def _fold_in_numpy(eqn: JaxprEqn, operands: Sequence[Found]) -> list[Found]:
    nothing: list[Found] = [None] * len(eqn.outvars)
    if not all(map(is_plain, (*eqn.invars, *eqn.outvars))):
        return nothing
    filled = [
        _as_numpy(atom, found) for atom, found in zip(eqn.invars, operands, strict=True)
    ]
    if (move := move_for(eqn.primitive)) is not None:
        return _fold_move(eqn, move, filled)
    if (function := FOLDS.get(eqn.primitive)) is None:
        return nothing
    with np.errstate(all="ignore"):
        found = function(eqn, *filled)
    results = found if isinstance(found, list) else [found]
    return [result and _with_arrays(result) for result in results]


def _with_arrays(found: Bounds) -> Bounds:
    """The bounds as arrays, where NumPy made scalars of those without axes."""
    if found.is_exact:
        return exact(np.asarray(found.lo), found.unit, found.reach)
    return Bounds(np.asarray(found.lo), np.asarray(found.hi), reach=found.reach)


def _fold_move(eqn: JaxprEqn, move: Any, operands: Sequence[Bounds]) -> list[Found]:
    dtype = dtype_of(eqn.invars[0])
    if not eqn.primitive.multiple_results:
        return [merged(lambda *x: move(eqn, *x), operands, dtype)]
    return [
        merged(lambda x, k=k: move(eqn, x)[k], operands, dtype)
        for k in range(len(eqn.outvars))
    ]


def _as_numpy(atom: Atom, found: Found) -> Bounds:
    """Bounds of the full shape, as NumPy arrays."""
    shape, dtype = shape_of(atom), dtype_of(atom)
    if found is None:
        return unknown(shape, dtype)
    if not found.is_exact or isinstance(found.lo, np.ndarray):
        return found
    return exact(np.asarray(found.lo, dtype), found.unit, found.reach)


def _run(eqn: JaxprEqn, values: Sequence[Any]) -> list[Found]:
    """Evaluate an equation in JAX."""
    return [exact(_at_hand(value)) for value in evaluate_equation(eqn, values)]


def evaluate_equation(eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
    """The results of an equation by JAX, which for floating-point numbers is one of the
    ways to compute them."""
    with jax.ensure_compile_time_eval(), eqn.ctx.manager:
        params = eqn.primitive.get_bind_params(eqn.params)
        out = eqn.primitive.bind(*values, **params)
    return out if eqn.primitive.multiple_results else [out]


def _at_hand(value: Any) -> Any:
    is_array = not jnp.issubdtype(value.dtype, jax.dtypes.extended)
    return np.asarray(value) if is_array else value


def _structural_zeros(eqn: JaxprEqn, operands: Sequence[Found]) -> Sequence[Found]:
    """The zeros that remain if the other elements of the operands change at random, so
    that no rounding and no cancellation decides about them."""
    nothing: list[Found] = [None] * len(eqn.outvars)
    random = np.random.default_rng(0)
    zeros: list[Any] = [True] * len(eqn.outvars)
    for _ in range(2):
        values = []
        for atom, found in zip(eqn.invars, operands, strict=True):
            if found is None or not (found.is_exact or is_inexact(dtype_of(atom))):
                return nothing
            value = np.asarray(found.lo)
            if is_inexact(dtype_of(atom)):
                value = np.where(np.isfinite(value), value, 1)
                value = value * random.uniform(0.99, 1.01, value.shape)
                value = np.where(found.zero, 0, np.where(value == 0, 1, value))
            values.append(value.astype(dtype_of(atom)))
        for k, result in enumerate(evaluate_equation(eqn, values)):
            zeros[k] = zeros[k] & (np.asarray(result) == 0)
    outputs: list[Found] = []
    for atom, zero in zip(eqn.outvars, zeros, strict=True):
        inexact = is_inexact(dtype_of(atom))
        outputs.append(only_zeros(zero, dtype_of(atom)) if inexact else None)
    return outputs


# --- Programs -----------------------------------------------------------------------------


def _fold_program(
    program: ClosedJaxpr, operands: Sequence[Found], budget: _Budget
) -> list[Found]:
    jaxpr = program.jaxpr
    consts = [exact(_at_hand(jnp.asarray(value))) for value in program.consts]
    found: dict[Any, Found] = dict(zip(jaxpr.constvars, consts, strict=True))
    found |= zip(jaxpr.invars, operands, strict=True)

    def read(atom: Atom) -> Found:
        if isinstance(atom, Literal):
            return exact(np.asarray(atom.val, dtype_of(atom)))
        return found[atom]

    for eqn in jaxpr.eqns:
        found |= zip(eqn.outvars, _fold(eqn, [*map(read, eqn.invars)], budget), strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def _fold_cond(eqn: JaxprEqn, operands: Sequence[Found], budget: _Budget) -> list[Found]:
    which, *args = operands
    branches = eqn.params["branches"]
    first, last = 0, len(branches) - 1
    if which is not None:
        first = int(np.clip(int(which.lo), 0, last))
        last = int(np.clip(int(which.hi), first, last))
    outcomes = [_fold_program(branches[k], args, budget) for k in range(first, last + 1)]
    return [
        _either(values, dtype_of(var)) if is_plain(var) else None
        for var, *values in zip(eqn.outvars, *outcomes, strict=True)
    ]


def _either(values: Sequence[Found], dtype: Any) -> Found:
    known = [value for value in values if value is not None]
    return hull(known, dtype) if len(known) == len(values) else None


def _fold_scan(eqn: JaxprEqn, operands: Sequence[Found], budget: _Budget) -> list[Found]:
    program, steps = eqn.params["jaxpr"], eqn.params["length"]
    num_consts, num_carry = scan_lengths(eqn)
    sliced = num_consts + num_carry
    consts, carry = operands[:num_consts], list(operands[num_consts:sliced])
    if steps * len(program.jaxpr.eqns) > budget.equations:
        raise _OverBudget
    kinds = [dtype_of(atom) for atom in eqn.invars[sliced:]]
    written: list[list[Found]] = [[]] * steps
    for step in range(steps - 1, -1, -1) if eqn.params["reverse"] else range(steps):
        slices = [
            found and merged(lambda x, step=step: x[step], [found], dtype)
            for found, dtype in zip(operands[sliced:], kinds, strict=True)
        ]
        outputs = _fold_program(program, [*consts, *carry, *slices], budget)
        carry, written[step] = outputs[:num_carry], outputs[num_carry:]
    stacked = [
        _stacked(parts, dtype_of(var))
        for var, *parts in zip(eqn.outvars[num_carry:], *written, strict=True)
    ]
    return [*carry, *stacked]


def _stacked(parts: Sequence[Found], dtype: Any) -> Found:
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts) or not isinstance(known[0].lo, np.ndarray):
        return None
    return merged(lambda *x: np.stack(x), known, dtype)


def _fold_while(eqn: JaxprEqn, operands: Sequence[Found], budget: _Budget) -> list[Found]:
    """The carry after the last step, if it is known which one that is."""
    if has_predicate_per_element(eqn):
        return _fold_program(with_scalar_predicate(eqn), operands, budget)
    num_cond, num_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    cond_consts, consts = operands[:num_cond], operands[num_cond : num_cond + num_body]
    carry = list(operands[num_cond + num_body :])
    while True:
        budget.spend()
        (goes_on,) = _fold_program(eqn.params["cond_jaxpr"], [*cond_consts, *carry], budget)
        if goes_on is None or not goes_on.is_exact:
            return [None] * len(eqn.outvars)
        if not goes_on.lo:
            return carry
        carry = _fold_program(eqn.params["body_jaxpr"], [*consts, *carry], budget)


def _is_free_of_floats(eqn: JaxprEqn) -> bool:
    """Whether an equation, and the programs in it, has neither floating-point operands
    nor results."""
    if any(map(_is_float, (*eqn.invars, *eqn.outvars))):
        return False
    programs = (
        part
        for value in eqn.params.values()
        for part in (value if isinstance(value, tuple | list) else (value,))
        if isinstance(part, Jaxpr | ClosedJaxpr)
    )
    return all(
        map(_is_free_of_floats, inner.eqns)
        for program in programs
        for inner in [with_constants(program).jaxpr]
    )


def _takes_floats(eqn: JaxprEqn) -> bool:
    return any(map(_is_float, eqn.invars))


def _is_float(atom: Atom) -> bool:
    return is_plain(atom) and is_inexact(dtype_of(atom))


_COPIES: set[Primitive] = {lax.optimization_barrier_p, p.device_put_p}
"""Primitives whose results are their operands."""

_OPEN: set[Primitive] = {
    *(lax.sort_p, lax.scatter_p, lax.gather_p, lax.div_p, lax.rem_p, lax.shift_left_p),
    *(lax.shift_right_logical_p, lax.shift_right_arithmetic_p),
}
"""Primitives whose results the operands alone may not determine: the order of equal keys,
the update that is written last, what is read out of bounds, a quotient by zero."""

_KEEPS_ZEROS: set[Primitive] = {
    *(lax.conv_general_dilated_p, p.triangular_solve_p, p.cholesky_p, lax.cumprod_p),
    *(lax.reduce_prod_p, lax.reduce_window_sum_p, lax.scatter_mul_p),
}
"""Primitives computed by products and sums, in which zeros depend on zeros only."""

_OPAQUE = {
    *("platform_index", "rng_uniform", "rng_bit_generator", "shard_map", "vprim"),
    *(p.linear_solve_p.name, p.custom_lin_p.name, "linear_solve"),
}
