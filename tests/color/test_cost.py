"""Colorings in proportion to their patterns: what is not tried, and not compiled."""

from collections.abc import Callable

import jax
import numpy as np
import pytest

import asdex
from asdex import ColoredPattern, SparsityPattern
from asdex._color import acyclic, greedy, star

from . import patterns

COLORINGS = [asdex.jacobian_coloring_from_sparsity, asdex.hessian_coloring_from_sparsity]


def by_substitution(pattern: SparsityPattern) -> ColoredPattern:
    return asdex.hessian_coloring_from_sparsity(pattern, decompression="substitution")


SMALL = {
    "grid": (patterns.grid(50, 50), [*COLORINGS, by_substitution]),
    "Brusselator": (patterns.brusselator(33, interleaved=True), COLORINGS),
    "random": (patterns.random_symmetric(0, 3000, 9), COLORINGS),
    "few random": (patterns.random_symmetric(0, 500, 5), [*COLORINGS, by_substitution]),
    "power law": (patterns.power_law(0, 2000, 300), COLORINGS),
}


@pytest.mark.parametrize(
    ("pattern", "color"),
    [
        pytest.param(pattern, color, id=f"{name}, {color.__name__}")
        for name, (pattern, colorings) in SMALL.items()
        for color in colorings
    ],
)
def test_small_patterns_compile_nothing(
    color: Callable[..., ColoredPattern],
    pattern: SparsityPattern,
    caplog: pytest.LogCaptureFixture,
):
    jax.clear_caches()
    with jax.log_compiles():
        color(pattern)
    assert not [record for record in caplog.records if "Compiling" in record.message]


def full(n: int) -> SparsityPattern:
    return SparsityPattern.from_dense(np.ones((n, n), bool))


def full_rows(n: int, count: int) -> SparsityPattern:
    mask = np.eye(n, dtype=bool)
    mask[:count] = mask[:, :count] = True
    return SparsityPattern.from_dense(mask)


@pytest.mark.filterwarnings("ignore::asdex.DenseColoringWarning")
def test_full_patterns_are_not_searched(monkeypatch: pytest.MonkeyPatch):
    for module, loop in (
        (greedy, "_first_free_colors"),
        (greedy, "_first_free_colors_compiled"),
        (star, "_first_star_colors"),
        (star, "_first_star_colors_compiled"),
        (acyclic, "_acyclic_coloring"),
    ):
        monkeypatch.setattr(module, loop, None)
    pattern = full(400)
    for color in COLORINGS:
        coloring = color(pattern)
        assert coloring.num_colors == coloring.lower_bound == 400
    assert by_substitution(pattern).num_colors == 400
    assert asdex.color_cols(full_rows(500, 3))[1] == 500


def test_full_rows_and_columns():
    pattern = full_rows(1024, 32)
    hessian = asdex.hessian_coloring_from_sparsity(pattern)
    asdex.check_coloring_symmetric(pattern, hessian.colors)
    assert hessian.num_colors == 33
    jacobian = asdex.jacobian_coloring_from_sparsity(pattern)
    columns, rows = np.split(jacobian.colors, [1024])
    asdex.check_coloring_bidirectional(pattern, columns, rows)
    assert jacobian.num_colors == 65


@pytest.mark.parametrize("color", COLORINGS)
def test_nothing_else_is_tried_at_the_lower_bound(
    color: Callable[..., ColoredPattern], monkeypatch: pytest.MonkeyPatch
):
    visits = []
    for module, name in ((greedy, "color_in_order"), (star, "color_stars")):
        original = getattr(module, name)

        def counted(*args, original=original):
            visits.append(args)
            return original(*args)

        monkeypatch.setattr(f"asdex._color.problem.{name}", counted)
    coloring = color(patterns.grid(40, 40))
    assert coloring.num_colors == coloring.lower_bound == 5
    assert len(visits) == 1


def test_a_hub_makes_no_large_sets(monkeypatch: pytest.MonkeyPatch):
    sizes = []
    original = star._color_with_words

    def recorded(*args):
        sizes.append(args[4].size)
        return original(*args)

    monkeypatch.setattr(star, "_color_with_words", recorded)
    pattern = patterns.arrow(60_000)
    colors, num_colors, _ = asdex.color_symmetric(pattern)
    asdex.check_coloring_symmetric(pattern, colors)
    assert num_colors == 2
    assert sizes == [3 * 60_000]
