"""Reductions, cumulative operations, sorting and windows."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import logsumexp

from .table import family, normal, uniform

register, case = family("reductions")

register("sum", lambda x: jnp.sum(x), normal((2, 3)))
register("sum_axis", lambda x: jnp.sum(x**2, axis=1), normal((2, 3)), core=True)
register("sum_keepdims", lambda x: x / jnp.sum(x, 0, keepdims=True), uniform(1, 2, (2, 3)))
register("mean_var", lambda x: jnp.mean(x, 0) + jnp.var(x, 0), normal((3, 2)))
register(
    "standardize",
    lambda x: (x - x.mean(1, keepdims=True)) / (1 + x.std(1, keepdims=True)),
    normal((2, 3)),
    edges=False,
)
register("sum_where", lambda x: jnp.sum(x, where=np.array([True, False, True])), normal(3))
register("prod", lambda x: jnp.prod(x, axis=0), normal((3, 2)))
register("max", lambda x: jnp.max(x, axis=1), normal((2, 3)), core=True)
register("min", lambda x: jnp.min(x), normal(4))
register("nanmax", lambda x: jnp.nanmax(x, axis=0), normal((3, 2)))
register("argmax", lambda x: jnp.argmax(x).astype(x.dtype) * x[:2], normal(4))
register("norm", lambda x: jnp.linalg.norm(x, axis=1), normal((2, 3)))
register("logsumexp", lambda x: logsumexp(x, axis=0), normal((3, 2)))
register("softmax", lambda x: jax.nn.softmax(x, axis=1), normal((2, 3)), core=True)
register("average", lambda x: jnp.average(x, weights=np.array([0.0, 1.0, 2.0])), normal(3))
register("ptp", lambda x: jnp.ptp(x, axis=1), normal((2, 4)))
register("count", lambda x: x * jnp.sum(x > 0), normal(4))
register(
    "any_all", lambda x: jnp.where(jnp.any(x > 2) | jnp.all(x > 0), x, 2 * x), normal(4)
)
register("reduce_and", lambda x: x * lax.reduce_and(np.array([1, 3]), (0,)), normal(3))
register("cov", lambda x: jnp.cov(x), normal((2, 3)))
register("cumsum", lambda x: jnp.cumsum(x), normal(5), core=True)
register("cumsum_axis", lambda x: jnp.cumsum(x, axis=1), normal((2, 3)))
register("cumsum_reverse", lambda x: lax.cumsum(x, reverse=True), normal(4))
register("cumprod", lambda x: jnp.cumprod(x), normal(4))
register("cummax", lambda x: lax.cummax(x), normal(4))
register("cummin_reverse", lambda x: lax.cummin(x, reverse=True), normal(4))
register("cumlogsumexp", lambda x: lax.cumlogsumexp(x, axis=1), normal((2, 3)))
register("sort", lambda x: jnp.sort(x), normal(4))
register("sort_rows", lambda x: jnp.sort(x, axis=1), normal((3, 3)), core=True)
register("sort_columns", lambda x: jnp.sort(x, axis=0)[::-1], normal((3, 2)))
register("sort_by_key", lambda x: lax.sort((x[:3], x[3:]), num_keys=1), normal(6))
register("top_k", lambda x: lax.top_k(x, 2)[0], normal((2, 4)))
register("median", lambda x: jnp.median(x), normal(5))
register("quantile", lambda x: jnp.quantile(x, 0.3), normal(5))
register("percentile", lambda x: jnp.percentile(x, 40, axis=1), normal((2, 3)))
register("lexsort", lambda x: x[jnp.lexsort((x, x > 0))], normal(4))


@case(normal((3, 3)))
def median_per_block(x: Array) -> Array:
    return jnp.median(x, axis=1)


@case(normal((2, 3, 2)))
def max_over_two_axes(x: Array) -> Array:
    return jnp.max(x, axis=(0, 2)) + jnp.sum(x, axis=(0, 2))


@case(normal(6))
def associative_scan_sum(x: Array) -> Array:
    return lax.associative_scan(jnp.add, x)


@case(uniform(0.5, 1, 5, 5), argnums=(0, 1))
def associative_scan_affine(a: Array, b: Array) -> Array:
    def compose(first: tuple[Array, Array], second: tuple[Array, Array]):
        return first[0] * second[0], second[0] * first[1] + second[1]

    return lax.associative_scan(compose, (a, b))[1]


@case(normal((3, 2, 2)))
def associative_scan_matrices(x: Array) -> Array:
    return lax.associative_scan(jnp.matmul, x, reverse=True)


@case(normal(6))
def windows_sum(x: Array) -> Array:
    return lax.reduce_window(x, 0.0, lax.add, (3,), (2,), "SAME")


@case(normal((4, 4)), core=True)
def windows_max(x: Array) -> Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID")


@case(normal(6))
def windows_min_dilated(x: Array) -> Array:
    return lax.reduce_window(
        x, jnp.inf, lax.min, (2,), (1,), [(1, 0)], window_dilation=(2,)
    )


@case(normal(5))
def windows_sum_base_dilated(x: Array) -> Array:
    return lax.reduce_window(
        x, 0.0, lax.add, (3,), (1,), [(0, 1)], base_dilation=(2,), window_dilation=(2,)
    )


@case(normal((1, 4, 4, 2)))
def average_pool(x: Array) -> Array:
    total = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return total / 4


@case(normal(6), exact="no")
def gradient_of_max_pool(x: Array) -> Array:
    def pooled(x: Array) -> Array:
        return jnp.sum(lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,), "VALID") ** 2)

    return jax.grad(pooled)(x)


@case(normal((2, 3)))
def reduce_custom(x: Array) -> Array:
    return lax.reduce(x, np.array(1, x.dtype), lax.mul, (1,))


@case(normal(6))
def sorted_differences(x: Array) -> Array:
    return jnp.diff(jnp.sort(x)) * jnp.argsort(x)[1:]


@case(normal((2, 3)))
def vmapped_sort_and_cumsum(x: Array) -> Array:
    return jax.vmap(lambda row: jnp.cumsum(jnp.sort(row)))(x)
