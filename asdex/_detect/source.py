"""Where in the user's program an equation comes from."""

import linecache
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax.extend.core import JaxprEqn

_PACKAGES = tuple(
    str(Path(file).parent)
    for file in (jax.__file__, eqx.__file__, str(Path(__file__).parent))
    if file
)
"""Folders whose lines are not the user's."""


class Origin(NamedTuple):
    """A line of the user's program, and what an equation that comes from it is part of."""

    place: str
    """`file:line (function)`."""
    text: str
    """The line itself, if it can be read."""
    inside: str
    """The function of JAX, called at that line, that the equation is inside of; may be
    empty."""


def origin(eqn: JaxprEqn, callers: Sequence[JaxprEqn] = ()) -> Origin:
    """The line of the user's program that an equation comes from.

    JAX keeps no line for what is inside of a jitted function; then it is the line of the
    innermost of its callers that has one. "unknown line" if there is none.
    """
    for candidate in (eqn, *reversed(callers)):
        if (frame := _users_frame(candidate)) is not None:
            place = f"{frame.file_name}:{frame.line_num} ({frame.function_name})"
            text = linecache.getline(frame.file_name, frame.line_num).strip()
            called = candidate.params.get("name") if candidate is not eqn else None
            return Origin(place, text, str(called).strip("_") if called else "")
    return Origin("unknown line", "", "")


def _users_frame(eqn: JaxprEqn) -> Any:
    """The innermost frame outside of the libraries."""
    traceback = eqn.source_info.traceback
    for frame in traceback.frames if traceback else ():
        if not frame.file_name.startswith(_PACKAGES):
            return frame
    return None


def describe(eqn: JaxprEqn, callers: Sequence[JaxprEqn] = ()) -> str:
    """The primitive of an equation, its line, and the text of that line."""
    place, text, inside = origin(eqn, callers)
    within = f" in {inside!r}" if inside else ""
    return f"{eqn.primitive.name!r}{within}, {place}" + (f": `{text}`" if text else "")
