"""Algorithms as values, and how the portfolio chooses among their colorings."""

import importlib.util
import io
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from jaxtyping import Bool

import asdex
from asdex import ColoredPattern, Greedy, Portfolio, SparsityPattern
from asdex._color.portfolio import _visit_classes
from asdex._color.problem import Candidate

from . import drawn, patterns
from .orders import ORDERS

pytestmark = pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")

COLORINGS = [asdex.jacobian_coloring_from_sparsity, asdex.hessian_coloring_from_sparsity]


@given(drawn.symmetric_matrices)
def test_bounds_hold_and_results_are_deterministic(dense: Bool[np.ndarray, "n n"]):
    pattern = SparsityPattern.from_dense(dense)
    for color in COLORINGS:
        coloring, again = color(pattern), color(pattern)
        assert coloring.lower_bound <= coloring.num_colors
        assert coloring == again
        assert coloring.num_colors <= color(pattern, algorithm=Greedy()).num_colors


@pytest.mark.parametrize("color", COLORINGS)
@pytest.mark.parametrize("seed", range(3))
def test_no_worse_than_any_order(color: Callable[..., ColoredPattern], seed: int):
    pattern = patterns.random_symmetric(seed, 2000, 6)
    best = color(pattern)
    counts = [color(pattern, algorithm=Greedy(order)).num_colors for order in ORDERS]
    assert best.num_colors <= min(counts)


def test_the_winner_is_recorded():
    grid = asdex.jacobian_coloring_from_sparsity(patterns.grid(20, 20))
    assert (grid.found_by, grid.lower_bound) == ("Lattice", 5)
    band = asdex.jacobian_coloring_from_sparsity(patterns.band(50, 3))
    assert (band.found_by, band.lower_bound) == ("LargestFirst", 3)


def test_budget():
    pattern = patterns.random_symmetric(0, 2000, 6)
    hasty = asdex.hessian_coloring_from_sparsity(pattern, algorithm=Portfolio(budget=1))
    assert hasty.found_by == "SmallestLast"
    asdex.check_coloring_symmetric(pattern, hasty.colors)
    for color in COLORINGS:
        best = color(pattern, algorithm=Portfolio(budget=10**7))
        assert best.num_colors <= color(pattern).num_colors
    with pytest.raises(ValueError, match="budget must be positive"):
        Portfolio(budget=0)


def test_seconds():
    pattern = patterns.random_symmetric(0, 2000, 6)
    color = asdex.hessian_coloring_from_sparsity
    first = color(pattern, algorithm=Portfolio(seconds=1e-9))
    assert first.found_by == "SmallestLast"
    start = time.monotonic()
    best = color(pattern, algorithm=Portfolio(seconds=0.3))
    assert time.monotonic() - start > 0.3
    assert best.num_colors <= first.num_colors
    with pytest.raises(ValueError, match="seconds must be positive"):
        Portfolio(seconds=0.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("progress", [True, False])
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_long_searches_show_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], progress: bool
):
    printed = stream()
    monkeypatch.setattr(sys, "stderr", printed)
    monkeypatch.setattr("asdex._show.progress._DELAY", 0.05)
    algorithm = Portfolio(seconds=0.4, progress=progress)
    pattern = patterns.random_symmetric(0, 2000, 6)
    asdex.hessian_coloring_from_sparsity(pattern, algorithm=algorithm)
    is_shown = "coloring in new orders" in printed.getvalue()
    assert is_shown == (progress and stream is Terminal)
    assert ("colors, at least" in printed.getvalue()) == is_shown


def test_without_tqdm_there_is_no_bar(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    pattern = patterns.random_symmetric(0, 2000, 6)
    color = asdex.hessian_coloring_from_sparsity
    assert color(pattern) == color(pattern, algorithm=Portfolio(progress=False))


@pytest.mark.usefixtures("without_annotation_checks")
def test_unknown_algorithm():
    with pytest.raises(ValueError, match="Expected 'auto'"):
        asdex.jacobian_coloring_from_sparsity(np.eye(3), algorithm="best")  # pyright: ignore


def test_hubs_get_colors_of_their_own():
    pattern = patterns.power_law(0, 3000, 1000)
    best = asdex.hessian_coloring_from_sparsity(pattern)
    asdex.check_coloring_symmetric(pattern, best.colors)
    assert 3 * best.num_colors < asdex.color_symmetric(pattern)[1]


def test_a_grid_with_a_few_full_rows_takes_few_colors_more_than_the_grid():
    mask = patterns.grid(30, 30).todense()
    mask[[200, 555]] = mask[:, [200, 555]] = 1
    pattern = SparsityPattern.from_dense(mask)
    hessian = asdex.hessian_coloring_from_sparsity(pattern)
    asdex.check_coloring_symmetric(pattern, hessian.colors)
    assert hessian.num_colors <= 6 + 2
    jacobian = asdex.jacobian_coloring_from_sparsity(pattern)
    columns, rows = np.split(jacobian.colors, [900])
    asdex.check_coloring_bidirectional(pattern, columns, rows)
    assert jacobian.num_colors <= 7 + 2 * 2


def test_algorithm_of_the_verbs():
    greedy = Greedy(asdex.SmallestLast())
    x = np.ones(20, np.float32)
    jacobian = asdex.jacobian_coloring(lambda x: x[1:] * x[:-1], x, algorithm=greedy)
    assert jacobian.found_by == "SmallestLast"
    hessian = asdex.hessian_coloring(lambda x: (x[1:] * x[:-1]).sum(), x, algorithm=greedy)
    assert hessian.found_by == "SmallestLast"


def test_new_orders_keep_classes_together():
    colors = np.array([0, 1, 2, 3, 0, 1, 2, 3], np.int32)
    random = np.random.default_rng(0)
    for kind in range(3):
        visits = _visit_classes(Candidate(colors, 4), kind, random)
        assert (colors[visits][::2] == colors[visits][1::2]).all()
