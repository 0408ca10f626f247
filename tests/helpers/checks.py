"""Comparing what asdex computes for a row of the table with dense JAX."""

import jax
import numpy as np

from .reference import blocks, check_contains, check_equal, dense, nonzeros, points
from .sparse import JAX_FORMATS, batched, coloring, derivative, formats, jitted
from .table import Case


def check_pattern(case: Case, dtype: np.dtype) -> None:
    """The detected pattern holds all nonzeros, and no more where that is claimed."""
    pattern = coloring(case, dtype).sparsity.todense().astype(bool)
    needed = nonzeros(case, dtype)
    check_contains(pattern, needed)
    if case.exact == "yes":
        assert np.array_equal(pattern, needed), np.argwhere(pattern & ~needed).tolist()


def check_all_points(case: Case, dtype: np.dtype, mode: str | None) -> None:
    """The jitted Jacobian at all points of the case."""
    colored = coloring(case, dtype, mode)
    assert colored.mode in (mode, *case.modes)
    all_points = points(case, dtype)
    fun = jitted(derivative(case, colored), all_points[0])
    for args, matrix in zip(all_points, dense(case, dtype), strict=True):
        if np.isfinite(matrix).all():
            check_equal(fun(*args), blocks(case, args, matrix), dtype, case.tolerance)


def check_formats(case: Case, dtype: np.dtype) -> None:
    """All formats, plain and jitted where the format allows it."""
    args, colored = points(case, dtype)[0], coloring(case, dtype)
    expected = blocks(case, args, dense(case, dtype)[0])
    for output_format in formats(case, args):
        fun = derivative(case, colored, output_format)
        check_equal(fun(*args), expected, dtype, case.tolerance)
        if output_format in JAX_FORMATS:
            check_equal(jitted(fun, args)(*args), expected, dtype, case.tolerance)


def check_vmap(case: Case, dtype: np.dtype, mode: str | None) -> None:
    """Two points at once."""
    both, colored = points(case, dtype)[:2], coloring(case, dtype, mode)
    expected = [
        blocks(case, args, matrix)
        for args, matrix in zip(both, dense(case, dtype), strict=False)
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *expected)
    for output_format in JAX_FORMATS[: 1 if mode else 2]:
        fun = derivative(case, colored, output_format)
        check_equal(batched(fun, both), stacked, dtype, case.tolerance)
