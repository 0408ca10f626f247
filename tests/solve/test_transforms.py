"""Derivatives and batches of every solver agree with those of a dense solve."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from asdex._linalg.solvers import SolverName

from .cases import (
    EACH_SOLVER,
    Case,
    block_diagonal,
    check_close,
    dense_solver,
    from_mask,
    shuffled,
    solve_flat,
    solver_for,
    sparse_mask,
)

SMALL: dict[str, Case] = {
    "diagonal": from_mask(np.eye(3)),
    "tridiagonal": from_mask(np.tri(4, k=1) - np.tri(4, k=-2)),
    "block_diagonal": from_mask(shuffled(block_diagonal([2, 1, 2]))),
    "triangular": from_mask(shuffled(np.tril(sparse_mask(5, 3)))),
    "random": from_mask(sparse_mask(5, 2)),
}

PARTS = "matrix", "vector"

Solve = Callable[[Any, Any], Any]

TRANSFORMS: dict[str, Callable[[Solve], Callable[[Any, Any], Any]]] = {}


def transform(make: Callable[[Solve], Callable[[Any, Any], Any]]) -> None:
    """Add to the table what is made of a solve and compared."""
    TRANSFORMS[make.__name__] = make


def stack(*factors: float) -> Callable[[Any], Any]:
    return lambda values: jnp.stack([factor * values for factor in factors])


def loss(solve: Solve) -> Callable[[Any, Any], Any]:
    return lambda data, b: (solve(data, b) ** 3).sum()


@transform
def jacobians(solve: Solve):
    return lambda data, b: (
        jax.jacfwd(solve, (0, 1))(data, b),
        jax.jacrev(solve, (0, 1))(data, b),
    )


@transform
def forward_over_reverse(solve: Solve):
    return jax.hessian(loss(solve), (0, 1))


@transform
def reverse_over_reverse(solve: Solve):
    return jax.jacrev(jax.grad(loss(solve), (0, 1)), (0, 1))


@transform
def vmaps(solve: Solve):
    return lambda data, b: (
        jax.vmap(solve)(stack(1, 2)(data), stack(3, 1)(b)),
        jax.vmap(solve, (0, None), 1)(stack(1, 2)(data), b),
        jax.vmap(solve, (None, 1))(data, stack(1, 2, 5)(b).T),
    )


@transform
def nested_vmaps(solve: Solve):
    many = jax.vmap(jax.vmap(solve, (None, 0)), (0, None))
    other = jax.vmap(jax.vmap(solve, (0, None)), (None, 0))
    third = jax.vmap(jax.vmap(jax.vmap(solve, (None, 0)), (0, None)), (None, 0))
    return lambda data, b: (
        many(stack(1, 2)(data), stack(1, 2, 3)(b)),
        other(stack(1, 2)(data), stack(1, 2, 3)(b)),
        third(stack(1, 2)(data), stack(1, 2)(stack(1, 2, 3)(b))),
    )


@transform
def derivatives_of_batches(solve: Solve):
    def total(data, b):
        return jax.vmap(loss(solve), (0, None))(stack(1, 2)(data), b).sum()

    return lambda data, b: (
        jax.grad(total, (0, 1))(data, b),
        jax.vmap(jax.grad(loss(solve), (0, 1)), (None, 0))(data, stack(1, 2)(b)),
    )


@cache
def reference(case_name: str, transform_name: str) -> Any:
    a = SMALL[case_name]
    compute = jax.jit(TRANSFORMS[transform_name](dense_solver(a)))
    return compute(jnp.asarray(a.data), jnp.asarray(a.rhs()))


# All of them run for one solver of each kind: those in pure JAX, with factors that solves
# share and without, those on the host, and those of other packages.
THROUGH_ALL = ("tridiagonal", "block_diagonal", "superlu", "klu")

PAIRS = [
    (solver, name)
    for solver in EACH_SOLVER
    for name in TRANSFORMS
    if solver in THROUGH_ALL or name in ("jacobians", "nested_vmaps")
]


@pytest.mark.parametrize(("solver", "name"), PAIRS)
def test_transform(solver: SolverName, name: str):
    case_name = solver if solver in SMALL else "random"
    a = SMALL[case_name]
    compute = jax.jit(TRANSFORMS[name](solver_for(a, solver)))
    got = compute(jnp.asarray(a.data), jnp.asarray(a.rhs()))
    check_close(got, reference(case_name, name), 1e-9)


def test_solves_of_sequences():
    a = SMALL["random"]
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())

    def repeatedly(solve):
        def step(x, _):
            return solve(data, x) + b, x

        return jax.jit(lambda x: jax.lax.scan(step, x, None, length=3))

    got = repeatedly(solver_for(a, "superlu"))(b)
    check_close(got, repeatedly(dense_solver(a))(b))


def test_flag_in_addition_to_derivatives():
    a = SMALL["random"]
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())

    def loss(data):
        x, singular = solve_flat(a.pattern, data, b, solver="superlu")
        return x.sum(), singular

    (value, singular), grad = jax.jit(jax.value_and_grad(loss, has_aux=True))(data)
    assert not singular
    assert jnp.isfinite(value)
    assert jnp.isfinite(grad).all()
    solve = jax.jit(lambda data: solve_flat(a.pattern, data, b, solver="superlu"))
    x, tangent = jax.jvp(solve, (data,), (data,))
    check_close(tangent[0], -x[0])


@pytest.mark.parametrize("solver", ["tridiagonal", "block_diagonal", "superlu"])
@pytest.mark.parametrize("varying", ["both", "matrix", "vector"])
def test_gradients_within_shard_map(solver: SolverName, varying: str):
    """JAX checks over which axes of the mesh each array varies."""
    a = SMALL.get(solver, SMALL["random"])
    args = jnp.asarray(a.data)[None], jnp.asarray(a.rhs())[None]
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = tuple(P("i" if varying in ("both", part) else None) for part in PARTS)

    def total(solve: Solve) -> Solve:
        return lambda data, b: (solve(data[0], b[0]) ** 2).sum()

    @partial(jax.shard_map, mesh=mesh, in_specs=specs, out_specs=P("i"))
    def each(data, b):
        return total(solver_for(a, solver))(data, b)[None]

    def gradients(f: Solve) -> Any:
        return jax.jit(jax.grad(f, (0, 1)))(*args)

    expected = gradients(total(dense_solver(a)))
    check_close(gradients(lambda data, b: each(data, b)[0]), expected, 1e-9)
    within = jax.shard_map(
        jax.grad(total(solver_for(a, solver)), (0, 1)),
        mesh=mesh,
        in_specs=specs,
        out_specs=specs,
    )
    check_close(jax.jit(within)(*args), expected, 1e-9)
