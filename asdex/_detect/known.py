"""Values that depend on no input, worked out only when a rule asks.

Index arrays, masks, loop counters and constant matrices decide how dependence flows. Each
value of the program that depends on no input is described by a `Known`: a constant, or the
result of an equation on other such values. Nothing is computed, and no constant is copied
to the host, until `evaluate` is called.

Some elements of an array can be known though others are not: `where(mask, x, 0)` is zero
where the mask is false. Such values are followed through the few primitives that keep them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray, Tracer
from jax.extend.core import JaxprEqn, Literal, Primitive, Var
from jax.extend.core import primitives as p
from jaxtyping import Bool, Shaped

from .moves import move_for, select
from .positions import gather_positions, scatter_positions

Atom: TypeAlias = Var | Literal

_FEW_COMPILATIONS = 4


class Status(IntEnum):
    """What can be said of a value as a whole, from most to least."""

    KNOWN = 0
    STEPWISE = 1
    """Known in each step of a loop, but not the same in all."""
    UNKNOWN = 2


class StepwiseValueNeeded(Exception):
    """A rule asked for a value that is known only if the loop is followed step by step."""


class UndeterminedValue(Exception):
    """A constant expression whose value XLA leaves open."""


@dataclass(frozen=True, slots=True, eq=False)
class Partly:
    """An array of which the elements are known where `known` (perhaps 0-d) is true."""

    value: Shaped[np.ndarray, "..."]
    known: Bool[np.ndarray, "..."]

    @property
    def zero(self) -> Bool[np.ndarray, "..."]:
        """Where the array is known to be zero, in its shape."""
        return np.asarray((self.value == 0) & self.known)


@dataclass(slots=True, eq=False)
class Computation:
    """One equation on values of which none depends on an input, run at most once."""

    eqn: JaxprEqn
    inputs: Sequence["Known"]
    results: Sequence[Any] | None = field(default=None, init=False)
    """The results, once they were needed."""
    parts: Sequence[Partly | None] | None = field(default=None, init=False)
    """What NumPy alone can tell of the results, once that was needed."""


@dataclass(slots=True, eq=False)
class Known:
    """A value that depends on no input: `constant`, or result `index` of `origin`."""

    status: Status
    constant: Any = None
    origin: Computation | None = None
    index: int = 0
    compilations: int = 0
    """At most so many equations must be compiled to work the value out."""
    hinted: bool = False
    """Whether NumPy alone may be able to tell some of its elements."""

    @property
    def cheap(self) -> bool:
        """Whether the value may be worked out just to see whether it is zero."""
        return self.status is Status.KNOWN and self.compilations <= _FEW_COMPILATIONS


UNKNOWN = Known(Status.UNKNOWN)
STEPWISE = Known(Status.STEPWISE)


def constant(value: Any) -> Known:
    """A value that is at hand; a tracer of an outer transformation is unknown."""
    if isinstance(value, Tracer):
        return UNKNOWN
    return Known(Status.KNOWN, value, hinted=True)


def results(eqn: JaxprEqn, inputs: Sequence[Known]) -> list[Known]:
    """The outputs of an equation, not computed yet. Unknown if the equation has effects,
    or results of its own on each backend."""
    status = max((known.status for known in inputs), default=Status.KNOWN)
    if eqn.effects or _differs_elsewhere(eqn):
        return [UNKNOWN] * len(eqn.outvars)
    hinted = _keeps_parts(eqn, inputs)
    if status is not Status.KNOWN and not hinted:
        return [STEPWISE if status is Status.STEPWISE else UNKNOWN] * len(eqn.outvars)
    compilations = sum(known.compilations for known in inputs) + (not _numpy_knows(eqn))
    compilations = min(compilations, _FEW_COMPILATIONS + 1)
    origin = Computation(eqn, inputs)
    count = range(len(eqn.outvars))
    return [Known(status, None, origin, index, compilations, hinted) for index in count]


def _differs_elsewhere(eqn: JaxprEqn) -> bool:
    """Whether the result differs between backends, or from call to call."""
    if eqn.primitive is p.random_bits_p:
        return str(_dtype(eqn.invars[0])) != "key<fry>"
    return eqn.primitive.name in _NOT_THE_SAME_ELSEWHERE


def evaluate(known: Known) -> Shaped[np.ndarray, "..."] | None:
    """The value, or `None` if it is not known as a whole.

    Raises `StepwiseValueNeeded` if it is known only step by step.
    """
    if known.status is Status.STEPWISE:
        raise StepwiseValueNeeded
    if known.status is Status.UNKNOWN:
        return None
    try:
        return np.asarray(_value(known))
    except UndeterminedValue:
        return None


def evaluate_partly(known: Known) -> Partly | None:
    """What can be told of the value at little cost, whatever the step of a loop, or
    `None` if that is nothing."""
    if known.cheap:
        value = evaluate(known)
        return None if value is None else Partly(value, np.ones((), bool))
    if not known.hinted or known.origin is None:
        return None
    for computation in _inputs_first(known.origin, lambda c: c.parts, lambda k: k.hinted):
        computation.parts = _run_partly(computation)
    assert known.origin.parts is not None
    return known.origin.parts[known.index]


def _value(known: Known) -> Any:
    if known.origin is None:
        return known.constant
    for computation in _inputs_first(known.origin, lambda c: c.results, lambda k: True):
        values = [_value(source) for source in computation.inputs]
        computation.results = _run(computation.eqn, values)
    assert known.origin.results is not None
    return known.origin.results[known.index]


def _inputs_first(
    last: Computation,
    done: Callable[[Computation], Any],
    wanted: Callable[[Known], bool],
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
            if source.origin and wanted(source) and done(source.origin) is None
        ]
        if missing:
            pending.extend(missing)
        else:
            yield pending.pop()


def _run(eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
    """Evaluate one equation: in NumPy where that is the same, otherwise in JAX."""
    if _numpy_knows(eqn):
        outputs = _run_in_numpy(eqn, list(map(_as_numpy, eqn.invars, values)))
        if outputs is not None:
            return outputs
    with jax.ensure_compile_time_eval(), eqn.ctx.manager:
        params = eqn.primitive.get_bind_params(eqn.params)
        out = eqn.primitive.bind(*values, **params)
    return out if eqn.primitive.multiple_results else [out]


def _run_in_numpy(
    eqn: JaxprEqn, arrays: Sequence[Shaped[np.ndarray, "..."]]
) -> Sequence[Shaped[np.ndarray, "..."]] | None:
    if (move := move_for(eqn.primitive)) is not None:
        moved = move(eqn, *arrays)
        return moved if eqn.primitive.multiple_results else [moved]
    with np.errstate(all="ignore"):
        value = _EXACT[eqn.primitive](eqn, *arrays)
    return None if value is None else [np.asarray(value, _dtype(eqn.outvars[0]))]


def _run_partly(computation: Computation) -> Sequence[Partly | None]:
    """Evaluate one equation where its inputs are known."""
    eqn, primitive = computation.eqn, computation.eqn.primitive
    parts = list(map(_part, eqn.invars, computation.inputs))
    values, known = [part.value for part in parts], [part.known for part in parts]
    if (move := move_for(primitive)) is not None:
        spread = [np.broadcast_to(part.known, part.value.shape) for part in parts]
        moved, moved_known = move(eqn, *values), move(eqn, *spread)
        pairs = (
            zip(moved, moved_known, strict=True)
            if primitive.multiple_results
            else [(moved, moved_known)]
        )
        return [
            Partly(np.asarray(part), np.asarray(found)) if found.any() else None
            for part, found in pairs
        ]
    outputs = _run_in_numpy(eqn, values)
    if outputs is None:
        return [None]
    (value,) = outputs
    all_known = np.logical_and.reduce(np.broadcast_arrays(*known))
    if primitive is lax.select_n_p:
        all_known = known[0] & select(values[0], *known[1:])
    elif primitive in _ABSORBED_BY_ZERO:
        zero = parts[0].zero | parts[1].zero
        value, all_known = np.where(zero, value.dtype.type(0), value), zero | all_known
    # NumPy makes scalars of arrays without axes.
    part = Partly(np.asarray(value), np.asarray(all_known))
    return [part if part.known.any() else None]


def _part(atom: Atom, known: Known) -> Partly:
    part = evaluate_partly(known)
    if part is None:
        aval = cast(ShapedArray, atom.aval)
        return Partly(np.zeros(aval.shape, aval.dtype), np.zeros((), bool))
    return Partly(_as_numpy(atom, part.value), part.known)


def _numpy_knows(eqn: JaxprEqn) -> bool:
    """Whether NumPy evaluates an equation as XLA does, bit by bit."""
    atoms = [*eqn.invars, *eqn.outvars]
    if move_for(eqn.primitive) is None and eqn.primitive not in _EXACT:
        return False
    if not all(map(_is_plain, atoms)):
        return False
    rounds = jnp.issubdtype(_dtype(eqn.outvars[0]), np.integer) and any(
        jnp.issubdtype(_dtype(atom), np.inexact) for atom in eqn.invars
    )
    return move_for(eqn.primitive) is not None or not rounds


def _keeps_parts(eqn: JaxprEqn, inputs: Sequence[Known]) -> bool:
    """Whether elements of the result can be known because elements of the inputs are."""
    hints = [known.hinted or known.cheap for known in inputs]
    if move_for(eqn.primitive) is not None or eqn.primitive in _KNOWN_IN_PART:
        return any(hints) and _numpy_knows(eqn)
    return eqn.primitive in _ELEMENTWISE and all(hints) and _numpy_knows(eqn)


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


def _dtype(atom: Atom) -> Any:
    return cast(ShapedArray, atom.aval).dtype


def _as_numpy(atom: Atom, value: Any) -> Shaped[np.ndarray, "..."]:
    return np.asarray(value, _dtype(atom))


def _iota(eqn: JaxprEqn) -> Shaped[np.ndarray, "..."]:
    shape, axis = eqn.params["shape"], eqn.params["dimension"]
    expanded = [1] * len(shape)
    expanded[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis]).reshape(expanded), shape)


def _gather(
    eqn: JaxprEqn, operand: Shaped[np.ndarray, "..."], starts: Shaped[np.ndarray, "..."]
) -> Shaped[np.ndarray, "..."] | None:
    window, shape = eqn.params["slice_sizes"], cast(ShapedArray, eqn.outvars[0].aval).shape
    positions = gather_positions(eqn, operand.shape, starts, window, shape)
    if not operand.size or (positions < 0).any():
        return None
    return operand.reshape(-1)[positions]


def _scatter(
    eqn: JaxprEqn,
    operand: Shaped[np.ndarray, "..."],
    starts: Shaped[np.ndarray, "..."],
    updates: Shaped[np.ndarray, "..."],
) -> Shaped[np.ndarray, "..."]:
    landing = scatter_positions(eqn, operand.shape, starts, updates.shape).reshape(-1)
    written = landing >= 0
    out, landing = operand.reshape(-1).copy(), landing[written]
    if eqn.primitive is lax.scatter_add_p:
        np.add.at(out, landing, updates.reshape(-1)[written])
        return out.reshape(operand.shape)
    if np.unique(landing).size < landing.size:
        raise UndeterminedValue  # Which of two updates wins is up to the device.
    out[landing] = updates.reshape(-1)[written]
    return out.reshape(operand.shape)


def _by_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda eqn, *operands: function(*operands)


def _rem(x: Shaped[np.ndarray, "..."], y: Shaped[np.ndarray, "..."]) -> Any:
    return np.fmod(x, y) if (y != 0).all() else None


def _div(x: Shaped[np.ndarray, "..."], y: Shaped[np.ndarray, "..."]) -> Any:
    if not jnp.issubdtype(x.dtype, np.integer):
        return np.divide(x, y)
    return (x - np.fmod(x, y)) // y if (y != 0).all() else None


_ELEMENTWISE: dict[Primitive, Callable[..., Any]] = {
    primitive: _by_numpy(function)
    for primitive, function in {
        lax.add_p: np.add,
        lax.sub_p: np.subtract,
        lax.mul_p: np.multiply,
        lax.div_p: _div,
        lax.rem_p: _rem,
        lax.neg_p: np.negative,
        lax.sign_p: np.sign,
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
}
_EXACT: dict[Primitive, Callable[..., Any]] = _ELEMENTWISE | {
    lax.iota_p: _iota,
    lax.gather_p: _gather,
    lax.scatter_p: _scatter,
    lax.scatter_add_p: _scatter,
}
"""Primitives that NumPy evaluates exactly like XLA, operation by operation.

The function returns `None` for operands on which the two differ."""

_NOT_THE_SAME_ELSEWHERE = {"platform_index", "rng_uniform", "rng_bit_generator"}
"""Names of primitives that `_differs_elsewhere`, whatever their operands."""

_ABSORBED_BY_ZERO = {lax.mul_p, lax.and_p}

_KNOWN_IN_PART = {*_ABSORBED_BY_ZERO, lax.select_n_p}
"""Primitives whose result can be known in part although an operand is not known at all,
beside those that only move elements."""
