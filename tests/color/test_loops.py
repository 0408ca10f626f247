"""Loops in Python and compiled ones agree, and the latter keep their arrays in place."""

import inspect
import re

import jax
import numpy as np
import pytest

import asdex
from asdex import SparsityPattern
from asdex._color import acyclic, greedy, orders, star, substitution

from ..compiling import optimized_jit
from . import patterns
from .orders import ORDERS

SCALAR, ARRAY = (), (1024,)

KERNELS = {
    "greedy": (greedy._first_free_colors_compiled, [*4 * [ARRAY], *2 * [SCALAR]]),
    "star": (star._color_with_words, [*5 * [ARRAY], *4 * [SCALAR]]),
    "acyclic": (acyclic._acyclic_coloring, [*6 * [ARRAY], SCALAR, SCALAR]),
    "trees": (substitution._cut, [*4 * [ARRAY], *3 * [SCALAR]]),
    "bucket queue": (orders._take_largest_compiled, [*7 * [ARRAY], *3 * [SCALAR]]),
}


@pytest.mark.parametrize("name", KERNELS)
def test_no_array_is_copied_inside_the_loop(name: str):
    run, shapes = KERNELS[name]
    arguments = [jax.ShapeDtypeStruct(shape, np.dtype(np.int32)) for shape in shapes]
    text = optimized_jit(inspect.unwrap(run)).lower(*arguments).compile().as_text()
    copied = re.findall(r"= s32\[\d+\]\S* copy\(%(\S+)\)", str(text))
    # Arguments that a loop overwrites are copied once, on entry.
    assert not [name for name in copied if "tuple" in name or "fusion" in name]


FAMILIES = {
    "band": lambda: patterns.band(300, 7),
    "grid": lambda: patterns.grid(15, 15),
    "random": lambda: patterns.random_symmetric(0, 400, 12),
    "power law": lambda: patterns.power_law(0, 400, 200),
    "arrow": lambda: patterns.arrow(100),
    "complete but for an edge": lambda: almost_complete(80),
}


def almost_complete(n: int) -> SparsityPattern:
    mask = np.ones((n, n), bool)
    mask[0, 1] = mask[1, 0] = False
    return SparsityPattern.from_dense(mask)


@pytest.mark.parametrize("name", FAMILIES)
def test_loops_in_python_and_compiled_ones_agree(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    pattern = FAMILIES[name]()

    def colors() -> list[np.ndarray]:
        sides = asdex.color_bidirectional(pattern)
        of_orders = [asdex.color_cols(pattern, order=order)[0] for order in ORDERS]
        stars = [asdex.color_symmetric(pattern, order=order)[0] for order in ORDERS]
        trees = [asdex.color_acyclic(pattern, order=order)[0] for order in ORDERS]
        plan = substitution.plan_substitution(pattern, trees[0])
        return [*sides, *of_orders, *stars, *trees, *plan.arrays.values()]

    in_python = colors()
    for module in (acyclic, greedy, orders, star, substitution):
        monkeypatch.setattr(module, "MOST_STEPS_IN_PYTHON", -1)
    for one, other in zip(in_python, colors(), strict=True):
        np.testing.assert_array_equal(one, other)
