"""Elements that lie in few shifted windows of lines, read without an index for each.

To choose between windows can cost a fraction of a gather: XLA vectorizes it, and fuses it
with the computation of the lines. Of an array that is split over devices only the elements
near the cuts are sent.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Integer, Num, UInt8

from .._base.index import unfolded

Lines: TypeAlias = Num[Array, "lines dim"] | Sequence[Num[Array, " dim"]]
"""Rows of equal length, such as those of a compressed matrix, or coefficients."""


class Window(NamedTuple):
    """Where elements are that follow each other along a line."""

    line: int
    start: int  # May lie outside of the line where nothing is read from it.


class Slot(NamedTuple):
    """Elements of which each is read from one of these windows, at its own place there."""

    windows: tuple[Window, ...]
    choice: UInt8[np.ndarray, " rows"]


def find_slot(
    positions: Integer[np.ndarray, " rows"], dim: int, max_choice: int
) -> Slot | None:
    """The windows in which these positions lie, of lines of length `dim`, one after the
    other; `None` if they are more than `max_choice`."""
    if (window := _only_window(positions, dim)) is not None:
        return Slot((window,), np.zeros(positions.size, np.uint8))
    if max_choice == 1:
        return None
    line, along = np.divmod(positions, dim)
    begin = along - np.arange(positions.size)
    choice = np.zeros(positions.size, np.uint8)
    windows: list[Window] = []
    rest = np.arange(positions.size)
    while rest.size:
        if len(windows) == max_choice:
            return None
        window = Window(int(line[rest[0]]), int(begin[rest[0]]))
        found = (line[rest] == window.line) & (begin[rest] == window.start)
        choice[rest[found]] = len(windows)
        windows.append(window)
        rest = rest[~found]
    return Slot(tuple(windows), choice)


def _only_window(positions: Integer[np.ndarray, " rows"], dim: int) -> Window | None:
    """The window if all positions follow each other, found in one pass."""
    if not positions.size or positions[0] < 0 or not (np.diff(positions) == 1).all():
        return None
    line, start = divmod(int(positions[0]), dim)
    return Window(line, start) if start + positions.size <= dim else None


def read_slot(lines: Lines, slot: Slot) -> Num[Array, " rows"]:
    """The elements at the positions of the slot."""
    rows = slot.choice.size
    first, *others = [_window(lines[w.line], w.start, rows) for w in slot.windows]
    if not others:
        return first
    choice = unfolded(slot.choice)  # Else XLA would keep the result of each comparison.
    for k, other in enumerate(others, start=1):
        first = jnp.where(choice == k, other, first)
    return first


def _window(line: Num[Array, " dim"], start: int, size: int) -> Num[Array, " size"]:
    """Elements from `start` on, zero beyond the ends."""
    if start == 0 and size == line.size:
        return line
    return lax.pad(line, jnp.zeros((), line.dtype), [(-start, start + size - line.size, 0)])
