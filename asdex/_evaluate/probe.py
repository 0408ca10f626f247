"""Comparison of sparse derivatives with JAX's by products with random vectors."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Int32, Integer, Num

from .._structure.coloring import ColoredPattern
from .compress import Linearization

_DIFFERS = (
    "A sparse derivative differs from JAX's. check_jacobian_correctness or "
    "check_hessian_correctness, called at this point, says where."
)


def with_check(
    result: Num[Array, "..."],
    values: Num[Array, " nnz"],
    order: Integer[np.ndarray, " nnz"] | None,
    linearization: Linearization,
    coloring: ColoredPattern,
) -> Num[Array, "..."]:
    """`result`, once the values of the entries in the given order have been checked.

    Compares the product with one random vector, at every call and also under `jax.jit`;
    if it differs, the program raises an error when it runs. Cost: one pass more, and
    O(nnz).
    """
    sides = Sides.of(coloring, order)
    probe = random_probe(np.random.default_rng(0), sides.seeds, linearization.seed_dtype)
    product = compare_products(values, probe, linearization, sides)
    is_wrong = product.is_wrong(Tolerance(None, None)).any()
    return eqx.error_if(result, is_wrong, _DIFFERS)


class Tolerance(NamedTuple):
    """How far numbers may be off; see `check_jacobian_correctness`."""

    rtol: float | None
    atol: float | None

    def allowed(self, scale: Num[Array, "..."]) -> Num[Array, "..."]:
        """How far numbers of these magnitudes may be off."""
        rtol = self.rtol
        if rtol is None:
            rtol = float(jnp.finfo(scale.dtype).eps) ** (2 / 3)
        finite = jnp.where(jnp.isfinite(scale), scale, 0)
        atol = rtol * finite.max(initial=0) if self.atol is None else self.atol
        return rtol * scale + atol


class Sides(NamedTuple):
    """The pattern as the linear map sees it: from what is seeded to what comes out."""

    seeded: Int32[np.ndarray, " nnz"]
    along: Int32[np.ndarray, " nnz"]
    seeds: int
    dim: int
    by_rows: bool

    @classmethod
    def of(
        cls, coloring: ColoredPattern, order: Integer[np.ndarray, " nnz"] | None = None
    ) -> "Sides":
        rows, cols = coloring.sparsity.rows, coloring.sparsity.cols
        if order is not None:
            rows, cols = rows[order], cols[order]
        if coloring.mode == "rev":
            return cls(rows, cols, *coloring.sparsity.shape, by_rows=True)
        return cls(cols, rows, *reversed(coloring.sparsity.shape), by_rows=False)

    def has(self, seeded: int, along: int) -> bool:
        """Whether the pattern has an entry there."""
        return bool(((self.seeded == seeded) & (self.along == along)).any())

    def entry(self, seeded: int, along: int) -> tuple[int, int]:
        """The row and the column."""
        return (seeded, along) if self.by_rows else (along, seeded)


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
    linearization: Linearization,
    sides: Sides,
) -> Product:
    """The product with `probe`, by JAX and from the values of the entries."""
    expected = linearization.apply(probe)
    terms = values * probe.astype(values.dtype)[sides.seeded]
    found = jnp.zeros(sides.dim, values.dtype).at[sides.along].add(terms)
    magnitude = jnp.abs(expected).at[sides.along].add(jnp.abs(terms))
    return Product(expected, found, magnitude)
