"""How well a linear system is conditioned."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Num

from .._base.types import PyTree
from .._structure.pattern import SparsityPattern
from . import algebra
from .solvers import AnySolver, substitute


def rcond(
    pattern: SparsityPattern,
    data: Num[Array, " nnz"],
    factors: PyTree[Array],
    solver: AnySolver,
    transposed: bool = False,
) -> Inexact[Array, ""]:
    """The reciprocal of the condition number, of the matrix or its transpose, in the norm
    of column sums, estimated from above and seldom three times too large; zero for a
    singular matrix, one for a matrix without rows.

    N. J. Higham, "FORTRAN codes for estimating the one-norm of a real or complex matrix",
    ACM Trans. Math. Softw. 14 (1988), with two steps in place of up to five. Cost: four
    substitutions in the factors.
    """
    n, dtype = pattern.n, jnp.result_type(data)
    if not n:
        return jnp.ones((), jnp.finfo(dtype).dtype)
    solve, solve_transposed = (
        partial(substitute, pattern, data, factors, solver=solver, transposed=turned)
        for turned in (transposed, not transposed)
    )
    first, singular = solve(jnp.full(n, 1 / max(n, 1), dtype))
    size = jnp.abs(first)
    nonzero = jnp.where(size > 0, size, 1).astype(dtype)
    signs = jnp.where(size > 0, jnp.conj(first) / nonzero, jnp.ones(n, dtype))
    steepest = jnp.argmax(jnp.abs(solve_transposed(signs)[0]))
    second, _ = solve(jnp.zeros(n, dtype).at[steepest].set(1))
    places = np.arange(n)
    alternating = (1 - 2 * (places % 2)) * (1 + places / max(n - 1, 1))
    third, _ = solve(jnp.asarray(alternating, dtype))
    norms = [jnp.abs(x).sum() for x in (first, second, third)]
    inverse = jnp.maximum(jnp.maximum(norms[0], norms[1]), 2 * norms[2] / (3 * max(n, 1)))
    norm = algebra.norm(pattern, data, "inf" if transposed else 1)
    return jnp.where(singular, 0, 1 / (norm * inverse))


def is_nearly_singular(
    pattern: SparsityPattern,
    data: Num[Array, "*#batch nnz"],
    x: Inexact[Array, "*batch n"],
    b: Num[Array, "*#batch n"],
    transposed: bool = False,
) -> Bool[Array, "*batch"]:
    """Whether a solution is so large that the condition number exceeds `1 / eps`.

    A lower bound, `norm(A) norm(x) / norm(b)`, in the norm of the largest element and of
    row sums. Cost: O(nnz).
    """
    real = jnp.finfo(x.dtype).dtype
    norm = algebra.norm(pattern, data, 1 if transposed else "inf").astype(real)
    sizes = [jnp.max(jnp.abs(v), axis=-1, initial=0).astype(real) for v in (x, b)]
    eps = min(float(jnp.finfo(real).eps), float(jnp.finfo(jnp.float32).eps))
    return norm * sizes[0] * eps > sizes[1]
