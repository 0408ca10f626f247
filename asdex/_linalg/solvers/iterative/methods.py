"""Iterative solves, for matrices whose factors would fill the memory.

The methods are `cg`, `bicgstab`, and `gmres` of `jax.scipy.sparse.linalg`. They do not
return whether they converged, so the residual of each solution is computed at the end, and
decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jax.scipy.sparse import linalg
from jaxtyping import Array, Bool, Float, Inexact, Int

from ...._base.errors import NotConvergedError
from ...._base.sharding import varies
from ...._base.types import PyTree, check_choice
from ...._structure.pattern import SparsityPattern
from ...multiply import multiply, multiply_transposed
from ..backend import Determinant, Solution, Vector, is_finite, nan_where
from .bicgstab import bicgstab
from .cg import cg
from .preconditioners import (
    Inverse,
    Preconditioner,
    PreconditionerName,
    as_preconditioner,
)

Method: TypeAlias = Literal["cg", "gmres", "bicgstab"]
METHODS: tuple[str, ...] = get_args(Method)

OPTIONS = ("preconditioner", "rtol", "atol", "max_steps", "restart")
"""Of `Iterative`, by keyword."""

Product: TypeAlias = Callable[[Vector], Vector]

_ROUNDS = 3
"""How often a method is started, each time with the residual that the last one has left.
The residual that a method itself updates drifts away from the true one."""

_MARGIN = 0.5
"""Part of the tolerance that a method is given, so that little drift needs no new start."""

_RTOL, _RTOL_SINGLE = 1e-5, 1e-4
"""That of SciPy and JAX, and one that float32 allows: with a condition number of 1000 also
the residual of a direct solution is 2e-5 of the right-hand side."""

_MOST_STEPS = 10_000
_STEPS_PER_UNKNOWN = 10


class Iterative(eqx.Module):
    """An iterative solver, to be passed as `solver`.

    `A.solve(b, solver="cg", preconditioner="ilu")` is short for
    `A.solve(b, solver=asdex.Iterative("cg", preconditioner="ilu"))`.

    A solution counts as found if the norm of its residual, `|b - A x|`, is at most
    `max(rtol * |b|, atol)`, which is checked at the end with the matrix itself. Otherwise
    it is treated like that of a singular matrix: NaN, or a `NotConvergedError`, as `throw`
    says. A preconditioner therefore changes how long a solve takes, and whether it
    succeeds, but never what counts as a solution. Derivatives are solves of the same kind,
    with the transposed matrix and the transposed preconditioner, and as precise. It is not
    noticed that a matrix is singular if the system has solutions: one of them is returned.

    **Arguments:**

    - `method`: `"cg"` for symmetric (Hermitian) positive definite matrices, `"gmres"` and
        `"bicgstab"` for all.
    - `preconditioner`: what approximates the inverse. `"jacobi"`: the diagonal;
        `"block_jacobi"`: dense blocks of up to 16 unknowns that have many entries in
        common; `"ilu"`: SuperLU's incomplete factorization, on the host; `"amg"`: algebraic
        multigrid by pyamg, on the host, which needs `pip install pyamg`. All of these are
        computed from the values of the matrix. Or a `Factorization`, for example of an
        older matrix; or a linear function of flat vectors, which JAX can transpose, unless
        the method is `"cg"`.
    - `rtol`, `atol`: tolerances for the residual, as in SciPy. By default 1e-5 and zero, in
        float32 1e-4 and zero. No method gets far below `eps * |A| * |x|`.
    - `max_steps`: after how many steps a method gives up; by default ten for each unknown
        and at most 10 000. It starts again, up to twice, if it has at least halved the
        residual until then.
    - `restart`: the number of vectors after which `"gmres"` makes a new start.

    **Raises:** `ValueError` for unknown names, for tolerances below zero or of zero both,
    and for an `rtol` of one or more, with which zero would always be a solution.
    """

    method: Method = eqx.field(static=True)
    preconditioner: Preconditioner
    rtol: float | None = eqx.field(static=True)
    atol: float = eqx.field(static=True)
    max_steps: int | None = eqx.field(static=True)
    restart: int = eqx.field(static=True)

    def __init__(
        self,
        method: Method,
        *,
        preconditioner: PreconditionerName | Callable[..., Any] | Inverse | None = None,
        rtol: float | None = None,
        atol: float = 0.0,
        max_steps: int | None = None,
        restart: int = 20,
    ):
        check_choice("method", method, METHODS)
        self.method, self.preconditioner = method, as_preconditioner(preconditioner)
        self.rtol, self.atol = None if rtol is None else float(rtol), float(atol)
        self.max_steps, self.restart = max_steps, restart
        # Written so that NaN is refused.
        relative = _RTOL if self.rtol is None else self.rtol
        is_possible = 0 <= relative < 1 and 0 <= self.atol < float("inf")
        if not (is_possible and max(relative, self.atol) > 0):
            raise ValueError(
                "rtol must be at least 0 and less than 1, atol at least 0 and finite, and "
                f"one of them positive. Got rtol={rtol!r}, atol={atol!r}."
            )
        for name, count in (("max_steps", max_steps), ("restart", restart)):
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1. Got {count!r}.")

    def plan(self, pattern: SparsityPattern) -> "Krylov":
        """The back end for a pattern."""
        return Krylov(pattern, self)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The axes of a batch of preconditioners that were passed."""
        return self.preconditioner.batch_shape

    @property
    def failure(self) -> Exception:
        """The error for a system that is not solved."""
        return NotConvergedError(
            f"solver={self.method!r} did not converge: the residual of the solution is "
            "larger than rtol times the right-hand side, and than atol. Got "
            f"rtol={self.rtol}, atol={self.atol}. Use a better preconditioner, more "
            "max_steps, a tolerance that the precision allows, another method if the "
            f"matrix is not one that {self.method!r} is for, or a direct solver. Pass "
            "throw=False for NaN in place of this error."
        )


class _State(NamedTuple):
    """The solution so far, and what it leaves."""

    x: Vector
    residual: Vector
    norm: Float[Array, ""]
    last_norm: Float[Array, ""]
    rounds: Int[Array, ""]


@dataclass(frozen=True, eq=False)
class Krylov:
    """Solves by products with the matrix. Factors are the values, and those of the
    preconditioner. What counts as singular is that no solution was found."""

    pattern: SparsityPattern
    solver: Iterative

    def factor(self, data: Inexact[Array, " nnz"]) -> PyTree[Array]:
        return data, self.solver.preconditioner.factor(self.pattern, data)

    def solve(self, factors: PyTree[Array], b: Vector, transposed: bool) -> Solution:
        data, inverse = factors
        product = partial(
            multiply_transposed if transposed else multiply, self.pattern, data
        )
        precondition = partial(self._precondition, inverse, transposed=transposed)
        # Relative to its largest element, so that no square leaves the range of numbers.
        size = _nonzero(jnp.abs(b).max())
        unit = b / size.astype(b.dtype)
        is_single = jnp.finfo(b.dtype).bits <= 32
        rtol = self.solver.rtol
        rtol = (_RTOL_SINGLE if is_single else _RTOL) if rtol is None else rtol
        target = jnp.maximum(rtol * _norm(unit), self.solver.atol / size)

        def is_needed(state: _State) -> Bool[Array, ""]:
            is_slower = state.norm > 0.5 * state.last_norm
            return (state.norm > target) & ~is_slower & (state.rounds < _ROUNDS)

        def start(state: _State) -> _State:
            scale = state.norm.astype(b.dtype)
            tolerance = _MARGIN * target / state.norm
            left = state.residual / scale
            x = state.x + scale * self._approximate(product, precondition, left, tolerance)
            residual = unit - product(x)
            return _State(x, residual, _norm(residual), state.norm, state.rounds + 1)

        norm = _norm(unit)
        zero = jnp.zeros_like(b)
        first = _State(zero, unit, norm, jnp.full_like(norm, jnp.inf), jnp.asarray(0))
        found = lax.while_loop(is_needed, start, first)
        # Written so that NaN has not converged.
        failed = ~(found.norm <= target)
        is_known = is_finite(data) & is_finite(b)
        x, _ = nan_where(failed, size.astype(b.dtype) * found.x)
        return x, failed & is_known

    def slogdet(self, factors: PyTree[Array]) -> Determinant:
        raise ValueError(
            f"solver={self.solver.method!r} computes no determinant. Use a direct solver, "
            "such as solver='auto'."
        )

    def _precondition(
        self, factors: PyTree[Array], residual: Vector, transposed: bool
    ) -> Vector:
        preconditioner = self.solver.preconditioner
        apply = partial(preconditioner.apply, self.pattern, factors)
        if self.solver.method != "cg":
            return apply(residual, transposed=transposed)
        # It must be Hermitian, as the matrix is; JAX need not be able to transpose it.
        residual = jnp.conj(residual) if transposed else residual
        z = apply(residual, transposed=False)
        if not preconditioner.is_symmetric:
            z = (z + jnp.conj(apply(jnp.conj(residual), transposed=True))) / 2
        return jnp.conj(z) if transposed else z

    def _approximate(
        self,
        product: Product,
        precondition: Product,
        b: Vector,
        tolerance: Float[Array, ""],
    ) -> Vector:
        """What a method returns for a right-hand side of norm one."""
        solver, n = self.solver, self.pattern.n
        steps = solver.max_steps or min(_STEPS_PER_UNKNOWN * n, _MOST_STEPS)
        if solver.method != "gmres":
            run = cg if solver.method == "cg" else bicgstab
            return run(product, precondition, b, tolerance, steps)
        if varies(b):
            raise ValueError(
                "solver='gmres' is that of JAX, which cannot be used inside of "
                "jax.shard_map with its checks of what varies over devices. Use 'bicgstab' "
                "or a direct solver, or pass check_vma=False to jax.shard_map."
            )
        # Preconditioned from the right: JAX would compare the tolerance with the
        # preconditioned residual otherwise.
        precondition = partial(_as_if_symmetric, precondition)
        # JAX compares norms with the precision of numbers near one.
        scale = _nonzero(_norm(product(precondition(b)))).astype(b.dtype)
        restart = min(solver.restart, steps, n)
        tolerances: Any = {"tol": 0.0, "atol": tolerance}
        y, _ = linalg.gmres(
            lambda y: product(precondition(y)) / scale,
            b,
            **tolerances,
            maxiter=-(-steps // restart),
            restart=restart,
            solve_method="incremental",
        )
        return precondition(y) / scale


def _as_if_symmetric(linear: Product, x: Vector) -> Vector:
    """`linear(x)`. JAX transposes the operator of `gmres`, and never uses what it gets;
    calls to the host have no transpose."""
    return lax.custom_linear_solve(lambda y: y, x, lambda _, y: linear(y), symmetric=True)


def _nonzero(size: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(size == 0, jnp.ones_like(size), size)


def _norm(x: Vector) -> Float[Array, ""]:
    return jnp.linalg.norm(x)
