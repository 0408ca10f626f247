"""`SparseJacobian`: a sparse matrix that is an ordinary JAX value."""

from collections.abc import Sequence
from typing import Any, Literal, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Inexact, Integer, Num

from .._base.sparse import BCOO, BCSR
from .._base.types import PyTree
from .._call.space import Space
from .._linalg.solvers import SolverName
from .._show.text import one_line
from .._structure.layouts import check_symmetric
from .._structure.pattern import SparsityPattern
from . import algebra, convert
from .solve import solve

NormOrder = Literal["fro", 1, "inf"]
Indices = Integer[np.ndarray, " _"] | Bool[np.ndarray, " _"] | Sequence[int]


class SparseJacobian(eqx.Module):
    """A sparse matrix as a linear map between the pytrees of a function.

    What the verbs return with `output_format="operator"`. Its only leaf is `data`, the
    values of the entries of a pattern; the pattern and the structures of input and output
    are static, like a shape. So it goes through `jax.jit`, `jax.vmap`, `jax.grad`,
    `jax.lax.scan` and other transformations as an array does.

    **Arguments:**

    - `data`: one value per entry of the pattern, in its order, perhaps behind axes of a
        batch: shape `(*batch, nnz)`. Methods then work on all matrices of the batch.
    - `sparsity`: the pattern, of shape `(m, n)`. Only its entries are kept, so operators
        of different functions have equal structures if they map alike.
    - `domain`, `codomain`: what the matrix takes and returns, as pytrees of arrays or of
        `jax.ShapeDtypeStruct`, with `n` and `m` elements in all. By default those of the
        function that the pattern was detected for, or flat vectors.
    - `symmetric`: a promise that the matrix equals its transpose.

    **Raises:** `ValueError` if the sizes do not fit together, or if `symmetric` is set and
    the pattern is not symmetric; `TypeError` if `data` are integers.
    """

    data: Num[Array, "*batch nnz"]
    sparsity: SparsityPattern = eqx.field(static=True)
    domain: Space = eqx.field(static=True)
    codomain: Space = eqx.field(static=True)
    symmetric: bool = eqx.field(static=True)

    # NumPy leaves `array @ operator` to the operator.
    __array_ufunc__ = None

    def __init__(
        self,
        data: Num[Array | np.ndarray, "*batch nnz"],
        sparsity: SparsityPattern,
        domain: Space | PyTree | None = None,
        codomain: Space | PyTree | None = None,
        symmetric: bool = False,
    ):
        self.data = jnp.asarray(data)
        self.sparsity = sparsity.entries_only
        if domain is None:
            domain = Space.into(sparsity, self.data.dtype)
        if codomain is None:
            codomain = Space.out_of(sparsity, self.data.dtype)
        self.domain, self.codomain = Space.of(domain), Space.of(codomain)
        self.symmetric = symmetric
        self._check_fits()

    def _check_fits(self) -> None:
        (m, n), sizes = self.shape, (self.codomain.size, self.domain.size)
        if self.data.ndim == 0 or self.data.shape[-1] != self.nnz:
            raise ValueError(
                f"data must have shape (*batch, {self.nnz}), one value per entry of the "
                f"pattern. Got {self.data.shape}."
            )
        if not jnp.issubdtype(self.dtype, jnp.inexact):
            raise TypeError(
                f"data must be floating point or complex numbers. Got {self.dtype}. Pass "
                "data.astype(float)."
            )
        if sizes != (m, n):
            raise ValueError(
                f"The pattern has shape {(m, n)}, but codomain and domain have {sizes[0]} "
                f"and {sizes[1]} elements: {self.out_structure} and {self.in_structure}."
            )
        if self.symmetric:
            check_symmetric(self.sparsity, "Pass symmetric=False.")

    # -- What it is ------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """`(m, n)`, numbers of elements of the output and of the input."""
        return self.sparsity.shape

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Leading axes of `data`; `()` for a single matrix."""
        return self.data.shape[:-1]

    @property
    def nnz(self) -> int:
        """Number of entries of the pattern."""
        return self.sparsity.nnz

    @property
    def dtype(self) -> Any:
        """Type of the values."""
        return self.data.dtype

    @property
    def values(self) -> Num[Array, "*batch nnz"]:
        """`data`: for consumers of values that know the structure already."""
        return self.data

    @property
    def in_structure(self) -> PyTree[jax.ShapeDtypeStruct]:
        """What `mv` takes."""
        return self.domain.tree

    @property
    def out_structure(self) -> PyTree[jax.ShapeDtypeStruct]:
        """What `mv` returns."""
        return self.codomain.tree

    @property
    def flat(self) -> "SparseJacobian":
        """The same matrix between flat vectors."""
        return convert.flatten(self)

    # -- Products with vectors -------------------------------------------------------

    def mv(self, x: PyTree) -> PyTree:
        """`A x`, for a pytree like `in_structure`; returns one like `out_structure`.

        The leaves of `x` may have the batch axes of the operator in front; for many vectors
        and one matrix use `jax.vmap` or `@`. Raises `ValueError` for another structure.
        """
        return algebra.multiply(self, x)

    def rmv(self, u: PyTree) -> PyTree:
        """`A^T u`, without conjugation, for a pytree like `out_structure`.

        For the conjugate transpose of a complex matrix use `A.H.mv(u)`. See `mv`.
        """
        return algebra.multiply_transposed(self, u)

    def mv_flat(self, x: Num[Array | np.ndarray, "*batch n"]) -> Num[Array, "*batch m"]:
        """`A x` for a flat vector; see `mv`."""
        return self.flat.mv(x)

    def rmv_flat(self, u: Num[Array | np.ndarray, "*batch m"]) -> Num[Array, "*batch n"]:
        """`A^T u` for a flat vector; see `rmv`."""
        return self.flat.rmv(u)

    @overload
    def __matmul__(self, other: "SparseJacobian") -> "SparseJacobian": ...
    @overload
    def __matmul__(self, other: ArrayLike) -> Num[Array, "..."]: ...
    def __matmul__(self, other: Any) -> Any:
        """The product with another operator, a flat vector or a dense matrix.

        Vectors have shape `(n,)`, matrices `(*batch, n, k)`, as `A.todense() @ other`
        takes them. The pattern of the product of two operators is worked out while
        tracing. Raises `ValueError` if the sizes, or the structures in between, differ.
        """
        if isinstance(other, SparseJacobian):
            return algebra.product(self, other)
        return algebra.multiply_matrix(self, other)

    def __rmatmul__(self, other: ArrayLike) -> Num[Array, "..."]:
        """A row vector `(m,)` or a dense matrix `(*batch, k, m)` times the matrix."""
        return algebra.multiply_matrix_from_left(other, self)

    # -- Algebra ---------------------------------------------------------------------

    @property
    def T(self) -> "SparseJacobian":
        """The transpose. Costs nothing, as entries keep their order, or one gather for
        an operator that is declared symmetric, whose pattern is kept."""
        return algebra.transpose(self)

    @property
    def H(self) -> "SparseJacobian":
        """The conjugate transpose."""
        return self.conj().T

    def conj(self) -> "SparseJacobian":
        """The matrix of complex conjugates."""
        return algebra.with_data(self, jnp.conj(self.data))

    def __add__(self, other: "SparseJacobian") -> "SparseJacobian":
        """The sum with an operator of equal shape and structures, on the union of the
        patterns. Raises `ValueError` if they differ."""
        if not isinstance(other, SparseJacobian):
            return NotImplemented
        return algebra.add(self, other)

    def __sub__(self, other: "SparseJacobian") -> "SparseJacobian":
        if not isinstance(other, SparseJacobian):
            return NotImplemented
        return algebra.add(self, -other)

    def __neg__(self) -> "SparseJacobian":
        return algebra.with_data(self, -self.data)

    def __mul__(self, factor: ArrayLike) -> "SparseJacobian":
        """The product with a number, or with one for each matrix of the batch."""
        return algebra.scale(self, factor)

    def __rmul__(self, factor: ArrayLike) -> "SparseJacobian":
        return algebra.scale(self, factor)

    def __truediv__(self, divisor: ArrayLike) -> "SparseJacobian":
        return algebra.scale(self, divisor, divide=True)

    def scale_rows(self, factors: PyTree) -> "SparseJacobian":
        """`diag(factors) A`, for a pytree like `out_structure`."""
        return algebra.scale_rows(self, factors)

    def scale_cols(self, factors: PyTree) -> "SparseJacobian":
        """`A diag(factors)`, for a pytree like `in_structure`."""
        return algebra.scale_cols(self, factors)

    def shift(self, alpha: ArrayLike) -> "SparseJacobian":
        """`A + alpha I`, or `A + diag(alpha)` for a vector of shape `(n,)`.

        Entries of the diagonal that the pattern lacks are added to it. Raises `ValueError`
        unless the matrix is square.
        """
        return algebra.shift(self, alpha)

    def gram(self) -> "SparseJacobian":
        """`A^T A`, as in the normal equations of Gauss and Newton.

        No conjugation: for complex matrices use `A.H @ A`.
        """
        return algebra.gram(self)

    def gram_diagonal(self) -> PyTree:
        """The diagonal of `A^T A`: sums of squares of the columns, like `in_structure`."""
        return algebra.gram_diagonal(self)

    def congruence(self, p: "SparseJacobian") -> "SparseJacobian":
        """`P^T A P`. Raises `ValueError` unless `A` is square and `P` fits."""
        return algebra.congruence(self, p)

    def submatrix(
        self, rows: Indices | None = None, cols: Indices | None = None
    ) -> "SparseJacobian":
        """The matrix of some rows and columns, between flat vectors.

        **Arguments:**

        - `rows`, `cols`: static integers, each at most once, in any order; or a mask of
            booleans. `None` stands for all.

        **Raises:** `ValueError` if an index is out of range or occurs twice.
        """
        return algebra.submatrix(self, rows, cols)

    def triu(self, k: int = 0) -> "SparseJacobian":
        """The entries on diagonal `k` and above it."""
        return algebra.triangle(self, k, upper=True)

    def tril(self, k: int = 0) -> "SparseJacobian":
        """The entries on diagonal `k` and below it."""
        return algebra.triangle(self, k, upper=False)

    # -- Reductions ------------------------------------------------------------------

    def diagonal(self) -> Num[Array, "*batch diagonal"]:
        """Elements `(i, i)`, a flat vector of `min(m, n)` numbers."""
        return algebra.diagonal(self)

    def row_sums(self) -> PyTree:
        """The sum of each row, a pytree like `out_structure`."""
        return algebra.row_sums(self)

    def norm(self, ord: NormOrder | float = "fro") -> Inexact[Array, "*batch"]:
        """The Frobenius norm; the largest sum of absolute values of a column (`1`) or of
        a row (`"inf"`, `math.inf`). Raises `ValueError` for another `ord`."""
        return algebra.norm(self, ord)

    # -- Conversions -----------------------------------------------------------------

    def todense(self) -> Num[Array, "*batch m n"]:
        """The dense matrix."""
        return convert.todense(self)

    def to_bcoo(self) -> BCOO:
        """The matrix of shape `(*batch, m, n)` as `BCOO`, its entries in their order."""
        return convert.to_bcoo(self)

    def to_bcsr(self) -> BCSR:
        """The matrix of shape `(*batch, m, n)` as `BCSR`."""
        return convert.to_bcsr(self)

    def to_scipy(self, format: Literal["csr", "csc", "coo"] = "csr") -> Any:
        """The matrix as a sparse array of SciPy, a copy.

        **Raises:** `jax.errors.ConcretizationTypeError` inside of `jax.jit` and other
        transformations, where there are no numbers yet; `ValueError` for a batch or an
        unknown format.
        """
        return convert.to_scipy(self, format)

    def blocks(self) -> PyTree:
        """A `BCOO` for each leaf of the output and of the input, nested as by `jacobian`.

        Raises `ValueError` for a batch: use `jax.vmap`.
        """
        return convert.blocks(self)

    def bsr(self, block_shape: tuple[int, int]) -> convert.BlockSparse:
        """Dense blocks of equal shape, and where they stand (BSR).

        Blocks with an entry are stored whole. Raises `ValueError` unless `block_shape`
        divides the shape.
        """
        return convert.bsr(self, block_shape)

    def banded(self, l: int, u: int) -> Num[Array, "*batch diagonals n"]:  # noqa: E741
        """The diagonals in LAPACK's layout: element `(i, j)` at `[u + i - j, j]`.

        What `scipy.linalg.solve_banded((l, u), ...)` takes, with `l` diagonals below the
        main one and `u` above. Raises `ValueError` if an entry lies outside of them.
        """
        return convert.banded(self, l, u)

    # -- Solving ---------------------------------------------------------------------

    def solve(
        self, b: PyTree, *, solver: SolverName = "auto", throw: bool | None = None
    ) -> PyTree:
        """`x` with `A x = b`; see `asdex.solve`."""
        return solve(self, b, solver=solver, throw=throw)

    def __pdoc__(self, **options: Any) -> Any:
        return one_line(self)

    def __repr__(self) -> str:
        shown = getattr(self.data, "dtype", self.data)
        batch = getattr(self.data, "shape", ())[:-1]
        return (
            f"SparseJacobian(shape={self.shape}, nnz={self.nnz}, dtype={shown}"
            + (f", batch={batch}" if batch else "")
            + (", symmetric" if self.symmetric else "")
            + ")"
        )
