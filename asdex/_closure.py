"""What a function reads besides its arguments.

A result on the host cannot be made inside of the caller's `jax.jit`, so asdex compiles
that computation itself; but a call that is not under `jit` must see what the function
sees at that time. `Program` makes both possible: it is a static argument of the internal
`jit`, and differs as soon as something that the function reads has been replaced. `Watch`
tells when a pattern may not hold any more for that reason.
"""

import functools
import hashlib
import inspect
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
"""Folders of code that does not change between calls, unless the function is in it."""

_BUILT_IN = "<"


class Program:
    """A function to trace, with all that decides what the trace will be.

    Two are equal if their `dtypes` are equal, their `parts` the same objects, and the NumPy
    arrays among these the same in content, whatever the function object. They hold their
    parts, so that no identity is ever reused.
    """

    __slots__ = ("contents", "dtypes", "fun", "parts")

    def __init__(
        self,
        fun: Callable[..., Any],
        dtypes: tuple[Any, ...] = (),
        parts: Iterable[Any] = (),
    ):
        self.fun = fun
        self.dtypes = dtypes
        self.parts = tuple(parts)
        self.contents = tuple(_digest(p) for p in self.parts if isinstance(p, np.ndarray))

    def __hash__(self) -> int:
        return hash((self.dtypes, self.contents, *map(id, self.parts)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Program)
            and self.dtypes == other.dtypes
            and self.contents == other.contents
            and len(self.parts) == len(other.parts)
            and all(a is b for a, b in zip(self.parts, other.parts, strict=True))
        )


class Watch:
    """Notices when a number or an array that a function reads has been replaced.

    A pattern was detected with the values that the function read at that time. Python
    integers, and what the function itself changes while it is traced, do not count: they
    may be counters of calls.
    """

    __slots__ = ("_fun", "_last")

    def __init__(self, fun: Callable[..., Any]):
        self._fun = fun
        self.look()

    def look(self) -> None:
        """Take what is there now as seen."""
        self._last = self._now()

    def sees_change(self) -> bool:
        """Whether something is not what it was at the last look."""
        return self._last != self._now()

    def _now(self) -> Program:
        numbers = (float, complex, np.generic, np.ndarray, jax.Array)
        parts = [part for part in closed_over(self._fun) if isinstance(part, numbers)]
        return Program(self._fun, parts=[p for p in parts if not isinstance(p, Tracer)])


def closed_over(f: Callable[..., Any]) -> list[Any]:
    """The objects that `f` reads from its closure, its defaults, and modules.

    Containers and attributes of objects are followed, and so are the functions that `f`
    calls and the variables of modules that it names, except those of installed packages.
    An argument remains the best place for what changes all the time.

    Cost: one walk through these objects, and a checksum of the NumPy arrays among them.
    """
    seen: dict[int, Any] = {}
    home = getattr(inspect.unwrap(f), "__globals__", None)
    pending = [f]
    while pending:
        value = pending.pop()
        if id(value) not in seen:
            seen[id(value)] = value
            pending += _read_by(value, home)
    return list(seen.values())


def _digest(array: np.ndarray) -> bytes:
    content = np.ascontiguousarray(array).tobytes() if array.dtype != object else b""
    return hashlib.blake2b(content, digest_size=16).digest()


def _read_by(value: Any, home: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType):
        if value.__globals__ is home or not _is_installed(value.__code__.co_filename):
            yield from _read_by_function(value)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif inspect.ismethod(value):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value
    elif isinstance(value, np.ndarray):
        yield from value.reshape(-1).tolist() if value.dtype == object else ()
    elif isinstance(value, ModuleType | type | jax.Array | Tracer):
        return
    elif hasattr(value, "__wrapped__"):
        yield value.__wrapped__
    elif hasattr(value, "__dict__"):
        yield from vars(value).values()
        yield vars(type(value)).get("__call__")


def _read_by_function(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # A variable that has no value yet.
            continue
    yield from (function.__defaults__, function.__kwdefaults__)
    names = list(_names(function.__code__))
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if isinstance(value, ModuleType) and not _is_installed(
            getattr(value, "__file__", None) or "<frozen"
        ):
            yield from (vars(value)[n] for n in names if n in vars(value))


def _file_of(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or _BUILT_IN


def _is_installed(filename: str) -> bool:
    return filename.startswith(_LIBRARIES) or filename.startswith(_BUILT_IN)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
