"""`NonlinearProgram`: minimize an objective under constraints."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Inexact

from .._base.types import PyTree
from .._call.space import Space
from .._operator import SparseJacobian
from .._structure.inputs import is_array, without_values
from .._structure.layouts import lower_triangle
from .._verbs import derivatives as verbs
from .._verbs.derivative import Derivative
from .bounds import Bounds, as_bounds
from .flat import FlatProgram, Vector, as_numpy
from .ipopt import IpoptCallbacks
from .kkt import Derivatives
from .linear import linear_leaves
from .trust_constr import scipy_arguments

F = TypeVar("F", bound=Callable[..., Any])


def _jitted(method: F) -> F:
    """A method that is compiled once for all values of its arguments.

    As for the verbs, arrays and Python floats may change, and all else is static.
    """
    run = eqx.filter_jit(method)

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = jax.tree.map(
            lambda leaf: jnp.asarray(leaf) if isinstance(leaf, (float, complex)) else leaf,
            (args, kwargs),
        )
        return run(*args, **kwargs)

    return cast(F, call)


@dataclasses.dataclass(frozen=True, eq=False)
class _Functions:
    """The user's functions, checked where they are called."""

    objective: Callable[..., Any]
    constraints: Callable[..., Any] | None
    domain: Space

    def value(self, x: PyTree, *args: Any) -> Inexact[Array, ""]:
        value = self.objective(x, *args)
        if not jax.tree_util.all_leaves([value]) or jnp.size(value) != 1:
            raise ValueError(
                "The objective must return a scalar, or an array of one element. Got "
                f"{jax.tree.map(jnp.shape, value)}."
            )
        return jnp.reshape(value, ())

    def residuals(self, x: PyTree, *args: Any) -> PyTree:
        if self.constraints is None:
            return jnp.zeros(0, self.domain.dtype)
        return jax.tree.map(jnp.asarray, self.constraints(x, *args))

    def lagrangian(
        self, x: PyTree, multipliers: PyTree, *args: Any, objective_factor: Any = 1.0
    ) -> Inexact[Array, ""]:
        value, constraints = self.value(x, *args), self.residuals(x, *args)
        dtype = Space.of((value, constraints)).dtype
        terms = [
            jnp.vdot(jnp.asarray(factor, dtype), term.astype(dtype))
            for factor, term in zip(
                jax.tree.leaves((objective_factor, multipliers)),
                jax.tree.leaves((value, constraints)),
                strict=True,
            )
        ]
        return functools.reduce(jnp.add, terms)


class NonlinearProgram(eqx.Module):
    """Minimize `objective(x, *args)` over `x`, with `x` and `constraints(x, *args)` within
    bounds.

    What solvers need again and again: values and derivatives at a point, with structures
    that are found once, from the shapes of the samples. The Lagrangian is
    `objective_factor` times the objective plus the sum of all constraints, each times its
    multiplier. Its Hessian has the entries of the objective and of all constraints,
    whatever the multipliers, which may be zero. Linear constraints add none.

    An Equinox module, whose leaves are the bounds. Methods are compiled once, as by
    `jax.jit`, and work under `jax.jit`, `jax.vmap` and `jax.grad`, over `x`, multipliers
    and `args`. `jacobian` and `hessian` are each a `Derivative`, whose calls outside of
    `jax.jit` are described there.

    **Arguments:**

    - `objective`: a function of `x` and `args` that returns a scalar.
    - `constraints`: a function of the same arguments that returns an array or a pytree of
        arrays; `None` if there are none, which counts as an array of shape `(0,)`.
    - `x`, `*args`: samples: arrays or `jax.ShapeDtypeStruct`s, or pytrees of them, of which
        only shapes and dtypes are used. Leaves of `x` are real floating point numbers; in
        `args`, bool, int, str and so on are static.
    - `bounds`: a pair `(lower, upper)` for `x`, each a number, a pytree like `x`, or `None`
        for no bound. By default, there is none.
    - `constraint_bounds`: the same for the constraints. By default `(0.0, 0.0)`: they are
        equations.

    **Raises:** what `jacobian` and `hessian` raise; `TypeError` if a function is not
    callable or `x` does not hold real floats; `ValueError` if the objective does not return
    a scalar, or for bounds that do not fit.
    """

    bounds: Bounds
    """The bounds of `x`, pytrees like `x`."""
    constraint_bounds: Bounds
    """The bounds of the constraints, pytrees like what they return."""
    jacobian: Derivative[SparseJacobian] = eqx.field(static=True)
    """`jacobian(x, *args)` is the Jacobian of the constraints, `jacobian.sparsity` its
    pattern, `jacobian.constant_entries` what never changes."""
    hessian: Derivative[SparseJacobian] = eqx.field(static=True)
    """`hessian(x, multipliers, *args, objective_factor=1.0)` is the Hessian of the
    Lagrangian, which is symmetric; see `jacobian`."""
    domain: Space = eqx.field(static=True)
    """Structure, shapes and dtypes of `x`."""
    codomain: Space = eqx.field(static=True)
    """Structure, shapes and dtypes of the constraints, and of the multipliers."""
    _functions: _Functions = eqx.field(static=True)
    _linear_leaves: tuple[bool, ...] = eqx.field(static=True)

    def __init__(
        self,
        objective: Callable[..., Any],
        constraints: Callable[..., Any] | None,
        x: PyTree,
        *args: Any,
        bounds: Any = (None, None),
        constraint_bounds: Any = (0.0, 0.0),
    ):
        for name, function in (("objective", objective), ("constraints", constraints)):
            if not (callable(function) or (name == "constraints" and function is None)):
                raise TypeError(
                    f"{name} must be a function of x and args. Got {function!r}."
                )
        x, args = jax.tree.map(without_values, (x, args))
        _check_real("x", x)
        self.domain = Space.of(x)
        functions = self._functions = _Functions(objective, constraints, self.domain)
        residuals = eqx.filter_eval_shape(functions.residuals, x, *args)
        _check_real("What the constraints return", residuals)
        self.codomain = Space.of(residuals)
        self.bounds = as_bounds("bounds", bounds, self.domain)
        self.constraint_bounds = as_bounds(
            "constraint_bounds", constraint_bounds, self.codomain
        )
        self._linear_leaves = linear_leaves(functions.residuals, x, args)
        self.jacobian = verbs.jacobian(
            functions.residuals, x, *args, output_format="operator"
        )
        self.hessian = verbs.hessian(
            functions.lagrangian,
            x,
            self.codomain.tree,
            *args,
            objective_factor=1.0,
            output_format="operator",
        )

    # -- Structure -------------------------------------------------------------------

    @property
    def is_linear(self) -> Bool[np.ndarray, " m"]:
        """Whether each constraint, a row of the Jacobian, is known to have a derivative
        that does not depend on `x`.

        It is known if no entry of the row changes, see `constant_entries`, or if the
        derivative of a whole leaf of the constraints is computed without `x`, perhaps with
        coefficients from `args`. A piecewise constant function, whose derivative is zero,
        counts as linear.
        """
        pattern, is_constant, _ = self.jacobian.constant_entries
        varying = np.bincount(pattern.rows[~is_constant], minlength=pattern.m)
        sizes = list(map(math.prod, self.codomain.shapes))
        return (varying == 0) | np.repeat(np.array(self._linear_leaves, bool), sizes)

    @property
    def nonlinear_variables(self) -> Bool[np.ndarray, " n"]:
        """Whether each variable, an element of `x`, has an entry in the Hessian of the
        Lagrangian."""
        pattern = self.hessian.sparsity
        return np.bincount(pattern.cols, minlength=pattern.n) > 0

    # -- Values ----------------------------------------------------------------------

    @_jitted
    def objective(self, x: PyTree, *args: Any) -> Inexact[Array, ""]:
        """The objective."""
        return self._functions.value(x, *args)

    @_jitted
    def gradient(self, x: PyTree, *args: Any) -> PyTree:
        """The gradient of the objective, like `x`."""
        return jax.grad(self._functions.value)(x, *args)

    @_jitted
    def constraints(self, x: PyTree, *args: Any) -> PyTree:
        """The values of the constraints, a pytree of arrays."""
        return self._functions.residuals(x, *args)

    @_jitted
    def lagrangian(
        self,
        x: PyTree,
        multipliers: PyTree,
        *args: Any,
        objective_factor: ArrayLike = 1.0,
    ) -> Inexact[Array, ""]:
        """The Lagrangian, for multipliers like the constraints."""
        return self._functions.lagrangian(
            x, multipliers, *args, objective_factor=objective_factor
        )

    @_jitted
    def lagrangian_gradient(
        self,
        x: PyTree,
        multipliers: PyTree,
        *args: Any,
        objective_factor: ArrayLike = 1.0,
    ) -> PyTree:
        """The gradient of the Lagrangian by `x`, like `x`."""
        return jax.grad(self._functions.lagrangian)(
            x, multipliers, *args, objective_factor=objective_factor
        )

    @_jitted
    def evaluate(
        self,
        x: PyTree,
        multipliers: PyTree,
        *args: Any,
        objective_factor: ArrayLike = 1.0,
    ) -> Derivatives:
        """All values and derivatives at a point, by one program that computes the functions
        once."""
        functions = self._functions
        objective, gradient = jax.value_and_grad(functions.value)(x, *args)
        constraints, pull = jax.vjp(lambda x: functions.residuals(x, *args), x)
        (of_constraints,) = pull(jax.tree.map(_cast_like, multipliers, constraints))
        factor = jnp.asarray(objective_factor, objective.dtype)
        return Derivatives(
            objective,
            gradient,
            constraints,
            self.jacobian(x, *args),
            jax.tree.map(
                lambda g, c: factor.astype(g.dtype) * g + c, gradient, of_constraints
            ),
            self.hessian(x, multipliers, *args, objective_factor=factor),
        )

    @_jitted
    def kkt(
        self,
        x: PyTree,
        multipliers: PyTree,
        *args: Any,
        primal_regularization: ArrayLike | PyTree = 0.0,
        dual_regularization: ArrayLike | PyTree = 0.0,
        objective_factor: ArrayLike = 1.0,
    ) -> SparseJacobian:
        """The KKT matrix `[[H + D, J^T], [J, -E]]` of the Hessian `H` of the Lagrangian and
        the Jacobian `J` of the constraints.

        A symmetric operator that maps pairs `(x, multipliers)`. Its whole diagonal is
        stored, so that its pattern does not depend on the regularization.

        **Arguments:**

        - `primal_regularization`: the diagonal of `D`: a number, or a pytree like `x`.
        - `dual_regularization`: the diagonal of `E`: a number, or a pytree like the
            multipliers.
        - `x`, `multipliers`, `*args`, `objective_factor`: see `lagrangian`.
        """
        derivatives = self.evaluate(
            x, multipliers, *args, objective_factor=objective_factor
        )
        return derivatives.kkt(primal_regularization, dual_regularization)

    # -- Solvers outside of JAX ------------------------------------------------------

    def cyipopt(self, *args: Any) -> IpoptCallbacks:
        """The callbacks for IPOPT, with which two lines solve the problem:

            callbacks = problem.cyipopt(*args)
            solver = cyipopt.Problem(problem_obj=callbacks, **callbacks.sizes)

        IPOPT computes in double precision, and so should JAX.
        """
        return IpoptCallbacks(self._flat(args, lower=True), self._constant_for_ipopt())

    def scipy(self, *args: Any) -> dict[str, Any]:
        """The keyword arguments for `scipy.optimize.minimize`, with sparse derivatives:
        `minimize(x0=x0, method="trust-constr", **problem.scipy(*args))`.

        SciPy computes in double precision, and so should JAX.
        """
        return scipy_arguments(self._flat(args, lower=False))

    def _constant_for_ipopt(self) -> dict[str, str]:
        """Which of the two Jacobians, of equations and of inequalities, are constant."""
        lower, upper = _flat_bounds(self.codomain, self.constraint_bounds)
        is_equation = lower == upper
        kinds = {"jac_c_constant": is_equation, "jac_d_constant": ~is_equation}
        return {
            name: "yes"
            for name, rows in kinds.items()
            if rows.any() and self.is_linear[rows].all()
        }

    def _flat(self, args: tuple[Any, ...], *, lower: bool) -> FlatProgram:
        def first_order(x: Any) -> Any:
            return self._first_order(x, args)

        def second_order(x: Any, multipliers: Any, factor: Any) -> Any:
            return self._second_order(x, multipliers, factor, args, lower)

        return FlatProgram(
            self.jacobian.sparsity,
            self.hessian.sparsity,
            _flat_bounds(self.domain, self.bounds),
            _flat_bounds(self.codomain, self.constraint_bounds),
            first_order,
            second_order,
        )

    @_jitted
    def _first_order(self, x: Inexact[Array, " n"], args: Any) -> tuple[Array, ...]:
        point = self.domain.unravel(x.astype(self.domain.dtype))
        value, gradient = jax.value_and_grad(self._functions.value)(point, *args)
        constraints = self._functions.residuals(point, *args)
        return (
            value,
            self.domain.pack(jax.tree.leaves(gradient)),
            self.codomain.pack(jax.tree.leaves(constraints)),
            self.jacobian(point, *args).data,
        )

    @_jitted
    def _second_order(
        self,
        x: Inexact[Array, " n"],
        multipliers: Inexact[Array, " m"],
        factor: Inexact[Array, ""],
        args: Any,
        lower: bool,
    ) -> Inexact[Array, " entries"]:
        """The entries of the Hessian, of its lower triangle if `lower`."""
        values = self.hessian(
            self.domain.unravel(x.astype(self.domain.dtype)),
            self.codomain.unravel(multipliers.astype(self.codomain.dtype)),
            *args,
            objective_factor=factor,
        ).data
        return values[lower_triangle(self.hessian.sparsity).selection] if lower else values


def _cast_like(value: ArrayLike, like: Array) -> Array:
    return jnp.asarray(value, like.dtype)


def _flat_bounds(space: Space, bounds: Bounds) -> tuple[Vector, Vector]:
    lower, upper = (as_numpy(space.pack(jax.tree.leaves(bound))) for bound in bounds)
    return lower, upper


def _check_real(name: str, tree: PyTree) -> None:
    """Raise `TypeError` unless all leaves hold real floating point numbers."""
    for leaf in jax.tree.leaves(tree):
        if not (is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)):
            raise TypeError(
                f"{name} must be real floating point numbers. Got "
                f"{getattr(leaf, 'dtype', leaf)}."
            )
