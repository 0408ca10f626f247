"""What a function reads besides its arguments.

A result on the host cannot be made inside of the caller's `jax.jit`, so asdex compiles
that computation itself; but a call that is not under `jit` must see what the function
sees at that time. `Program` makes both possible: it is a static argument of the internal
`jit`, and differs as soon as something that the function reads has been replaced.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import equinox as eqx


class Program:
    """A function to trace, with all that decides what the trace will be.

    Two are equal if their `dtypes` are equal and their `parts` the same objects, whatever
    the function object. They hold their parts, so that no identity is ever reused.
    """

    __slots__ = ("dtypes", "fun", "parts")

    def __init__(
        self,
        fun: Callable[..., Any],
        dtypes: tuple[Any, ...] = (),
        parts: Iterable[Any] = (),
    ):
        self.fun = fun
        self.dtypes = dtypes
        self.parts = tuple(parts)

    def __hash__(self) -> int:
        return hash((self.dtypes, *map(id, self.parts)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Program)
            and self.dtypes == other.dtypes
            and len(self.parts) == len(other.parts)
            and all(a is b for a, b in zip(self.parts, other.parts, strict=True))
        )


def closed_over(f: Callable[..., Any]) -> list[Any]:
    """The objects that `f` reads from its closure, its defaults, and its module.

    Containers and attributes of objects are followed, and so are functions of the same
    module that `f` calls. Arrays changed in place and variables of other modules are not
    seen; an argument is the place for what changes all the time.
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


def _read_by(value: Any, home: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType):
        if value.__globals__ is home:
            yield from _read_by_function(value)
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)
    elif inspect.ismethod(value):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value
    elif isinstance(value, ModuleType | type | eqx.Module):
        return  # Other modules stay as they are, and Equinox modules cannot change.
    elif hasattr(value, "__wrapped__"):
        yield value.__wrapped__
    elif hasattr(value, "__dict__"):
        yield from vars(value).values()


def _read_by_function(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # A variable that has no value yet.
            continue
    yield from (function.__defaults__, function.__kwdefaults__)
    for name in _names(function.__code__):
        yield function.__globals__.get(name)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
