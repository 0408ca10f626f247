"""`SparseJacobian`: a sparse matrix that is an ordinary JAX value.

The methods check their arguments and map pytrees to flat vectors and back; `_linalg`
computes the numbers, on patterns and values. One class, hence one file.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Bool, Inexact, Integer, Num

from .._base.errors import SingularMatrixError
from .._base.index import IndexArray, as_indices
from .._base.sharding import automatically
from .._base.sparse import BCOO, BCSR
from .._base.types import OutputFormat, PyTree, check_choice
from .._call.space import Space, is_inexact
from .._linalg import algebra
from .._linalg.algebra import compiled
from .._linalg.solvers import AnySolver, Solver, as_precise, as_solver
from .._show.notebook import as_html
from .._show.text import one_line
from .._structure.layouts import check_symmetric
from .._structure.pattern import SparsityPattern
from . import formats
from .factorization import Factorization, factors_of, report
from .least_squares import LeastSquares

NormOrder = Literal["fro", 1, "inf"]
_MOST_ELEMENTS = 2**24
"""Of the dense matrix that NumPy gets unasked."""

Indices = Integer[np.ndarray, " _"] | Bool[np.ndarray, " _"] | Sequence[int] | slice


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

    # So that NumPy leaves `array @ operator` to the operator.
    __array_ufunc__ = None

    def __init__(
        self,
        data: Num[Array | np.ndarray, "*batch nnz"],
        sparsity: SparsityPattern,
        domain: Space | PyTree | None = None,
        codomain: Space | PyTree | None = None,
        symmetric: bool = False,
    ):
        if not isinstance(sparsity, SparsityPattern):
            raise TypeError(
                "SparseJacobian takes the values of the entries and then their pattern, a "
                f"SparsityPattern. Got {type(data).__name__} and {type(sparsity).__name__}."
            )
        self.data = jnp.asarray(data)
        self.sparsity = sparsity.bare
        if domain is None:
            domain = Space.into(sparsity, self.data.dtype)
        if codomain is None:
            codomain = Space.out_of(sparsity, self.data.dtype)
        self.domain, self.codomain = Space.of(domain), Space.of(codomain)
        self.symmetric = symmetric
        self._check_fits()

    def _check_fits(self) -> None:
        (m, n), sizes = self.sparsity.shape, (self.codomain.size, self.domain.size)
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
    def shape(self) -> tuple[int, ...]:
        """`(*batch, m, n)`, that of the dense matrix, with `m` and `n` the numbers of
        elements of the output and of the input."""
        return (*self.batch_shape, *self.sparsity.shape)

    @property
    def ndim(self) -> int:
        """The length of `shape`; 2 for a single matrix."""
        return len(self.shape)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Leading axes of `data`; `()` for a single matrix."""
        # Under transformations of pytrees, `data` may be something else than an array.
        return getattr(self.data, "shape", ())[:-1]

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
        """`data`: for consumers of values that have the structure already."""
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
        (m, n), dtype = self.sparsity.shape, self.dtype
        return replace(self, domain=Space.flat(n, dtype), codomain=Space.flat(m, dtype))

    # -- Products with vectors -------------------------------------------------------

    @compiled
    def mv(self, x: PyTree) -> PyTree:
        """`A x`, for a pytree like `in_structure`; returns one like `out_structure`.

        The leaves of `x` may have the batch axes of the operator in front; for many vectors
        and one matrix use `jax.vmap` or `@`. Raises `ValueError` for another structure.
        """
        vector = self.domain.ravel("x", x, self.batch_shape, self.dtype)
        return self.codomain.unravel(algebra.apply(self.sparsity, self.data, vector))

    @compiled
    def rmv(self, u: PyTree) -> PyTree:
        """`A^T u`, without conjugation, for a pytree like `out_structure`.

        For the conjugate transpose of a complex matrix use `A.H.mv(u)`. See `mv`.
        """
        vector = self.codomain.ravel("u", u, self.batch_shape, self.dtype)
        found = algebra.apply_transposed(self.sparsity, self.data, vector)
        return self.domain.unravel(found)

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
        takes them. The pattern of the product of two operators is computed while
        tracing. Raises `ValueError` if the sizes, or the structures in between, differ.
        """
        if isinstance(other, SparseJacobian):
            return self._times(other)
        expected = "A @ x takes an operator or an array"
        x = _as_array(other, expected, "For pytrees use A.mv.")
        n = self.sparsity.n
        if x.ndim == 0 or x.shape[max(-2, -x.ndim)] != n:
            raise ValueError(
                f"A @ x needs an x of shape ({n},) or (..., {n}, k) for an operator of "
                f"shape {self.shape}. Got {x.shape}. For pytrees use A.mv."
            )
        return algebra.apply_to_columns(self.sparsity, self.data, x)

    def _times(self, other: "SparseJacobian") -> "SparseJacobian":
        if not self.domain.matches(other.codomain):
            raise ValueError(
                "A @ B needs the input of A to be like the output of B. A of shape "
                f"{self.shape} takes {self.in_structure}, B of shape {other.shape} returns "
                f"{other.out_structure}. If their order is the same, use A.flat @ B.flat."
            )
        _check_batches(self, other)
        pattern, data = algebra.product(
            self.sparsity, self.data, other.sparsity, other.data
        )
        return replace(
            self, data=data, sparsity=pattern, domain=other.domain, symmetric=False
        )

    def __rmatmul__(self, other: ArrayLike) -> Num[Array, "..."]:
        """A row vector `(m,)` or a dense matrix `(*batch, k, m)` times the matrix."""
        x = _as_array(
            other, "x @ A takes an operator or an array", "For pytrees use A.rmv."
        )
        m = self.sparsity.m
        if x.ndim == 0 or x.shape[-1] != m:
            raise ValueError(
                f"x @ A needs an x of shape ({m},) or (..., k, {m}) for an operator of "
                f"shape {self.shape}. Got {x.shape}. For pytrees use A.rmv."
            )
        if x.ndim == 1:
            return self.T @ x
        return jnp.swapaxes(self.T @ jnp.swapaxes(x, -1, -2), -1, -2)

    # -- Algebra ---------------------------------------------------------------------

    @property
    def T(self) -> "SparseJacobian":
        """The transpose. Costs nothing, as entries keep their order, or one gather for
        an operator that is declared symmetric, whose pattern is kept."""
        domain, codomain = self.codomain, self.domain
        if self.symmetric:
            # The pattern stays as it is. The values are exchanged though they should be
            # equal in pairs, because derivatives by them, and gradients that are
            # operators, need not be.
            data = algebra.mirror(self.sparsity, self.data)
            return replace(self, data=data, domain=domain, codomain=codomain)
        pattern, data = algebra.transpose(self.sparsity, self.data)
        return replace(self, data=data, sparsity=pattern, domain=domain, codomain=codomain)

    @property
    def H(self) -> "SparseJacobian":
        """The conjugate transpose."""
        return self.conj().T

    def conj(self) -> "SparseJacobian":
        """The matrix of complex conjugates."""
        return replace(self, data=jnp.conj(self.data))

    def __add__(self, other: "SparseJacobian") -> "SparseJacobian":
        """The sum with an operator of equal shape and structures, on the union of the
        patterns. Raises `ValueError` if they differ."""
        _check_summand(other)
        if self.sparsity.shape != other.sparsity.shape:
            raise ValueError(
                "Operators that are added must have equal shapes. Got "
                f"{self.shape} and {other.shape}."
            )
        if not (
            self.domain.matches(other.domain) and self.codomain.matches(other.codomain)
        ):
            raise ValueError(
                "Operators that are added must map the same structures. Got\n"
                f"{self.in_structure} to {self.out_structure} and\n"
                f"{other.in_structure} to {other.out_structure}.\n"
                "If their order is the same, use A.flat + B.flat."
            )
        _check_batches(self, other)
        pattern, data = algebra.add(self.sparsity, self.data, other.sparsity, other.data)
        symmetric = self.symmetric and other.symmetric
        return replace(self, data=data, sparsity=pattern, symmetric=symmetric)

    def __radd__(self, other: Any) -> "SparseJacobian":
        """The operator itself for the number zero, with which `sum` begins."""
        if type(other) is not int or other != 0:
            _check_summand(other)
        return self

    def __sub__(self, other: "SparseJacobian") -> "SparseJacobian":
        _check_summand(other)
        return self + -other

    def __rsub__(self, other: Any) -> "SparseJacobian":
        _check_summand(other)
        return other - self

    def __neg__(self) -> "SparseJacobian":
        return replace(self, data=-self.data)

    def __mul__(self, factor: ArrayLike) -> "SparseJacobian":
        """The product with a number, or with one for each matrix of the batch."""
        return self._scale(factor)

    def __rmul__(self, factor: ArrayLike) -> "SparseJacobian":
        return self._scale(factor)

    def __truediv__(self, divisor: ArrayLike) -> "SparseJacobian":
        return self._scale(divisor, divide=True)

    def _scale(self, factor: ArrayLike, divide: bool = False) -> "SparseJacobian":
        factor = _as_array(factor, "An operator can be multiplied and divided by numbers")
        if factor.ndim and factor.shape != self.batch_shape:
            raise ValueError(
                "An operator can be multiplied and divided by a number, or by one for each "
                f"matrix of its batch {self.batch_shape}. Got an array of shape "
                f"{factor.shape}. For vectors use @, mv, scale_rows or scale_cols."
            )
        return replace(self, data=algebra.scale(self.data, factor, divide))

    @compiled
    def scale_rows(self, factors: PyTree) -> "SparseJacobian":
        """`diag(factors) A`, for a pytree like `out_structure`."""
        vector = self.codomain.ravel("factors", factors, self.batch_shape, self.dtype)
        data = algebra.scale_by_index(self.data, vector, self.sparsity.rows)
        return replace(self, data=data, symmetric=False)

    @compiled
    def scale_cols(self, factors: PyTree) -> "SparseJacobian":
        """`A diag(factors)`, for a pytree like `in_structure`."""
        vector = self.domain.ravel("factors", factors, self.batch_shape, self.dtype)
        data = algebra.scale_by_index(self.data, vector, self.sparsity.cols)
        return replace(self, data=data, symmetric=False)

    def shift(self, alpha: ArrayLike) -> "SparseJacobian":
        """`A + alpha I`, or `A + diag(alpha)` for a vector of shape `(n,)`.

        Entries of the diagonal that the pattern lacks are added to it. Raises `ValueError`
        unless the matrix is square.
        """
        m, n = self.sparsity.shape
        if m != n:
            raise ValueError(
                "shift adds a multiple of the identity, which is square. The operator has "
                f"shape {self.shape}."
            )
        alpha = _as_array(alpha, "alpha must be a number or an array")
        if alpha.ndim and alpha.shape[-1] != n:
            raise ValueError(
                f"alpha must be a number or of shape (..., {n}). Got {alpha.shape}. For a "
                "number for each matrix of a batch use jax.vmap."
            )
        pattern, data = algebra.shift(self.sparsity, self.data, alpha)
        return replace(self, data=data, sparsity=pattern)

    def gram(self) -> "SparseJacobian":
        """`A^T A`, as in the normal equations of Gauss and Newton.

        No conjugation: for complex matrices use `A.H @ A`.
        """
        return replace(self.T @ self, symmetric=True)

    @compiled
    def gram_diagonal(self) -> PyTree:
        """The diagonal of `A^T A`: sums of squares of the columns, like `in_structure`."""
        squares = algebra.column_sums(self.sparsity, self.data * self.data)
        return self.domain.unravel(squares)

    def congruence(self, p: "SparseJacobian") -> "SparseJacobian":
        """`P^T A P`. Raises `ValueError` unless `A` is square and `P` fits."""
        if self.sparsity.m != self.sparsity.n:
            raise ValueError(
                f"P^T A P needs a square A. The operator has shape {self.shape}."
            )
        if not isinstance(p, SparseJacobian):
            raise TypeError(
                f"P^T A P needs an operator P. Got {type(p).__name__}. For a dense one use "
                "P.T @ (A @ P)."
            )
        return replace(p.T @ (self @ p), symmetric=self.symmetric)

    def submatrix(
        self, rows: Indices | None = None, cols: Indices | None = None
    ) -> "SparseJacobian":
        """The matrix of some rows and columns, between flat vectors.

        **Arguments:**

        - `rows`, `cols`: static integers, each at most once, in any order; a slice; or a
            mask of booleans. `None` means all.

        **Raises:** `ValueError` if an index is out of range or occurs twice; `TypeError`
        for indices that are traced by JAX.
        """
        (m, n), dtype = self.sparsity.shape, self.dtype
        row_index = _as_selection("rows", rows, m)
        col_index = _as_selection("cols", cols, n)
        pattern, data = algebra.submatrix(self.sparsity, self.data, row_index, col_index)
        return SparseJacobian(
            data,
            pattern,
            Space.flat(pattern.n, dtype),
            Space.flat(pattern.m, dtype),
            symmetric=self.symmetric and row_index == col_index,
        )

    def triu(self, k: int = 0) -> "SparseJacobian":
        """The entries on diagonal `k` and above it."""
        return self._triangle(k, upper=True)

    def tril(self, k: int = 0) -> "SparseJacobian":
        """The entries on diagonal `k` and below it."""
        return self._triangle(k, upper=False)

    def _triangle(self, k: int, *, upper: bool) -> "SparseJacobian":
        pattern, data = algebra.triangle(self.sparsity, self.data, k, upper)
        return replace(self, data=data, sparsity=pattern, symmetric=False)

    # -- Reductions ------------------------------------------------------------------

    def diagonal(self) -> Num[Array, "*batch diagonal"]:
        """Elements `(i, i)`, a flat vector of `min(m, n)` numbers."""
        return algebra.diagonal(self.sparsity, self.data)

    @compiled
    def row_sums(self) -> PyTree:
        """The sum of each row, a pytree like `out_structure`."""
        return self.codomain.unravel(algebra.row_sums(self.sparsity, self.data))

    def norm(self, ord: NormOrder | float = "fro") -> Inexact[Array, "*batch"]:
        """The Frobenius norm; the largest sum of absolute values of a column (`1`) or of
        a row (`"inf"`, `math.inf`). Raises `ValueError` for another `ord`."""
        if ord not in ("fro", 1, "inf", math.inf):
            raise ValueError(f"ord must be 'fro', 1 or 'inf'. Got {ord!r}.")
        if not self.nnz:
            return jnp.zeros(self.batch_shape, self.data.real.dtype)
        return algebra.norm(self.sparsity, self.data, ord)

    # -- Conversions -----------------------------------------------------------------

    def todense(self) -> Num[Array, "*batch m n"]:
        """The dense matrix."""
        return formats.todense(self.sparsity, self.data)

    def to_bcoo(self) -> BCOO:
        """The matrix of shape `(*batch, m, n)` as `BCOO`, its entries in their order."""
        return formats.to_bcoo(self.sparsity, self.data)

    def to_bcsr(self) -> BCSR:
        """The matrix of shape `(*batch, m, n)` as `BCSR`."""
        return formats.to_bcsr(self.sparsity, self.data)

    def to_scipy(self, format: Literal["csr", "csc", "coo", "operator"] = "csr") -> Any:
        """The matrix between flat vectors as a sparse array of SciPy, a copy; with
        `"operator"`, as a `scipy.sparse.linalg.LinearOperator` that holds one.

        **Raises:** `jax.errors.ConcretizationTypeError` inside of `jax.jit` and other
        transformations, where values are not known; `ValueError` for a batch or an
        unknown format.
        """
        self._check_single("A SciPy array holds one matrix")
        check_choice("format", format, [*formats.SCIPY_FORMATS, "operator"])
        if format == "operator":
            from scipy.sparse.linalg import aslinearoperator

            return aslinearoperator(self.to_scipy("csr"))
        return self._convert(formats.SCIPY_FORMATS[format])

    def matvec(self, x: Num[ArrayLike, "..."]) -> Num[np.ndarray, "..."]:
        """`A x` in NumPy, as SciPy's iterative solvers call it: for a vector of shape
        `(n,)` or `(n, 1)`, an array of `m` numbers in the same form that may be changed.

        So an operator is accepted in place of a `LinearOperator`. `to_scipy("operator")`
        makes a real one, which also computes faster where JAX would run on a CPU.
        """
        self._check_single("SciPy's solvers take one matrix")
        return np.array(self @ x)

    def rmatvec(self, u: Num[ArrayLike, "..."]) -> Num[np.ndarray, "..."]:
        """`A^H u`, with conjugation, which SciPy expects; see `matvec`."""
        return self.H.matvec(u)

    def __array__(
        self, dtype: Any = None, copy: bool | None = None
    ) -> Num[np.ndarray, "*batch m n"]:
        """The dense matrix, where NumPy wants an array.

        **Raises:** `ValueError` if it has more than 2^24 elements, or for `copy=False`.
        """
        elements = math.prod(self.shape)
        if copy is False or elements > _MOST_ELEMENTS:
            raise ValueError(
                f"NumPy needs this operator as a dense array of {elements:,} elements, "
                f"a copy, of which it has {self.nnz:,} entries. Pass A.to_scipy() where "
                "a sparse array of SciPy will do, or np.asarray(A.todense())."
            )
        return np.array(self.todense(), dtype)

    def blocks(self) -> PyTree:
        """A `BCOO` for each leaf of the output and of the input, nested as by `jacobian`.

        Raises `ValueError` for a batch: use `jax.vmap`.
        """
        self._check_single("Blocks are those of one matrix")
        return self._convert("bcoo")

    @automatically
    def _convert(self, output_format: OutputFormat) -> PyTree:
        conversion = formats.plan_conversion(
            self.sparsity, self.codomain.shapes, self.domain.shapes, output_format
        )
        return conversion(self.data, self.domain, self.codomain)

    def bsr(self, block_shape: tuple[int, int]) -> formats.BlockSparse:
        """Dense blocks of equal shape, and where they are (BSR).

        Blocks with an entry are stored whole. Raises `ValueError` unless `block_shape`
        divides the shape.
        """
        return formats.to_bsr(self.sparsity, self.data, block_shape)

    def banded(self, l: int, u: int) -> Num[Array, "*batch diagonals n"]:  # noqa: E741
        """The diagonals in LAPACK's layout: element `(i, j)` at `[u + i - j, j]`.

        What `scipy.linalg.solve_banded((l, u), ...)` takes, with `l` diagonals below the
        main one and `u` above. Raises `ValueError` if an entry lies outside of them.
        """
        return formats.to_banded(self.sparsity, self.data, l, u)

    # -- Solving ---------------------------------------------------------------------

    def solve(
        self,
        b: PyTree,
        *,
        solver: AnySolver = "auto",
        throw: bool | None = None,
        **options: Any,
    ) -> PyTree:
        """`x` with `A x = b`; see `asdex.solve`."""
        self._check_square()
        chosen = as_solver(solver, **options)
        return report(*self._solve(b, chosen), chosen, throw)

    def factorize(self, *, solver: AnySolver = "auto", **options: Any) -> Factorization:
        """The factors of the matrix, for several solves: with several right-hand sides that
        come one after another, with the transpose, or in a loop that keeps the matrix.

        Raises what `solve` raises, except for a singular matrix, which the first solve
        finds. See `asdex.solve` for `solver` and `options`.
        """
        self._check_square()
        chosen = as_solver(solver, **options)
        factors = factors_of(self.sparsity, self.data, chosen)
        spaces = self.domain, self.codomain
        return Factorization(self.data, factors, self.sparsity, *spaces, chosen)

    def lstsq(
        self,
        b: PyTree,
        *,
        damping: ArrayLike = 0.0,
        solver: AnySolver = "auto",
        throw: bool | None = None,
    ) -> PyTree:
        """The `x` that minimizes `|A x - b|^2 + damping |x|^2`, the smallest one if there
        are many, for a matrix of any shape and full rank.

        By the normal equations, `A^H A + damping I`, or `A A^H + damping I` if there are
        more columns than rows, and one step of refinement. Their pattern must be sparse,
        too: a row with many entries makes `A^H A` dense. Differentiable like `solve`.

        **Arguments:**

        - `b`: a pytree like `out_structure`.
        - `damping`: a number, zero or positive, as in the Levenberg-Marquardt method, or a
            vector of one for each column.
        - `solver`, `throw`: see `asdex.solve`; they are those of the normal equations.
        """
        self._check_single("Least squares are solved for one matrix")
        if not isinstance(damping, Tracer) and (np.asarray(damping) < 0).any():
            raise ValueError(f"damping must be zero or positive. Got {damping}.")
        chosen = as_solver(solver)
        found = self._lstsq(b, damping, chosen)
        try:
            return report(*found, chosen, throw)
        except SingularMatrixError:
            lines = "columns" if self.sparsity.m >= self.sparsity.n else "rows"
            raise SingularMatrixError(
                f"The {lines} of the matrix are linearly dependent. Pass a damping, or "
                "throw=False for NaN in place of this error."
            ) from None

    @compiled
    def _lstsq(
        self, b: PyTree, damping: ArrayLike, solver: Solver
    ) -> tuple[PyTree, Bool[Array, ""], Bool[Array, ""]]:
        vector = self.codomain.ravel("b", b, (), self.dtype)
        data = as_precise(self.data, vector)
        squares = LeastSquares.of(self.sparsity, data, damping, solver)
        x, singular, is_nearly = squares.solve(vector)
        return self.domain.unravel(x), singular, is_nearly

    def slogdet(
        self, *, solver: AnySolver = "auto"
    ) -> tuple[Inexact[Array, "*batch"], Inexact[Array, "*batch"]]:
        """The sign of the determinant and the logarithm of its absolute value; see
        `Factorization.slogdet`."""
        return self.factorize(solver=solver).slogdet()

    def rcond(self, *, solver: AnySolver = "auto") -> Inexact[Array, ""]:
        """An estimate of the reciprocal of the condition number, in the norm of column
        sums: about `eps` times `1 / rcond` is the relative error of a solution. Zero for a
        singular matrix.

        Raises `ValueError` unless the matrix is square, or for a batch. Cost: one
        factorization and four solves with it.
        """
        self._check_single("The condition number is that of one matrix")
        return self.factorize(solver=solver).rcond()

    @compiled
    def _solve(
        self, b: PyTree, solver: Solver
    ) -> tuple[PyTree, Bool[Array, "..."], Bool[Array, "..."]]:
        leaves = [leaf for leaf in jax.tree.leaves(b) if is_inexact(jnp.result_type(leaf))]
        data = self.data
        for leaf in leaves:
            data = as_precise(data, jnp.asarray(leaf))
        return replace(self, data=data).factorize(solver=solver).solve_flagged(b)

    def _check_square(self) -> None:
        m, n = self.sparsity.shape
        if m != n:
            raise ValueError(
                f"Only a square matrix can be solved with. This one has shape {(m, n)}. "
                "For least squares use A.lstsq(b)."
            )

    def _check_single(self, expectation: str) -> None:
        if self.batch_shape:
            raise ValueError(
                f"{expectation}. This operator is a batch of shape {self.batch_shape}: "
                "take one of them, jax.tree.map(lambda data: data[0], A), or use jax.vmap."
            )

    def __pdoc__(self, **options: Any) -> Any:
        return one_line(self)

    def _repr_html_(self) -> str:
        drawing = self.sparsity.drawing
        return as_html(drawing, [repr(self)])

    def __repr__(self) -> str:
        shown = getattr(self.data, "dtype", self.data)
        return (
            f"SparseJacobian(shape={self.shape}, nnz={self.nnz}, dtype={shown}"
            + (", symmetric" if self.symmetric else "")
            + ")"
        )


def _check_summand(other: Any) -> None:
    if not isinstance(other, SparseJacobian):
        raise TypeError(
            "Only operators can be added to and subtracted from operators. Got "
            f"{type(other).__name__}. For multiples of the identity use A.shift, for "
            "diagonals asdex.diag, for arrays A.todense()."
        )


def _check_batches(a: SparseJacobian, b: SparseJacobian) -> None:
    try:
        np.broadcast_shapes(a.batch_shape, b.batch_shape)
    except ValueError:
        raise ValueError(
            "Batches of operators must have equal shapes, or shapes that NumPy can "
            f"broadcast. Got {a.batch_shape} and {b.batch_shape}."
        ) from None


def _as_array(
    value: Any, expectation: str, advice: str = "For other operations use A.todense()."
) -> Num[Array, "..."]:
    """An array, whose numbers may be of weak type, from the other operand."""
    wrong = TypeError(f"{expectation}. Got {type(value).__name__}. {advice}")
    if hasattr(value, "todense"):  # NumPy would ask a sparse matrix for all elements.
        raise wrong
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError):
        raise wrong from None


def _as_selection(name: str, indices: Any, size: int) -> IndexArray:
    """Indices below `size`, each at most once, from integers or a mask."""
    if indices is None:
        indices = slice(None)
    if isinstance(indices, slice):
        return IndexArray(np.arange(size, dtype=np.int32)[indices])
    if isinstance(indices, Tracer):
        raise TypeError(
            f"{name} must be known while the function is traced, since the pattern depends "
            f"on them. Got {indices}. Close over them, or pass them as static arguments."
        )
    if (mask := np.asarray(indices)).dtype == bool:
        if mask.shape != (size,):
            raise ValueError(
                f"The mask {name} must have shape ({size},). Got {mask.shape}."
            )
        indices = np.flatnonzero(mask)
    chosen = as_indices(name, indices, -size, size - 1, f"for {size} {name}") % max(1, size)
    if np.unique(chosen).size < chosen.size:
        raise ValueError(f"{name} must name each index at most once. Got {indices!r}.")
    return IndexArray(chosen.astype(np.int32))
