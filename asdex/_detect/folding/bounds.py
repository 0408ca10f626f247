"""`Bounds`: what is known of the elements of an array, without running the program.

Integers and booleans are computed exactly. A floating-point number is known exactly only
if every way to compute it gives the same number; otherwise XLA may divide by a reciprocal,
fuse a product into a sum, add in another order, keep excess precision or flush denormal
numbers to zero, and the value is known up to an error bound that covers all of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import JaxprEqn, Literal, Var
from jaxtyping import Bool, Shaped

Atom: TypeAlias = Var | Literal
if TYPE_CHECKING:
    Operand: TypeAlias = np.ndarray
else:  # NumPy makes scalars of arrays without axes, which can be used in the same way here.
    Operand: TypeAlias = Shaped[np.ndarray, "..."] | np.generic


OVERFLOW = 2.0**62
"""Where a result in int64 is at least so large, it may have wrapped around."""


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Each element of an array lies between `lo` and `hi`, arrays of its shape.

    `lo is hi` if the whole array is known exactly, and only then. Floating-point numbers
    of which nothing is known have NaN as bounds, and integers the limits of their dtype.

    Bounds of floating-point numbers are float64, or of the dtype of the array itself as
    long as nothing was computed with it. The terms that were added up to an element may be
    added in another order, together with what is added later: their magnitudes add up to
    `reach` (`None`: the element is not a sum), and, if the array is exact, all of them are
    multiples of the power of two `unit` (`None`: that of the elements).
    """

    lo: Any
    hi: Any
    unit: float | None = None
    reach: Any = None

    @property
    def is_exact(self) -> bool:
        """Whether all elements are known exactly."""
        return self.lo is self.hi

    @property
    def is_unknown(self) -> bool:
        """Whether this is a whole array of floating-point numbers that is `unknown`."""
        is_one_number = isinstance(self.lo, np.ndarray) and not any(self.lo.strides)
        return (
            is_one_number and self.lo.size > 0 and bool(self.lo.flat[0] != self.lo.flat[0])
        )

    @property
    def known(self) -> Bool[np.ndarray, "..."]:
        """Where the elements are known exactly; 0-d if all are."""
        return np.ones((), bool) if self.is_exact else np.asarray(self.lo == self.hi)

    @property
    def zero(self) -> Bool[np.ndarray, "..."]:
        """Where the elements are known to be zero."""
        zero = self.lo == 0
        return np.asarray(zero if self.is_exact else zero & (self.hi == 0))


def exact(value: Any, unit: float | None = None, reach: Any = None) -> Bounds:
    """An array that is known exactly."""
    value = np.asarray(value) if isinstance(value, np.generic) else value
    return Bounds(value, value, unit, reach)


def between(lo: Operand, hi: Operand) -> Bounds:
    """Bounds of integers and booleans: exact if they agree everywhere."""
    lo, hi = np.asarray(lo), np.asarray(hi)
    return exact(lo) if np.array_equal(lo, hi) else Bounds(lo, hi)


def unknown(shape: tuple[int, ...], dtype: Any) -> Bounds:
    """An array of which only the type is known."""
    if is_bool(dtype):
        lo, hi = np.False_, np.True_
    elif jnp.issubdtype(dtype, np.integer):
        info = jnp.iinfo(dtype)
        lo, hi = np.asarray(info.min, dtype), np.asarray(info.max, dtype)
    else:
        lo = hi = np.asarray(np.nan, _native(dtype))
    return Bounds(np.broadcast_to(lo, shape), np.broadcast_to(hi, shape))


def only_zeros(zero: Operand, dtype: Any) -> Bounds:
    """An array of which only zeros are known."""
    nothing = unknown(zero.shape, dtype)
    return Bounds(np.where(zero, 0, nothing.lo), np.where(zero, 0, nothing.hi))


def hull(alternatives: Sequence[Bounds], dtype: Any) -> Bounds:
    """What holds whichever of the alternatives, of one dtype, is true."""
    first, *others = alternatives
    if not others:
        return first
    lo = np.minimum.reduce(np.broadcast_arrays(*(option.lo for option in alternatives)))
    hi = np.maximum.reduce(np.broadcast_arrays(*(option.hi for option in alternatives)))
    if not is_inexact(dtype):
        return between(lo, hi)
    return Bounds(lo, hi, reach=largest_reach(alternatives))


def merged(move: Callable[..., Operand], operands: Sequence[Bounds], dtype: Any) -> Bounds:
    """The bounds of the array that `move` makes of the elements of the operands, which
    have one dtype, without computing with them."""
    unit = reach = None
    if any(operand.reach is not None for operand in operands):
        reach = move(*map(reach_of, operands))
    if all(operand.is_exact for operand in operands):
        if reach is not None:
            unit = min(map(unit_of, operands))
        return exact(move(*(operand.lo for operand in operands)), unit, reach)
    lo = np.asarray(move(*(operand.lo for operand in operands)))
    hi = np.asarray(move(*(operand.hi for operand in operands)))
    return Bounds(lo, hi, reach=reach) if is_inexact(dtype) else between(lo, hi)


def largest_reach(operands: Sequence[Bounds]) -> Any:
    """`Bounds.reach` of an element that may be that of any operand."""
    if all(operand.reach is None for operand in operands):
        return None
    return np.maximum.reduce(np.broadcast_arrays(*map(reach_of, operands)))


def reach_of(bounds: Bounds) -> Operand:
    """`Bounds.reach` of real numbers."""
    if bounds.reach is not None:
        return np.asarray(bounds.reach)
    reach = np.abs(np.asarray(bounds.lo, np.float64))
    if not bounds.is_exact:
        reach = np.maximum(reach, np.abs(np.asarray(bounds.hi, np.float64)))
    return np.asarray(reach)


def unit_of(bounds: Bounds) -> float:
    """`Bounds.unit` of an exact array of real numbers."""
    if bounds.unit is not None:
        return bounds.unit
    value = np.asarray(bounds.lo, np.float64)
    nonzero = value[value != 0]
    if not nonzero.size:
        return np.inf
    if not np.isfinite(nonzero).all():
        return 0.0
    mantissa, exponent = np.frexp(nonzero)
    bits = np.ldexp(mantissa, 53).astype(np.int64)
    return float(np.ldexp((bits & -bits).astype(np.float64), exponent - 53).min())


def is_bool(dtype: Any) -> bool:
    """Whether a dtype is that of booleans."""
    return np.dtype(bool) == dtype


@cache
def is_real(dtype: Any) -> bool:
    """Whether a dtype is one of real floating-point numbers."""
    return jnp.issubdtype(dtype, np.floating)


@cache
def is_inexact(dtype: Any) -> bool:
    """Whether a dtype is one of real or complex floating-point numbers."""
    return jnp.issubdtype(dtype, np.inexact)


def is_plain(atom: Atom) -> bool:
    """Whether a value is an array that NumPy can hold, and not of keys or tokens."""
    if not isinstance(atom.aval, ShapedArray):
        return False
    return is_of_numpy(dtype_of(atom))


def is_of_numpy(dtype: Any) -> bool:
    """Whether a dtype is one of NumPy's that holds something, and not one of keys."""
    return isinstance(dtype, np.dtype) and dtype != jax.dtypes.float0


def dtype_of(atom: Atom) -> Any:
    """Dtype of an atom that is an array."""
    return cast(ShapedArray, atom.aval).dtype


def operand_dtype(eqn: JaxprEqn) -> Any:
    """Dtype of the first operand."""
    return dtype_of(eqn.invars[0])


def takes_complex(eqn: JaxprEqn) -> bool:
    """Whether the first operand is complex."""
    return jnp.issubdtype(operand_dtype(eqn), jnp.complexfloating)


def shape_of(atom: Atom) -> tuple[int, ...]:
    """Shape of an atom that is an array."""
    return cast(ShapedArray, atom.aval).shape


def as_int64(bounds: Bounds) -> tuple[Any, Any]:
    """The bounds of integers or booleans as int64. What does not fit has no bounds."""
    if bounds.lo.dtype != np.uint64:
        return bounds.lo.astype(np.int64), bounds.hi.astype(np.int64)
    limits = np.iinfo(np.int64)
    too_large = bounds.hi > np.uint64(limits.max)
    lo = np.where(too_large, limits.min, bounds.lo.astype(np.int64))
    return lo, np.where(too_large, limits.max, bounds.hi.astype(np.int64))


def fitted(lo: Operand, hi: Operand, lost: Operand | bool, dtype: Any) -> Bounds:
    """Bounds of integers that were computed in int64: none where the result was `lost`,
    or does not fit into the dtype, so that it wraps round."""
    info = np.iinfo(dtype)
    smallest, largest = info.min, min(info.max, np.iinfo(np.int64).max)
    lost = lost | (lo < smallest) | (hi > largest)
    if dtype == np.uint64:
        lost = lost | (lo < 0)
    lo = np.where(lost, 0 if dtype == np.uint64 else smallest, lo).astype(dtype)
    hi = np.where(lost, np.asarray(info.max, dtype), hi.astype(dtype))
    return between(lo, hi)


def _native(dtype: Any) -> Any:
    return np.complex128 if jnp.issubdtype(dtype, np.complexfloating) else np.float64
