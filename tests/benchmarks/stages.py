"""Every stage from a function to its sparse derivative, from 1e3 to 1e6 unknowns.

What is done once is given in seconds, an evaluation in multiples of one jitted evaluation
of the function. It makes a BCOO matrix; `values` is one that makes only its values, without
the copy of the constant indices that leaving a jitted function takes. The last column is
how many times longer than an evaluation the jitted dense derivative takes.
"""

import jax

import asdex

from . import importing
from .problems import PROBLEMS, Problem, dense
from .timing import once, together

SIZES = [1_000, 5_000, 100_000, 1_000_000]
LARGEST_DENSE = 5_100

HEADINGS = [
    "problem", "n", "colors", "f [ms]",
    "detection", "coloring", "first call", "evaluation", "values", "dense",
]  # fmt: skip
FORMAT = "{:<20} {:>9} {:>6} {:>9} {:>10} {:>10} {:>11} {:>10} {:>7} {:>8}"


def measure(problem: Problem, n: int) -> dict[str, float]:
    """Seconds of each stage, with `n` and `colors`; `dense` is NaN if too large."""
    function, x = problem.make(n)
    if problem.kind == "jacobian":
        detect, color = asdex.jacobian_sparsity, asdex.jacobian_coloring_from_sparsity
        build = asdex.jacobian_from_coloring
    else:
        detect, color = asdex.hessian_sparsity, asdex.hessian_coloring_from_sparsity
        build = asdex.hessian_from_coloring

    detection, pattern = once(lambda: detect(function, x))
    coloring_time, coloring = once(lambda: color(pattern))
    derivative = build(function, coloring)
    sparse, compiled = jax.jit(derivative), jax.jit(function)
    only_values = jax.jit(lambda x: derivative(x).data)
    first = once(lambda: sparse(x))[0]
    evaluation, values, plain = together(
        lambda: sparse(x), lambda: only_values(x), lambda: compiled(x)
    )
    reference = float("nan")
    if x.size <= LARGEST_DENSE:
        full = dense(problem, function)
        reference = together(lambda: full(x), budget=0.2)[0]
    return {
        "n": x.size,
        "colors": coloring.num_colors,
        "f": plain,
        "detection": detection,
        "coloring": coloring_time,
        "first call": first,
        "evaluation": evaluation,
        "values": values,
        "dense": reference,
    }


def row(problem: Problem, seconds: dict[str, float]) -> str:
    ratio = seconds["dense"] / seconds["evaluation"]
    return FORMAT.format(
        problem.name,
        seconds["n"],
        seconds["colors"],
        f"{1e3 * seconds['f']:.3f}",
        *(as_time(seconds[stage]) for stage in ("detection", "coloring", "first call")),
        *(f"{seconds[stage] / seconds['f']:,.1f}" for stage in ("evaluation", "values")),
        "" if ratio != ratio else f"{ratio:,.1f}",
    )


def as_time(seconds: float) -> str:
    """Two significant digits, in a unit that suits them."""
    return f"{1e3 * seconds:.2g} ms" if seconds < 0.1 else f"{seconds:.2g} s"


def main() -> None:
    print(__doc__)
    print(FORMAT.format(*HEADINGS))
    measured = {}
    for problem in PROBLEMS:
        for n in SIZES:
            measured[problem.name, n] = measure(problem, n)
            print(row(problem, measured[problem.name, n]), flush=True)

    large, tutorial = (measured["squared differences", n] for n in (1_000_000, 5_000))
    print(
        "\nsquared differences:"
        f"\n  detection at n = 1e6:             {large['detection']:.3f} s (expected: 0.1)"
        "\n  evaluation at n = 1e6:            "
        f"{large['evaluation'] / large['f']:.1f} evaluations of f, "
        f"{large['values'] / large['f']:.1f} for the values (expected: 6)"
        "\n  dense over sparse at n = 5000:    "
        f"{tutorial['dense'] / tutorial['evaluation']:.0f} (expected: 100)"
    )
    importing.main()
