"""Solvers of diffrax and optimistix with `Sparse` take the steps that they take with a
dense solver, and have the same derivatives."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import pytest

from asdex.lineax import Sparse

pytestmark = pytest.mark.usefixtures("standard_promotion", "without_annotation_checks")

N = 20
START = jnp.cos(jnp.linspace(0.0, 3.0, N))
AUTO = lx.AutoLinearSolver(well_posed=None)


def laplacian(u: Any) -> Any:
    padded = jnp.pad(u, 1)
    return padded[2:] - 2 * u + padded[:-2]


def reaction(t: Any, u: Any, args: Any) -> Any:
    del t
    return args * u * (1 - u)


def diffusion(t: Any, u: Any, args: Any) -> Any:
    del t
    return 50 * laplacian(u) * (1 + 0.1 * u**2) + 0 * args


def both(t: Any, u: Any, args: Any) -> Any:
    return diffusion(t, u, args) + reaction(t, u, args)


def chord(linear_solver: Any) -> Any:
    tolerances = diffrax.with_stepsize_controller_tols(diffrax.VeryChord)
    return tolerances(linear_solver=linear_solver)


ODES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "Kvaerno3": lambda s: {"solver": diffrax.Kvaerno3(root_finder=chord(s))},
    "Kvaerno5": lambda s: {"solver": diffrax.Kvaerno5(root_finder=chord(s))},
    "KenCarp4": lambda s: {
        "solver": diffrax.KenCarp4(root_finder=chord(s)),
        "terms": diffrax.MultiTerm(diffrax.ODETerm(reaction), diffrax.ODETerm(diffusion)),
    },
    "ImplicitEuler": lambda s: {
        "solver": diffrax.ImplicitEuler(
            root_finder=optx.Newton(rtol=1e-9, atol=1e-9, linear_solver=s)
        ),
        "stepsize_controller": diffrax.ConstantStepSize(),
    },
    "dense output": lambda s: {
        "solver": diffrax.Kvaerno3(root_finder=chord(s)),
        "saveat": diffrax.SaveAt(dense=True),
    },
    "event": lambda s: {
        "solver": diffrax.Kvaerno3(root_finder=chord(s)),
        "event": diffrax.Event(lambda t, y, args, **kwargs: y[0] < 0.5),
    },
    "implicit adjoint": lambda s: {
        "solver": diffrax.ImplicitEuler(
            root_finder=optx.Newton(rtol=1e-9, atol=1e-9, linear_solver=s)
        ),
        "stepsize_controller": diffrax.ConstantStepSize(),
        "adjoint": diffrax.ImplicitAdjoint(linear_solver=s),
    },
    "forward mode": lambda s: {
        "solver": diffrax.Kvaerno3(root_finder=chord(s)),
        "adjoint": diffrax.ForwardMode(),
    },
}


def integrate(name: str, linear_solver: Any, args: Any) -> tuple[Any, Any]:
    options: dict[str, Any] = {
        "terms": diffrax.ODETerm(both),
        "stepsize_controller": diffrax.PIDController(rtol=1e-5, atol=1e-5),
    } | ODES[name](linear_solver)
    terms, solver = options.pop("terms"), options.pop("solver")
    solution = diffrax.diffeqsolve(
        terms, solver, 0.0, 0.1, 0.01, START, args, max_steps=100, **options
    )
    if name == "dense output":
        value = solution.evaluate(0.05)
    else:
        assert solution.ys is not None
        value = solution.ys[-1]
    return value, solution.stats["num_steps"]


def check(found: Any, expected: Any, tolerance: float = 1e-7) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ODES)
def test_differential_equations(name: str) -> None:
    derive = jax.jacfwd if name == "forward mode" else jax.jacrev
    if name == "implicit adjoint":
        # The steady state is not reached, so only the value is compared.
        results = [
            jax.jit(lambda args, s=s: integrate(name, s, args))(2.0)
            for s in (Sparse(), AUTO)
        ]
    else:
        results = [
            jax.jit(
                lambda args, s=s: (
                    integrate(name, s, args),
                    derive(lambda args: integrate(name, s, args)[0])(args),
                )
            )(2.0)
            for s in (Sparse(), AUTO)
        ]
    # The steps depend on rounding, within the tolerances of the equation.
    jax.tree.map(lambda x, y: check(x, y, 1e-5), *results)


def test_many_equations() -> None:
    """`vmap` over parameters."""
    many = jnp.linspace(1.0, 3.0, 3)
    found, expected = (
        jax.jit(jax.vmap(lambda args, s=s: integrate("Kvaerno3", s, args)))(many)
        for s in (Sparse(), AUTO)
    )
    jax.tree.map(check, found, expected)


# -- Roots and least squares -------------------------------------------------------------


def equations(u: Any, args: Any) -> Any:
    return -laplacian(u) - args / N**2 * jnp.exp(u)


def energy(u: Any, args: Any) -> Any:
    return jnp.sum((u[1:] - u[:-1] ** 2) ** 2 + args * (1 - u[:-1]) ** 2)


def residuals(u: Any, args: Any) -> Any:
    return jnp.concatenate([u[1:] - 0.2 * args * jnp.sin(u[:-1]), u - 0.1 * u**2 - 1])


TOLERANCES: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
ROOTS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "Newton": (equations, lambda s: optx.Newton(**TOLERANCES, linear_solver=s)),
    "Chord": (equations, lambda s: optx.Chord(**TOLERANCES, linear_solver=s)),
    "Dogleg": (equations, lambda s: optx.Dogleg(**TOLERANCES, linear_solver=s)),
    "minimum": (
        jax.grad(energy),
        lambda s: optx.Newton(**TOLERANCES, linear_solver=s),
    ),
}
FITS: dict[str, Callable[[Any], Any]] = {
    "GaussNewton": lambda s: optx.GaussNewton(**TOLERANCES, linear_solver=s),
    "LevenbergMarquardt": lambda s: optx.LevenbergMarquardt(**TOLERANCES, linear_solver=s),
}


def adjoint(linear_solver: Any) -> Any:
    return optx.ImplicitAdjoint(linear_solver=linear_solver)


@pytest.mark.parametrize("name", ROOTS)
def test_roots(name: str) -> None:
    function, solver = ROOTS[name]

    def root(s: Any, args: Any) -> Any:
        start = jnp.ones(N) if name == "minimum" else jnp.zeros(N)
        options = {"args": args, "adjoint": adjoint(s), "max_steps": 100}
        return optx.root_find(function, solver(s), start, **options).value

    for transform in (lambda f: f, jax.jacrev, jax.jacfwd):
        found, expected = (
            jax.jit(transform(lambda args, s=s: root(s, args)))(1.5)
            for s in (Sparse(), AUTO)
        )
        check(found, expected)


@pytest.mark.parametrize("name", FITS)
def test_least_squares(name: str) -> None:
    def fit(s: Any, args: Any) -> Any:
        options = {"args": args, "adjoint": adjoint(s), "max_steps": 200}
        return optx.least_squares(residuals, FITS[name](s), START, **options).value

    for transform in (lambda f: f, jax.jacrev):
        found, expected = (
            jax.jit(transform(lambda args, s=s: fit(s, args)))(1.5)
            for s in (Sparse(), lx.QR())
        )
        check(found, expected, 1e-5)
