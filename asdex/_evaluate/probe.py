"""Comparison of sparse derivatives with JAX's by products with random vectors."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Inexact, Num

from .._base.errors import VerificationError
from .._structure.sides import Side
from .compress import Linearization

T = TypeVar("T")

_SPLITS = 6
"""How often a product is split in each way to find out about rounding errors: each time,
those of an element may be small by accident."""

_OWN_NOISE, _ANY_NOISE = 4, 2
"""How many times the noise of an element, and the largest noise, its error may be: of 1000
random functions in float32, none has errors of more than about half of that."""

_DIFFERS = (
    "A sparse derivative differs from JAX's. check_jacobian_correctness or "
    "check_hessian_correctness, called at this point, says where."
)


def with_check(
    result: T,
    values: Num[Array, " nnz"],
    linear_map: Linearization,
    side: Side,
    recompute: Callable[[], Num[Array, " nnz"]] | None = None,
) -> T:
    """`result`, once the values of the entries have been checked; see `compare_products`
    for `recompute`.

    Compares the product of `linear_map`, that of one side of a coloring, with one random
    vector, at every call and also under `jax.jit`; if it differs, the program raises an
    error when it runs. Cost: one pass more, and O(nnz); many passes before an error.
    """
    rng, dtype = np.random.default_rng(0), linear_map.seed_dtype
    probe = random_probe(rng, side.colors.size, dtype)

    tolerance = Tolerance(None, None)
    product = compare_products(values, probe, linear_map, side, tolerance, recompute)
    return eqx.error_if(result, product.is_wrong(tolerance).any(), _DIFFERS)


def run_checked(run: Callable[..., T], *args: Any) -> T:
    """`run(*args)`, a compiled program whose results `with_check` has checked.

    **Raises:** `VerificationError`, where the program raises an error of the runtime.
    """
    try:
        return jax.block_until_ready(run(*args))
    except jax.errors.JaxRuntimeError as error:
        if _DIFFERS not in str(error):
            raise
        raise VerificationError(_DIFFERS) from None


class Tolerance(NamedTuple):
    """The tolerances of the comparison; see `check_jacobian_correctness`."""

    rtol: float | None
    atol: float | None

    def allowed(
        self, scale: Num[Array, "..."], noise: Num[Array, "..."]
    ) -> Num[Array, "..."]:
        """The error allowed for numbers of these magnitudes, that come with this noise."""
        limits, rtol, atol = jnp.finfo(scale.dtype), self.rtol, self.atol
        eps = float(limits.eps)
        if rtol is None:
            rtol = eps ** (2 / 3)
        if atol is None:
            rounded = _OWN_NOISE * noise + _ANY_NOISE * _largest(noise)
            return rtol * (scale + _largest(scale)) + rounded + float(limits.tiny) / eps
        return rtol * scale + atol


class Product(NamedTuple):
    """One product of the matrix with a vector, by JAX and from the sparse values."""

    expected: Num[Array, "..."]
    found: Num[Array, "..."]
    scale: Num[Array, "..."]  # The sum of the magnitudes of the terms.
    noise: Num[Array, "..."]  # By how much JAX's product fails to be linear.

    def is_wrong(self, tolerance: Tolerance) -> Bool[Array, "..."]:
        allowed = tolerance.allowed(self.scale, self.noise)
        off = jnp.abs(self.expected - self.found) > allowed
        return off | (jnp.isfinite(self.expected) != jnp.isfinite(self.found))


def random_probe(
    rng: np.random.Generator, size: int, dtype: Any
) -> Inexact[Array, " size"]:
    """A random vector without small elements, so that no entry goes unnoticed.

    It is a constant of the program: random numbers made inside would take longer than
    the product.
    """
    signs = rng.choice([-1.0, 1.0], size)
    return jnp.asarray(signs * rng.uniform(0.5, 1.5, size), dtype)


def compare_products(
    values: Num[Array, " nnz"],
    probe: Inexact[Array, " seeds"],
    linear_map: Linearization,
    side: Side,
    tolerance: Tolerance,
    recompute: Callable[[], Num[Array, " nnz"]] | None = None,
) -> Product:
    """The product with `probe`, by JAX and from the values of the entries.

    If the two differ, JAX's product is also computed as a sum of two, with a part of the
    vector and the rest of it, both in one batch, several times. The difference is the
    rounding error within the function, of which entries and products show nothing where
    large numbers cancel, and which depends on how XLA has compiled the product: alone, or
    in a batch. `recompute` gives the values as loops compute them, which also shows what
    rounding errors at the point itself make of them: XLA fuses the function with each
    product, and rounds it in other ways in each.
    """

    def times_probe(values: Num[Array, " nnz"]) -> tuple[Num[Array, " lines"], ...]:
        # Where a seed is zero, a value does not count, even if it is not finite.
        terms = jnp.where(is_left_out, 0, values * seeds.astype(values.dtype))
        return jnp.zeros(side.dim, values.dtype).at[side.along].add(terms), terms

    def rounding_error(weights: Inexact[Array, " seeds"]) -> Num[Array, " lines"]:
        part = probe * weights
        products = jax.vmap(linear_map.apply)(jnp.stack([part, probe - part]))
        return jnp.abs(products.sum(axis=0) - expected)

    def largest_error() -> Num[Array, " lines"]:
        weights = jnp.asarray(_splits(probe.size), probe.dtype)
        largest = jax.lax.map(rounding_error, weights).max(axis=0)
        if recompute is None:
            return largest
        return jnp.maximum(largest, jnp.abs(times_probe(recompute())[0] - found))

    seeds = probe[side.seeded]
    is_left_out = seeds == 0
    expected = linear_map.apply(probe)
    found, terms = times_probe(values)
    # JAX's product may not be finite because of such a value, or in spite of it.
    left_out = (is_left_out & ~jnp.isfinite(values)).astype(jnp.int32)
    is_open = jnp.zeros(side.dim, jnp.int32).at[side.along].max(left_out) > 0
    found = jnp.where(is_open & ~jnp.isfinite(expected), expected, found)
    magnitude = jnp.abs(expected).at[side.along].add(jnp.abs(terms))
    product = Product(expected, found, magnitude, jnp.zeros_like(magnitude))
    differs = product.is_wrong(tolerance).any()
    noise = jax.lax.cond(differs, largest_error, lambda: product.noise)
    return product._replace(noise=noise)


def _splits(size: int) -> Float[np.ndarray, "splits size"]:
    """Weights of the first of two parts: each element is in one of them, which separates
    small numbers from large ones that absorb them, or some of it in both."""
    rng = np.random.default_rng(1)
    apart = rng.integers(0, 2, (_SPLITS, size))
    return np.concatenate([apart, rng.uniform(0.2, 0.8, (_SPLITS, size))])


def _largest(numbers: Num[Array, "..."]) -> Num[Array, ""]:
    return jnp.where(jnp.isfinite(numbers), numbers, 0).max(initial=0)
