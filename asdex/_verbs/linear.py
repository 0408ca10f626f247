"""The verbs for what does not change: constant entries, and the matrix of a linear map."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .._base.types import ACCUMULATE, PyTree
from .._detect import check_linear
from .._evaluate.accumulate import ConstantEntries
from .._operator import SparseJacobian
from .derivatives import hessian, jacobian


def constant_entries(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    order: int = 1,
    **kwargs: Any,
) -> ConstantEntries:
    """Which entries of the Jacobian of `f` never change, and their values.

    An entry is constant if its coefficient is computed from constants alone: a diffusion
    stencil, the linear part of a residual. `f` is traced, not evaluated. An entry may be
    constant without being found; one that is found is. `Derivative.constant_entries` is the
    same for the pattern of a derivative.

    **Arguments:**

    - `f`, `*args`, `**kwargs`, `argnums`, `has_aux`: see `jacobian_sparsity`.
    - `order`: 1 for the Jacobian, 2 for the Hessian of a scalar function.

    **Returns:** the pattern, a boolean and a value for each of its entries.

    **Raises:** what `jacobian` or `hessian` raise; `ValueError` for another order.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2. Got {order!r}.")
    verb = jacobian if order == 1 else hessian
    derivative = verb(f, *args, argnums=argnums, has_aux=has_aux, mode=ACCUMULATE, **kwargs)
    return derivative.constant_entries


def materialize(linear_function: Callable[[Any], Any], x: PyTree) -> SparseJacobian:
    """The matrix of a linear function.

    Nothing is evaluated where all coefficients are constants; otherwise they are computed
    by accumulation, or where that is not possible by colors.

    **Arguments:**

    - `linear_function`: a function of one array or pytree of arrays.
    - `x`: an array or `jax.ShapeDtypeStruct`, or a pytree of them, like its argument. Only
        shapes and dtypes are used.

    **Returns:** a `SparseJacobian`: `materialize(f, x).mv(x)` equals `f(x)`.

    **Raises:** `ValueError` naming the equation by which the function is not linear; what
    `jacobian` raises.
    """
    avals = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), x)
    is_complex = any(
        jnp.issubdtype(leaf.dtype, jnp.complexfloating) for leaf in jax.tree.leaves(avals)
    )
    derivative = jacobian(
        linear_function,
        avals,
        mode=ACCUMULATE,
        output_format="operator",
        holomorphic=is_complex,
    )
    check_linear(linear_function, avals)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), avals)
    return derivative(zeros)
