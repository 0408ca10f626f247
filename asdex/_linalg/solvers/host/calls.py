"""Solves by compiled libraries that NumPy and SciPy call, on the host.

Nothing here may call JAX: a callback that waits for a computation of JAX may never
return, since the program that called it occupies the threads.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Bool, Inexact, Integer

from ...._base.types import PyTree
from ..backend import Determinant, Solution, Vector
from .store import (
    NO_VOLUME,
    STORE,
    HostDeterminant,
    HostSolver,
    InvertibleFactors,
    Values,
    Vectors,
)


@dataclass(frozen=True, eq=False)
class Host:
    """Calls a solver on the host: one factorization for each matrix.

    What travels through the program is the matrix, by its values and their checksum. The
    first solve with them factors it, and later ones find the factors in the store, as long
    as they are there. Right-hand sides that a batch has in common with one matrix are
    solved for together.
    """

    solver: HostSolver

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return data, _checksum(data)

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        shapes = jax.ShapeDtypeStruct(b.shape, b.dtype), jax.ShapeDtypeStruct((), bool)
        return _call(partial(_solve_batch, self.solver, transposed), shapes, *factors, b)

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        dtype = factors[0].dtype
        real = jnp.finfo(dtype).dtype
        shapes = jax.ShapeDtypeStruct((), dtype), jax.ShapeDtypeStruct((), real)
        return _call(partial(_slogdet_batch, self.solver), shapes, *factors)


def mirrored_inverse(
    solver: HostSolver, data: Inexact[Array, " nnz"]
) -> Inexact[Array, " nnz"]:
    """For each entry `(i, j)` of the pattern the element `(j, i)` of the inverse, by a
    solver whose factors have them; NaN if the matrix is singular."""
    shapes = (jax.ShapeDtypeStruct(data.shape, data.dtype),)
    (found,) = _call(partial(_invert_batch, solver), shapes, data, _checksum(data))
    return found


def _checksum(data: Inexact[Array, " nnz"]) -> Integer[Array, ""]:
    """A sum of all bits, different for most matrices that differ."""
    parts = [data.real, data.imag] if jnp.iscomplexobj(data) else [data]
    words = jnp.stack([lax.bitcast_convert_type(part, jnp.uint32) for part in parts])
    words = words.reshape(-1)
    odd = 2 * lax.iota(jnp.uint32, words.size) + jnp.uint32(0x9E3779B1)
    return (odd * (words ^ (words >> 15))).sum(dtype=jnp.uint32)


def _call(run: Callable[..., tuple[np.ndarray, ...]], shapes: Any, *args: Array) -> Any:
    """What `run` returns for the arguments, which it gets with the axes of a batch in
    front, of size 1 where an argument has none."""
    # `pure_callback` copies its arguments by computations of JAX, which never end on a
    # CPU whose threads are all busy, perhaps with this very program.
    results = lax.platform_dependent(
        *args,
        cpu=buffer_callback(partial(_fill, run), shapes, vmap_method="expand_dims"),
        default=partial(jax.pure_callback, run, shapes, vmap_method="expand_dims"),
    )
    # Inside of `jax.shard_map` the results of a callback count as equal on all devices.
    # This, which XLA removes, lets them vary as the arguments do.
    varying = jnp.stack([(arg != arg).any() for arg in args]).any()
    return tuple(jnp.where(False, varying.astype(y.dtype), y) for y in results)


def _fill(
    run: Callable[..., tuple[np.ndarray, ...]],
    context: Any,
    results: Sequence[Any],
    *arguments: Any,
) -> None:
    """Write what `run` returns into the memory of the results."""
    del context
    for result, found in zip(results, run(*map(np.asarray, arguments)), strict=True):
        np.asarray(result)[...] = found


def _solve_batch(
    solver: HostSolver,
    transposed: bool,
    data: Array | np.ndarray,
    checksums: Array | np.ndarray,
    b: Array | np.ndarray,
) -> tuple[Inexact[np.ndarray, "*batch n"], Bool[np.ndarray, "*batch"]]:
    """Solve for all matrices `data[k]` and right-hand sides `b[k]` of a batch.

    Along an axis where `data` has size 1, the right-hand sides belong to the same matrix.
    """
    rhs = np.asarray(b)
    sizes, matrices = _matrices(data, checksums)
    n, count = rhs.shape[-1], len(matrices)
    batch = np.broadcast_shapes(sizes, rhs.shape[:-1])
    axes = sorted(range(len(batch)), key=lambda axis: sizes[axis] == 1)
    ordered = np.broadcast_to(rhs, (*batch, n)).transpose(*axes, len(axes))
    vectors = ordered.reshape(count, math.prod(batch) // max(count, 1), n)
    x, singular = np.empty_like(vectors), np.zeros(vectors.shape[:2], bool)
    for k, matrix in enumerate(matrices):
        x[k], singular[k] = _solve_one(solver, transposed, *matrix, vectors[k])
    back = np.argsort(axes)
    return (
        x.reshape(ordered.shape).transpose(*back, len(axes)),
        singular.reshape(ordered.shape[:-1]).transpose(back),
    )


def _slogdet_batch(
    solver: HostSolver, data: Array | np.ndarray, checksums: Array | np.ndarray
) -> tuple[Inexact[np.ndarray, "*batch"], Inexact[np.ndarray, "*batch"]]:
    sizes, matrices = _matrices(data, checksums)
    found = [_slogdet_one(solver, *matrix) for matrix in matrices]
    signs, logarithms = np.array(found, complex).reshape(-1, 2).T
    dtype = np.asarray(data).dtype
    is_complex = np.issubdtype(dtype, np.complexfloating)
    signs = (signs if is_complex else np.real(signs)).astype(dtype)
    logarithms = np.real(logarithms).astype(np.finfo(dtype).dtype)
    return signs.reshape(sizes), logarithms.reshape(sizes)


def _invert_batch(
    solver: HostSolver, data: Array | np.ndarray, checksums: Array | np.ndarray
) -> tuple[Inexact[np.ndarray, "*batch nnz"]]:
    sizes, matrices = _matrices(data, checksums)
    found = [_invert_one(solver, *matrix) for matrix in matrices]
    values = np.asarray(data)
    return (np.array(found, values.dtype).reshape(*sizes, values.shape[-1]),)


def _matrices(
    data: Array | np.ndarray, checksums: Array | np.ndarray
) -> tuple[tuple[int, ...], list[tuple[Values, int]]]:
    """The axes of the batch, and the values and the checksum of each matrix."""
    values = np.asarray(data)
    sizes = values.shape[:-1]
    numbers = np.broadcast_to(np.asarray(checksums), sizes).reshape(-1).tolist()
    rows = values.reshape(math.prod(sizes), values.shape[-1])
    return sizes, list(zip(rows, numbers, strict=True))


def _solve_one(
    solver: HostSolver, transposed: bool, values: Values, checksum: int, rhs: Vectors
) -> tuple[Vectors, bool]:
    nothing = np.full_like(rhs, np.nan)
    # Pivots cannot be chosen among NaN, and libraries differ in what they do then.
    if not np.isfinite(values).all():
        return nothing, False
    with np.errstate(all="ignore"):
        factors = STORE.factors(solver, values, checksum)
        x = None if factors is None else factors.solve(rhs, transposed)
    return (nothing, True) if x is None else (x, False)


def _slogdet_one(solver: HostSolver, values: Values, checksum: int) -> HostDeterminant:
    if not np.isfinite(values).all():
        return complex(np.nan), np.nan
    with np.errstate(all="ignore"):
        factors = STORE.factors(solver, values, checksum)
        return NO_VOLUME if factors is None else factors.slogdet()


def _invert_one(solver: HostSolver, values: Values, checksum: int) -> Values:
    nothing = np.full_like(values, np.nan)
    if not np.isfinite(values).all():
        return nothing
    with np.errstate(all="ignore"):
        factors = STORE.factors(solver, values, checksum)
        assert factors is None or isinstance(factors, InvertibleFactors)
        found = None if factors is None else factors.mirrored_inverse()
    return nothing if found is None else found


def sign_and_logarithm(diagonal: Inexact[np.ndarray, " n"], swaps: int) -> HostDeterminant:
    """Of the determinant of a triangle with this diagonal, after as many exchanges of two
    rows or columns."""
    sizes = np.abs(diagonal)
    sign = np.prod(diagonal / np.where(sizes > 0, sizes, 1))
    return complex((-1) ** swaps * sign), float(np.log(sizes).sum())


def parity(permutation: Integer[np.ndarray, " n"]) -> int:
    """0 for an even permutation, 1 for an odd one."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    n = permutation.size
    graph = csr_array((np.ones(n, np.int8), (np.arange(n), permutation)), shape=(n, n))
    cycles, _ = connected_components(graph, directed=False)
    return (n - cycles) % 2
