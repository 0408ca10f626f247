"""Values that depend on no input, worked out only when a rule asks.

Index arrays, masks, loop counters and constant matrices decide how dependence flows. Each
value of the program that depends on no input is described by a `Known`: a constant, or the
result of an equation on other such values. Nothing is computed, and no constant is copied
to the host, until `evaluate` is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray, Tracer
from jax.extend.core import JaxprEqn, Literal, Primitive, Var
from jaxtyping import Shaped

from .moves import MOVES, select

Atom: TypeAlias = Var | Literal


class Status(IntEnum):
    """What can be said of a value; a result has the greatest status of its inputs."""

    KNOWN = 0
    STEPWISE = 1
    """Known in each step of a loop, but not the same in all."""
    UNKNOWN = 2


class StepwiseValueNeeded(Exception):
    """A rule asked for a value that is known only if the loop is followed step by step."""


@dataclass(slots=True, eq=False)
class Computation:
    """One equation on values of which none depends on an input, run at most once."""

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
    if eqn.effects or status is Status.UNKNOWN:
        return [UNKNOWN] * len(eqn.outvars)
    if status is Status.STEPWISE:
        return [STEPWISE] * len(eqn.outvars)
    origin = Computation(eqn, inputs)
    return [Known(status, None, origin, index) for index in range(len(eqn.outvars))]


def evaluate(known: Known) -> Shaped[np.ndarray, "..."] | None:
    """The value, or `None` if it is unknown.

    Raises `StepwiseValueNeeded` if it is known only step by step.
    """
    if known.status is Status.UNKNOWN:
        return None
    if known.status is Status.STEPWISE:
        raise StepwiseValueNeeded
    pending = [known.origin] if known.origin else []
    while pending:
        computation = pending[-1]
        missing = [
            source.origin
            for source in computation.inputs
            if source.origin and source.origin.results is None
        ]
        if computation.results is None and missing:
            pending.extend(missing)
            continue
        pending.pop()
        if computation.results is None:
            values = [_value(source) for source in computation.inputs]
            computation.results = _run(computation.eqn, values)
            computation.inputs = ()
    return np.asarray(_value(known))


def _value(known: Known) -> Any:
    if known.origin is None:
        return known.constant
    assert known.origin.results is not None
    return known.origin.results[known.index]


def _run(eqn: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
    """Evaluate one equation: in NumPy where that is the same and spares a compilation."""
    primitive = eqn.primitive
    if primitive in MOVES and all(map(_is_plain, eqn.invars)):
        moved = MOVES[primitive](eqn, *map(_as_numpy, eqn.invars, values))
        return moved if primitive.multiple_results else [moved]
    if primitive in _EXACT and all(map(_is_plain, [*eqn.invars, *eqn.outvars])):
        arrays = list(map(_as_numpy, eqn.invars, values))
        dtype = _dtype(eqn.outvars[0])
        to_integer = np.issubdtype(dtype, np.integer)
        if not (to_integer and any(_is_inexact(array.dtype) for array in arrays)):
            with np.errstate(all="ignore"):
                return [np.asarray(_EXACT[primitive](eqn, *arrays), dtype)]
    with jax.ensure_compile_time_eval(), eqn.ctx.manager:
        params = primitive.get_bind_params(eqn.params)
        out = primitive.bind(*values, **params)
    return out if primitive.multiple_results else [out]


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


def _is_inexact(dtype: np.dtype) -> bool:
    return jnp.issubdtype(dtype, np.inexact)


def _as_numpy(atom: Atom, value: Any) -> Shaped[np.ndarray, "..."]:
    return np.asarray(value, _dtype(atom))


def _iota(eqn: JaxprEqn) -> Shaped[np.ndarray, "..."]:
    shape, axis = eqn.params["shape"], eqn.params["dimension"]
    expanded = [1] * len(shape)
    expanded[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis]).reshape(expanded), shape)


def _by_numpy(function: Any) -> Any:
    return lambda eqn, *operands: function(*operands)


_EXACT: dict[Primitive, Any] = {
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
