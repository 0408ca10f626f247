"""Comparing what asdex computes for a row of the table with dense JAX."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree

from .reference import (
    blocks,
    check_contains,
    check_equal,
    dense_at,
    is_sparse,
    nonzeros,
    points,
)
from .sparse import accumulated, coloring, derivative, formats
from .table import Case, is_inexact


def check_pattern_and_values(case: Case, dtype: np.dtype, *, every: bool) -> None:
    """The detected pattern, and the sparse derivative at all points of the case.

    One compiled program computes the dense derivative and the sparse one, at one point
    after the other, by colors and, where that is possible, by accumulation. With `every`,
    it does so in all modes and also in format `"dense"`, and once more for two points at
    once.
    """
    modes = (None, *case.modes) if every else (None,)
    colorings = dict.fromkeys(coloring(case, dtype, mode) for mode in modes)
    sparse = [derivative(case, colored) for colored in colorings]
    if (fun := accumulated(case, dtype)) is not None:
        sparse.append(fun)
    if every:
        sparse.append(derivative(case, coloring(case, dtype), "dense"))
    all_points = points(case, dtype)
    parts = [eqx.partition(args, is_inexact) for args in all_points]
    static = parts[0][1]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *[part[0] for part in parts])

    @jax.jit
    def compute(stacked: PyTree[Array]) -> tuple[Array, Any, Any]:
        def at_point(arrays: PyTree[Array]) -> tuple[Array, Any]:
            args = eqx.combine(arrays, static)
            return dense_at(case, args), _todense([fun(*args) for fun in sparse])

        def at_two_points(fun: Any) -> Any:
            two = jax.tree.map(lambda leaf: leaf[:2], stacked)
            return jax.vmap(lambda arrays: fun(*eqx.combine(arrays, static)))(two)

        matrices, one_by_one = lax.map(at_point, stacked)
        together = _todense([at_two_points(fun) for fun in sparse]) if every else []
        return matrices, one_by_one, together

    matrices, one_by_one, together = jax.tree.map(np.asarray, compute(stacked))
    needed = nonzeros(matrices)
    for colored in colorings:
        assert colored.mode in case.modes
        pattern = colored.sparsity.todense().astype(bool)
        check_contains(pattern, needed)
        if case.exact == "yes":
            assert np.array_equal(pattern, needed), np.argwhere(pattern & ~needed).tolist()
    expected = blocks(case, all_points[0], matrices)
    for found in one_by_one:
        for k in np.flatnonzero(np.isfinite(matrices).all(axis=(1, 2))):
            check_equal(_at(found, k), _at(expected, k), dtype, case.tolerance)
    for found in together:
        check_equal(found, _at(expected, slice(2)), dtype, case.tolerance)


def check_formats(case: Case, dtype: np.dtype) -> None:
    """Calls outside of `jit`, in all formats."""
    args, colored = points(case, dtype)[0], coloring(case, dtype)
    matrix = np.asarray(jax.jit(lambda: dense_at(case, args))())
    expected = blocks(case, args, matrix)
    for output_format in formats(case, args):
        fun = derivative(case, colored, output_format)
        check_equal(fun(*args), expected, dtype, case.tolerance)


def _todense(tree: PyTree) -> PyTree[Array]:
    return jax.tree.map(
        lambda leaf: leaf.todense() if is_sparse(leaf) else leaf, tree, is_leaf=is_sparse
    )


def _at(tree: PyTree[np.ndarray], k: Any) -> PyTree[np.ndarray]:
    return jax.tree.map(lambda leaf: leaf[k], tree)
