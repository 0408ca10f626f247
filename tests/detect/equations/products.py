"""Equations of products, convolutions, solves, Fourier transforms, sparse matrices."""

from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import lax
from jax.experimental import sparse
from jax.extend.core import primitives as p

from .frame import Equation, Operand, Rng, between, complex_, equation, integers, real


@equation(lax.dot_general_p)
def dot_general(rng: Rng) -> Equation:
    """Axes of both sides are batched, contracted or free, in any order."""
    batch = rng.integers(1, 3, rng.integers(0, 2)).tolist()
    contracted = rng.integers(1, 4, rng.integers(0, 3)).tolist()
    shapes, batched, contracting = [], [], []
    for _ in range(2):
        free = rng.integers(1, 4, rng.integers(0, 2)).tolist()
        lengths = batch + contracted + free
        order = rng.permutation(len(lengths)).tolist()
        shapes.append([lengths[axis] for axis in order])
        places = [order.index(axis) for axis in range(len(lengths))]
        batched.append(places[: len(batch)])
        contracting.append(places[len(batch) : len(batch) + len(contracted)])
    numbers = (tuple(contracting), tuple(batched))
    kind = complex_ if rng.random() < 0.2 else real
    operands = [kind(*shapes[0]), kind(*shapes[1])]
    return Equation(lambda x, y: lax.dot_general(x, y, numbers), operands)


@equation(lax.conv_general_dilated_p)
def convolution(rng: Rng) -> Equation:
    """One or two axes of space; groups of features or of the batch; any layout."""
    rank = int(rng.integers(1, 3))
    groups, batch_groups = [(1, 1), (2, 1), (1, 2)][int(rng.integers(3))]
    space, size = rng.integers(2, 5, rank).tolist(), rng.integers(1, 4, rank).tolist()
    image = [
        batch_groups * int(rng.integers(1, 3)),
        groups * int(rng.integers(1, 3)),
        *space,
    ]
    features = groups * batch_groups * int(rng.integers(1, 3))
    kernel = [features, image[1] // groups, *size]
    specs = [rng.permutation(rank + 2).tolist() for _ in range(3)]
    numbers = lax.ConvDimensionNumbers(*(tuple(spec) for spec in specs))
    params = {
        "window_strides": rng.integers(1, 3, rank).tolist(),
        "padding": rng.integers(-1, 3, (rank, 2)).tolist(),
        "lhs_dilation": rng.integers(1, 3, rank).tolist(),
        "rhs_dilation": rng.integers(1, 3, rank).tolist(),
        "dimension_numbers": numbers,
        "feature_group_count": groups,
        "batch_group_count": batch_groups,
    }
    shapes = []
    for shape, spec in zip((image, kernel), specs, strict=False):
        placed = [0] * len(shape)
        for length, axis in zip(shape, spec, strict=True):
            placed[axis] = length
        shapes.append(placed)
    fun = lambda x, k: lax.conv_general_dilated(x, k, **params)  # noqa: E731
    # A kernel element of which the known image is zero is still counted.
    return Equation(fun, [real(*shapes[0]), real(*shapes[1])], "unknown")


@equation("ragged_dot_general")
def ragged_dot(rng: Rng) -> Equation:
    groups, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))

    def draw(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
        cuts = np.sort(rng.integers(0, rows + 1, groups - 1))
        return np.diff(np.concatenate([[0], cuts, [rows]])).astype(np.int32)

    operands = [real(rows, 2), real(groups, 2, 3), Operand((groups,), draw)]
    return Equation(lax.ragged_dot, operands, "unknown")


@equation(lax.fft_p)
def fourier(rng: Rng) -> Equation:
    kind = ["FFT", "IFFT", "RFFT", "IRFFT"][int(rng.integers(4))]
    rank, batch = int(rng.integers(1, 3)), rng.integers(1, 3, rng.integers(0, 2)).tolist()
    lengths = rng.integers(1, 5, rank).tolist()
    shape = lengths if kind != "IRFFT" else [*lengths[:-1], lengths[-1] // 2 + 1]
    operand = (real if kind == "RFFT" else complex_)(*batch, *shape)
    fft_type = getattr(lax.FftType, kind)
    return Equation(lambda x: lax.fft(x, fft_type, tuple(lengths)), [operand])


def _invertible(*shape: int) -> Operand:
    def draw(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(0.5, 1, shape) + 3 * np.eye(shape[-1])

    return Operand(shape, draw)


@equation(p.triangular_solve_p)
def triangular_solve(rng: Rng) -> Equation:
    size, other = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    batch = rng.integers(1, 3, rng.integers(0, 2)).tolist()
    left, lower, transpose, conjugate, unit = (rng.random(5) > 0.5).tolist()
    shape = (size, other) if left else (other, size)

    def fun(a, b):
        return lax.linalg.triangular_solve(
            a,
            b,
            left_side=left,
            lower=lower,
            transpose_a=transpose,
            conjugate_a=conjugate,
            unit_diagonal=unit,
        )

    return Equation(fun, [_invertible(*batch, size, size), real(*batch, *shape)])


@equation(p.tridiagonal_solve_p)
def tridiagonal_solve(rng: Rng) -> Equation:
    size, batch = int(rng.integers(3, 5)), rng.integers(1, 3, rng.integers(0, 2)).tolist()
    off = between(0.2, 1, *batch, size)
    operands = [off, between(3, 4, *batch, size), off, real(*batch, size, 2)]
    return Equation(lax.linalg.tridiagonal_solve, operands)


@equation("bcoo_dot_general")
def bcoo_dot_general(rng: Rng) -> Equation:
    m, n, nse = rng.integers(1, 4, 3).tolist()
    indices = Operand(
        (nse, 2), lambda rng, shape: rng.integers(0, [m + 1, n + 1], shape).astype(np.int32)
    )
    right = between(1, 2, *(n, 2) if rng.random() > 0.5 else (n,))

    def fun(data, indices, right):
        return sparse.BCOO((data, indices), shape=(m, n)) @ right

    return Equation(fun, [between(1, 2, nse), indices, right], "known")


def _sparse(rng: Rng) -> tuple[tuple[int, int], Operand, Operand]:
    """A shape, elements and different positions for them, padding among these."""
    m, n, nse = rng.integers(1, 4, 3).tolist()

    def draw(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
        places = np.argwhere(np.ones((m + 1, n + 1)))
        return rng.permutation(places)[:nse].astype(np.int32)

    return (m, n), real(nse), Operand((nse, 2), draw)


@equation("bcoo_todense")
def bcoo_todense(rng: Rng) -> Equation:
    shape, data, indices = _sparse(rng)
    return Equation(
        lambda d, i: sparse.BCOO((d, i), shape=shape).todense(),
        [data, indices],
        "known",
        inputs=[0],
    )


@equation("bcoo_extract")
def bcoo_extract(rng: Rng) -> Equation:
    shape, _, indices = _sparse(rng)

    def fun(dense: jax.Array, indices: jax.Array) -> jax.Array:
        ones = jnp.ones(indices.shape[0])
        places = sparse.BCOO((ones, indices), shape=shape)
        extracted: Any = sparse.bcoo_extract(places, dense)
        return extracted.data

    return Equation(fun, [real(*shape), indices], "known", inputs=[0])


@equation("bcoo_transpose")
def bcoo_transpose(rng: Rng) -> Equation:
    shape, data, indices = _sparse(rng)

    def fun(data: jax.Array, indices: jax.Array) -> jax.Array:
        transposed: Any = sparse.BCOO((data, indices), shape=shape).T
        return transposed.data

    return Equation(fun, [data, indices], inputs=[0])


@equation("bcoo_dot_general_sampled")
def bcoo_dot_general_sampled(rng: Rng) -> Equation:
    (m, n), _, indices = _sparse(rng)
    numbers = (((1,), (0,)), ((), ()))

    def fun(a: jax.Array, b: jax.Array, indices: jax.Array) -> jax.Array:
        return sparse.bcoo_dot_general_sampled(a, b, indices, dimension_numbers=numbers)

    operands = [between(1, 2, m, 2), between(1, 2, 2, n), indices]
    return Equation(fun, operands, "no", inputs=[0, 1])


@equation("bcoo_sort_indices")
def bcoo_sort_indices(rng: Rng) -> Equation:
    shape, data, indices = _sparse(rng)

    def fun(data: jax.Array, indices: jax.Array) -> jax.Array:
        return sparse.BCOO((data, indices), shape=shape).sort_indices().data

    return Equation(fun, [data, indices], "no", inputs=[0])


@equation("bcoo_sum_duplicates")
def bcoo_sum_duplicates(rng: Rng) -> Equation:
    shape, data, indices = _sparse(rng)
    nse = indices.shape[0]

    def fun(data: jax.Array, indices: jax.Array) -> jax.Array:
        return sparse.BCOO((data, indices), shape=shape).sum_duplicates(nse=nse).data

    return Equation(fun, [data, indices], "no", inputs=[0])


@equation("bcoo_spdot_general")
def bcoo_spdot_general(rng: Rng) -> Equation:
    """The product is a sparse array, which is made dense."""
    (m, n), data, indices = _sparse(rng)
    _, others, places = _sparse(rng)

    def fun(data, indices, others, places):
        left = sparse.BCOO((data, indices), shape=(m, n))
        product: Any = left @ sparse.BCOO((others, places), shape=(n, m))
        return product.todense()

    return Equation(fun, [data, indices, others, places], "no", inputs=[0, 2])


@equation("bcsr_todense")
def bcsr_todense(rng: Rng) -> Equation:
    def fun(data: jax.Array, indices: jax.Array, indptr: jax.Array) -> jax.Array:
        return sparse.BCSR((data, indices, indptr), shape=(2, 3)).todense()

    def starts(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray([0, rng.integers(0, 4), 3], np.int32)

    def columns(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
        return rng.permutation(3).astype(np.int32)

    operands = [real(3), Operand((3,), columns), Operand((3,), starts)]
    return Equation(fun, operands, "known", inputs=[0])


@equation("bcsr_dot_general")
def bcsr_dot_general(rng: Rng) -> Equation:
    m, n, nse = rng.integers(1, 4, 3).tolist()

    def starts(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray([0, *np.sort(rng.integers(0, nse + 1, m - 1)), nse], np.int32)

    def fun(data, indices, indptr, right):
        return sparse.BCSR((data, indices, indptr), shape=(m, n)) @ right

    indices, indptr = integers(0, n - 1, nse), Operand((m + 1,), starts)
    return Equation(fun, [between(1, 2, nse), indices, indptr, real(n)], "no")


@equation(p.linear_solve_p)
def linear_solve(rng: Rng) -> Equation:
    """A block-diagonal system, given by the product with its matrix."""
    size = int(rng.integers(1, 3))
    blocks = _invertible(2, size, size)

    def fun(blocks, right):
        def product(x):
            return jnp.einsum("bij,bj->bi", blocks, x)

        return lax.custom_linear_solve(
            product, right, lambda _, b: jnp.linalg.solve(blocks, b[..., None])[..., 0]
        )

    return Equation(fun, [blocks, real(2, size)], "unknown", inputs=[1])


def _solve(matrix: jax.Array, right: jax.Array) -> jax.Array:
    return lx.linear_solve(lx.MatrixLinearOperator(matrix), right, lx.LU()).value


@equation("linear_solve")
def solve_by_lineax(rng: Rng) -> Equation:
    size = int(rng.integers(1, 4))
    return Equation(_solve, [_invertible(size, size), real(size)], inputs=[1])


@equation("vprim")
def solve_batch_by_lineax(rng: Rng) -> Equation:
    size = int(rng.integers(1, 3))
    operands = [_invertible(2, size, size), real(2, size)]
    return Equation(jax.vmap(_solve), operands, inputs=[1])
