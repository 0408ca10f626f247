"""Elements that are zero if they are numbers: what a mask of `-inf` leaves of a softmax.

`exp(-inf - m)` is zero for any `m` but `-inf`, for which it is NaN. Its bounds cannot say
so, since a program may ask whether it is NaN. As a factor it is as good as a zero.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn
from jaxtyping import Bool

from .folding.bounds import shape_of
from .known import EXPONENTIALS, KEEPS_VANISHING, Known, bounds, inputs_first, is_of_reals
from .moves import move_for

Mask: TypeAlias = Bool[np.ndarray, "*shape"]


class Vanishing(NamedTuple):
    """Where the elements of an array are zero or NaN, and where `-inf` or NaN."""

    zero: Mask
    falls: Mask


_NOWHERE = Vanishing(np.zeros((), bool), np.zeros((), bool))
"""That of an array of any shape of which nothing is known."""


def vanishing(known: Known) -> Mask | None:
    """Where a value is zero unless it is not a number; `None` if that is nowhere known.

    Cost: that of the bounds, and O(size) for each computation that is met first.
    """
    zero = _found(known).zero
    return zero if zero.any() else None


def is_masked(known: Known) -> bool:
    """Whether some elements are zero or `-inf` unless they are not numbers."""
    return _found(known) is not _NOWHERE


def _found(known: Known) -> Vanishing:
    if known.origin is None or not _is_followed(known):
        return _NOWHERE
    for computation in inputs_first(known.origin, lambda c: c.vanishing, _is_followed):
        parts = list(map(_of, computation.inputs))
        is_known = any(part is not _NOWHERE for part in parts)
        if is_known:  # NumPy returns scalars of no dimension as numbers.
            masks = _made(computation.eqn, parts)
            computation.vanishing = Vanishing(*map(np.asarray, masks))
        else:
            computation.vanishing = _NOWHERE
    return known.origin.vanishing


def _is_followed(known: Known) -> bool:
    """Whether a value is real, made of known ones, and keeps what is known of these."""
    if known.origin is None or not (known.partial or known.may_vanish):
        return False
    eqn = known.origin.eqn
    return (
        (eqn.primitive in KEEPS_VANISHING or move_for(eqn.primitive) is not None)
        and len(eqn.outvars) == 1
        and is_of_reals(eqn)
    )


def _of(known: Known) -> Vanishing:
    if _is_followed(known):
        assert known.origin is not None
        return known.origin.vanishing
    found = bounds(known, thorough=False)
    if found is None:
        return _NOWHERE
    falls = np.asarray((found.lo == -np.inf) & (found.hi == -np.inf))
    zero = found.zero
    return Vanishing(zero, falls) if zero.any() or falls.any() else _NOWHERE


def _made(eqn: JaxprEqn, parts: Sequence[Vanishing]) -> Vanishing:
    """The result of an equation; any sum with `-inf` is `-inf` or NaN."""
    primitive, shape = eqn.primitive, shape_of(eqn.outvars[0])
    shapes = map(shape_of, eqn.invars)
    if (move := move_for(primitive)) is not None:
        whole = [
            [np.broadcast_to(mask, shape) for mask in part]
            for part, shape in zip(parts, shapes, strict=True)
        ]
        moved = (move(eqn, *masks) for masks in zip(*whole, strict=True))
        # A split into one part gives a list of one.
        return Vanishing(*(m[0] if isinstance(m, list) else m for m in moved))
    (zero, falls), *others = (
        Vanishing(np.broadcast_to(part.zero, shape), np.broadcast_to(part.falls, shape))
        for part in parts
    )
    nowhere = np.zeros(shape, bool)
    if primitive in EXPONENTIALS:
        return Vanishing(falls, nowhere)
    if primitive is lax.mul_p:
        return Vanishing(zero | others[0].zero, nowhere)
    if primitive is lax.div_p:
        return Vanishing(zero, nowhere)
    if primitive is lax.add_p:
        return Vanishing(zero & others[0].zero, falls | others[0].falls)
    if primitive is lax.sub_p:
        return Vanishing(zero & others[0].zero, falls)
    return Vanishing(zero, falls)
