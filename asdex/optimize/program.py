"""`NonlinearProgram`: minimize an objective under constraints."""

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
from .._call.arguments import bind_call
from .._call.space import Space
from .._operator import SparseJacobian
from .._structure.inputs import without_values
from .._verbs import derivatives as verbs
from .._verbs.derivative import Derivative
from .bounds import Bounds, as_bounds
from .flat import FlatFunctions, FlatProgram, Vector, as_numpy
from .functions import Functions, LagrangianHessian, check_real
from .ipopt import IpoptCallbacks
from .kkt import Derivatives
from .linear import linear_leaves
from .trust_constr import scipy_arguments

F = TypeVar("F", bound=Callable[..., Any])


class _Compiled:
    """A method that is compiled once for all values of its arguments.

    As for the verbs, arrays and Python floats may change, and all else is static. Bound to
    a program, it is a function like any other for `jax.jit`, which cannot hash the methods
    of a module that has arrays.
    """

    def __init__(self, method: Callable[..., Any]):
        functools.update_wrapper(self, method)
        self._run = eqx.filter_jit(method)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return functools.update_wrapper(functools.partial(self, instance), self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = jax.tree.map(
            lambda leaf: jnp.asarray(leaf) if isinstance(leaf, (float, complex)) else leaf,
            (args, kwargs),
        )
        return self._run(*args, **kwargs)


def _jitted(method: F) -> F:
    return cast(F, _Compiled(method))


class NonlinearProgram(eqx.Module):
    """Minimize `objective(x, *args)` over `x`, with `x` and `constraints(x, *args)` within
    bounds.

    What solvers need again and again: values and derivatives at a point, with structures
    that are found once, from the shapes of the samples. The Lagrangian is
    `objective_factor` times the objective plus the sum of all constraints, each times its
    multiplier. Its Hessian has the entries of the objective and of all constraints,
    whatever the multipliers, which may be zero. Linear constraints add none.

    An Equinox module, whose leaves are the bounds. Methods work under `jax.jit`, `jax.vmap`
    and `jax.grad`, over `x`, multipliers and `args`. Values that change belong into `args`:
    methods and the functions for solvers are compiled once, as by `jax.jit`, with the
    values that objective and constraints close over at that time, and do not see later
    ones. `jacobian` and `hessian` are each a `Derivative`, whose calls outside of `jax.jit`
    do see them, as described there.

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
    callable, or if `x` or what a function returns does not hold real floats; `ValueError`
    if the objective does not return a scalar, or for bounds that do not fit. Methods raise
    `TypeError` or `ValueError` for multipliers that are not like the constraints, or for a
    factor that is not a real number; integers are cast in both, but not in `x`.
    """

    bounds: Bounds
    """The bounds of `x`, pytrees like `x`."""
    constraint_bounds: Bounds
    """The bounds of the constraints, pytrees like what they return."""
    jacobian: Derivative[SparseJacobian] = eqx.field(static=True)
    """`jacobian(x, *args)` is the Jacobian of the constraints, `jacobian.sparsity` its
    pattern, `jacobian.constant_entries` what never changes."""
    hessian: LagrangianHessian = eqx.field(static=True)
    """`hessian(x, multipliers, *args, objective_factor=1.0)` is the Hessian of the
    Lagrangian, which is symmetric; see `jacobian`."""
    domain: Space = eqx.field(static=True)
    """Structure, shapes and dtypes of `x`."""
    codomain: Space = eqx.field(static=True)
    """Structure, shapes and dtypes of the constraints, and of the multipliers."""
    _functions: Functions = eqx.field(static=True)
    _flat_functions: FlatFunctions = eqx.field(static=True)
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
        check_real("x", x)
        self.domain = Space.of(x)
        functions = self._functions = Functions(objective, constraints, self.domain)
        value = eqx.filter_eval_shape(functions.value, x, *args)
        check_real("objective(x)", value)
        residuals = eqx.filter_eval_shape(functions.residuals, x, *args)
        check_real("constraints(x)", residuals)
        self.codomain = Space.of(residuals)
        self.bounds = as_bounds("bounds", bounds, self.domain)
        self.constraint_bounds = as_bounds(
            "constraint_bounds", constraint_bounds, self.codomain
        )
        self._linear_leaves = linear_leaves(functions.residuals, x, args)
        self.jacobian = verbs.jacobian(
            functions.residuals, x, *args, output_format="operator"
        )
        hessian = verbs.hessian(
            functions.lagrangian,
            x,
            self.codomain.tree,
            *args,
            objective_factor=1.0,
            output_format="operator",
        )
        self.hessian = LagrangianHessian.of_derivative(hessian)
        self._flat_functions = FlatFunctions(
            functions, self.jacobian, self.hessian, self.domain, self.codomain
        )

    def __repr__(self) -> str:
        m, n = self.jacobian.sparsity.shape
        return (
            f"NonlinearProgram({n} variables, {m} constraints, nnz of the Jacobian "
            f"{self.jacobian.sparsity.nnz}, of the Hessian {self.hessian.sparsity.nnz})"
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
        self._check(x, args)
        return self._functions.value(x, *args)

    @_jitted
    def gradient(self, x: PyTree, *args: Any) -> PyTree:
        """The gradient of the objective, like `x`."""
        self._check(x, args)
        return jax.grad(self._functions.value)(x, *args)

    @_jitted
    def constraints(self, x: PyTree, *args: Any) -> PyTree:
        """The values of the constraints, a pytree of arrays."""
        self._check(x, args)
        return self._functions.residuals(x, *args)

    def _check(self, x: PyTree, args: tuple[Any, ...]) -> None:
        """Raise `TypeError` or `ValueError` if an argument differs from its sample."""
        check_real("x", x)
        bind_call(self.jacobian.function, self.jacobian.sparsity.inputs, (x, *args), {})

    @_jitted
    def lagrangian(
        self,
        x: PyTree,
        multipliers: PyTree,
        *args: Any,
        objective_factor: ArrayLike = 1.0,
    ) -> Inexact[Array, ""]:
        """The Lagrangian, for multipliers like the constraints."""
        multipliers, factor = self.hessian.check(x, multipliers, args, objective_factor)
        return self._functions.lagrangian(x, multipliers, *args, objective_factor=factor)

    @_jitted
    def lagrangian_gradient(
        self,
        x: PyTree,
        multipliers: PyTree,
        *args: Any,
        objective_factor: ArrayLike = 1.0,
    ) -> PyTree:
        """The gradient of the Lagrangian by `x`, like `x`."""
        check_real("x", x)
        multipliers, factor = self.hessian.check(x, multipliers, args, objective_factor)
        lagrangian = self._functions.lagrangian
        return jax.grad(lagrangian)(x, multipliers, *args, objective_factor=factor)

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
        check_real("x", x)
        multipliers, factor = self.hessian.check(x, multipliers, args, objective_factor)
        functions = self._functions
        objective, gradient = jax.value_and_grad(functions.value)(x, *args)
        constraints, pull = jax.vjp(lambda x: functions.residuals(x, *args), x)
        (of_constraints,) = pull(jax.tree.map(_cast_like, multipliers, constraints))
        factor = jnp.asarray(factor, objective.dtype)
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
        return IpoptCallbacks(self._flat(args), self._constant_for_ipopt())

    def scipy(self, *args: Any) -> dict[str, Any]:
        """The keyword arguments for `scipy.optimize.minimize`, with sparse derivatives:
        `minimize(x0=x0, method="trust-constr", **problem.scipy(*args))`.

        SciPy computes in double precision, and so should JAX.
        """
        return scipy_arguments(self._flat(args))

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

    def _flat(self, args: tuple[Any, ...]) -> FlatProgram:
        return FlatProgram(
            self._flat_functions,
            args,
            _flat_bounds(self.domain, self.bounds),
            _flat_bounds(self.codomain, self.constraint_bounds),
        )


def _cast_like(value: ArrayLike, like: Array) -> Array:
    return jnp.asarray(value, like.dtype)


def _flat_bounds(space: Space, bounds: Bounds) -> tuple[Vector, Vector]:
    lower, upper = (as_numpy(space.pack(jax.tree.leaves(bound))) for bound in bounds)
    return lower, upper
