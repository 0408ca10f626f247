"""Elements that are zero if they are numbers: what a mask of `-inf` leaves of a softmax.

`exp(-inf - m)` is zero for any `m` but `-inf`, for which it is NaN. Its bounds cannot say
so, since a program may ask whether it is NaN. As a factor it is as good as a zero.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn, Primitive
from jaxtyping import Bool

from .folding.bounds import dtype_of, is_plain, is_real, shape_of
from .known import Known, bounds, inputs_first
from .moves import move_for

Mask: TypeAlias = Bool[np.ndarray, "*shape"]


class Vanishing(NamedTuple):
    """Where the elements of an array are zero or NaN, and where `-inf` or NaN."""

    zero: Mask
    falls: Mask


def vanishing(known: Known) -> Mask | None:
    """Where a value is zero unless it is not a number; `None` if that is nowhere known.

    Cost: that of the bounds, and O(size) for each computation that is met first.
    """
    if known.origin is None or not _is_followed(known):
        return None

    for computation in inputs_first(known.origin, lambda c: c.vanishing, _is_followed):
        eqn = computation.eqn
        parts = [
            _of(source, shape_of(atom))
            for source, atom in zip(computation.inputs, eqn.invars, strict=True)
        ]
        masks = (np.broadcast_to(m, shape_of(eqn.outvars[0])) for m in _made(eqn, parts))
        computation.vanishing = Vanishing(*masks)
    zero = known.origin.vanishing.zero
    return zero if zero.any() else None


def _is_followed(known: Known) -> bool:
    """Whether a value is real, made of known ones, and keeps what is known of these."""
    if not known.partial or known.origin is None:
        return False
    eqn = known.origin.eqn
    atoms = (*eqn.invars, *eqn.outvars)
    return (
        (eqn.primitive in _FOLLOWED or move_for(eqn.primitive) is not None)
        and len(eqn.outvars) == 1
        and all(is_plain(atom) and is_real(dtype_of(atom)) for atom in atoms)
    )


def _of(known: Known, shape: tuple[int, ...]) -> Vanishing:
    if _is_followed(known):
        assert known.origin is not None
        return known.origin.vanishing
    found = bounds(known, thorough=False)
    if found is None:
        nowhere = np.zeros(shape, bool)
        return Vanishing(nowhere, nowhere)
    falls = (found.lo == -np.inf) & (found.hi == -np.inf)
    return Vanishing(np.broadcast_to(found.zero, shape), np.broadcast_to(falls, shape))


def _made(eqn: JaxprEqn, parts: Sequence[Vanishing]) -> Vanishing:
    """The result of an equation; any sum with `-inf` is `-inf` or NaN."""
    primitive = eqn.primitive
    if (move := move_for(primitive)) is not None:
        moved = (move(eqn, *masks) for masks in zip(*parts, strict=True))
        # A split into one part gives a list of one.
        return Vanishing(*(m[0] if isinstance(m, list) else m for m in moved))
    (zero, falls), *others = parts
    nowhere = np.zeros_like(zero)
    if primitive in _EXPONENTIALS:
        return Vanishing(falls, nowhere)
    if primitive is lax.mul_p:
        return Vanishing(zero | others[0].zero, nowhere)
    if primitive is lax.div_p:
        return Vanishing(zero, nowhere)
    if primitive is lax.add_p:
        return Vanishing(zero & others[0].zero, falls | others[0].falls)
    if primitive is lax.sub_p:
        return Vanishing(zero & others[0].zero, falls)
    return parts[0]


_EXPONENTIALS: set[Primitive] = {lax.exp_p, lax.exp2_p, lax.logistic_p}

_FOLLOWED: set[Primitive] = {
    *_EXPONENTIALS,
    *(lax.mul_p, lax.div_p, lax.add_p, lax.sub_p, lax.convert_element_type_p),
}
"""Primitives that keep what is known of operands, in addition to those that move them."""
