"""Why a pattern is as it is: a report on the steps of its detection."""

import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from .._base.errors import ConservativePatternWarning, DenseColoringWarning
from .._base.warn import warn
from .._detect import (
    Step,
    Trail,
    chain,
    densest,
    density_gain,
    describe,
    fewest_passes,
    origin,
)
from .._structure.pattern import SparsityPattern
from .reasons import reason_of
from .sparsity import Detected, Subject, detect_sparsity


class SparsityStep(eqx.Module):
    """One equation of the linearized function, and what it adds to the pattern."""

    primitive: str = eqx.field(static=True)
    line: str = eqx.field(static=True)
    """`file:line (function)` in the user's program."""
    source: str = eqx.field(static=True)
    """The text of that line, empty where it cannot be read."""
    inside: str = eqx.field(static=True)
    """The function of JAX, called in that line, that the equation is a part of; may be
    empty."""
    entries: int = eqx.field(static=True)
    """How many inputs the elements of its results depend on, summed over the elements."""
    added: int = eqx.field(static=True)
    """How many more these are than those of the operand with the most."""
    gain: float = eqx.field(static=True)
    """By how many inputs an element of its results depends on more, on average, than one
    of the operand that depends on the most."""
    conservative: bool = eqx.field(static=True)
    """Whether no rule covers it, so that all `entries` are an assumption."""

    @property
    def reason(self) -> str:
        """Why it makes the pattern denser, and what to do about it, as far as its primitive
        tells."""
        why, advice = reason_of(self.primitive, conservative=self.conservative)
        return f"{why}; {advice}" if advice else why

    def __str__(self) -> str:
        within = f" in {self.inside}" if self.inside else ""
        lines = [f"{self.line}: {self.source}" if self.source else self.line]
        lines.append(
            f"    {self.primitive}{within}: {self.entries:,} entries, "
            f"{self.gain:+.1f} per element"
        )
        return "\n".join(lines + textwrap.wrap(self.reason, _WIDTH, **_INDENTED))


class SparsityReport(eqx.Module):
    """What `explain_sparsity` found; `str` of it is meant to be read.

    - `pattern`: the detected pattern.
    - `steps`: every equation that passes dependence on, in the order of execution.
    """

    pattern: SparsityPattern
    steps: tuple[SparsityStep, ...]
    _trail: Trail = eqx.field(static=True)

    @property
    def culprits(self) -> list[SparsityStep]:
        """The steps that make the pattern denser, the worst first."""
        dense = [step for step in self.steps if step.gain > 0]
        return sorted(dense, key=lambda step: -step.gain)

    @property
    def densest_rows(self) -> list[tuple[int, int]]:
        """The ten rows with the most entries, as `(row, entries)`."""
        return _most_frequent(self.pattern.rows, self.pattern.m)

    @property
    def densest_cols(self) -> list[tuple[int, int]]:
        """The ten columns with the most entries, as `(col, entries)`."""
        return _most_frequent(self.pattern.cols, self.pattern.n)

    def chain(self, row: int, col: int) -> list[SparsityStep]:
        """The steps that carry input `col` to output `row`, first to last.

        For a Hessian that is entry `(row, col)` of the Jacobian of the gradient. Cost: that
        of the rules on the way.

        **Raises:** `IndexError` if the matrix has no such row or column; `KeyError` if the
        pattern has no such entry.
        """
        if not (0 <= row < self.pattern.m and 0 <= col < self.pattern.n):
            raise IndexError(
                f"Entry ({row}, {col}) is outside of a pattern of shape "
                f"{self.pattern.shape}. Rows and columns are counted from zero."
            )
        return [_report(step, self._trail) for step in chain(self._trail, row, col)]

    def __str__(self) -> str:
        rows = ", ".join(f"{row} ({count})" for row, count in self.densest_rows[:5])
        cols = ", ".join(f"{col} ({count})" for col, count in self.densest_cols[:5])
        lines = [
            repr(self.pattern),
            self._summary,
            *map(str, self.culprits[:_SHOWN]),
            f"Densest rows (entries): {rows}",
            f"Densest columns (entries): {cols}",
        ]
        return "\n".join(lines)

    @property
    def _summary(self) -> str:
        if not (found := len(self.culprits)):
            return textwrap.fill(_NOTHING, _WIDTH)
        shown = "the worst first" if found <= _SHOWN else f"the worst {_SHOWN} of {found}"
        return textwrap.fill(_SUMMARY.format(steps=len(self.steps), shown=shown), _WIDTH)


def explain_sparsity(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    hessian: bool = False,
    local: bool = False,
    max_nnz: int | None = None,
    **kwargs: Any,
) -> SparsityReport:
    """Why the detected pattern of `f` has the entries that it has.

    Detects like `jacobian_sparsity` (like `hessian_sparsity` with `hessian=True`) and
    keeps all steps: how much dependence each line of `f` adds and why, where a primitive
    without a rule was taken to be dense, which rows and columns are the densest, and, by
    `report.chain(i, j)`, the steps from input `j` to output `i`. Arguments and errors
    are those of `jacobian_sparsity`.

    Cost: that of detection, and the memory of all intermediate patterns at once.
    """
    trail = Trail()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConservativePatternWarning)
        subject = Subject(f, args, kwargs, argnums, has_aux, local, max_nnz)
        detected = detect_sparsity(subject, order=2 if hessian else 1, trail=trail)
    steps = tuple(_report(step, trail) for step in trail.steps)
    return SparsityReport(detected.pattern, steps, trail)


def warn_if_dense(detected: Detected, order: int) -> bool:
    """Warn, and return true, if no coloring of a detected pattern can save a pass.

    Cost: the program is followed once more before the warning.
    """
    pattern, (m, n) = detected.pattern, detected.pattern.shape
    if detected.retrace is None or min(m, n) <= _SMALL:
        return False
    if pattern.nnz < m * n / 4:
        return False
    if pattern.nnz < m * n and fewest_passes(pattern) < min(m, n):
        return False
    step = densest(detected.retrace().steps)
    where = f" It becomes dense at {describe(step.eqn, step.callers)}." if step else ""
    kind = "Jacobian" if order == 1 else "Hessian"
    warn(
        _DENSE.format(kind=kind, m=m, n=n, nnz=pattern.nnz, where=where),
        DenseColoringWarning,
    )
    return True


def _report(step: Step, trail: Trail) -> SparsityStep:
    def most(values: Sequence[Any]) -> int:
        return max((v.dependence.count() for v in values if v.dependence), default=0)

    entries = most(step.outputs)
    line, source, inside = origin(step.eqn, step.callers)
    return SparsityStep(
        primitive=step.eqn.primitive.name,
        line=line,
        source=source,
        inside=inside,
        entries=entries,
        added=entries - most(step.operands),
        gain=density_gain(step),
        conservative=step.eqn in trail.conservative,
    )


def _most_frequent(indices: np.ndarray, dim: int) -> list[tuple[int, int]]:
    counts = np.bincount(indices, minlength=dim)
    order = np.argsort(-counts, kind="stable")[:10]
    return [(int(k), int(counts[k])) for k in order if counts[k]]


_SMALL = 100
"""Rows or columns up to which a dense matrix is not worth a warning."""

_DENSE = (
    "The {kind} is dense: its pattern has {nnz:,} entries in a {m}x{n} matrix, so that no "
    "coloring saves a pass, the same as the dense case.{where} asdex.explain_sparsity "
    "tells more; asdex.dense computes dense derivatives in blocks of columns."
)

_SHOWN = 10
"""How many steps a report prints."""

_WIDTH = 88
_INDENTED: dict[str, Any] = {"initial_indent": "    ", "subsequent_indent": "    "}

_SUMMARY = (
    "Of {steps} steps, these make the pattern denser, {shown}. Entries: how many inputs "
    "the elements of a result depend on, summed over the elements; per element: how many "
    "more they are, on average, than for the operand with the most."
)
_NOTHING = (
    "No step makes the pattern denser: no element of a result depends on more inputs than "
    "the elements that it is made of."
)
