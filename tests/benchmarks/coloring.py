"""How many colors, against the lower bound, and how long it takes to find them.

The first table holds the colorings that are chosen by default; numbers of colors are the
same on every machine. The second one compares star colorings of random patterns with the
largest-first order, the third one times the single algorithms. The last one holds patterns
for which a search could take far longer than it is worth: default colorings against a
greedy one in largest-first order, on the same pattern in the same run.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import asdex
from asdex import ColoredPattern, Greedy, SparsityPattern
from asdex._color import Algorithm
from asdex._linalg.solvers.matching import match_rows
from tests.color import patterns

from .timing import once, together

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


BY_GREEDY: dict[str, Callable[[], SparsityPattern]] = {
    "tridiagonal, n = 300": lambda: patterns.band(300, 3),
    "band 5, n = 1000": lambda: patterns.band(1000, 5),
    "10 steps of a stencil, n = 2000": lambda: patterns.grid(
        2000, periodic=True, radius=10
    ),
    "5-point 100 x 100": lambda: patterns.grid(100, 100),
    "5-point 1000 x 1000": lambda: patterns.grid(1000, 1000),
    "27-point periodic 16^3": lambda: patterns.grid(16, 16, 16, periodic=True, radius=1),
    "random, 10 per row, n = 1e4": lambda: patterns.random_symmetric(0, 10_000, 9),
    "random, 10 per row, n = 1e5": lambda: patterns.random_symmetric(0, 100_000, 9),
    "power law, hub 1e4, n = 2e5": lambda: patterns.power_law(0, 200_000, 10_000),
    "full, n = 2400": lambda: _full(2400),
    "full but for two, n = 2400": lambda: _full(2400, but=2),
    "32 full lines, n = 1024": lambda: _full_lines(1024, 32),
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

    print("\nDefault colorings against greedy ones: colors, seconds, and their ratio")
    for name, make in BY_GREEDY.items():
        pattern = make()
        for kind, verb in (
            ("columns or rows", asdex.jacobian_coloring_from_sparsity),
            ("star", asdex.hessian_coloring_from_sparsity),
            ("acyclic", _by_substitution),
        ):
            verb = _quietly(verb)
            greedy = partial(verb, algorithm=Greedy())
            first, coloring = _timed(verb, pattern)
            plain = greedy(pattern)
            seconds, greedy_seconds = together(
                partial(verb, pattern), partial(greedy, pattern), budget=0
            )
            print(
                f"{name:<33}{kind:<16}bound {coloring.lower_bound:>5}"
                f"{coloring.num_colors:>6}{plain.num_colors:>6}"
                f"{seconds:>9.4f}{greedy_seconds:>9.4f}{seconds / greedy_seconds:>6.1f}"
                f"   first call {first:.2f}",
                flush=True,
            )

    triangle = _hidden_triangle(100_000, 9)
    seconds, sorting = together(
        lambda: match_rows(triangle),
        lambda: np.lexsort((triangle.rows, triangle.cols)),
        budget=0,
    )
    print(
        f"\nMatching of a hidden triangle with {triangle.nnz} entries: {seconds:.2f} s, "
        f"{seconds / sorting:.1f} times as long as sorting them"
    )


def _quietly(verb: Callable[..., ColoredPattern]) -> Callable[..., ColoredPattern]:
    """The verb without the warning that a full pattern saves nothing."""

    def without_warnings(*args: Any, **options: Any) -> ColoredPattern:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", asdex.DenseColoringWarning)
            return verb(*args, **options)

    return without_warnings


def _full(n: int, but: int = 0) -> SparsityPattern:
    """All entries, without so many at the ends of the first row and the first column."""
    mask = np.ones((n, n), bool)
    mask[0, n - but :] = mask[n - but :, 0] = False
    return SparsityPattern.from_dense(mask)


def _full_lines(n: int, count: int) -> SparsityPattern:
    mask = np.zeros((n, n), bool)
    mask[:count] = mask[:, :count] = True
    return SparsityPattern.from_dense(mask)


def _hidden_triangle(n: int, per_row: int) -> SparsityPattern:
    """A lower triangle whose rows and columns are renumbered."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n), per_row + 1)
    cols = (rng.random(rows.size) * (rows + 1)).astype(np.int64)
    cols[:: per_row + 1] = np.arange(n)
    row_places, col_places = rng.permutation(n), rng.permutation(n)
    keys = np.unique(row_places[rows] * n + col_places[cols])
    return SparsityPattern(keys // n, keys % n, (n, n))


def _timed(verb: Verb, pattern: SparsityPattern) -> tuple[float, Any]:
    return once(lambda: verb(pattern))


def _without_shapes(pattern: SparsityPattern) -> SparsityPattern:
    return SparsityPattern(pattern.rows, pattern.cols, pattern.shape)


def _by_substitution(
    pattern: SparsityPattern, algorithm: Algorithm = "auto"
) -> ColoredPattern:
    return asdex.hessian_coloring_from_sparsity(
        pattern, algorithm=algorithm, decompression="substitution"
    )


def _greedy(pattern: SparsityPattern) -> ColoredPattern:
    return asdex.hessian_coloring_from_sparsity(pattern, algorithm=Greedy())


def _count(result: Any) -> int:
    """Number of colors in what any of the verbs returns."""
    if isinstance(result, ColoredPattern):
        return result.num_colors
    if isinstance(result[1], int):
        return result[1]
    return sum(int(np.max(side, initial=-1)) + 1 for side in result)
