"""Values of the entries, compared with code written by hand.

The columns hold ratios of medians, in double precision: the values by hand to one
evaluation of the function; those by accumulation, by colors and by the default way to
those by hand; the CPU time to trace and compile the default way to that for the function
and one JVP (of the gradient for a Hessian), and to that for the colors; the CPU time of
preparation and first call together to that by colors; a call outside of `jit` to one trace
of the function and the compiled run; and the memory that the compiled default way takes for
intermediate results to that of the values. The last line has geometric means. Values are
compared before they are timed.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

import asdex

from .by_hand import HAND_WRITTEN, HandWritten, Instance, Values, Vector
from .timing import together

HEADINGS = [
    *("by hand / f", "accumulated", "colors", "default", "compiling", "of colors"),
    *("first call", "eager", "memory"),
]  # fmt: skip
FORMAT = "{:<20}{:>9}{:>9}" + "{:>12}" * len(HEADINGS) + "  {}"


class Ways(NamedTuple):
    """The derivatives that are compared."""

    accumulated: asdex.Derivative | None
    """`None` if the values cannot be accumulated."""
    by_colors: asdex.Derivative
    default: asdex.Derivative


def ways(problem: HandWritten, instance: Instance) -> Ways:
    """The sparse derivative, computed in each way."""
    function, _, x = instance
    if problem.kind == "jacobian":
        verb, from_coloring = asdex.jacobian, asdex.jacobian_from_coloring
        color = asdex.jacobian_coloring_from_sparsity
    else:
        verb, from_coloring = asdex.hessian, asdex.hessian_from_coloring
        color = asdex.hessian_coloring_from_sparsity
    default = verb(function, x, output_format="operator")
    accumulated = verb(function, x, output_format="operator", mode="accumulate")
    by_colors = from_coloring(function, color(default.sparsity), "operator")
    return Ways(accumulated if accumulated.coloring is None else None, by_colors, default)


def values(derivative: asdex.Derivative) -> Callable[[Vector], Values]:
    """The values of the entries, compiled."""
    return jax.jit(lambda x: derivative(x).data)


def measure(problem: HandWritten, n: int) -> tuple[float, list[float], str]:
    """Seconds of the function, the ratios of the columns, NaN for a way that is not
    possible, and what the default way is."""
    instance = problem.make(n)
    function, by_hand, x = instance
    accumulated, by_colors, default = ways(problem, instance)
    chosen = accumulated if default.coloring is None else by_colors
    assert chosen is not None

    programs = [jax.jit(function), jax.jit(by_hand), values(by_colors)]
    programs += [values(accumulated)] if accumulated is not None else []
    _, expected, *found = [np.asarray(program(x)) for program in programs]
    for data in found:
        np.testing.assert_allclose(data, expected, rtol=1e-9, atol=1e-9)
    of_f, of_hand, of_colors, *rest = medians(
        *(lambda program=program: program(x) for program in programs)
    )
    of_accumulated = rest[0] if rest else math.nan
    of_default = of_accumulated if default.coloring is None else of_colors

    compiled = values(chosen)
    trace, call, run = medians(
        lambda: trace_again(function, x), lambda: default(x).data, lambda: compiled(x)
    )
    ratios = [
        of_hand / of_f,
        of_accumulated / of_hand,
        of_colors / of_hand,
        of_default / of_hand,
        *compiling(problem, function, chosen, by_colors, x),
        first_call(problem, function, by_colors.evaluation.mode, x),
        call / (trace + run),
        memory(compiled, x),
    ]
    way = "accumulated" if default.coloring is None else f"{default.num_colors} colors"
    return of_f, ratios, way


def trace_again(function: Callable[[Vector], Array], x: Vector) -> None:
    jax.make_jaxpr(lambda x: function(x))(x)


def medians(*functions: Callable[[], Array | None]) -> list[float]:
    return together(*functions, budget=1, summary=statistics.median)


def compiling(
    problem: HandWritten,
    function: Callable[[Vector], Array],
    derivative: asdex.Derivative,
    by_colors: asdex.Derivative,
    x: Vector,
) -> tuple[float, float]:
    """How much longer the values take to trace and compile than the function and a JVP, and
    than the values by colors."""
    pushed = jax.grad(function) if problem.kind == "hessian" else function
    of_values, of_colors, *of_user = [
        processing(
            lambda program=program, args=args: jax.jit(program).lower(*args).compile()
        )
        for program, args in [
            (lambda x: derivative(x).data, (x,)),
            (lambda x: by_colors(x).data, (x,)),
            (lambda x: function(x), (x,)),
            (lambda x, v: jax.jvp(pushed, (x,), (v,))[1], (x, x)),
        ]
    ]
    return of_values / sum(of_user), of_values / of_colors


def first_call(
    problem: HandWritten,
    function: Callable[[Vector], Array],
    mode_of_colors: Any,
    x: Vector,
) -> float:
    """How much longer preparation and first call take by the default way than by colors."""

    def begin(mode: Any) -> Array:
        verb = asdex.jacobian if problem.kind == "jacobian" else asdex.hessian
        return verb(function, x, output_format="operator", mode=mode)(x).data

    of_default, of_colors = (
        processing(lambda mode=mode: begin(mode)) for mode in (None, mode_of_colors)
    )
    return of_default / of_colors


def processing(function: Callable[[], Any]) -> float:
    """CPU seconds of a call that finds nothing compiled: the less of two."""
    seconds = []
    for _ in range(2):
        jax.clear_caches()
        start = time.process_time()
        jax.block_until_ready(function())
        seconds.append(time.process_time() - start)
    return min(seconds)


def memory(program: Any, x: Vector) -> float:
    """Bytes of intermediate results by ratio to those of the values."""
    analysis = program.lower(x).compile().memory_analysis()
    return analysis.temp_size_in_bytes / analysis.output_size_in_bytes


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    print(__doc__)
    print(FORMAT.format("problem", "n", "f [ms]", *HEADINGS, "default way"))
    measured = []
    for problem in HAND_WRITTEN:
        for n in problem.sizes:
            seconds, ratios, way = measure(problem, n)
            measured.append(ratios)
            print(row(problem.name, n, f"{1e3 * seconds:.3f}", ratios, way), flush=True)
            jax.clear_caches()
    means = [
        statistics.geometric_mean([ratio for ratio in column if ratio > 0])
        for column in zip(*measured, strict=True)
    ]
    print(row("geometric mean", "", "", means, ""))


def row(name: str, n: int | str, seconds: str, ratios: list[float], way: str) -> str:
    shown = ["-" if math.isnan(ratio) else f"{ratio:.2f}" for ratio in ratios]
    return FORMAT.format(name, n, seconds, *shown, way)
