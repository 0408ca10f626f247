"""A bar for work that takes long, where `tqdm` is installed."""

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

_DELAY = 2.0
"""Seconds before a bar is shown."""


class Bar:
    """Counts steps of unknown number, each with a note on what it has reached."""

    def __init__(self, drawn: Any = None):
        self._drawn = drawn

    def advance(self, note: str) -> None:
        """Count one more step."""
        if self._drawn is not None:
            self._drawn.set_postfix_str(note, refresh=False)
            self._drawn.update()


@contextlib.contextmanager
def progress_bar(what: str, *, shown: bool) -> Iterator[Bar]:
    """A bar that appears after two seconds and goes away at the end.

    It is never drawn where standard error is no terminal, or `tqdm` is not installed.
    """
    if not shown or importlib.util.find_spec("tqdm") is None:
        yield Bar()
        return
    from tqdm import tqdm

    # `disable=None` leaves out bars on what is no terminal.
    with tqdm(desc=what, delay=_DELAY, leave=False, disable=None) as drawn:
        yield Bar(drawn)
