"""What a function reads besides its arguments, if all of that can be seen.

A compiled function may take the place of a Python function only while everything that the
latter reads stays the same. A snapshot lists it: what is immutable by value or identity,
what can be changed by content. It exists only for functions that read nothing but values of
types known here, constants of modules known here, and functions of which the same is true.
For any other there is none: a function that reads a clock, a file or an object of a foreign
type has to be called every time.
"""

import builtins
import dataclasses
import dis
import enum
import functools
import hashlib
import inspect
import itertools
import struct
import sys
import types
from collections.abc import Hashable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LIBRARIES = _words("""
    abc asdex collections dataclasses diffrax enum equinox functools itertools jax jaxlib
    jaxtyping lineax math numbers numpy operator optimistix optax typing
""")
"""Packages whose functions and constants do not change."""

_IMPURE = (("numpy", "random"), ("jax", "config"))
"""Exceptions: modules, and what may change in them."""

_BUILTINS = _words("""
    abs all any bool callable chr complex dict divmod enumerate filter float format
    frozenset hash int isinstance issubclass len list map max min object ord pow
    property range repr reversed round set slice sorted staticmethod classmethod str sum
    super tuple type zip NotImplemented Ellipsis ArithmeticError AssertionError
    AttributeError Exception IndexError KeyError NotImplementedError RuntimeError
    StopIteration TypeError ValueError ZeroDivisionError __build_class__ __name__
""")
"""Builtins that depend on their arguments only."""

_CLASS_NAMES = _words("""
    __abstractmethods__ __annotations__ __dataclass_params__ __dict__ __doc__
    __firstlineno__ __match_args__ __module__ __orig_bases__ __parameters__ __qualname__
    __static_attributes__ __weakref__ _abc_impl
""")
"""What Python keeps in the namespace of a class on its own account."""

_VALUES = (bool, int, str, bytes, type(None), type(Ellipsis), range)
_BY_IDENTITY = (
    jax.Array,
    jax.tree_util.PyTreeDef,
    inspect.Signature,
    np.dtype,
    np.ufunc,
)
_JITTED = type(jax.jit(lambda: None))


class _Plain:
    """An object that holds nothing but a `__dict__`; others are told by their size."""


class Snapshot(NamedTuple):
    """What a function reads."""

    found: list[Hashable]
    alive: list[Any]  # The objects that are known by their address, lest it be reused.

    def matches(self, older: "Snapshot | None") -> bool:
        """Whether nothing has changed since then."""
        return older is not None and self.found == older.found


def take_snapshot(root: Any) -> Snapshot | None:
    """All that a function, or a tree of values, reads; `None` if that cannot be told.

    Cost: a walk through these objects, and a checksum of the NumPy arrays among them.
    """
    walk = _Walk()
    try:
        return Snapshot(list(walk.visit(root)), walk.alive)
    except (_UnknownError, RecursionError):
        return None


class _UnknownError(Exception):
    """Something was met of which it is not known what it reads."""


class _Walk:
    """Describes values, one after the other; each that has an identity only once."""

    def __init__(self) -> None:
        self.alive: list[Any] = []
        self.numbers: dict[int, int] = {}

    def visit(self, value: Any) -> Iterator[Hashable]:
        """A value and whatever can be reached from it."""
        kind = type(value)
        if kind in _VALUES:
            yield from (kind, repr(value))
        elif kind in (float, complex):
            yield from (kind, struct.pack("dd", complex(value).real, complex(value).imag))
        elif isinstance(value, np.generic):
            yield from (kind, value.tobytes())
        elif id(value) in self.numbers:
            yield from ("again", self.numbers[id(value)])
        else:
            self.numbers[id(value)] = len(self.alive)
            self.alive.append(value)
            yield kind.__qualname__
            yield from self._visit_object(value, kind)

    def _visit_object(self, value: Any, kind: type) -> Iterator[Hashable]:
        if isinstance(value, Tracer):
            raise _UnknownError
        if isinstance(value, _BY_IDENTITY) or kind is object or _is_of_library(value):
            yield id(value)
        elif kind is np.ndarray and value.dtype != object:
            content = np.ascontiguousarray(value)
            yield from (
                value.dtype.str,
                value.shape,
                hashlib.blake2b(content.tobytes()).digest(),
            )
        elif isinstance(value, tuple) or kind is list:
            yield from self.visit(kind)
            yield from self._visit_all(value)
        elif kind in (set, frozenset) and all(type(item) in _VALUES for item in value):
            yield tuple(sorted(map(repr, value)))
        elif kind in (dict, types.MappingProxyType):
            yield from self._visit_all([*value.keys(), *value.values()])
        elif kind is FunctionType:
            yield from self._visit_function(value)
        elif isinstance(value, type):
            yield from self._visit_class(value)
        elif (parts := _parts(value, kind)) is not None:
            yield from self._visit_all(parts)
        elif _holds_only_a_dict(value):
            yield from self._visit_all((kind, vars(value)))
        else:
            raise _UnknownError

    def _visit_all(self, values: Iterable[Any]) -> Iterator[Hashable]:
        values = list(values)
        yield len(values)
        for value in values:
            yield from self.visit(value)

    def _visit_function(self, function: FunctionType) -> Iterator[Hashable]:
        """Its closure, its defaults, and the global variables that it names."""
        code, variables = function.__code__, function.__globals__
        self.alive.append(code)
        yield id(code)
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # A variable that has no value yet.
                yield "empty"
                continue
            yield from self.visit(content)
        parts = function.__defaults__, function.__kwdefaults__, vars(function)
        yield from self._visit_all(parts)
        if _root(variables.get("__name__")) not in _LIBRARIES:
            for name, attributes in _variables(code).items():
                yield name
                if name in variables:
                    yield from self._visit_variable(variables[name], attributes)
                elif hasattr(builtins, name) and name not in _BUILTINS:
                    raise _UnknownError

    def _visit_variable(
        self, value: Any, attributes: frozenset[str | None]
    ) -> Iterator[Hashable]:
        """A global variable; of a module, only those `attributes` that are looked up.

        A module of which anything else is done, so that more of it may be read, is unknown.
        """
        if not isinstance(value, ModuleType) or attributes == {None}:
            yield from self.visit(value)
            return
        yield id(value)
        self.alive.append(value)
        if _is_constant_module(value):
            return
        for attribute in attributes:
            if (value.__name__, attribute) in _IMPURE or attribute not in vars(value):
                raise _UnknownError
            if _root(value.__name__) not in _LIBRARIES:
                yield attribute
                yield from self.visit(vars(value)[attribute])

    def _visit_class(self, kind: type) -> Iterator[Hashable]:
        """Its methods and constants, and those of its bases."""
        yield id(kind)
        if kind.__module__ != "builtins":
            yield from self._visit_all((type(kind), *kind.__bases__))
            for name, value in vars(kind).items():
                if name not in _CLASS_NAMES:
                    yield name
                    yield from self.visit(value)


def _parts(value: Any, kind: type) -> tuple[Any, ...] | None:
    """What an object of a type from Python itself or JAX consists of."""
    if kind is types.MethodType:
        return value.__func__, value.__self__
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords, vars(value)
    if kind is _JITTED:
        return (value.__wrapped__,)
    if kind is property:
        return value.fget, value.fset
    if kind in (staticmethod, classmethod):
        return (value.__func__,)
    if kind is functools.cached_property:
        return (value.func,)
    if kind is dataclasses.Field:
        return value.default, value.default_factory
    if kind is types.SimpleNamespace:
        return (vars(value),)
    if isinstance(value, enum.Enum):
        return kind, value.name, value.value
    return None


def _holds_only_a_dict(value: Any) -> bool:
    kind = type(value)
    is_plain = kind.__basicsize__ == _Plain.__basicsize__ and not kind.__itemsize__
    return is_plain and hasattr(value, "__dict__")


def _is_of_library(value: Any) -> bool:
    """Whether a value is what its name stands for in a library."""
    if isinstance(value, ModuleType):
        return _is_constant_module(value)
    if value is jax.Array:
        return True  # It does not stand where its name says.
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not (isinstance(module, str) and isinstance(name, str)) or _is_impure(module):
        return False
    found: Any = sys.modules.get(module) if _root(module) in _LIBRARIES else None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _is_constant_module(module: ModuleType) -> bool:
    """Whether nothing changes in a module, whatever is looked up in it."""
    name = module.__name__
    has_exceptions = any(name == impure for impure, _ in _IMPURE)
    return _root(name) in _LIBRARIES and not has_exceptions and not _is_impure(name)


def _is_impure(name: str) -> bool:
    return any(f"{name}.".startswith(f"{module}.{part}.") for module, part in _IMPURE)


def _root(name: Any) -> str:
    return name.partition(".")[0] if isinstance(name, str) else ""


@functools.lru_cache(maxsize=1024)
def _variables(code: CodeType) -> dict[str, frozenset[str | None]]:
    """The global variables in a program, each with the attributes that are looked up.

    `None` among them stands for any other use. A program with an import is unknown.
    """
    found: dict[str, frozenset[str | None]] = {}
    instructions = [i for i in dis.get_instructions(code) if i.opname != "EXTENDED_ARG"]
    for instruction, following in itertools.pairwise(instructions):
        if instruction.opname.startswith("IMPORT"):
            raise _UnknownError
        if instruction.opname == "LOAD_NAME" or "GLOBAL" in instruction.opname:
            is_lookup = following.opname in ("LOAD_ATTR", "LOAD_METHOD")
            use = frozenset([following.argval if is_lookup else None])
            found[instruction.argval] = found.get(instruction.argval, use) | use
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            for name, uses in _variables(constant).items():
                found[name] = found.get(name, uses) | uses
    return found
