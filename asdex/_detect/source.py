"""Where in the user's program an equation comes from."""

from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax
from jax.extend.core import JaxprEqn

_PACKAGES = tuple(
    str(Path(file).parent)
    for file in (jax.__file__, eqx.__file__, str(Path(__file__).parent))
    if file
)
"""Folders whose lines are not the user's."""


def source_line(eqn: JaxprEqn, callers: Sequence[JaxprEqn] = ()) -> str:
    """The line of the user's program that an equation comes from, as
    `file:line (function)`.

    JAX keeps no line for what is inside of a jitted function; then it is the line of the
    innermost of its callers that has one. "unknown line" if there is none.
    """
    for candidate in (eqn, *reversed(callers)):
        traceback = candidate.source_info.traceback
        for frame in traceback.frames if traceback else ():
            if not frame.file_name.startswith(_PACKAGES):
                return f"{frame.file_name}:{frame.line_num} ({frame.function_name})"
    return "unknown line"


def describe(eqn: JaxprEqn, callers: Sequence[JaxprEqn] = ()) -> str:
    """The primitive of an equation and its line."""
    return f"{eqn.primitive.name!r}, {source_line(eqn, callers)}"
