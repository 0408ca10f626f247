"""Dense Jacobians and Hessians in column blocks, for where memory is the limit.

`jax.jacobian` and `jax.hessian` hold the tangents of all columns at a time. The functions
here take the columns in `nbatches` blocks, one after the other: the peak memory falls
with the size of a block, down to that of the result. Arguments and results are in
flattened coordinates, those of `jax.flatten_util.ravel_pytree`.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Inexact, Shaped

from ._base.types import PyTree

__all__ = ["hessian", "hessian_to_pytree", "jacobian", "jacobian_to_pytree"]

Flat = Inexact[Array, " n"]
Unflatten = Callable[[Array], PyTree]


def jacobian(
    f: Callable[[Any], Array],
    x: PyTree,
    nbatches: int = 1,
    jit: bool = True,
    checkpoint: bool = False,
) -> tuple[Inexact[Array, "*y n"], Unflatten]:
    """The Jacobian of `f` at `x`, in `nbatches` blocks of columns.

    **Arguments:**

    - `f`: a function of one pytree that returns an array.
    - `x`: where to evaluate the Jacobian.
    - `nbatches`: number of blocks; the memory for tangents falls in proportion.
    - `jit`: whether to compile the computation of all blocks.
    - `checkpoint`: whether to compute the intermediate results of `f` again in each block
        instead of keeping them.

    **Returns:** the Jacobian, of shape `(*f(x).shape, n)` with `n` the number of elements
    of `x`, and the function that maps a flat vector of length `n` to a pytree like `x`.

    **Raises:** `ValueError` if `nbatches` is not positive; `TypeError` if `f` does not
    return an array.
    """
    flat, unflatten = _ravel(x, nbatches)

    def fun(z: Flat) -> Inexact[Array, "..."]:
        return _as_array(f(unflatten(z)))

    return _columns(fun, flat, nbatches, jit=jit, checkpoint=checkpoint), unflatten


def hessian(
    f: Callable[[Any], Array],
    x: PyTree,
    nbatches: int = 1,
    jit: bool = True,
    checkpoint: bool = False,
) -> tuple[Inexact[Array, "n n"], Unflatten]:
    """The Hessian of a scalar function `f` at `x`, in `nbatches` blocks of columns.

    See `jacobian` for the arguments.

    **Returns:** the Hessian, of shape `(n, n)`, and the function that maps a flat vector
    of length `n` to a pytree like `x`.

    **Raises:** what `jacobian` raises; `ValueError` if `f` does not return a scalar.
    """
    flat, unflatten = _ravel(x, nbatches)

    def fun(z: Flat) -> Inexact[Array, ""]:
        y = _as_array(f(unflatten(z)))
        if y.shape != ():
            raise ValueError(f"f must return a scalar. Got an array of shape {y.shape}.")
        return y

    gradient = jax.grad(jax.checkpoint(fun) if checkpoint else fun)
    return _columns(gradient, flat, nbatches, jit=jit, checkpoint=checkpoint), unflatten


def jacobian_to_pytree(J: Shaped[Array, "*y n"], x: PyTree) -> PyTree:
    """Split a flat Jacobian into a pytree like `x` of blocks of shape `(*y, *leaf)`.

    The blocks are those of `jax.jacobian`.

    **Raises:** `ValueError` if the last axis of `J` is not as long as `x` has elements.
    """
    shapes, treedef = _shapes(x)
    _check_shape("J", J, (*J.shape[:-1], sum(map(math.prod, shapes))))
    return treedef.unflatten(_split(J, shapes))


def hessian_to_pytree(H: Shaped[Array, "rows cols"], x: PyTree) -> PyTree:
    """Split a flat Hessian into a pytree like `x` of pytrees like `x`.

    The blocks have shapes `(*leaf_1, *leaf_2)`, as those of `jax.hessian`.

    **Raises:** `ValueError` if `H` does not have shape `(n, n)` with `n` the number of
    elements of `x`.
    """
    shapes, treedef = _shapes(x)
    n = sum(map(math.prod, shapes))
    _check_shape("H", H, (n, n))
    rows = [jnp.moveaxis(block, 0, -1) for block in _split(H.T, shapes)]
    return treedef.unflatten([treedef.unflatten(_split(row, shapes)) for row in rows])


def _ravel(x: PyTree, nbatches: int) -> tuple[Flat, Unflatten]:
    if nbatches < 1:
        raise ValueError(f"nbatches must be positive. Got {nbatches}.")
    return ravel_pytree(x)


def _as_array(y: Any) -> Array:
    if not jax.tree_util.all_leaves([y]):
        raise TypeError(
            "f must return an array. Got a pytree of structure "
            f"{jax.tree.structure(y)}; ravel it with jax.flatten_util.ravel_pytree."
        )
    return jnp.asarray(y)


def _columns(
    fun: Callable[[Flat], Array], x: Flat, nbatches: int, *, jit: bool, checkpoint: bool
) -> Inexact[Array, "*y n"]:
    """The derivative of `fun`, linearized once, with the columns along the last axis."""
    n = x.size
    size = -(-n // nbatches)

    def compute(x: Flat) -> Inexact[Array, "*y n"]:
        y, push = jax.linearize(jax.checkpoint(fun) if checkpoint else fun, x)

        def block(_: None, columns: Array) -> tuple[None, Inexact[Array, "*y block"]]:
            # Columns that do not exist, in the last block, are zero.
            seeds = jax.nn.one_hot(columns, n, dtype=x.dtype)
            return None, jax.vmap(push, out_axes=-1)(seeds)

        columns = jnp.arange(nbatches * size).reshape(nbatches, size)
        _, blocks = jax.lax.scan(block, None, columns)
        return jnp.moveaxis(blocks, 0, -2).reshape(*y.shape, nbatches * size)[..., :n]

    return jax.jit(compute)(x) if jit else compute(x)


def _shapes(x: PyTree) -> tuple[list[tuple[int, ...]], Any]:
    leaves, treedef = jax.tree.flatten(x)
    return [jnp.shape(leaf) for leaf in leaves], treedef


def _check_shape(name: str, matrix: Array, expected: tuple[int, ...]) -> None:
    if matrix.shape != expected:
        raise ValueError(
            f"{name} must have shape {expected}, because x has {expected[-1]} elements. "
            f"Got {matrix.shape}. Pass the x that {name} was computed at."
        )


def _split(
    matrix: Shaped[Array, "*y n"], shapes: Sequence[tuple[int, ...]]
) -> list[Shaped[Array, "..."]]:
    """The windows of the last axis that belong to leaves of these shapes."""
    ends = list(itertools.accumulate(map(math.prod, shapes)))
    windows = jnp.split(matrix, ends[:-1], axis=-1)
    return [
        window.reshape(*matrix.shape[:-1], *shape)
        for window, shape in zip(windows, shapes, strict=True)
    ]
