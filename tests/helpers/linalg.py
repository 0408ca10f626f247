"""Products, convolutions, Fourier transforms, solves and decompositions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental.sparse import BCOO, BCSR
from jax.scipy.linalg import expm, solve_triangular, toeplitz
from jax.scipy.signal import convolve2d
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike

from .table import family, followed_by, normal, uniform

register, case = family("linalg")

BANDED = np.diag(np.full(4, 2.0)) + np.diag([-1.0, 0, -1.0], 1) + np.diag([3.0] * 3, -1)
MATRIX = np.array([[1.0, 0, 2, 0], [0, 0, 0, 0], [0, 3, 0, 0]])
TRIANGLE = np.array([[2.0, 0, 0], [1, 1, 0], [0, 3, 2]])
KERNEL = np.array([1.0, 0.0, -2.0])
SPD = 4 * np.eye(3)
PLACES = np.array([[0, 1], [2, 0], [2, 3]])

register("banded_times_vector", lambda x: BANDED @ x, normal(4), core=True)
register("matrix_times_vector", lambda x: MATRIX @ x**2, normal(4), core=True)
register("vector_times_matrix", lambda x: x @ MATRIX, normal(3))
register("matrix_both_sides", lambda x: MATRIX @ x @ BANDED, normal((4, 4)))
register("dot", lambda x: x[:3] @ x[3:], normal(6))
register("gram", lambda x: x @ x.T, normal((2, 3)))
register("matmul", lambda x, y: x @ y, normal((2, 3), (3, 2)), argnums=(0, 1), core=True)
register("matmul_batched", lambda x, y: x @ y, normal((2, 2, 2), (2, 2, 1)), argnums=(0, 1))
register("einsum_trace", lambda x: jnp.einsum("ii->i", x), normal((3, 3)))
register("einsum_diagonal", lambda x: jnp.einsum("ij,kj->jik", x, x), normal((2, 3)))
register("einsum_constant", lambda x: jnp.einsum("bi,ij->bj", x, BANDED), normal((2, 4)))
register(
    "tensordot", lambda x: jnp.tensordot(x, np.eye(2), ((1,), (0,))), normal((2, 2, 2))
)
register("multi_dot", lambda x: jnp.linalg.multi_dot([MATRIX, x, MATRIX.T]), normal((4, 4)))
register("matrix_power", lambda x: jnp.linalg.matrix_power(x, 3), normal((2, 2)))
register("cross", lambda x: jnp.cross(x[:3], x[3:]), normal(6))
register("vander", lambda x: jnp.vander(x, 3), uniform(0.5, 2, 3))
register("toeplitz", lambda x: toeplitz(x), normal(3))
register("convolve", lambda x: jnp.convolve(x, KERNEL), normal(5))
register("convolve_same", lambda x: jnp.convolve(x, KERNEL, "same"), normal(5), core=True)
register(
    "convolve_traced",
    lambda x, y: jnp.convolve(x, y),
    normal(4, 2),
    argnums=(0, 1),
)
register("correlate", lambda x: jnp.correlate(x, KERNEL, "valid"), normal(6))
register("fft", lambda x: jnp.abs(jnp.fft.fft(x)) ** 2, normal(4))
register("rfft_irfft", lambda x: jnp.fft.irfft(1j * jnp.fft.rfft(x)), normal(5), exact="no")
register(
    "fft_rows",
    lambda x: jnp.real(jnp.fft.fft(x, axis=1)),
    normal((2, 3)),
)
register("fft2", lambda x: jnp.imag(jnp.fft.fft2(x)), normal((2, 3)), exact="no")
register("fft_real_only", lambda x: jnp.real(jnp.fft.ifft(x * 1j)), normal(3), exact="no")
register("expm", lambda x: expm(x), uniform(-0.2, 0.2, (2, 2)), edges=False)
register("det", lambda x: jnp.linalg.det(x + SPD), normal((3, 3)))
register("slogdet", lambda x: jnp.linalg.slogdet(x + SPD)[1], normal((2, 3, 3)))
register("inv", lambda x: jnp.linalg.inv(x + SPD), normal((3, 3)))
register("cholesky", lambda x: jnp.linalg.cholesky(x @ x.T + SPD), normal((3, 3)))
register("eigh", lambda x: jnp.linalg.eigh(x + x.T)[0], normal((3, 3)), edges=False)
register("qr", lambda x: jnp.linalg.qr(x)[1], normal((3, 2)), edges=False, exact="no")
register(
    "svd",
    lambda x: jnp.linalg.svd(x, compute_uv=False),
    normal((2, 3)),
    edges=False,
)
register("lu", lambda x: lax.linalg.lu(x)[0], normal((2, 2)), edges=False)
register("pinv", lambda x: jnp.linalg.pinv(x), normal((3, 2)), edges=False)
register(
    "solve_constant",
    lambda x: jnp.linalg.solve(SPD + MATRIX[:, :3], x),
    normal(3),
    exact="no",
)
register(
    "triangular_constant",
    lambda x: solve_triangular(TRIANGLE, x, lower=True),
    normal(3),
)


@case(normal((2, 3, 3), (2, 3)), argnums=(0, 1))
def solve_batched(a: Array, b: Array) -> Array:
    return jnp.linalg.solve(a + SPD, b[..., None])[..., 0]


@case(normal((3, 3), (2, 3)), argnums=(0, 1))
def triangular_solve_right(a: Array, b: Array) -> Array:
    return lax.linalg.triangular_solve(a + SPD, b, left_side=False, transpose_a=True)


@case(normal((2, 2, 2)))
def cholesky_batched(x: Array) -> Array:
    return jnp.linalg.cholesky(x @ jnp.swapaxes(x, 1, 2) + 2 * np.eye(2))


@case(normal(4, 4), argnums=(0, 1))
def tridiagonal_solve(d: Array, b: Array) -> Array:
    below, above = np.array([0, 1.0, 1, 1]), np.array([1, 1, 1, 0.0])
    below, above = jnp.asarray(below, d.dtype), jnp.asarray(above, d.dtype)
    return lax.linalg.tridiagonal_solve(below, 4 + jnp.sin(d), above, b[:, None])[:, 0]


@case(normal(4))
def custom_linear_solve(x: Array) -> Array:
    def solve(matvec, b: Array) -> Array:
        return jnp.linalg.solve(jax.jacfwd(matvec)(jnp.zeros_like(b)), b)

    diagonal = 3 + x**2
    return lax.custom_linear_solve(
        lambda v: diagonal * v - jnp.roll(v, 1), jnp.sin(x), solve, transpose_solve=solve
    )


@case(normal(4))
def conjugate_gradient(x: Array) -> Array:
    return cg(lambda v: (3 + x[0] ** 2) * v + jnp.sum(v), jnp.cos(x), maxiter=6)[0]


@case(uniform(1, 2, 3), edges=False)
def custom_root(x: Array) -> Array:
    def newton(f, start: Array) -> Array:
        def step(_, y):
            return y - f(y) / (2 * y)

        return lax.fori_loop(0, 6, step, start)

    def tangent_solve(g, y: Array) -> Array:
        return y / g(jnp.ones_like(y))

    return lax.custom_root(lambda y: y**2 - x * x[::-1], x, newton, tangent_solve)


@case(normal(4))
def sparse_constant(x: Array) -> Array:
    values = jnp.array([2.0, 3, -1], x.dtype)
    return BCOO((values, jnp.asarray(PLACES)), shape=(3, 4)) @ x


@case(normal(3, 4), argnums=(0, 1))
def sparse_traced_values(data: Array, x: Array) -> Array:
    return BCOO((data, jnp.asarray(PLACES)), shape=(3, 4)) @ x


@case(normal(3, 4), argnums=(0, 1))
def sparse_rows(data: Array, x: Array) -> Array:
    matrix = BCSR((data, jnp.array([1, 0, 3]), jnp.array([0, 1, 1, 3])), shape=(3, 4))
    return matrix @ x


def convolution(x: Array, kernel: ArrayLike, **options: Any) -> Array:
    options = {"padding": "VALID", **options}
    return lax.conv_general_dilated(x, jnp.asarray(kernel), **options)


WINDOW_2D = np.array([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]]])
CHANNELS = np.ones((2, 1, 2)) * np.array([1.0, -1.0])[:, None, None]


@case(normal((1, 1, 4, 4)), core=True)
def laplacian(x: Array) -> Array:
    return convolution(x, WINDOW_2D.astype(x.dtype), window_strides=(1, 1), padding="SAME")


@case(normal((1, 2, 5)))
def convolution_grouped(x: Array) -> Array:
    kernel = CHANNELS.astype(x.dtype)
    return convolution(x, kernel, window_strides=(1,), feature_group_count=2)


@case(normal((2, 1, 4)))
def convolution_batch_grouped(x: Array) -> Array:
    kernel = CHANNELS.astype(x.dtype)
    return convolution(x, kernel, window_strides=(1,), batch_group_count=2)


@case(normal((1, 1, 5)))
def convolution_dilated(x: Array) -> Array:
    kernel = KERNEL.astype(x.dtype)[None, None]
    return convolution(
        x,
        kernel,
        window_strides=(2,),
        padding=[(2, 1)],
        lhs_dilation=(2,),
        rhs_dilation=(2,),
    )


@case(normal((1, 1, 5)))
def convolution_cropped(x: Array) -> Array:
    kernel = KERNEL.astype(x.dtype)[None, None]
    return convolution(x, kernel, window_strides=(1,), padding=[(-1, -1)])


@case(normal((1, 3, 2)))
def convolution_transposed(x: Array) -> Array:
    kernel = jnp.ones((2, 2, 1), x.dtype)
    return lax.conv_transpose(
        x, kernel, (2,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
    )


@case(normal((1, 2, 4), (2, 2, 2)), argnums=(0, 1))
def convolution_traced_kernel(x: Array, kernel: Array) -> Array:
    return convolution(x, kernel, window_strides=(1,))


@case(followed_by(normal((1, 1, 5)), np.array([[[1.0, 0.0]]], np.float32)))
def convolution_kernel_argument(x: Array, kernel: Array) -> Array:
    return convolution(x, jnp.asarray(kernel, x.dtype), window_strides=(1,))


@case(normal((4, 4)))
def convolve_known_2d(x: Array) -> Array:
    return convolve2d(x, WINDOW_2D[0, 0], mode="same")
