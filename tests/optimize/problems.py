"""Small nonlinear programs of every kind, to compare with dense derivatives by JAX."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from asdex.optimize import NonlinearProgram

from . import beam


class Problem(NamedTuple):
    """A nonlinear program at a point, and what is known of it by hand.

    `linear` are rows of the constraints that are found to be linear.
    """

    objective: Callable[..., Any]
    constraints: Callable[..., Any] | None
    x: Any
    args: tuple[Any, ...] = ()
    linear: tuple[int, ...] = ()


PROBLEMS: dict[str, Problem] = {}


def problem(make: Callable[[], Problem]) -> None:
    """Add what a function makes to the table, under its name."""
    PROBLEMS[make.__name__] = make()


@functools.cache
def program(name: str) -> NonlinearProgram:
    objective, constraints, x, args, _ = PROBLEMS[name]
    return NonlinearProgram(objective, constraints, x, *args)


def multipliers(name: str) -> Any:
    """Numbers of either sign like the constraints, one of them zero."""
    count = 0

    def fill(leaf: Any) -> jax.Array:
        nonlocal count
        count += 1
        return jnp.asarray(np.arange(leaf.size) - count, leaf.dtype).reshape(leaf.shape)

    return jax.tree.map(fill, program(name).codomain.tree)


class Dense(NamedTuple):
    """Dense values and derivatives between flat vectors."""

    objective: Any
    gradient: Any
    constraints: Any
    jacobian: Any
    lagrangian_gradient: Any
    hessian: Any


@functools.cache
def dense(name: str) -> Callable[..., Dense]:
    """A function of a point, multipliers, other arguments and perhaps a factor of the
    objective: the derivatives by JAX of the functions as they were written."""
    objective, constraints, *_ = PROBLEMS[name]

    @eqx.filter_jit
    def derivatives(x: Any, multipliers: Any, args: Any, factor: Any = 1.0) -> Dense:
        flat, unravel = ravel_pytree(x)

        def f(z: Any) -> Any:
            return objective(unravel(z), *args).reshape(())

        def c(z: Any) -> Any:
            return as_vector(constraints(unravel(z), *args)) if constraints else z[:0]

        def lagrangian(z: Any) -> Any:
            return jnp.asarray(factor) * f(z) + as_vector(multipliers) @ c(z)

        return Dense(
            f(flat),
            jax.grad(f)(flat),
            c(flat),
            jax.jacobian(c)(flat),
            jax.grad(lagrangian)(flat),
            jax.hessian(lagrangian)(flat),
        )

    return derivatives


def as_vector(tree: Any) -> jax.Array:
    """The numbers of a pytree, which may have no leaves, as `ravel_pytree` orders them."""
    return ravel_pytree(tree)[0].astype(float)


def vector(n: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(n).uniform(0.5, 1.5, n))


def squares(x: Any, *args: Any) -> jax.Array:
    return jnp.sum(x**2)


def chained(x: jax.Array) -> jax.Array:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


# -- Constraints of every kind -----------------------------------------------------------


@problem
def without_constraints() -> Problem:
    return Problem(chained, None, vector(6))


@problem
def empty_constraints() -> Problem:
    return Problem(chained, lambda x: x[:0] ** 2, vector(5))


@problem
def no_leaves() -> Problem:
    return Problem(chained, lambda x: {}, vector(5))


@problem
def linear_constraints() -> Problem:
    matrix = np.random.default_rng(0).integers(-2, 3, (3, 6)).astype(float)
    return Problem(squares, lambda x: matrix @ x - 1, vector(6), (), (0, 1, 2))


@problem
def all_linear() -> Problem:
    return Problem(
        lambda x: x @ np.arange(5.0), lambda x: x[1:] - x[:-1], vector(5), (), (0, 1, 2, 3)
    )


@problem
def a_constant_row() -> Problem:
    return Problem(
        squares, lambda x: jnp.stack([x[0], 0 * x[1] + 2, x[2] ** 2]), vector(4), (), (0, 1)
    )


@problem
def nonlinear_equations() -> Problem:
    return Problem(squares, lambda x: x[1:] * x[:-1] - 1, vector(7))


@problem
def mixed_rows() -> Problem:
    def constraints(x: jax.Array) -> jax.Array:
        return jnp.concatenate([x[:2] - x[2:4], jnp.sin(x[:3]), x.sum()[None]])

    return Problem(chained, constraints, vector(6), (), (0, 1, 5))


@problem
def a_dense_row() -> Problem:
    def constraints(x: jax.Array) -> jax.Array:
        return jnp.concatenate([(x @ x)[None], x[1:] - x[:-1] ** 2])

    return Problem(chained, constraints, vector(8))


@problem
def a_dense_column() -> Problem:
    return Problem(squares, lambda x: x[1:] * x[0] ** 2, vector(7))


@problem
def a_dense_hessian() -> Problem:
    return Problem(
        lambda x: jnp.log(jnp.sum(jnp.exp(x))), lambda x: x[:2], vector(5), (), (0, 1)
    )


@problem
def one_constraint() -> Problem:
    return Problem(lambda x: x[0] * x[3] * x[:3].sum() + x[2], jnp.prod, vector(4))


@problem
def a_scalar_variable() -> Problem:
    return Problem(lambda x: x**4, lambda x: jnp.exp(x), jnp.asarray(0.7))


@problem
def scalars_in_a_tuple() -> Problem:
    def constraints(x: Any) -> Any:
        return (x[0] * x[1], x[0] + x[1])

    return Problem(
        lambda x: (x[0] - x[1] ** 2) ** 2,
        constraints,
        (jnp.asarray(0.3), jnp.asarray(1.2)),
        (),
        (1,),
    )


@problem
def an_objective_of_shape_one() -> Problem:
    return Problem(lambda x: squares(x).reshape(1), lambda x: x[0] ** 3, vector(3))


@problem
def an_objective_that_is_zero() -> Problem:
    return Problem(lambda x: jnp.zeros(()), lambda x: x**3, vector(4))


@problem
def separable() -> Problem:
    return Problem(lambda x: jnp.sum(jnp.exp(x) - x), lambda x: x**2, vector(6))


@problem
def more_constraints_than_variables() -> Problem:
    return Problem(squares, lambda x: jnp.concatenate([x**2, x**3, jnp.cos(x)]), vector(3))


@problem
def unused_variables() -> Problem:
    return Problem(lambda x: x[0] ** 2, lambda x: x[1] * x[2], vector(6))


@problem
def absolute_values() -> Problem:
    return Problem(squares, lambda x: jnp.abs(x - 1), vector(4))


@problem
def a_matrix_variable() -> Problem:
    def constraints(x: jax.Array) -> jax.Array:
        return x @ x.T - jnp.eye(2)

    return Problem(lambda x: jnp.sum(x**3), constraints, vector(6).reshape(2, 3))


@problem
def a_scan() -> Problem:
    def constraints(x: jax.Array) -> jax.Array:
        _, states = jax.lax.scan(lambda y, u: (y + 0.1 * u - y**2, y), x[0], x[1:])
        return states

    return Problem(squares, constraints, vector(6), (), (0,))


# -- Pytrees and other arguments ---------------------------------------------------------


@problem
def pytrees() -> Problem:
    def objective(x: Any) -> jax.Array:
        return jnp.sum(x["state"] ** 2) + x["control"][0] ** 4

    def constraints(x: Any) -> Any:
        state, (u,) = x["state"], x["control"]
        return {"dynamics": state[1:] - state[:-1] * u, "ends": (state[0], state[-1] ** 2)}

    x = {"state": vector(8).reshape(4, 2), "control": [jnp.asarray(0.4)]}
    return Problem(objective, constraints, x, (), (6, 7))


@problem
def parameters() -> Problem:
    def objective(x: jax.Array, p: Any) -> jax.Array:
        return jnp.sum((x - p["target"]) ** 2 * p["weight"])

    def constraints(x: jax.Array, p: Any) -> Any:
        return {"line": p["weight"] * x[1:] - x[:-1], "circle": x @ x - p["radius"] ** 2}

    p = {"target": vector(4) + 1, "weight": jnp.asarray(2.0), "radius": jnp.asarray(1.5)}
    return Problem(objective, constraints, vector(4), (p,), (1, 2, 3))


@problem
def a_static_argument() -> Problem:
    return Problem(
        lambda x, power, scale: scale * jnp.sum(x**power),
        lambda x, power, scale: x[1:] ** power - scale * x[:-1],
        vector(5),
        (3, 2.0),
    )


@problem
def a_named_tuple() -> Problem:
    class Point(NamedTuple):
        position: Any
        speed: Any

    def constraints(x: Point) -> Point:
        return Point(x.position[1:] - x.position[:-1] - x.speed[1:] ** 2, x.speed[0])

    x = Point(vector(4), vector(5)[:4])
    return Problem(lambda x: jnp.sum(x.speed**2), constraints, x, (), (3,))


@problem
def least_squares() -> Problem:
    matrix = np.random.default_rng(1).standard_normal((6, 4))
    return Problem(
        lambda x: jnp.sum((matrix @ x - 1) ** 2), lambda x: x.sum(), vector(4), (), (0,)
    )


@problem
def a_smooth_maximum() -> Problem:
    def constraints(x: jax.Array) -> jax.Array:
        return jnp.where(x > 1, x**2, 2 * x - 1)

    return Problem(squares, constraints, vector(5))


@problem
def a_beam() -> Problem:
    return Problem(beam.energy, beam.shape, beam.start(5), (), (0, 1, 2, 3, 4))
