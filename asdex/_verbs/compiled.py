"""Compiled derivatives, found by the content of a trace of the user's function.

A call outside of `jit` must see what the function reads at that time, so it traces the
function. All else is done once for equal traces: the pattern is checked, and the derivative
is compiled.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._call.trace import Program, Trace, as_constant
from .._detect import NoCoefficients
from .._evaluate.evaluate import Evaluation
from .hoisted import Hoisted

MAX_PROGRAMS = 8
"""How many programs a derivative keeps: those that were used last."""

_CHUNK = 2**17
"""Words that are compared at a time, few enough to stay in the processor's cache."""


@dataclasses.dataclass(slots=True, eq=False)
class Compiled:
    """A derivative for one program of the function, compiled when it is first run.

    `consts` are the constants for which the pattern was checked last, arguments of what is
    compiled; those of programs within, `inner_consts`, are part of it.
    """

    program: Program
    evaluation: Evaluation
    callbacks: tuple[Hashable, ...]
    inner_consts: list[jax.Array]
    consts: list[jax.Array] = dataclasses.field(default_factory=list)
    uses: int = 0
    run: Callable[..., Any] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        def run(*args: Any) -> Any:
            # The program of the last call: where JAX traces this again, objects in an older
            # one may have changed in place.
            return self.evaluation.on_device(self.program, *args, constants=self.consts)

        self.run = Hoisted(run)

    def __call__(self, values: list[Any], others: list[Any]) -> Any:
        """The results of `Evaluation.on_device`."""
        return self.run(self.consts, values, others)


class CompiledPrograms:
    """What a derivative has compiled, for the programs that it was called with last."""

    __slots__ = ("_evaluation", "_kept")

    def __init__(self, evaluation: Evaluation):
        self._evaluation = evaluation
        self._kept: OrderedDict[Hashable, Compiled] = OrderedDict()

    def of(self, evaluation: Evaluation) -> "CompiledPrograms":
        """The same programs for another evaluation by the same pattern, not compiled."""
        other = CompiledPrograms(evaluation)
        for key, kept in self._kept.items():
            other._kept[key] = dataclasses.replace(kept, evaluation=evaluation)
        return other

    @property
    def is_empty(self) -> bool:
        """Whether there was no program yet."""
        return not self._kept

    def admit(self, trace: Trace, check: Callable[[], None]) -> Compiled | None:
        """The compiled derivative for a trace, `None` if it is not worth compiling.

        Calls `check`, which raises an error where the pattern lacks an entry, unless the
        pattern has been checked for an equal program with the same constants.
        """
        content = trace.content(self._evaluation.order)
        if content is None:
            check()
            return None
        kept = self._kept.get(content.pattern)
        if kept is not None and not (
            kept.program.codomain == trace.program.codomain
            and _are_equal(kept.inner_consts, content.consts)
        ):
            kept = None
        if kept is None or not _are_equal(kept.consts, trace.consts):
            accumulates = self._evaluation.coloring is None
            if kept is not None and accumulates:
                raise NoCoefficients(
                    "the arrays that the function closes over have changed"
                )
            check()
            if any(isinstance(const, Tracer) for const in trace.consts):
                return None
            if kept is None:
                inner = list(map(as_constant, content.consts))
                kept = Compiled(trace.program, self._evaluation, content.callbacks, inner)
                self._kept[content.pattern] = kept
            kept.consts = list(map(as_constant, trace.consts))
        self._kept.move_to_end(content.pattern)
        if len(self._kept) > MAX_PROGRAMS:
            self._kept.popitem(last=False)
        kept.uses += 1
        if kept.callbacks != content.callbacks:
            return None
        kept.program = trace.program
        return kept if self._pays else None

    @property
    def _pays(self) -> bool:
        """Whether what is compiled now is likely to be used again.

        It is not if each of the last programs was used only once, as those of a function
        are that reads another Python number at every call.
        """
        uses = [kept.uses for kept in self._kept.values()]
        return len(uses) < MAX_PROGRAMS or max(uses) > 1


def _are_equal(kept: Sequence[jax.Array], consts: Sequence[Any]) -> bool:
    """Whether the constants of an equal program have the same values."""
    return all(map(_is_equal, kept, consts))


def _is_equal(kept: jax.Array, const: Any) -> bool:
    """Whether a constant has the bytes of one that was kept."""
    if kept is const:
        return True
    if isinstance(const, Tracer) or kept.is_deleted() or not kept.is_fully_addressable:
        return False
    old, new = _bytes_of(kept), _bytes_of(const)
    if old.dtype != new.dtype or old.shape != new.shape:
        return False
    starts = range(0, old.size, _CHUNK)
    return all(np.array_equal(old[k : k + _CHUNK], new[k : k + _CHUNK]) for k in starts)


def _bytes_of(const: Any) -> np.ndarray:
    if jnp.issubdtype(const.dtype, jax.dtypes.prng_key):
        const = jax.random.key_data(const)
    array = np.ascontiguousarray(const).reshape(-1)
    return array.view(np.uint8 if array.nbytes % 8 else np.uint64)
