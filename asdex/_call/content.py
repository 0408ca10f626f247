"""The content of a traced function: what two traces are compared by.

A call outside of `jit` traces the user's function and looks for what was compiled for an
equal trace. Two traces are equal if their equations, literals, types and parameters are,
and so are those of the programs within. The values of the outermost constants are not part
of it, because they are arguments of what is compiled.

What is not certain to be equal counts as different.
"""

import enum
import hashlib
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer, eval_jaxpr
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var
from jax.sharding import Mesh
from jax.tree_util import PyTreeDef

from .._base.compat import is_numpy_operation, with_constants


class Content(NamedTuple):
    """The content of a program.

    - `pattern`: what decides about the pattern of its derivatives, except constants.
    - `callbacks`: the Python functions that it calls when it runs, which detection does
        not follow.
    - `consts`: constants of programs within it, as they are; NumPy arrays among them may
        change in place.
    """

    pattern: Hashable
    callbacks: tuple[Hashable, ...]
    consts: tuple[Any, ...]


def content_of(jaxpr: Jaxpr, order: int) -> Content | None:
    """The content of a program that is differentiated `order` times.

    `None` if it holds an object whose behavior is not certain: such a program equals no
    other.

    Cost: a pass over the equations, and a trace of each custom derivative rule. Programs
    within that JAX has kept, such as those of jitted functions, are passed once.
    """
    found = _Found([], [])
    try:
        pattern = _program(jaxpr, order, found)
    except _Incomparable:
        return None
    return Content(pattern, tuple(found.callbacks), tuple(found.consts))


class _Found(NamedTuple):
    """What is found in a program in addition to its pattern."""

    callbacks: list[Hashable]
    consts: list[Any]


class _Incomparable(Exception):
    """An object was found whose behavior is not certain."""


_CALLED_LATER = {
    **dict.fromkeys(("pure_callback", "io_callback", "debug_callback"), "callback"),
    "debug_print": "in_tree",
}
"""Primitives with a parameter that is a function, or belongs to one, which is called when
the program runs, with the state of that time."""

_REMATERIALIZED = ("remat2", "checkpoint")
"""Primitives with a policy, which decides what is stored and changes no value."""

_RULES = ("jvp_jaxpr_fun", "fwd_jaxpr_thunk")
"""Parameters that only calls with a custom derivative rule have."""

_SHORT = 64
"""Bytes of an array that are kept as they are. Of more a checksum is kept."""

_PLAIN = (bool, int, str, bytes, type(None))

_seen: WeakKeyDictionary[Any, dict[int, Content]] = WeakKeyDictionary()
"""Contents of programs within others, which are immutable, by order."""


def _program(jaxpr: Jaxpr, order: int, found: _Found) -> Hashable:
    names = _Names()
    inputs = names.bind(jaxpr.constvars), names.bind(jaxpr.invars)
    equations = [
        (
            eqn.primitive,
            names.read(eqn.invars),
            _parameters(eqn, jaxpr, order, found),
            eqn.ctx,
            names.bind(eqn.outvars),
        )
        for eqn in jaxpr.eqns
    ]
    return inputs, tuple(equations), names.read(jaxpr.outvars)


class _Names:
    """The variables of a program, numbered in the order of their definitions."""

    def __init__(self) -> None:
        self.numbers: dict[Var, int] = {}

    def bind(self, variables: Sequence[Var]) -> Hashable:
        for var in variables:
            self.numbers[var] = len(self.numbers)
        return tuple([var.aval for var in variables])

    def read(self, atoms: Sequence[Var | Literal]) -> Hashable:
        return tuple(
            [
                self.numbers[atom]
                if isinstance(atom, Var)
                else (atom.aval, _array(np.asarray(atom.val)))
                for atom in atoms
            ]
        )


def _parameters(eqn: JaxprEqn, jaxpr: Jaxpr, order: int, found: _Found) -> Hashable:
    params, name = dict(eqn.params), eqn.primitive.name
    if any(key in params for key in _RULES):
        called = _value(params["call_jaxpr"], 0, found)
        return called, _value(_rule(eqn, jaxpr), order - 1, found) if order else None
    if name in _CALLED_LATER:
        found.callbacks.append(_hashable(params.pop(_CALLED_LATER[name])))
    if name in _REMATERIALIZED:
        del params["policy"]
    return tuple([(key, _value(params[key], order, found)) for key in params])


def _rule(eqn: JaxprEqn, jaxpr: Jaxpr) -> Any:
    """The program of the derivative of a call that has a rule of its own.

    JAX keeps the rule as a function, so only tracing shows what it does now.
    """
    inputs = list(dict.fromkeys(v for v in eqn.invars if isinstance(v, Var)))
    active = [k for k, var in enumerate(inputs) if _is_inexact(var)]
    results = [k for k, var in enumerate(eqn.outvars) if _is_inexact(var)]
    call = Jaxpr((), inputs, eqn.outvars, [eqn], eqn.effects, jaxpr.debug_info)

    def derivative(values: Sequence[Any], vectors: Sequence[Any]) -> Any:
        def run(*selected: Any) -> list[Any]:
            given = dict(enumerate(values)) | dict(zip(active, selected, strict=True))
            outputs = eval_jaxpr(call, (), *given.values())
            return [outputs[k] for k in results]

        at = [values[k] for k in active]
        if "jvp_jaxpr_fun" in eqn.params:
            return jax.jvp(run, at, vectors)
        return jax.vjp(run, *at)[1](vectors)

    if "jvp_jaxpr_fun" in eqn.params:
        vectors = [_type(inputs[k]) for k in active]
    else:
        vectors = [_type(eqn.outvars[k]) for k in results]
    try:
        return jax.make_jaxpr(derivative)(list(map(_type, inputs)), vectors)
    except Exception:
        # A rule may refuse tangents that do not occur when the function is differentiated.
        raise _Incomparable from None


def _is_inexact(var: Var) -> bool:
    return jnp.issubdtype(getattr(var.aval, "dtype", np.bool_), np.inexact)


def _type(var: Var) -> jax.ShapeDtypeStruct:
    aval: Any = var.aval
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _within(program: Any, order: int, found: _Found) -> Hashable:
    """The content of a program within another."""
    contents = _seen.setdefault(program, {})
    if order not in contents:
        closed, inner = with_constants(program), _Found([], [])
        if any(isinstance(const, Tracer) for const in closed.consts):
            raise _Incomparable
        pattern = _program(closed.jaxpr, order, inner)
        consts = (*inner.consts, *closed.consts)
        contents[order] = Content(pattern, tuple(inner.callbacks), consts)
    content = contents[order]
    found.callbacks.extend(content.callbacks)
    found.consts.extend(content.consts)
    return content.pattern


def _value(value: Any, order: int, found: _Found) -> Hashable:
    """The content of a parameter."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if hasattr(value, "eqns"):
        return _within(value, order, found)
    if kind in (tuple, list) or _holds_programs(value):
        return kind, tuple([_value(item, order, found) for item in value])
    if kind is dict:
        return kind, tuple([(k, _value(v, order, found)) for k, v in value.items()])
    if kind in (float, complex) or isinstance(value, np.ndarray | np.generic):
        return kind, _array(np.asarray(value))
    if kind is frozenset and all(type(item) in _PLAIN for item in value):
        return value
    if is_numpy_operation(value):
        return kind, _value(value.params, order, found)
    is_of_jax = kind.__module__.partition(".")[0] in ("jax", "jaxlib")
    is_fixed = is_of_jax and not callable(value) and not isinstance(value, PyTreeDef)
    if is_fixed or isinstance(value, Mesh | np.dtype | enum.Enum | type):
        return _hashable(value)
    raise _Incomparable(type(value), value)


def _holds_programs(value: Any) -> bool:
    return isinstance(value, tuple) and any(hasattr(item, "eqns") for item in value)


def _array(array: np.ndarray) -> Hashable:
    if array.dtype.hasobject:
        raise _Incomparable
    content = np.ascontiguousarray(array).tobytes()
    if len(content) > _SHORT:
        content = hashlib.blake2b(content).digest()
    return array.dtype.str, array.shape, content


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        raise _Incomparable from None
    return value
