"""How to solve, as a value."""

from typing import Any, TypeAlias

import equinox as eqx

from ..._base.errors import SingularMatrixError
from ..._base.types import check_choice
from ..._structure.pattern import SparsityPattern
from .backend import Backend
from .direct.choose import SOLVERS, DirectName, plan
from .iterative.methods import METHODS, OPTIONS, Iterative, Method

SolverName: TypeAlias = DirectName | Method
"""How to solve; `"auto"` chooses a direct solver by the pattern."""

_SINGULAR = (
    "The matrix is singular, so A x = b has no solution, or more than one. Pass "
    "throw=False for NaN in place of this error."
)


class Direct(eqx.Module):
    """A direct solver, by its name."""

    name: DirectName = eqx.field(static=True)

    def plan(self, pattern: SparsityPattern) -> Backend:
        """The back end for a pattern."""
        return plan(pattern, self.name)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No axes: it has no arrays."""
        return ()

    @property
    def failure(self) -> Exception:
        """The error for a system that is not solved."""
        return SingularMatrixError(_SINGULAR)


Solver: TypeAlias = Direct | Iterative
AnySolver: TypeAlias = SolverName | Solver
"""What a user passes."""


def as_solver(solver: AnySolver, **options: Any) -> Solver:
    """A solver from its name, with options if it is iterative.

    **Raises:** `ValueError` for an unknown name, `TypeError` for options of another solver.
    """
    if isinstance(solver, str) and solver in ("cg", "gmres", "bicgstab"):
        unknown = sorted(options.keys() - OPTIONS)
        if unknown:
            raise TypeError(
                f"{', '.join(unknown)}: no option of iterative solvers. They take "
                f"{', '.join(OPTIONS)}."
            )
        return Iterative(solver, **options)
    if options:
        raise TypeError(
            f"{', '.join(options)}: options of iterative solvers, such as solver='cg', "
            f"given by name. Got solver={solver!r}."
        )
    if isinstance(solver, Direct | Iterative):
        return solver
    check_choice("solver", solver, (*SOLVERS, *METHODS))
    return Direct(solver)
