"""What a function reads besides its arguments, as far as that can be seen."""

import functools
import hashlib
import inspect
import sysconfig
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from .snapshot import Snapshot, take_snapshot

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
"""Folders of code that does not change between calls, unless the function is in it."""

_BUILT_IN = "<"

_NUMBERS = (float, complex, np.generic, np.ndarray, jax.Array)


class Watch:
    """Notices when something that a function reads has changed since the last look.

    A pattern was detected with the values that the function read at that time. If not all
    that it reads can be told, only floating point numbers and arrays count.
    """

    __slots__ = ("_fun", "_seen")

    def __init__(self, fun: Callable[..., Any]):
        self._fun = fun
        self.look()

    def look(self) -> None:
        """Take what is there now as seen."""
        self._seen = _Seen.of(self._fun)

    def sees_change(self) -> bool:
        """Whether there is something that was not there at the last look."""
        seen, now = self._seen, _Seen.of(self._fun)
        if now.default_dtype != seen.default_dtype:
            return True
        if now.snapshot is not None:
            return not now.snapshot.matches(seen.snapshot)
        known = {(id(part), digest) for part, digest in seen.numbers}
        return any((id(part), digest) not in known for part, digest in now.numbers)


class _Seen(NamedTuple):
    """What a function read at some time."""

    default_dtype: Any  # Constants depend on a switch.
    snapshot: Snapshot | None
    numbers: list[tuple[Any, bytes]]  # Used if there is no snapshot.

    @classmethod
    def of(cls, fun: Callable[..., Any]) -> "_Seen":
        snapshot, numbers = take_snapshot(fun), []
        if snapshot is None:
            parts = [part for part in _closed_over(fun) if isinstance(part, _NUMBERS)]
            numbers = [(p, _digest(p)) for p in parts if not isinstance(p, Tracer)]
        return cls(jax.dtypes.canonicalize_dtype(float), snapshot, numbers)


def _closed_over(f: Callable[..., Any]) -> list[Any]:
    """The objects that `f` reads from its closure, its defaults, and modules.

    Containers and attributes of objects are followed, and so are the functions that `f`
    calls and the variables of modules that it names, except those of installed packages.
    The walk cannot be complete, so nothing may rely on it for the right result.

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


def _digest(part: Any) -> bytes:
    """The content of what can be changed in place."""
    if not isinstance(part, np.ndarray) or part.dtype == object:
        return b""
    return hashlib.blake2b(np.ascontiguousarray(part).tobytes(), digest_size=16).digest()


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
        if isinstance(value, ModuleType) and not _is_installed(_file_of(value)):
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
