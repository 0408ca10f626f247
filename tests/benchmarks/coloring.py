"""How many colors, against the lower bound, and how long it takes to find them.

The first table holds the colorings that are chosen by default; numbers of colors are the
same on every machine. The second one compares star colorings of random patterns with the
largest-first order, the third one times the single algorithms.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import asdex
from asdex import ColoredPattern, Greedy, SparsityPattern
from tests.color import patterns

from .timing import once

COUNTED: dict[str, Callable[[], SparsityPattern]] = {
    "band 41, n = 20,000": lambda: patterns.band(20_000, 41),
    "circulant band 41, n = 20,000": lambda: patterns.grid(
        20_000, periodic=True, radius=20
    ),
    "5-point 100 x 100": lambda: patterns.grid(100, 100),
    "5-point periodic 100 x 100": lambda: patterns.grid(100, 100, periodic=True),
    "5-point periodic 96 x 96": lambda: patterns.grid(96, 96, periodic=True),
    "7-point 20^3": lambda: patterns.grid(20, 20, 20),
    "27-point 20^3": lambda: patterns.grid(20, 20, 20, radius=1),
    "Brusselator 96, interleaved": lambda: patterns.brusselator(96, interleaved=True),
    "Brusselator 96, separate": lambda: patterns.brusselator(96, interleaved=False),
    "Brusselator 128, interleaved": lambda: patterns.brusselator(128, interleaved=True),
    "Brusselator 128, separate": lambda: patterns.brusselator(128, interleaved=False),
}

RANDOM = [(seed, per_row) for per_row in (5, 10) for seed in range(5)]

Verb = Callable[[SparsityPattern], Any]

TIMED: dict[str, tuple[Callable[[], SparsityPattern], dict[str, Verb]]] = {
    "grid 1000 x 1000": (
        lambda: patterns.grid(1000, 1000),
        {
            "columns": asdex.color_cols,
            "star": asdex.color_symmetric,
            "lattice": lambda pattern: asdex.jacobian_coloring_from_sparsity(
                pattern, mode="fwd", algorithm=asdex.Lattice()
            ),
        },
    ),
    "random, 10 per row, n = 1e5": (
        lambda: patterns.random_symmetric(0, 100_000, 9),
        {
            "columns": asdex.color_cols,
            "star": asdex.color_symmetric,
            "acyclic": asdex.color_acyclic,
        },
    ),
    "power law, hub 1e4, n = 1e5": (
        lambda: patterns.power_law(0, 100_000, 10_000),
        {"columns": asdex.color_cols, "star": asdex.color_symmetric},
    ),
    "5 coupled species, 150 x 150": (
        lambda: patterns.grid(150, 150).kron((5, 5)),
        {
            "columns, blocks": asdex.jacobian_coloring_from_sparsity,
            "columns, entries": lambda pattern: asdex.jacobian_coloring_from_sparsity(
                _without_shapes(pattern)
            ),
            "star, blocks": asdex.hessian_coloring_from_sparsity,
            "star, entries": lambda pattern: asdex.hessian_coloring_from_sparsity(
                _without_shapes(pattern)
            ),
        },
    ),
    "arrow, n = 1e5": (
        lambda: patterns.arrow(100_000),
        {"star": asdex.color_symmetric, "bidirectional": asdex.color_bidirectional},
    ),
}


def main() -> None:
    print("Default colorings (columns or rows | star | acyclic)")
    print(
        f"{'pattern':<32}{'bound':>6}{'colors':>7}{'[s]':>8}{'star':>6}{'[s]':>8}"
        f"{'acyclic':>9}{'[s]':>8}"
    )
    for name, make in COUNTED.items():
        pattern = make()
        seconds, jacobian = _timed(asdex.jacobian_coloring_from_sparsity, pattern)
        star_seconds, hessian = _timed(asdex.hessian_coloring_from_sparsity, pattern)
        tree_seconds, acyclic = _timed(_by_substitution, pattern)
        print(
            f"{name:<32}{jacobian.lower_bound:>6}{jacobian.num_colors:>7}{seconds:>8.2f}"
            f"{hessian.num_colors:>6}{star_seconds:>8.2f}"
            f"{acyclic.num_colors:>9}{tree_seconds:>8.2f}",
            flush=True,
        )

    print("\nStar colorings of random patterns, n = 1e5: default, largest first")
    for seed, per_row in RANDOM:
        pattern = patterns.random_symmetric(seed, 100_000, per_row)
        seconds, best = _timed(asdex.hessian_coloring_from_sparsity, pattern)
        plain = _greedy(pattern)
        print(
            f"{per_row:>3} per row, seed {seed}: {best.num_colors:>3} {plain.num_colors:>3}"
            f"  {seconds:.2f} s by {best.found_by}",
            flush=True,
        )

    print("\nSeconds of the first and of the second call")
    for name, (make, verbs) in TIMED.items():
        pattern = make()
        for verb_name, verb in verbs.items():
            first, result = _timed(verb, pattern)
            second, _ = _timed(verb, pattern)
            print(
                f"{name:<30}{verb_name:<18}{_count(result):>6} colors"
                f"{first:>7.2f}{second:>7.2f}",
                flush=True,
            )


def _timed(verb: Verb, pattern: SparsityPattern) -> tuple[float, Any]:
    return once(lambda: verb(pattern))


def _without_shapes(pattern: SparsityPattern) -> SparsityPattern:
    return SparsityPattern(pattern.rows, pattern.cols, pattern.shape)


def _by_substitution(pattern: SparsityPattern) -> ColoredPattern:
    return asdex.hessian_coloring_from_sparsity(pattern, decompression="substitution")


def _greedy(pattern: SparsityPattern) -> ColoredPattern:
    return asdex.hessian_coloring_from_sparsity(pattern, algorithm=Greedy())


def _count(result: Any) -> int:
    """Number of colors in what any of the verbs returns."""
    if isinstance(result, ColoredPattern):
        return result.num_colors
    if isinstance(result[1], int):
        return result[1]
    return sum(int(np.max(side, initial=-1)) + 1 for side in result)
