"""Algorithms as values: how to search for a coloring with few colors.

All of them are deterministic: budgets are numbers of steps, so that a pattern gets the same
colors on every machine, unless a caller gives one in seconds.
"""

import math
import time
from abc import abstractmethod
from typing import Literal, TypeAlias

import equinox as eqx
import numpy as np

from .._show.progress import progress_bar
from .orders import AbstractOrder, LargestFirst, Permutation
from .problem import Candidate, Problem


class AbstractAlgorithm(eqx.Module):
    """A way to color a pattern."""

    @abstractmethod
    def search(self, problem: Problem) -> tuple[Candidate, str]:
        """A coloring, and the name of what found it."""


class Greedy(AbstractAlgorithm):
    """Visit the vertices in the given order, give each the smallest color allowed."""

    order: AbstractOrder = LargestFirst()

    def search(self, problem: Problem) -> tuple[Candidate, str]:
        return _greedy(problem, self.order)


class Lattice(AbstractAlgorithm):
    """Color the points of a regular grid by a formula.

    The vertices are the elements of the input (for rows: of the output) in its shape, and
    conflicts must be those of a stencil, periodic or not. Searching a coloring raises
    `ValueError` if none has at most four times as many colors as the lower bound.
    """

    def search(self, problem: Problem) -> tuple[Candidate, str]:
        found = problem.color_lattice(4 * problem.lower_bound + 1)
        if found is None:
            raise ValueError(
                "No lattice coloring was found: the pattern is not that of a stencil on "
                "arrays of the shapes of the pattern. Use algorithm='auto' instead."
            )
        return found, "Lattice"


class Portfolio(AbstractAlgorithm):
    """Try several algorithms, and stop at the lower bound.

    In turn: largest first; a lattice coloring, which comes first for acyclic ones, or, if
    there is none, smallest last, but for columns or rows alone; and, while the budget
    lasts, greedy colorings that visit the classes of the last one in new orders (iterated
    greedy: Culberson, "Iterated greedy graph coloring and the difficulty landscape", 1992).
    For columns and rows these never need more colors than before. Where a few vertices have
    most of the neighbors, other orders take the place of these, such as smallest first.

    **Arguments:**

    - `budget`: steps to be spent in new orders, about 10 ns each. By default as many as the
        colors are worth that may be saved: those above the lower bound, but at most one
        in sixteen.
    - `seconds`: time after which no other order is begun. The colors then depend on the
        machine, and on what else it does.
    - `progress`: whether a search that takes more than two seconds shows a bar, where
        `tqdm` is installed and the standard error stream is a terminal.
    """

    budget: int | None = None
    seconds: float | None = None
    progress: bool = True

    def __check_init__(self) -> None:
        for name in ("budget", "seconds"):
            if (limit := getattr(self, name)) is not None and not limit > 0:
                raise ValueError(f"{name} must be positive. Got {limit}.")

    def search(self, problem: Problem) -> tuple[Candidate, str]:
        start = time.monotonic()
        fewest, (first, *others) = problem.lower_bound, problem.orders
        lattice = problem.color_lattice(2 * fewest) if problem.lattice_first else None
        if lattice is not None and lattice.num_colors == fewest:
            return lattice, "Lattice"
        best = _greedy(problem, first)
        if best[0].num_colors == fewest:
            return best
        if not problem.lattice_first:
            lattice = problem.color_lattice(best[0].num_colors)
        if lattice is not None and lattice.num_colors < best[0].num_colors:
            found = [(lattice, "Lattice")]
        else:
            found = [best, *(_greedy(problem, order) for order in others)]
        return self._iterate(problem, found, start)

    def _iterate(
        self, problem: Problem, found_so_far: list[tuple[Candidate, str]], start: float
    ) -> tuple[Candidate, str]:
        """Visit the color classes in new orders, again and again."""
        random = np.random.default_rng(0)
        best = min(found_so_far, key=lambda result: result[0].num_colors)
        # The classes of the last one backwards give the fewest colors of some power laws,
        # even if another order gave fewer than the last one.
        current, name = found_so_far[-1]
        failures, spent = 0, 0
        is_limited = self.budget is not None or self.seconds is not None
        patience = math.inf if is_limited else _PATIENCE
        deadline = math.inf if self.seconds is None else start + self.seconds
        with progress_bar("coloring in new orders", shown=self.progress) as bar:
            while failures < patience and time.monotonic() < deadline:
                kind = random.choice(3, p=_MIX) if spent else 0
                spent += problem.work(current.num_colors)
                if spent > self._budget(problem, best[0].num_colors):
                    break
                found = problem.color(_visit_classes(current, kind, random))
                if found.num_colors <= current.num_colors:
                    current = found
                failures += 1
                if found.num_colors < best[0].num_colors:
                    best, failures = (found, f"{name}, iterated"), 0
                fewest = best[0].num_colors
                bar.advance(f"{fewest} colors, at least {problem.lower_bound}")
        return best

    def _budget(self, problem: Problem, num_colors: int) -> int | float:
        """Steps that may be spent, none where no color can be saved."""
        savable = min(num_colors - problem.lower_bound, 1 + num_colors // 16)
        if savable > 0 and self.budget is not None:
            return self.budget
        if savable > 0 and self.seconds is not None:
            return math.inf
        return _WORTH * savable * problem.pattern.nnz


Algorithm: TypeAlias = AbstractAlgorithm | Literal["auto"]
"""`"auto"` is `Portfolio()`."""

_WORTH = 10
"""Steps that a color is worth, for each entry: in a hundred evaluations, which take a
nanosecond for each entry and color."""

_PATIENCE = 3
"""Orders without success after which the search ends, unless it was given a budget."""


def as_algorithm(algorithm: Algorithm) -> AbstractAlgorithm:
    """The algorithm behind a name."""
    if isinstance(algorithm, AbstractAlgorithm):
        return algorithm
    if algorithm != "auto":
        raise ValueError(
            f"Unknown algorithm {algorithm!r}. Expected 'auto', or an algorithm such as "
            "Portfolio() or Greedy(SmallestLast())."
        )
    return Portfolio()


def _greedy(problem: Problem, order: AbstractOrder) -> tuple[Candidate, str]:
    return problem.color(order.arrange(problem.graph)), type(order).__name__


def _visit_classes(
    current: Candidate, kind: int, random: np.random.Generator
) -> Permutation:
    """The vertices class by class: backwards, or the largest or any class first."""
    colors = current.colors - current.colors.min(initial=0)  # Neutral ones are a class.
    k = int(colors.max(initial=-1)) + 1
    by_size = np.argsort(-np.bincount(colors, minlength=k), kind="stable")
    classes = (np.arange(k)[::-1], by_size, random.permutation(k))
    ranks = np.argsort(classes[kind])
    return np.argsort(ranks[colors], kind="stable").astype(np.int32)


_MIX = (0.5, 0.3, 0.2)
"""Culberson's mixture of reversed, largest first and random classes, nearly. Reversed ones
come first: after smallest last, they halve the colors of some power laws."""
