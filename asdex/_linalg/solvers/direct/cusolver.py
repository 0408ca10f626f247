"""General sparse matrices on NVIDIA GPUs, by cuSOLVER."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact

from ...._base.types import PyTree
from ...._structure.layouts import CompressedStructure, csc_structure, csr_structure
from ...._structure.pattern import SparsityPattern
from ...multiply import take
from ..backend import (
    Backend,
    ByPlatform,
    Determinant,
    Solution,
    Vector,
    is_finite,
    nan_where,
)
from ..matching import Facts
from .superlu import plan_superlu


def plan_cusolver(facts: Facts) -> Backend:
    """QR decomposition by cuSOLVER on CUDA, SuperLU elsewhere."""
    return on_device(facts.pattern, plan_superlu(facts))


def on_device(pattern: SparsityPattern, host: Backend) -> Backend:
    """Solve by cuSOLVER on CUDA, without transfers, and on the host elsewhere."""
    device = CuSolver(csr_structure(pattern), csc_structure(pattern), host)
    return ByPlatform(("cuda",), device, host)


@dataclass(frozen=True, eq=False)
class CuSolver:
    """Solves by `csrlsvqr`, one system after another: it keeps no factors, and knows no
    determinants, which are left to the host."""

    rows: CompressedStructure
    cols: CompressedStructure
    host: Backend

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return data

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        structure = self.cols if transposed else self.rows
        # Columns of the matrix are rows of its transpose.
        data = take(factors, structure.permutation)

        @jax.custom_batching.sequential_vmap
        def solve_one(data: Inexact[Array, " nnz"], b: Vector) -> Vector:
            from jax.experimental.sparse.linalg import spsolve

            indices, pointers = map(jnp.asarray, (structure.indices, structure.indptr))
            # A positive tolerance would end the program when a matrix is singular.
            return spsolve(data, indices, pointers, b, tol=0.0)

        x = solve_one(data, b)
        singular = ~is_finite(x) & is_finite(data) & is_finite(b)
        return nan_where(singular, x)

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        return self.host.slogdet(self.host.factor(factors))
