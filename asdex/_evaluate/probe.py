"""Comparison of sparse derivatives with JAX's by products with random vectors."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Num

from .._base.errors import VerificationError
from .._structure.sides import Side
from .compress import Linearization

T = TypeVar("T")

_DIFFERS = (
    "A sparse derivative differs from JAX's. check_jacobian_correctness or "
    "check_hessian_correctness, called at this point, says where."
)


def with_check(
    result: T,
    values: Num[Array, " nnz"],
    linear_map: Linearization,
    side: Side,
) -> T:
    """`result`, once the values of the entries have been checked.

    Compares the product of `linear_map`, that of one side of a coloring, with one random
    vector, at every call and also under `jax.jit`; if it differs, the program raises an
    error when it runs. Cost: one pass more, and O(nnz); many passes before an error.
    """
    rng, dtype = np.random.default_rng(0), linear_map.seed_dtype
    probe = random_probe(rng, side.colors.size, dtype)

    def is_wrong(weights: Inexact[np.ndarray, "parts seeds"]) -> Bool[Array, ""]:
        product = compare_products(values, probe, linear_map, side, weights)
        return product.is_wrong(Tolerance(None, None)).any()

    # What differs may do so by rounding errors, which take more passes to find out.
    suspicious = is_wrong(np.zeros((0, probe.size)))
    wrong = jax.lax.cond(
        suspicious, lambda: is_wrong(separating_weights(probe.size)), lambda: suspicious
    )
    return eqx.error_if(result, wrong, _DIFFERS)


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
        """The error allowed for numbers of these magnitudes, that come with this noise.

        Noise is a rounding error of numbers that have cancelled, so of numbers `1 / eps`
        times as large.
        """
        limits, rtol, atol = jnp.finfo(scale.dtype), self.rtol, self.atol
        eps = float(limits.eps)
        if rtol is None:
            rtol = eps ** (2 / 3)
        if atol is None:
            largest = _largest(scale) + _largest(noise) / eps
            atol = rtol * largest + float(limits.tiny) / eps
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
    weights: Inexact[np.ndarray, "parts seeds"],
) -> Product:
    """The product with `probe`, by JAX and from the values of the entries.

    For each of the weights JAX's product is also computed as a sum of two, with the
    weighted vector and the rest of it. The difference is the rounding error within the
    function, of which entries and products show nothing where large numbers cancel.
    """

    def rounding_error(weights: Inexact[Array, " seeds"]) -> Num[Array, " lines"]:
        part = probe * weights
        return jnp.abs(linear_map.apply(part) + linear_map.apply(probe - part) - expected)

    expected = linear_map.apply(probe)
    terms = values * probe.astype(values.dtype)[side.seeded]
    found = jnp.zeros(side.dim, values.dtype).at[side.along].add(terms)
    magnitude = jnp.abs(expected).at[side.along].add(jnp.abs(terms))
    noise = jnp.zeros_like(magnitude)
    if len(weights):
        parts = jnp.asarray(weights, probe.dtype)
        noise = jax.lax.map(rounding_error, parts).max(axis=0)
    return Product(expected, found, magnitude, noise)


def random_weights(size: int) -> Inexact[np.ndarray, "1 seeds"]:
    """Weights that tell most elements apart."""
    return np.random.default_rng(1).choice([0.0, 0.7], (1, size))


def separating_weights(size: int) -> Inexact[np.ndarray, "parts seeds"]:
    """Weights by which any two elements are in different parts at least once: by the bits
    of their positions."""
    bits = np.arange(max(1, (size - 1).bit_length()))[:, None]
    return 0.7 * (np.arange(size) >> bits & 1)


def _largest(numbers: Num[Array, "..."]) -> Num[Array, ""]:
    return jnp.where(jnp.isfinite(numbers), numbers, 0).max(initial=0)
