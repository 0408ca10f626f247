"""Scalar functions: their Hessians are compared."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import logsumexp
from jaxtyping import PyTree

from .calls import product, rounded
from .pytrees import Affine, make_affine, tree
from .table import family, followed_by, normal, uniform

register, case = family("scalars")

TRIANGLES = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]])
BANDED = np.diag(np.full(5, 2.0)) + np.diag([-1.0, 0, -1.0, 0], 1)


def scalar(name, fun, make, **facts) -> None:
    register(name, fun, make, scalar=True, **facts)


scalar("sum_of_squares", lambda x: jnp.sum(x**2), normal(4), core=True)
scalar("separable", lambda x: jnp.sum(jnp.sin(x) * np.array([1.0, 0, 2, 0])), normal(4))
scalar("linear", lambda x: jnp.sum(x * np.arange(4.0)), normal(4))
scalar("constant", lambda x: jnp.array(3.0), normal(3))
scalar("ignores_some", lambda x: x[1] ** 3, normal(4))
scalar("one_input", lambda x: jnp.exp(x), normal(()))
scalar("chain", lambda x: jnp.sum(x[1:] * x[:-1] ** 2), normal(5), core=True)
scalar("product_of_all", lambda x: jnp.prod(x), uniform(0.5, 2, 4))
scalar("norm", lambda x: jnp.linalg.norm(x), normal(4), edges=False)
scalar("logsumexp", lambda x: logsumexp(x), normal(4))
scalar("log_barrier", lambda x: -jnp.sum(jnp.log(x[1:] - x[:-1] + 9)), normal(5))
# JAX 0.10.2 fails if a float64 array of NumPy meets `vmap` without x64 after `jit` with it.
scalar("quadratic_form", lambda x: x @ (BANDED.astype(x.dtype) @ x), normal(5), core=True)
scalar("arrowhead", lambda x: x[0] * jnp.sum(x[1:] ** 2), normal(5), core=True)
scalar("blocks", lambda x: jnp.sum(jnp.prod(x.reshape(3, 2), axis=1)), normal(6))
scalar(
    "huber",
    lambda x: jnp.sum(jnp.where(jnp.abs(x) < 1, x**2, 2 * jnp.abs(x) - 1)),
    normal(4),
)
scalar("total_variation", lambda x: jnp.sum(jnp.sqrt(jnp.diff(x) ** 2 + 0.1)), normal(5))
scalar("largest", lambda x: jnp.max(x**2), normal(4))
scalar("largest_per_row", lambda x: jnp.sum(jnp.max(x, 1) ** 2), normal((2, 3)))
scalar("sorted_weights", lambda x: jnp.sort(x**2) @ np.arange(4.0), normal(4))
scalar("cumulated", lambda x: jnp.sum(jnp.cumsum(x) ** 3), normal(4))
scalar("cumulated_product", lambda x: jnp.sum(jnp.cumprod(x)), normal(4))
scalar(
    "smoothed", lambda x: jnp.sum(jnp.convolve(x, np.array([1.0, 0, 1])) ** 3), normal(5)
)
scalar("spectrum", lambda x: jnp.sum(jnp.abs(jnp.fft.rfft(x)) ** 4), normal(4))
scalar("shape_one", lambda x: x[:1] * x[1:2] ** 2, normal(4), core=True)
scalar("shape_one_one", lambda x: (x[:1] * x[1:2] ** 2)[None], normal(4))
scalar(
    "determinant",
    lambda x: jnp.linalg.det(x + 3 * np.eye(3)),
    normal((3, 3)),
    exact="no",  # Since JAX 0.11 it is computed by elimination, whose terms cancel.
)
scalar(
    "log_determinants",
    lambda x: jnp.sum(jnp.linalg.slogdet(x + 3 * np.eye(2))[1]),
    normal((2, 2, 2)),
)
scalar(
    "largest_eigenvalue",
    lambda x: jnp.linalg.eigvalsh(x + x.T)[-1],
    normal((2, 2)),
    edges=False,
)
scalar(
    "stopped", lambda x: jnp.sum(x[1:] * lax.stop_gradient(x[:-1]) ** 2 * x[1:]), normal(5)
)
scalar("straight_through", lambda x: jnp.sum(rounded(x) ** 2 * x[::-1]), normal(4))
scalar(
    "helper_known_zero",
    lambda x: jnp.sum(product(0.0 * np.ones(4, x.dtype), x) + product(x, x[::-1])),
    normal(4),
)
scalar("first_of_pair", lambda x, y: jnp.sum(x**2) * y[0], normal(3, 2), core=True)
scalar("second_of_pair", lambda x, y: jnp.sum(y**2) * x[0], normal(3, 2), argnums=1)
scalar(
    "both_of_pair",
    lambda x, y: jnp.sum(x[:2] * y**2),
    normal(3, 2),
    argnums=(0, 1),
    core=True,
)
scalar("swapped_pair", lambda x, y: jnp.sum(x[:2] * y**2), normal(3, 2), argnums=(1, 0))
scalar(
    "static",
    lambda x, kind: jnp.sum(x**3) if kind == "cubic" else x[0],
    followed_by(normal(3), "cubic"),
)
scalar(
    "scaled", lambda x, *, scale: jnp.sum(x**3) * scale, normal(3), kwargs={"scale": 2.0}
)
scalar(
    "integers",
    lambda x, k: jnp.sum(x[k] ** 3),
    followed_by(normal(4), np.array([2, 0])),
    exact="no",
)


@case(normal(5), scalar=True, core=True)
def rosenbrock(x: Array) -> Array:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@case(normal((2, 3)), scalar=True)
def cross_entropy(x: Array) -> Array:
    return -jnp.sum(jax.nn.log_softmax(x, axis=1)[np.arange(2), np.array([0, 2])])


@case(normal((5, 2)), scalar=True)
def mesh_energy(points: Array) -> Array:
    corners = points[TRIANGLES]
    edges = corners - jnp.roll(corners, 1, axis=1)
    return jnp.sum(jnp.sum(edges**2, axis=2) ** 2)


@case(normal(6), scalar=True, core=True)
def gathered_products(x: Array) -> Array:
    return jnp.sum(x[np.array([0, 0, 3])] * x[np.array([1, 2, 3])] ** 2)


@case(normal(5), scalar=True)
def scattered_squares(x: Array) -> Array:
    return jnp.sum(jnp.zeros(3).at[np.array([0, 1, 0, 2, 1])].add(x) ** 3)


@case(uniform(1, 2, (4, 2)), scalar=True, edges=False)
def lennard_jones(points: Array) -> Array:
    i, j = np.triu_indices(4, 1)
    distance = jnp.sum((points[i] - 3 * points[j]) ** 2, axis=1)
    return jnp.sum(distance**-6 - distance**-3)


@case(normal(5), scalar=True, core=True)
def scanned(x: Array) -> Array:
    return lax.scan(lambda c, e: (jnp.sin(c) * e, None), x[0], x)[0]


@case(normal(5), scalar=True)
def looped_with_index(x: Array) -> Array:
    return lax.fori_loop(1, 5, lambda i, total: total + x[i] * x[i - 1] ** 2, 0.0 * x[0])


@case(normal(4), scalar=True, core=True)
def branched(x: Array) -> Array:
    return lax.cond(x[0] > 0, lambda y: y[0] * y[1], lambda y: jnp.sum(y**3), x)


@case(normal(4), scalar=True, exact="no")
def switched(x: Array) -> Array:
    branches = [lambda y: y[0] ** 2, lambda y: y[1] * y[2], lambda y: y[3] + 0 * y[0]]
    return lax.switch(jnp.clip(x[0] * 2, 0, 2).astype(int), branches, x)


@case(tree(lambda a, b: {"a": a, "b": [b]}, 2, (2, 2)), scalar=True, core=True)
def structured(parts: PyTree) -> Array:
    return jnp.sum(parts["a"] @ parts["b"][0] ** 2)


@case(make_affine, argnums=(0, 1), scalar=True)
def module_loss(layer: Affine, x: Array) -> Array:
    return jnp.sum(layer(x) ** 2)


@case(normal((2, 2), 3), argnums=0, scalar=True)
def network_loss(weight: Array, x: Array) -> Array:
    return jnp.sum(jnp.tanh(weight @ x[:2]) ** 2)


@case(normal(6), scalar=True)
def masked_by_known(x: Array) -> Array:
    mask = np.array([1.0, 0, 1, 0, 1, 1])
    return jnp.sum((x * mask) * (x[::-1] * mask))


@case(normal(6), scalar=True)
def complex_energy(x: Array) -> Array:
    z = lax.complex(x[:3], x[3:])
    return jnp.sum(jnp.real(z * jnp.conj(z)) ** 2)


@case(normal(4), scalar=True)
def inner_minimum(x: Array) -> Array:
    start = jnp.zeros(2, x.dtype)
    slope = jax.grad(lambda y: jnp.sum((y - x[:2] * x[2:]) ** 2 + y**4))
    return jnp.sum(lax.fori_loop(0, 2, lambda _, y: y - 0.1 * slope(y), start))


@jax.custom_vjp
def tripled_back(x: Array) -> Array:
    return x**2


tripled_back.defvjp(lambda x: (x**2, x), lambda x, g: (3 * x * g,))

scalar(
    "custom_vjp",
    lambda x: jnp.sum(tripled_back(x) * x),
    normal(4),
    modes=("fwd_over_rev", "rev_over_rev"),
)
