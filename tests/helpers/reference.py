"""Dense derivatives by JAX of a function of the table, to compare the sparse ones with."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.experimental.sparse import JAXSparse
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Inexact, PyTree

from .table import Case, is_inexact

RANDOM_POINTS = 40

densify = jax.jit(lambda matrix: matrix.todense())
"""Compiled as a whole, which takes a tenth of the time of its operations one by one."""


def points(case: Case, dtype: np.dtype) -> list[tuple[Any, ...]]:
    """Arguments to evaluate at: random ones, then zeros, ties and small integers."""
    rng = np.random.default_rng(2026)
    random = [case.make(rng, dtype) for _ in range(RANDOM_POINTS)]
    if not case.edges:
        return random
    edges = (np.zeros_like, np.ones_like, np.round)
    return random + [_map_inexact(edge, case.make(rng, dtype)) for edge in edges]


def flatten(
    case: Case, args: tuple[Any, ...]
) -> tuple[Callable[[Array], Array], Inexact[Array, " n"]]:
    """The function of the selected inputs as one vector, and that vector at `args`.

    Elements are ordered as in a detected pattern: selected arguments in the order of
    `argnums`, the leaves of each in order, each leaf in row-major order.
    """
    argnums = (case.argnums,) if isinstance(case.argnums, int) else case.argnums
    selected = [args[argnum] for argnum in argnums]
    dynamic, static = eqx.partition(selected, is_inexact)
    vector, unravel = ravel_pytree(dynamic)

    def flat(vector: Array) -> Array:
        new_args = list(args)
        replaced = eqx.combine(unravel(vector), static)
        for argnum, value in zip(argnums, replaced, strict=True):
            new_args[argnum] = value
        out = ravel_pytree(case.fun(*new_args, **case.kwargs))[0]
        return out.reshape(()) if case.scalar else out

    return flat, vector


def dense_at(case: Case, args: tuple[Any, ...]) -> Inexact[Array, "m n"]:
    """The dense Jacobian, or Hessian of a scalar case; numbers of `args` may be traced."""
    flat, vector = flatten(case, args)
    rows = vector if case.scalar else jax.eval_shape(flat, vector)
    return _dense_derivative(case)(flat)(vector).reshape(rows.size, vector.size)


def nonzeros(matrices: Inexact[np.ndarray, "points m n"]) -> Bool[np.ndarray, "m n"]:
    """Where the dense derivative is nonzero at some point.

    Entries that are not finite do not count: at a singular point JAX multiplies the
    infinite derivative by zero seeds too, and so fills whole rows with NaN.
    """
    return np.any(np.isfinite(matrices) & (matrices != 0), axis=0)


def check_contains(
    pattern: Bool[np.ndarray, "m n"], needed: Bool[np.ndarray, "m n"]
) -> None:
    """Raise `AssertionError` naming the entries of `needed` that `pattern` lacks."""
    assert pattern.shape == needed.shape, (pattern.shape, needed.shape)
    missing = np.argwhere(needed & ~pattern)
    assert not len(missing), f"{len(missing)} entries missing: {missing[:10].tolist()}"


def blocks(
    case: Case, args: tuple[Any, ...], matrix: Inexact[np.ndarray, "*batch m n"]
) -> PyTree[np.ndarray]:
    """The matrix cut into blocks as `jax.jacfwd` or `jax.hessian` nests them.

    The blocks of static leaves, which JAX itself refuses, are `None`.
    """
    argnums = case.argnums
    selected = args[argnums] if isinstance(argnums, int) else [args[k] for k in argnums]
    inputs = eqx.filter(
        selected if isinstance(argnums, int) else tuple(selected), is_inexact
    )
    outputs = inputs if case.scalar else output_avals(case, args)
    in_leaves, in_tree = jax.tree.flatten(inputs)
    out_leaves, out_tree = jax.tree.flatten(outputs)

    def cut(rows: np.ndarray, out_shape: tuple[int, ...]) -> PyTree[np.ndarray]:
        columns = np.split(rows, np.cumsum([leaf.size for leaf in in_leaves])[:-1], axis=-1)
        pairs = zip(columns, in_leaves, strict=True)
        return in_tree.unflatten(
            [block.reshape(batch + out_shape + leaf.shape) for block, leaf in pairs]
        )

    batch = matrix.shape[:-2]
    parts = np.split(matrix, np.cumsum([leaf.size for leaf in out_leaves])[:-1], axis=-2)
    pairs = zip(parts, out_leaves, strict=True)
    return out_tree.unflatten([cut(part, leaf.shape) for part, leaf in pairs])


def output_avals(case: Case, args: tuple[Any, ...]) -> PyTree[jax.ShapeDtypeStruct]:
    """Shapes and dtypes of what the function of the case returns."""
    arrays, static = eqx.partition(args, is_inexact)

    def call(arrays: PyTree[Array]) -> PyTree[Array]:
        return case.fun(*eqx.combine(arrays, static), **case.kwargs)

    return jax.eval_shape(call, arrays)


def check_equal(
    actual: PyTree, expected: PyTree, dtype: np.dtype, extra_tolerance: float = 0.0
) -> None:
    """Raise `AssertionError` unless two trees of blocks agree; formats do not matter."""
    actual = jax.tree.map(todense, actual, is_leaf=is_sparse)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for block, wanted in zip(
        jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
    ):
        assert block.shape == wanted.shape
        assert allclose(block, wanted, dtype, extra_tolerance), (
            f"{block}\n  is not\n{wanted}"
        )


def is_sparse(matrix: Any) -> bool:
    """Whether it is a sparse matrix of JAX, SciPy or asdex."""
    return hasattr(matrix, "todense")


def todense(matrix: Any) -> np.ndarray:
    """Any of the output formats as a NumPy array."""
    if isinstance(matrix, JAXSparse):
        return np.asarray(densify(matrix))
    return np.asarray(matrix.todense() if is_sparse(matrix) else matrix)


def _dense_derivative(case: Case) -> Callable[..., Any]:
    jacobian = jax.jacfwd if "fwd" in case.modes else jax.jacrev
    if not case.scalar:
        return jacobian
    outer = jax.jacfwd if "fwd_over_rev" in case.modes else jax.jacrev
    return lambda fun: outer(jax.jacrev(fun))


def _map_inexact(function: Callable[..., Any], tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: function(x) if is_inexact(x) else x, tree)


def allclose(
    actual: Any, expected: Any, dtype: np.dtype, extra_tolerance: float = 0.0
) -> bool:
    """Whether two arrays agree as far as `dtype` allows; NaN agrees with NaN."""
    tolerance = max(extra_tolerance, 1e-9 if dtype == np.float64 else 2e-4)
    actual, expected = np.asarray(actual), np.asarray(expected)
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(np.max(finite.astype(float), initial=1.0))
    return actual.shape == expected.shape and np.allclose(
        actual, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True
    )
