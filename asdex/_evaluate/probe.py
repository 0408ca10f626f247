"""Comparison of sparse derivatives with JAX's by products with random vectors."""

from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Num

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
    error when it runs. Cost: one pass more, and O(nnz).
    """
    rng, dtype = np.random.default_rng(0), linear_map.seed_dtype
    probe = random_probe(rng, side.colors.size, dtype)
    product = compare_products(values, probe, linear_map, side)
    is_wrong = product.is_wrong(Tolerance(None, None)).any()
    return eqx.error_if(result, is_wrong, _DIFFERS)


class Tolerance(NamedTuple):
    """The tolerances of the comparison; see `check_jacobian_correctness`."""

    rtol: float | None
    atol: float | None

    def allowed(self, scale: Num[Array, "..."]) -> Num[Array, "..."]:
        """The error allowed for numbers of these magnitudes."""
        rtol = self.rtol
        if rtol is None:
            rtol = float(jnp.finfo(scale.dtype).eps) ** (2 / 3)
        finite = jnp.where(jnp.isfinite(scale), scale, 0)
        atol = rtol * finite.max(initial=0) if self.atol is None else self.atol
        return rtol * scale + atol


class Product(NamedTuple):
    """One product of the matrix with a vector, by JAX and from the sparse values."""

    expected: Num[Array, "..."]
    found: Num[Array, "..."]
    scale: Num[Array, "..."]  # The sum of the magnitudes of the terms.

    def is_wrong(self, tolerance: Tolerance) -> Bool[Array, "..."]:
        off = jnp.abs(self.expected - self.found) > tolerance.allowed(self.scale)
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
) -> Product:
    """The product with `probe`, by JAX and from the values of the entries."""
    expected = linear_map.apply(probe)
    terms = values * probe.astype(values.dtype)[side.seeded]
    found = jnp.zeros(side.dim, values.dtype).at[side.along].add(terms)
    magnitude = jnp.abs(expected).at[side.along].add(jnp.abs(terms))
    return Product(expected, found, magnitude)
