"""Warnings at the line of the user's program that called asdex."""

import sys
import warnings
from pathlib import Path

_OWN = str(Path(__file__).parents[1])
_BETWEEN = ("equinox", "jaxtyping", "beartype", "<")
"""Parts of the names of files that call methods of modules and check annotations."""


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning that points to the innermost caller outside of asdex."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_inside(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _is_inside(file: str) -> bool:
    return file.startswith(_OWN) or any(part in file for part in _BETWEEN)
