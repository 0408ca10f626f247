"""Complex numbers whose real and imaginary parts depend on different inputs.

`Value.parts` has both where they are told apart. It only says more than the dependence of
the value as a whole, which the rules of all primitives go by.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Primitive
from jax.extend.core import primitives as p

from .dependence import Dependence, nothing
from .moves import MOVES
from .value import Scope, Value

Apply = Callable[[Sequence[Value]], Sequence[Value]]
"""The results of an equation on other operands, by the rule of its primitive."""


def with_parts(
    eqn: JaxprEqn,
    operands: Sequence[Value],
    results: Sequence[Value],
    apply: Apply,
    scope: Scope,
) -> Sequence[Value]:
    """The results of an equation, with parts where these are told apart."""
    primitive = eqn.primitive
    if primitive is lax.complex_p:
        real, imag = (_or_nothing(operand.dependence, results[0]) for operand in operands)
        return [replace(results[0], parts=(real, imag))]
    if primitive is lax.convert_element_type_p and not _is_complex(operands[0]):
        if not _is_complex(results[0]):
            return results
        nought = nothing(results[0].shape, scope.n)
        return [replace(results[0], parts=(results[0].dependence or nought, nought))]
    if all(operand.parts is None for operand in operands):
        return results
    if primitive in (lax.real_p, lax.imag_p) or _drops_imaginary_part(eqn, results):
        (parts,) = (operand.parts for operand in operands)
        assert parts is not None
        return [replace(results[0], dependence=parts[int(primitive is lax.imag_p)])]
    turned = False
    if primitive is lax.mul_p:
        turns = [_turns(operand, scope) for operand in operands]
        if turns.count(None) != 1:
            return results
        turned = True in turns
    elif primitive not in _KEEPING and primitive.name not in _KEEPING:
        return results
    sides = [apply([_part(operand, side) for operand in operands]) for side in (0, 1)]
    found = []
    for result, *halves in zip(results, *sides, strict=True):
        real, imag = (_or_nothing(half.dependence, result) for half in halves)
        parts = (imag, real) if turned else (real, imag)
        found.append(replace(result, parts=parts) if _is_complex(result) else result)
    return found


def _drops_imaginary_part(eqn: JaxprEqn, results: Sequence[Value]) -> bool:
    return eqn.primitive is lax.convert_element_type_p and not _is_complex(results[0])


def _part(operand: Value, side: int) -> Value:
    """The operand as if it depended only on what one of its parts depends on."""
    if operand.parts is None:
        return operand
    return replace(operand, dependence=operand.parts[side], parts=None)


def _turns(factor: Value, scope: Scope) -> bool | None:
    """Whether a factor turns real parts into imaginary ones, as multiples of `1j` do.
    `None` if that is not known, or if some of both parts is left."""
    known = scope.partial_value(factor)
    if known is None or not known.is_exact:
        return None
    value = np.asarray(known.lo)
    if not np.imag(value).any():
        return False
    return None if np.real(value).any() else True


def _or_nothing(dependence: Dependence | None, result: Value) -> Dependence:
    assert result.dependence is not None
    found = dependence or nothing(result.shape, result.dependence.n)
    return found if found.shape == result.shape else found.broadcast(result.shape)


def _is_complex(value: Value) -> bool:
    return jnp.issubdtype(value.aval.dtype, jnp.complexfloating)


_KEEPING: set[Primitive | str] = {
    *MOVES,
    *(lax.add_p, lax.sub_p, lax.neg_p, lax.conj_p, p.add_jaxvals_p),
    *(lax.convert_element_type_p, lax.select_n_p, lax.reduce_sum_p, lax.cumsum_p),
    *(lax.gather_p, lax.dynamic_slice_p, lax.dynamic_update_slice_p),
    *(lax.scatter_p, lax.scatter_add_p),
}
"""Primitives that do to both parts the same: linear with real coefficients. (`conj` only
changes a sign.)"""
