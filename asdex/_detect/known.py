"""Values that depend on no input, worked out only when a rule asks.

Index arrays, masks, loop counters and constant matrices decide how dependence flows. Each
value of the program that depends on no input is described by a `Known`: a constant, or the
result of an equation on other such values. Nothing is computed, and no constant is copied
to the host, until `evaluate` is called.

Some elements of an array can be known though others are not: `where(mask, x, 0)` is zero
where the mask is false. Such values are followed through the few primitives that keep them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray, Tracer
from jax.extend.core import JaxprEqn, Literal, Primitive, Var
from jaxtyping import Bool, Shaped

from .moves import MOVES, select

Atom: TypeAlias = Var | Literal


class Status(IntEnum):
    """What can be said of a value, from most to least."""

    KNOWN = 0
    STEPWISE = 1
    """Known in each step of a loop, but not the same in all."""
    PARTLY = 2
    """Perhaps known in some elements."""
    UNKNOWN = 3


class StepwiseValueNeeded(Exception):
    """A rule asked for a value that is known only if the loop is followed step by step."""


@dataclass(frozen=True, slots=True, eq=False)
class Partly:
    """An array of which the elements are known where `known` (perhaps 0-d) is true."""

    value: Shaped[np.ndarray, "..."]
    known: Bool[np.ndarray, "..."]

    @property
    def zero(self) -> Bool[np.ndarray, "..."]:
        """Where the array is known to be zero, in its shape."""
        return (self.value == 0) & self.known


@dataclass(slots=True, eq=False)
class Computation:
    """One equation on values of which none depends on an input, run at most once.

    Its results are plain values if all inputs are known, otherwise `Partly | None`.
    """

    eqn: JaxprEqn
    inputs: Sequence["Known"]
    results: Sequence[Any] | None = field(default=None, init=False)


@dataclass(slots=True, eq=False)
class Known:
    """A value that depends on no input: `constant`, or result `index` of `origin`."""

    status: Status
    constant: Any = None
    origin: Computation | None = None
    index: int = 0


UNKNOWN = Known(Status.UNKNOWN)
STEPWISE = Known(Status.STEPWISE)


def constant(value: Any) -> Known:
    """A value that is at hand; a tracer of an outer transformation is unknown."""
    return UNKNOWN if isinstance(value, Tracer) else Known(Status.KNOWN, value)


def results(eqn: JaxprEqn, inputs: Sequence[Known]) -> list[Known]:
    """The outputs of an equation, not computed yet. Unknown if the equation has effects."""
    status = max((known.status for known in inputs), default=Status.KNOWN)
    if status is Status.STEPWISE:
        return [STEPWISE] * len(eqn.outvars)
    if status > Status.STEPWISE:
        status = Status.PARTLY if _may_be_known_in_part(eqn, inputs) else Status.UNKNOWN
    if eqn.effects or status is Status.UNKNOWN:
        return [UNKNOWN] * len(eqn.outvars)
    origin = Computation(eqn, inputs)
    return [Known(status, None, origin, index) for index in range(len(eqn.outvars))]


def _may_be_known_in_part(eqn: JaxprEqn, inputs: Sequence[Known]) -> bool:
    """Whether to follow an equation of which not all inputs are known."""
    statuses = {known.status for known in inputs}
    if not statuses & {Status.KNOWN, Status.PARTLY}:
        return False
    keeps = _PARTLY if statuses - {Status.KNOWN, Status.PARTLY} else _PARTLY | _EXACT.keys()
    return eqn.primitive in keeps and all(map(_is_plain, [*eqn.invars, *eqn.outvars]))


def evaluate(known: Known) -> Shaped[np.ndarray, "..."] | None:
    """The value, or `None` if it is not known as a whole.

    Raises `StepwiseValueNeeded` if it is known only step by step.
    """
    if known.status is Status.STEPWISE:
        raise StepwiseValueNeeded
    if known.status is not Status.KNOWN:
        return None
    return np.asarray(_resolved(known))


def evaluate_partly(known: Known) -> Partly | None:
    """What is known of the value in any step of a loop, or `None` if that is nothing."""
    if known.status is Status.KNOWN:
        return Partly(np.asarray(_resolved(known)), np.ones((), bool))
    return _resolved(known) if known.status is Status.PARTLY else None


def _resolved(known: Known) -> Any:
    """The value, after the equations that it comes from have been run, inputs first."""
    pending = [known.origin] if known.origin else []
    while pending:
        computation = pending[-1]
        if computation.results is None:
            missing = [
                source.origin
                for source in computation.inputs
                if source.origin and source.origin.results is None
            ]
            if missing:
                pending.extend(missing)
                continue
            computation.results = _run(computation)
            computation.inputs = ()
        pending.pop()
    return _at_hand(known)


def _at_hand(known: Known) -> Any:
    if known.origin is None:
        return known.constant
    assert known.origin.results is not None
    return known.origin.results[known.index]


def _run(computation: Computation) -> Sequence[Any]:
    eqn = computation.eqn
    values = [_at_hand(known) for known in computation.inputs]
    if all(known.status is Status.KNOWN for known in computation.inputs):
        return _run_known(eqn, values)
    statuses = [known.status for known in computation.inputs]
    parts = [
        _as_partly(atom, status, value)
        for atom, status, value in zip(eqn.invars, statuses, values, strict=True)
    ]
    outputs = _run_partly(eqn, parts)
    return [part if part.known.any() else None for part in outputs]


def _run_known(eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
    """Evaluate one equation: in NumPy where that is the same and spares a compilation."""
    primitive = eqn.primitive
    if primitive in MOVES and all(map(_is_plain, eqn.invars)):
        moved = MOVES[primitive](eqn, *map(_as_numpy, eqn.invars, values))
        return moved if primitive.multiple_results else [moved]
    if primitive in _EXACT and all(map(_is_plain, [*eqn.invars, *eqn.outvars])):
        arrays = list(map(_as_numpy, eqn.invars, values))
        dtype = _dtype(eqn.outvars[0])
        rounds = jnp.issubdtype(dtype, np.integer) and any(
            jnp.issubdtype(array.dtype, np.inexact) for array in arrays
        )
        if not rounds:
            with np.errstate(all="ignore"):
                return [np.asarray(_EXACT[primitive](eqn, *arrays), dtype)]
    with jax.ensure_compile_time_eval(), eqn.ctx.manager:
        params = primitive.get_bind_params(eqn.params)
        out = primitive.bind(*values, **params)
    return out if primitive.multiple_results else [out]


def _run_partly(eqn: JaxprEqn, parts: Sequence[Partly]) -> list[Partly]:
    """Evaluate one equation where its inputs are known."""
    primitive = eqn.primitive
    values, known = [part.value for part in parts], [part.known for part in parts]
    if primitive in MOVES:
        known = [np.broadcast_to(part.known, part.value.shape) for part in parts]
        moved, moved_known = MOVES[primitive](eqn, *values), MOVES[primitive](eqn, *known)
        if not primitive.multiple_results:
            return [Partly(moved, moved_known)]
        return [Partly(*pair) for pair in zip(moved, moved_known, strict=True)]
    (value,) = _run_known(eqn, values)
    if primitive is lax.select_n_p:
        return [Partly(value, known[0] & select(values[0], *known[1:]))]
    all_known = np.logical_and.reduce(np.broadcast_arrays(*known))
    if primitive in _ABSORBED_BY_ZERO:
        zero = parts[0].zero | parts[1].zero
        return [Partly(np.where(zero, value.dtype.type(0), value), all_known | zero)]
    return [Partly(value, all_known)]


def _as_partly(atom: Atom, status: Status, value: Any) -> Partly:
    if status is Status.KNOWN:
        return Partly(_as_numpy(atom, value), np.ones((), bool))
    if status is Status.PARTLY and value is not None:
        return value
    aval = cast(ShapedArray, atom.aval)
    return Partly(np.zeros(aval.shape, aval.dtype), np.zeros((), bool))


def _is_plain(atom: Atom) -> bool:
    """Whether NumPy knows the values: real numbers and booleans of any width."""
    if not isinstance(atom.aval, ShapedArray):
        return False
    dtype = _dtype(atom)
    return (
        not jnp.issubdtype(dtype, jax.dtypes.extended)
        and not jnp.issubdtype(dtype, np.complexfloating)
        and dtype != jax.dtypes.float0
    )


def _dtype(atom: Atom) -> np.dtype:
    return cast(ShapedArray, atom.aval).dtype


def _as_numpy(atom: Atom, value: Any) -> Shaped[np.ndarray, "..."]:
    return np.asarray(value, _dtype(atom))


def _iota(eqn: JaxprEqn) -> Shaped[np.ndarray, "..."]:
    shape, axis = eqn.params["shape"], eqn.params["dimension"]
    expanded = [1] * len(shape)
    expanded[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis]).reshape(expanded), shape)


def _by_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda eqn, *operands: function(*operands)


_EXACT: dict[Primitive, Callable[..., Any]] = {
    primitive: _by_numpy(function)
    for primitive, function in {
        lax.add_p: np.add,
        lax.sub_p: np.subtract,
        lax.mul_p: np.multiply,
        lax.neg_p: np.negative,
        lax.max_p: np.maximum,
        lax.min_p: np.minimum,
        lax.eq_p: np.equal,
        lax.ne_p: np.not_equal,
        lax.lt_p: np.less,
        lax.le_p: np.less_equal,
        lax.gt_p: np.greater,
        lax.ge_p: np.greater_equal,
        lax.and_p: np.bitwise_and,
        lax.or_p: np.bitwise_or,
        lax.xor_p: np.bitwise_xor,
        lax.not_p: np.invert,
        lax.select_n_p: select,
        lax.convert_element_type_p: lambda x: x,
    }.items()
} | {lax.iota_p: _iota}
"""Primitives that NumPy evaluates exactly like XLA, operation by operation."""

_ABSORBED_BY_ZERO = {lax.mul_p, lax.and_p}

_PARTLY = {*MOVES, *_ABSORBED_BY_ZERO, lax.select_n_p}
"""Primitives whose result can be known in part although an operand is not known at all."""
