"""What the verbs return: a function that computes a derivative."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from jax.core import Tracer

from .._call.arguments import (
    Bound,
    bind_call,
    check_differentiable,
    check_samples,
    find_signature,
    name_of,
)
from .._call.flat import FlatCall, flatten
from .._call.trace import Trace, trace
from .._detect import Costs, NoCoefficients, fewest_passes
from .._evaluate.accumulate import ConstantEntries, find_constant_entries
from .._evaluate.evaluate import Evaluation
from .._evaluate.options import Options
from .._evaluate.probe import run_checked
from .._structure.coloring import ColoredPattern
from .._structure.pattern import SparsityPattern
from .compiled import CompiledPrograms
from .sparsity import Detected, check_still_holds, has_static_values, is_like_samples

F = TypeVar("F", bound=Callable[..., Any])
Result = TypeVar("Result", covariant=True)


def signature_of(template: Callable[..., Any]) -> Callable[[F], F]:
    """A decorator that gives a function the signature of another, which it calls."""

    def decorate(function: Any) -> Any:
        function.__signature__ = inspect.signature(template)
        return function

    return decorate


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Derivative(Generic[Result]):
    """A function that computes the sparse Jacobian or Hessian of a function.

    It accepts the arguments of that function, with values of their own. Under `jax.jit`,
    `jax.vmap`, `jax.grad` and so on it is a function like any other. A call outside of them
    traces the function once, so that it sees what the function reads at that time, and runs
    what was compiled for an equal trace. Arrays that the function closes over are arguments
    of what is compiled. If the trace is new, or one of these arrays has other values, the
    pattern is detected again and compared.

    Cost of such a call: one trace of the function and of each custom derivative rule in it,
    and the compiled run. What was compiled is kept for the last eight traces; a function
    whose trace is new at every call, because it reads another Python number each time, is
    compiled so often and then no more.
    """

    function: Callable[..., Any]
    """What is differentiated."""
    evaluation: Evaluation
    _signature: inspect.Signature
    _programs: CompiledPrograms
    _detected: Detected | None = None
    _color: Callable[[], ColoredPattern] | None = None

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        evaluation: Evaluation,
        detected: Detected | None = None,
        color: Callable[[], ColoredPattern] | None = None,
    ) -> "Derivative[Any]":
        """The derivative of a function by an evaluation.

        `detected` is what the pattern was detected on. Without it the pattern is trusted at
        the first call, and at every call if the user gave it in place of a detection.
        `color` makes a coloring, for calls whose values cannot be accumulated.

        **Raises:** `TypeError` if the function is not callable, or if samples of integers
        are to be differentiated without `allow_int`.
        """
        if not callable(function):
            raise TypeError(f"f must be callable. Got {function!r}.")
        programs = CompiledPrograms(evaluation)
        if detected is not None:
            programs.admit(detected.trace, check=lambda: None)
        inputs, allow_int = evaluation.pattern.inputs, evaluation.options.allow_int
        check_samples(function, inputs, evaluation.mode, allow_int)
        signature = find_signature(function)
        return cls(function, evaluation, signature, programs, detected, color)

    def with_value(self) -> "Derivative[Any]":
        """The same, but returning the value of the function, too."""
        evaluation = self.evaluation.with_value()
        programs = self._programs.of(evaluation)
        return dataclasses.replace(self, evaluation=evaluation, _programs=programs)

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """The derivative at these arguments, as described by the verb that made this."""
        evaluation, options, order = self.evaluation, self.options, self.order
        inputs = self.sparsity.inputs
        bound = bind_call(self.function, inputs, args, kwargs, self._signature)
        call = flatten(bound, inputs, has_aux=options.has_aux, scalar=order == 2)
        check_differentiable(
            inputs,
            call.domain.dtypes,
            evaluation.mode,
            partial(name_of, bound),
            holomorphic=options.holomorphic,
            allow_int=options.allow_int,
        )
        traced = trace(call)
        given = call.values, call.others
        check = partial(self._check, traced, bound, call)
        try:
            compiled = self._programs.admit(traced, check)
            if compiled is None or any(
                isinstance(x, Tracer) for x in jax.tree.leaves(given)
            ):
                results = evaluation.on_device(traced.program, traced.consts, *given)
            else:
                run = partial(run_checked, compiled) if options.checked else compiled
                results = run(*given)
        except NoCoefficients:
            return self._by_colors(*args, **kwargs)
        return evaluation.assemble(traced.program, *results)

    @functools.cached_property
    def _by_colors(self) -> "Derivative[Any]":
        """The same, by colors: for programs whose values cannot be accumulated."""
        assert self._color is not None
        evaluation = Evaluation.by_colors(self._color(), self.order, self.options)
        programs = self._programs.of(evaluation)
        return dataclasses.replace(self, evaluation=evaluation, _programs=programs)

    def _check(self, traced: Trace, bound: Bound, call: FlatCall) -> None:
        """Raise `ValueError` if the pattern lacks an entry of this trace."""
        pattern = self.sparsity
        if pattern.inputs.is_assumed or self._is_trusted:
            return
        if pattern.is_local:
            if not has_static_values(pattern, bound):
                raise ValueError(
                    "The pattern is local: it holds for the static arguments of its "
                    "samples only. Detect it again for these, or without local=True."
                )
            return
        if not (self._programs.is_empty and is_like_samples(pattern, bound)):
            check_still_holds(pattern, traced, bound, call, self.order)

    @property
    def coloring(self) -> ColoredPattern | None:
        """The coloring by which it is computed, `None` if the values are accumulated."""
        return self.evaluation.coloring

    @property
    def sparsity(self) -> SparsityPattern:
        """The pattern of the matrix."""
        return self.evaluation.pattern

    @property
    def num_colors(self) -> int:
        """How many products with the matrix, by JVPs, VJPs or HVPs, a call takes."""
        return 0 if self.coloring is None else self.coloring.num_colors

    @functools.cached_property
    def constant_entries(self) -> ConstantEntries:
        """The entries that never change, and their values; see `constant_entries`.

        Cost: that of a detection, at the first access.
        """
        detected, pattern = self._detected, self.sparsity
        if detected is None or detected.costs is None or detected.costs.lacking:
            none = np.zeros(pattern.nnz)
            return ConstantEntries(pattern, none.astype(bool), none)
        return find_constant_entries(detected.trace, *detected.samples, pattern, self.order)

    @property
    def _costs(self) -> Costs | None:
        return None if self._detected is None else self._detected.costs

    @property
    def _is_trusted(self) -> bool:
        """Whether the user gave the pattern in place of a detection."""
        return self._detected is not None and self._detected.costs is None

    @property
    def order(self) -> int:
        """1 for a Jacobian, 2 for a Hessian."""
        return self.evaluation.order

    @property
    def options(self) -> Options:
        """The options of the evaluation."""
        return self.evaluation.options

    def __deepcopy__(self, memo: dict[int, Any]) -> "Derivative[Any]":
        # As Python copies functions: by reference.
        return self

    def __repr__(self) -> str:
        kind = "Jacobian" if self.order == 1 else "Hessian"
        m, n = self.sparsity.shape
        name = getattr(self.function, "__name__", type(self.function).__name__)
        given, usual = self.options._asdict(), Options()._asdict()
        chosen = "".join(f", {k}={v!r}" for k, v in given.items() if v != usual[k])
        return (
            f"<{kind} of {name}: {m}×{n}, nnz={self.sparsity.nnz}, {self._way()}{chosen}>"
        )

    def _way(self) -> str:
        """How the values are computed, and why."""
        costs, coloring = self._costs, self.coloring
        if coloring is not None:
            way = f"{coloring.num_colors} colors in mode {coloring.mode!r}"
            if costs is None:
                return way
            if costs.lacking:
                return f"{way} (no coefficients for {', '.join(costs.lacking)})"
            return (
                f"{way} ({coloring.num_colors} x {costs.one_pass} operations; accumulated "
                f"{costs.coefficients})"
            )
        if costs is None:
            return "accumulated"
        passes = fewest_passes(self.sparsity)
        return (
            f"accumulated ({costs.coefficients} operations; by colors at least {passes} x "
            f"{costs.one_pass})"
        )
