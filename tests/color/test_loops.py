"""The compiled loops keep their arrays in place."""

import inspect
import re

import jax
import numpy as np
import pytest

from asdex._color import acyclic, greedy, lattice, orders, star, substitution

from ..compiling import optimized_jit

SCALAR, ARRAY = (), (1024,)

KERNELS = {
    "greedy": (greedy._first_free_colors, [*7 * [ARRAY], SCALAR]),
    "star": (star._star_coloring, [*7 * [ARRAY], SCALAR, SCALAR]),
    "acyclic": (acyclic._acyclic_coloring, [*6 * [ARRAY], SCALAR, SCALAR]),
    "trees": (substitution._cut_trees, [*4 * [ARRAY], *3 * [SCALAR]]),
    "close stars": (star._close_stars, [*3 * [ARRAY], SCALAR]),
    "bucket queue": (orders._take_largest, [*7 * [ARRAY], *3 * [SCALAR]]),
    "differences": (lattice._mark_differences, [*4 * [ARRAY], SCALAR]),
    "check of a lattice": (lattice._is_valid, [*3 * [ARRAY], SCALAR]),
}


@pytest.mark.parametrize("name", KERNELS)
def test_no_array_is_copied_inside_the_loop(name: str):
    run, shapes = KERNELS[name]
    arguments = [jax.ShapeDtypeStruct(shape, np.dtype(np.int32)) for shape in shapes]
    text = optimized_jit(inspect.unwrap(run)).lower(*arguments).compile().as_text()
    copied = re.findall(r"= s32\[\d+\]\S* copy\(%(\S+)\)", str(text))
    # Arguments that a loop overwrites are copied once, on entry.
    assert not [name for name in copied if "tuple" in name or "fusion" in name]
