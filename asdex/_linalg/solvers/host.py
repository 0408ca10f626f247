"""Solves by compiled libraries that NumPy and SciPy call, on the host.

Nothing here may call JAX: a callback that waits for a computation of JAX may never
return, since the program that called it occupies the threads.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Bool, Inexact

from ..._base.types import PyTree
from .backend import Solution, Vector

Values: TypeAlias = Inexact[np.ndarray, " nnz"]
Vectors: TypeAlias = Inexact[np.ndarray, "k n"]
"""Right-hand sides or solutions, one after another in memory, like columns in Fortran."""

HostSolution: TypeAlias = tuple[Vectors, bool]

HostSolver: TypeAlias = Callable[[Values, Vectors, bool], HostSolution]
"""Solves `A x = b`, transposed or not, for `k` right-hand sides, and returns whether `A` is
singular. It gets finite values only; its solutions for singular matrices are not used."""


@dataclass(frozen=True, eq=False)
class Host:
    """Calls a solver on the host: one factorization per matrix and call.

    Right-hand sides that a batch has in common with one matrix are solved for together.
    """

    solver: HostSolver

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return data

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        shapes = jax.ShapeDtypeStruct(b.shape, b.dtype), jax.ShapeDtypeStruct((), bool)
        run = partial(_solve_batch, self.solver, transposed)
        # `pure_callback` copies its arguments by computations of JAX, which never end on a
        # CPU whose threads are all busy, perhaps with this very program.
        solution = jax.lax.platform_dependent(
            factors,
            b,
            cpu=buffer_callback(partial(_fill, run), shapes, vmap_method="expand_dims"),
            default=partial(jax.pure_callback, run, shapes, vmap_method="expand_dims"),
        )
        # Inside of `jax.shard_map` the results of a callback count as equal on all devices.
        # This, which XLA removes, lets them vary as the arguments do.
        varying = jnp.isnan(factors).any() | jnp.isnan(b).any()
        x, singular = (jnp.where(False, varying.astype(y.dtype), y) for y in solution)
        return x, singular


def _fill(
    run: Callable[..., tuple[np.ndarray, np.ndarray]],
    context: Any,
    results: Sequence[Any],
    *arguments: Any,
) -> None:
    """Write what `run` returns into the memory of the results."""
    del context
    for result, found in zip(results, run(*map(np.asarray, arguments)), strict=True):
        np.asarray(result)[...] = found


def _solve_batch(
    solver: HostSolver, transposed: bool, data: Array | np.ndarray, b: Array | np.ndarray
) -> tuple[Inexact[np.ndarray, "*batch n"], Bool[np.ndarray, "*batch"]]:
    """Solve for all matrices `data[k]` and right-hand sides `b[k]` of a batch.

    Along an axis where `data` has size 1, the right-hand sides belong to the same matrix.
    """
    values, rhs = np.asarray(data), np.asarray(b)
    sizes, n = values.shape[:-1], rhs.shape[-1]
    batch = np.broadcast_shapes(sizes, rhs.shape[:-1])
    axes = sorted(range(len(batch)), key=lambda axis: sizes[axis] == 1)
    ordered = np.broadcast_to(rhs, (*batch, n)).transpose(*axes, len(axes))
    count = math.prod(sizes)
    vectors = ordered.reshape(count, math.prod(batch) // max(count, 1), n)
    x, singular = np.empty_like(vectors), np.zeros(vectors.shape[:2], bool)
    for k, matrix in enumerate(values.reshape(count, values.shape[-1])):
        x[k], singular[k] = _solve_one(solver, transposed, matrix, vectors[k])
    back = np.argsort(axes)
    return (
        x.reshape(ordered.shape).transpose(*back, len(axes)),
        singular.reshape(ordered.shape[:-1]).transpose(back),
    )


def _solve_one(
    solver: HostSolver, transposed: bool, values: Values, rhs: Vectors
) -> HostSolution:
    nothing = np.full_like(rhs, np.nan)
    # Pivots cannot be chosen among NaN, and libraries differ in what they do then.
    if not np.isfinite(values).all():
        return nothing, False
    with np.errstate(all="ignore"):
        x, singular = solver(values, rhs, transposed)
    return (nothing, True) if singular else (x, False)
