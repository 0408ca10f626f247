"""What is known of values that carry no tangent, found only when a rule asks.

Index arrays, masks, loop counters and constant matrices decide how dependence flows. Each
such value of the program is described by a `Known`: a constant, or the result of an
equation on other such values. Nothing is computed, and no constant is copied to the host,
before a rule asks for `bounds`. See `folding` for how equations are evaluated.

Values that depend on the arguments of the function are unknown, but not all that is made of
them: `clip(i, 0, 3)` is between 0 and 3, and `where(mask, x, 0)` zero where the mask is
false. Such values are followed through the primitives that keep something known of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend.core import JaxprEqn, Primitive
from jax.extend.core import primitives as p
from jaxtyping import Shaped

from .._base.compat import POLYNOMIAL
from .folding import (
    Bounds,
    evaluate_equation,
    exact,
    fold_equation,
    is_opaque,
    needs_compilation,
)
from .folding.bounds import (
    between,
    dtype_of,
    is_bool,
    is_inexact,
    is_plain,
    is_real,
    merged,
    shape_of,
)
from .folding.table import FOLDS
from .moves import move_for

_FEW_COMPILATIONS = 4

_MAX_ENUMERATED = 50_000_000
"""So many elements may be computed to try all values that a bounded integer can take."""


class Status(IntEnum):
    """How much of a value is known as a whole, from most to least."""

    KNOWN = 0
    """Made of constants, though perhaps known only up to rounding."""
    STEPWISE = 1
    """Known in each step of a loop, but not the same in all."""
    UNKNOWN = 2


class StepwiseValueNeeded(Exception):
    """A rule asked for a value that is known only if the loop is followed step by step."""


@dataclass(slots=True, eq=False)
class Computation:
    """One equation on values without tangents, folded at most once in each way."""

    eqn: JaxprEqn
    inputs: Sequence["Known"]
    compilations: int
    """So many equations at most must be compiled for the results, itself included."""
    found: dict[bool, Sequence[Bounds | None]] = field(default_factory=dict, init=False)
    """Bounds of the results: at any cost, or without compiling much."""
    numbers: Sequence[Any] | None = field(default=None, init=False)
    """The results as JAX computes them, operation by operation."""
    vanishing: Any = field(default=None, init=False)
    """Where the result is zero, or `-inf`, or not a number; see `vanishing`."""


@dataclass(slots=True, eq=False)
class Known:
    """What is known of a value: a `constant`, or result `index` of `origin`."""

    status: Status
    constant: Any = None
    origin: Computation | None = None
    index: int = 0
    partial: bool = False
    """Whether something may be known of it even if it is not known as a whole."""
    may_vanish: bool = False
    """Whether elements may be zero or `-inf` unless they are NaN; see `vanishing`."""
    given: Bounds | None = None
    """What is known of a constant, once that was needed."""

    @property
    def cheap(self) -> bool:
        """Whether it takes few compilations to find out."""
        return self.origin is None or self.origin.compilations <= _FEW_COMPILATIONS

    @property
    def informs(self) -> bool:
        """Whether anything may be known of the value, in any step of a loop."""
        return self.partial or self.status is Status.KNOWN

    def bounds_of_constant(self) -> Bounds | None:
        """The value, if it is a constant."""
        if self.given is None and self.status is Status.KNOWN:
            value = self.constant
            is_key = hasattr(value, "dtype") and not isinstance(value.dtype, np.dtype)
            value = value if is_key else np.asarray(value)
            self.given = exact(value)
        return self.given


UNKNOWN = Known(Status.UNKNOWN)
STEPWISE = Known(Status.STEPWISE)


def constant(value: Any) -> Known:
    """A constant; a tracer of an outer transformation is unknown."""
    if isinstance(value, Tracer):
        return UNKNOWN
    return Known(Status.KNOWN, value, partial=True)


def slices(known: Known, dtype: Any, steps: int) -> list[Known]:
    """The parts of a value along its leading axis."""
    found = bounds(known)
    if found is None:
        return [UNKNOWN] * steps
    parts = [merged(lambda x, k=k: x[k], [found], dtype) for k in range(steps)]
    return [
        Known(Status.KNOWN, part.lo if part.is_exact else None, partial=True, given=part)
        for part in parts
    ]


def results(eqn: JaxprEqn, inputs: Sequence[Known]) -> list[Known]:
    """The outputs of an equation, not computed yet."""
    if is_opaque(eqn):
        return [UNKNOWN] * len(eqn.outvars)
    status = max((known.status for known in inputs), default=Status.KNOWN)
    partial = [_is_informed(eqn, var, inputs) for var in eqn.outvars]
    may_vanish = _may_vanish(eqn, inputs)
    if status is not Status.KNOWN and not (any(partial) or may_vanish):
        return [STEPWISE if status is Status.STEPWISE else UNKNOWN] * len(eqn.outvars)
    before = sum(known.origin.compilations for known in inputs if known.origin)
    compilations = min(before + needs_compilation(eqn), _FEW_COMPILATIONS + 1)
    origin = Computation(eqn, inputs, compilations)
    return [
        Known(status, None, origin, index, informs, may_vanish)
        for index, informs in enumerate(partial)
    ]


def bounds(known: Known, *, thorough: bool = True) -> Bounds | None:
    """What is known of a value, whatever the step of a loop; `None` if that is nothing.

    If not `thorough`, `None` also for what takes more than a few compilations.
    """
    if known.origin is None:
        return known.bounds_of_constant()
    if not (known.informs and (thorough or known.cheap or known.partial)):
        return None
    is_needed = partial(_is_needed, thorough=thorough)
    for computation in inputs_first(
        known.origin, lambda c: c.found.get(thorough), is_needed
    ):
        inputs = [
            _found(source, thorough) if is_needed(source) else None
            for source in computation.inputs
        ]
        computation.found[thorough] = _folded(computation, inputs, thorough)
    return _found(known, thorough)


def _is_needed(source: Known, thorough: bool) -> bool:
    return source.partial or (source.status is Status.KNOWN and (thorough or source.cheap))


def evaluate(known: Known) -> Shaped[np.ndarray, "..."] | None:
    """The value, or `None` if it is not known exactly.

    Raises `StepwiseValueNeeded` if it is known only step by step.
    """
    if known.status is Status.STEPWISE:
        raise StepwiseValueNeeded
    found = bounds(known)
    return np.asarray(found.lo) if found is not None and found.is_exact else None


def compute(known: Known) -> Shaped[np.ndarray, "..."] | None:
    """The value as JAX computes it, operation by operation, rounded in one of many ways;
    `None` if it is not made of constants only."""
    if known.status is not Status.KNOWN:
        return None
    if known.origin is not None:
        steps = inputs_first(known.origin, lambda c: c.numbers, lambda source: True)
        for computation in steps:
            values = list(map(_number, computation.inputs))
            if any(value is None for value in values):
                return None
            computation.numbers = evaluate_equation(computation.eqn, values)
    number = _number(known)
    return None if number is None else np.asarray(number)


def _number(known: Known) -> Any:
    if known.origin is None:
        return known.constant
    assert known.origin.numbers is not None
    return known.origin.numbers[known.index]


def _found(known: Known, thorough: bool) -> Bounds | None:
    if known.origin is None:
        return known.bounds_of_constant()
    return known.origin.found[thorough][known.index]


def inputs_first(
    last: Computation,
    done: Callable[[Computation], Any],
    is_needed: Callable[[Known], bool],
) -> Iterator[Computation]:
    """The computations that `last` needs and that are not done, each after its inputs.

    A chain can be long, so this must not recurse.
    """
    pending = [last]
    while pending:
        if done(pending[-1]) is not None:
            pending.pop()
            continue
        missing = [
            source.origin
            for source in pending[-1].inputs
            if source.origin and is_needed(source) and done(source.origin) is None
        ]
        if missing:
            pending.extend(missing)
        else:
            yield pending.pop()


def _folded(
    computation: Computation, inputs: Sequence[Bounds | None], thorough: bool
) -> Sequence[Bounds | None]:
    eqn = computation.eqn
    too_costly = not thorough and computation.compilations > _FEW_COMPILATIONS
    if too_costly and needs_compilation(eqn):
        return [None] * len(eqn.outvars)
    found = fold_equation(eqn, inputs)
    if eqn.primitive is not lax.select_n_p or _is_float(eqn):
        return found
    which = inputs[0]
    if which is not None and which.is_exact:
        return found
    return [_by_enumeration(computation, thorough) or found[0]]


def _is_float(eqn: JaxprEqn) -> bool:
    return not is_plain(eqn.outvars[0]) or is_inexact(dtype_of(eqn.outvars[0]))


def _is_informed(eqn: JaxprEqn, var: Any, inputs: Sequence[Known]) -> bool:
    """Whether something is known of a result although not all inputs are known."""
    primitive, informs = eqn.primitive, [known.informs for known in inputs]
    if not is_plain(var) or not all(map(is_plain, eqn.invars)):
        return False
    if move_for(primitive) is not None or primitive in _INFORMED_BY_ONE:
        return any(informs)
    if primitive in _LOOPS:
        return all(informs)
    if primitive not in FOLDS:
        return False
    if not is_inexact(dtype_of(var)) and not is_bool(dtype_of(var)):
        if primitive in _BOUNDED or (primitive in _BOUNDED_BY_ONE and any(informs)):
            return True
        if primitive is lax.convert_element_type_p and is_bool(dtype_of(eqn.invars[0])):
            return True
    return all(informs)


def _may_vanish(eqn: JaxprEqn, inputs: Sequence[Known]) -> bool:
    """Whether `-inf` may have been added to an operand, or to this result."""
    primitive = eqn.primitive
    if primitive in _SUMS:
        found = any(known.informs or known.may_vanish for known in inputs)
    elif primitive in KEEPS_VANISHING or move_for(primitive) is not None:
        found = any(known.may_vanish for known in inputs)
    else:
        return False
    return found and len(eqn.outvars) == 1 and is_of_reals(eqn)


def is_of_reals(eqn: JaxprEqn) -> bool:
    """Whether operands and results of an equation are real floating-point numbers."""
    atoms = (*eqn.invars, *eqn.outvars)
    return all(is_plain(atom) and is_real(dtype_of(atom)) for atom in atoms)


_SUMS: set[Primitive] = {lax.add_p, lax.sub_p}

EXPONENTIALS: set[Primitive] = {lax.exp_p, lax.exp2_p, lax.logistic_p}
"""Primitives that make a zero of `-inf`."""

KEEPS_VANISHING: set[Primitive] = {
    *(*EXPONENTIALS, *_SUMS, lax.mul_p, lax.div_p, lax.convert_element_type_p),
}
"""Primitives that keep what is known of zeros and `-inf`, in addition to moves."""

_LOOPS: set[Primitive] = {p.scan_p, p.while_p}
"""Primitives that are folded step by step."""

_INFORMED_BY_ONE: set[Primitive] = {
    *(lax.mul_p, lax.and_p, lax.or_p, lax.select_n_p, *POLYNOMIAL),
}
"""Primitives of whose result something is known if that is so for one operand."""

_BOUNDED_BY_ONE: set[Primitive] = {
    *(lax.max_p, lax.min_p, lax.clamp_p, lax.rem_p, lax.sort_p),
}
"""The same for integers only."""

_BOUNDED: set[Primitive] = {
    lax.argmax_p,
    lax.argmin_p,
    lax.top_k_p,
    lax.approx_top_k_p,
    lax.sign_p,
}
"""Primitives whose integer results are bounded, whatever the operands."""


# --- Enumeration --------------------------------------------------------------------------


def _by_enumeration(last: Computation, thorough: bool) -> Bounds | None:
    """The result of a computation on integers as the hull of what it is for all values of
    one bounded integer that it is made of, element by element.

    Bounds alone lose the relation between a predicate and its cases: `jnp.remainder` adds
    the divisor to a remainder where that is negative. `None` if there is no such integer.
    """
    region = _elementwise_region(last)
    for pivot in _pivots(region, last, thorough):
        found = _enumerated(pivot, region, last, thorough)
        if found is not None:
            return found
    return None


def _elementwise_region(last: Computation) -> list[Computation]:
    """The computations that lead to `last` element by element, each after its inputs."""
    shape = shape_of(last.eqn.outvars[0])
    found: dict[int, Computation] = {}
    entered: set[int] = set()

    def visit(computation: Computation) -> None:
        if id(computation) in entered or len(entered) >= _MAX_REGION:
            return
        entered.add(id(computation))
        for source in computation.inputs:
            origin = source.origin
            if origin is not None and _is_elementwise(origin, shape):
                visit(origin)
        found[id(computation)] = computation

    visit(last)
    return list(found.values())


_MAX_REGION = 24


def _is_elementwise(computation: Computation, shape: tuple[int, ...]) -> bool:
    eqn = computation.eqn
    return (
        eqn.primitive in _ELEMENTWISE
        and not any(is_inexact(dtype_of(atom)) for atom in eqn.invars)
        and shape_of(eqn.outvars[0]) == shape
    )


def _pivots(
    region: Sequence[Computation], last: Computation, thorough: bool
) -> Iterator[Known]:
    """Integers in the region that can be enumerated, those that come first first."""
    seen: set[tuple[int, int]] = set()
    for computation in region:
        for source in computation.inputs:
            found = bounds(source, thorough=thorough)
            key = id(source.origin), source.index
            if source.origin is None or found is None or found.is_exact or key in seen:
                continue
            seen.add(key)
            yield source


def _enumerated(
    pivot: Known, region: Sequence[Computation], last: Computation, thorough: bool
) -> Bounds | None:
    """The result for all values of the pivot at once, along a new leading axis."""
    span = bounds(pivot, thorough=thorough)
    assert span is not None
    lo, hi = np.asarray(span.lo, np.float64), np.asarray(span.hi, np.float64)
    count = float(np.max(hi - lo, initial=0)) + 1
    if count * lo.size * len(region) > _MAX_ENUMERATED or is_bool(span.lo.dtype):
        return None
    shape = shape_of(last.eqn.outvars[0])
    steps = np.arange(int(count)).reshape(-1, *(1,) * len(shape))
    values = np.minimum(span.lo.astype(np.int64) + steps, span.hi.astype(np.int64))
    found = _with_pivot(pivot, exact(values.astype(span.lo.dtype)), region, last, thorough)
    if found is None:
        return None
    outcomes = np.broadcast_to(found.lo, (len(steps), *shape))
    return between(outcomes.min(axis=0), outcomes.max(axis=0))


def _with_pivot(
    pivot: Known,
    value: Bounds,
    region: Sequence[Computation],
    last: Computation,
    thorough: bool,
) -> Bounds | None:
    """The result if `pivot` has this value; `None` if it is made of other unknowns too."""
    found: dict[int, Sequence[Bounds | None]] = {}

    def read(source: Known) -> Bounds | None:
        if source.origin is pivot.origin and source.index == pivot.index:
            return value
        if source.origin is not None and id(source.origin) in found:
            return found[id(source.origin)][source.index]
        return bounds(source, thorough=thorough) if source.informs else None

    for computation in region:
        if computation is pivot.origin:
            continue
        inputs = [read(source) for source in computation.inputs]
        if all(known is not None and known.is_exact for known in inputs):
            found[id(computation)] = fold_equation(computation.eqn, inputs)
    outcome = found.get(id(last), [None])[0]
    return outcome if outcome is not None and outcome.is_exact else None


_ELEMENTWISE: set[Primitive] = {
    *(lax.add_p, lax.sub_p, lax.mul_p, lax.div_p, lax.rem_p, lax.neg_p, lax.abs_p),
    *(lax.max_p, lax.min_p, lax.clamp_p, lax.sign_p, lax.select_n_p),
    *(lax.lt_p, lax.le_p, lax.gt_p, lax.ge_p, lax.eq_p, lax.ne_p),
    *(lax.and_p, lax.or_p, lax.xor_p, lax.not_p, lax.convert_element_type_p),
    *(lax.square_p, lax.integer_pow_p, lax.shift_left_p),
    *(lax.shift_right_logical_p, lax.shift_right_arithmetic_p),
}
