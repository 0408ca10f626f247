"""What a function reads besides its arguments, if all of that can be seen.

A compiled function may take the place of a Python function only while everything that the
latter reads stays the same. A snapshot lists it: what is immutable by value or identity,
what can be changed by content. It exists only for functions that read nothing but values of
types known here, what libraries known here have computed from them, and functions of which
the same is true. For any other there is none: a function that reads a clock, a file or an
object of a foreign type has to be called every time.
"""

import builtins
import dataclasses
import dis
import enum
import functools
import hashlib
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
    abc asdex collections dataclasses enum equinox functools itertools jax jaxlib
    jaxtyping math numbers numpy operator typing
""")
"""Packages whose functions depend on nothing but their arguments."""

_IMPURE = ("config", "datetime", "from", "genfrom", "get", "lib", "load", "mem", "print",
           "save", "set", "tree_deserialise")  # fmt: skip
"""Exceptions: how the names begin of what reads files, clocks or settings in them."""

_BUILTINS = _words("""
    abs all any bool callable chr complex dict divmod enumerate filter float format
    frozenset hash int isinstance issubclass len list map max min object ord pow
    property range repr reversed round set slice sorted staticmethod classmethod str sum
    super tuple type zip NotImplemented Ellipsis ArithmeticError AssertionError
    AttributeError Exception IndexError KeyError NotImplementedError RuntimeError
    StopIteration TypeError ValueError ZeroDivisionError __build_class__ __name__
""")
"""Builtins that depend on their arguments only."""

_OWN_NAMES = _words("""
    __abstractmethods__ __annotations__ __dataclass_params__ __dict__ __doc__
    __firstlineno__ __match_args__ __module__ __name__ __orig_bases__ __parameters__
    __qualname__ __signature__ __static_attributes__ __type_params__ __weakref__
    __wrapped__ _abc_impl _jit_info
""")
"""What Python and JAX keep in classes and functions on their own account."""

_INTROSPECTION = _words("""
    __annotations__ __builtins__ __closure__ __code__ __defaults__ __dict__ __doc__
    __globals__ __kwdefaults__ __mro__ __signature__ __subclasses__ __weakref__
    __wrapped__
""")
"""Attributes through which a function sees more than is listed here."""

_VALUES = (bool, int, str, bytes, type(None), type(Ellipsis), range)
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
            yield from (kind, value)
        elif kind in (float, complex):
            yield from (kind, struct.pack("dd", complex(value).real, complex(value).imag))
        elif issubclass(kind, np.generic) and _is_numeric(value.dtype):
            yield from (kind, value.tobytes())
        elif id(value) in self.numbers:
            yield from ("again", self.numbers[id(value)])
        else:
            self.numbers[id(value)] = len(self.alive)
            self.alive.append(value)
            yield kind.__qualname__
            yield from self._visit_object(value, kind)

    def _visit_object(self, value: Any, kind: type) -> Iterator[Hashable]:
        if issubclass(kind, Tracer | ModuleType):
            raise _UnknownError
        is_array = _root(kind.__module__) == "jaxlib" and issubclass(kind, jax.Array)
        if is_array or kind in (object, np.dtype) or _is_of_library(value, kind):
            yield id(value)
        elif kind is np.ndarray and _is_numeric(value.dtype):
            yield from (value.dtype.str, value.shape, value.strides)
            yield hashlib.blake2b(np.ascontiguousarray(value).tobytes()).digest()
        elif kind in (tuple, list):
            yield from self._visit_all(value)
        elif issubclass(kind, tuple) and not hasattr(value, "__dict__"):
            yield from self._visit_all((kind, *value))
        elif kind in (set, frozenset) and all(type(item) in _VALUES for item in value):
            yield from itertools.chain.from_iterable((type(v), v) for v in value)
        elif kind in (dict, types.MappingProxyType):
            yield from self._visit_all([*value.keys(), *value.values()])
        elif kind is FunctionType:
            yield from self._visit_function(value)
        elif issubclass(kind, type):
            yield from self._visit_class(value)
        elif (parts := _parts(value, kind)) is not None:
            yield from self._visit_all(parts)
        elif _holds_only_a_dict(value):
            yield from self._visit_all((kind, *_attributes(value)))
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
        is_of_library = _root(variables.get("__name__")) in _LIBRARIES
        used = {} if is_of_library else _variables(code)
        self.alive.append(code)
        yield id(code)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # A variable that has no value yet.
                yield "empty"
                continue
            yield from self._visit_variable(content, used.get(name, frozenset()))
        parts = function.__defaults__, function.__kwdefaults__, *_attributes(function)
        yield from self._visit_all(parts)
        for name, attributes in used.items():
            yield name
            if name in variables:
                yield from self._visit_variable(variables[name], attributes)
            elif hasattr(builtins, name) and name not in _BUILTINS:
                raise _UnknownError

    def _visit_variable(
        self, value: Any, attributes: frozenset[str | None]
    ) -> Iterator[Hashable]:
        """A variable; of a module, only those `attributes` that are looked up.

        A module of which anything else is done, so that more of it may be read, is unknown.
        """
        if not isinstance(value, ModuleType):
            yield from self.visit(value)
            return
        name, contents = value.__name__, vars(value)
        self.alive.append(value)
        yield id(value)
        for attribute in attributes:
            if attribute is None or attribute not in contents:
                raise _UnknownError
            yield attribute
            if _root(name) not in _LIBRARIES:
                yield from self.visit(contents[attribute])
            elif _is_impure(name, attribute):
                raise _UnknownError
            else:
                self.alive.append(contents[attribute])
                yield id(contents[attribute])

    def _visit_class(self, kind: type) -> Iterator[Hashable]:
        """Its methods and constants, and those of its bases."""
        yield id(kind)
        if getattr(builtins, kind.__name__, None) is not kind:
            yield from self._visit_all((type(kind), *kind.__bases__, *_attributes(kind)))


def _parts(value: Any, kind: type) -> tuple[Any, ...] | None:
    """What an object of a type from Python itself or JAX consists of."""
    if kind is types.MethodType:
        return value.__func__, value.__self__
    if kind in (functools.partial, jax.tree_util.Partial):
        return value.func, value.args, value.keywords, *_attributes(value)
    if kind is _JITTED:
        return value.__wrapped__, *_attributes(value)
    if kind is property:
        return value.fget, value.fset
    if kind in (staticmethod, classmethod):
        return (value.__func__,)
    if kind is functools.cached_property:
        return (value.func,)
    if kind is dataclasses.Field:
        return value.default, value.default_factory, value.metadata
    if kind is types.SimpleNamespace:
        return tuple(_attributes(value))
    if issubclass(kind, enum.Enum):
        return kind, value.name, value.value
    return None


def _attributes(value: Any) -> Iterator[Any]:
    """Names and values of what is set on an object, a function or a class."""
    for name, attribute in vars(value).items():
        if name not in _OWN_NAMES:
            yield from (name, attribute)


def _holds_only_a_dict(value: Any) -> bool:
    kind = type(value)
    is_plain = kind.__basicsize__ == _Plain.__basicsize__ and not kind.__itemsize__
    return is_plain and hasattr(value, "__dict__")


def _is_numeric(dtype: np.dtype) -> bool:
    """Whether the bytes of an array tell its values. `isbuiltin` excludes structures."""
    return dtype.isbuiltin == 1 and dtype.kind in "biufc"


def _is_of_library(value: Any, kind: type) -> bool:
    """Whether a value is what its name stands for in a library."""
    if value is jax.Array or kind is np.ufunc:  # They do not stand where they say.
        return kind is not np.ufunc or getattr(np, value.__name__, None) is value
    has_name = kind in (FunctionType, types.BuiltinFunctionType, _JITTED)
    if not (has_name or issubclass(kind, type) or _root(kind.__module__) == "jax"):
        return False
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not (isinstance(module, str) and isinstance(name, str)):
        return False
    if _root(module) not in _LIBRARIES or _is_impure(module, name):
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _is_impure(module: str, name: str) -> bool:
    """Whether something in a library does not depend on its arguments only."""
    is_random = f"{module}.{name}.".startswith("numpy.random.")
    return is_random or name.rpartition(".")[2].startswith(_IMPURE)


def _root(name: Any) -> str:
    return name.partition(".")[0] if isinstance(name, str) else ""


@functools.lru_cache(maxsize=1024)
def _variables(code: CodeType) -> dict[str, frozenset[str | None]]:
    """The variables of a program that are not its own, and which attributes of each are
    looked up. `None` among those stands for any other use.

    **Raises:** `_UnknownError` if the program imports anything or looks into itself.
    """
    if _INTROSPECTION & set(code.co_names):
        raise _UnknownError
    found: dict[str, frozenset[str | None]] = {}
    instructions = [i for i in dis.get_instructions(code) if i.opname != "EXTENDED_ARG"]
    for instruction, following in itertools.pairwise(instructions):
        name = instruction.opname
        if name.startswith("IMPORT"):
            raise _UnknownError
        if name == "LOAD_NAME" or "GLOBAL" in name or name.endswith("DEREF"):
            is_lookup = following.opname in ("LOAD_ATTR", "LOAD_METHOD")
            use = frozenset([following.argval if is_lookup else None])
            found[instruction.argval] = found.get(instruction.argval, use) | use
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            for name, uses in _variables(constant).items():
                found[name] = found.get(name, uses) | uses
    return found
