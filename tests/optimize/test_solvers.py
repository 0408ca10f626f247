"""Solvers outside of JAX find the solutions by the callbacks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from asdex.optimize import NonlinearProgram

from . import beam
from .problems import PROBLEMS, as_vector, dense, multipliers, program


def solve_by_ipopt(problem: NonlinearProgram, x: np.ndarray, *args: Any) -> Any:
    cyipopt = pytest.importorskip("cyipopt", reason="It needs IPOPT and a compiler.")
    callbacks = problem.cyipopt(*args)
    solver = cyipopt.Problem(problem_obj=callbacks, **callbacks.sizes)
    for option in {**callbacks.options, "print_level": 0, "sb": "yes"}.items():
        solver.add_option(*option)
    found, info = solver.solve(x)
    assert info["status"] == 0
    return found


def solve_by_scipy(problem: NonlinearProgram, x: np.ndarray, *args: Any) -> Any:
    options = {"gtol": 1e-9, "xtol": 1e-12, "barrier_tol": 1e-9, "maxiter": 2000}
    arguments = problem.scipy(*args)
    found = minimize(x0=x, method="trust-constr", options=options, **arguments)
    assert found.status in (1, 2)
    return found.x


SOLVERS = pytest.mark.parametrize("solve", [solve_by_ipopt, solve_by_scipy])


@SOLVERS
def test_problem_71_of_hock_and_schittkowski(solve: Any) -> None:
    def constraints(x: jax.Array) -> jax.Array:
        return jnp.stack([jnp.prod(x), x @ x])

    problem = NonlinearProgram(
        lambda x: x[0] * x[3] * x[:3].sum() + x[2],
        constraints,
        np.ones(4),
        bounds=(1.0, 5.0),
        constraint_bounds=(np.array([25.0, 40.0]), np.array([np.inf, 40.0])),
    )
    found = solve(problem, np.array([1.0, 5.0, 5.0, 1.0]))
    expected = [1.0, 4.742999, 3.821150, 1.379408]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@SOLVERS
def test_rosenbrock_without_constraints(solve: Any) -> None:
    problem = NonlinearProgram(
        lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        None,
        np.ones(6),
    )
    np.testing.assert_allclose(solve(problem, np.full(6, 0.5)), 1, atol=1e-6)


@SOLVERS
def test_a_catenary_of_pytrees_with_parameters(solve: Any) -> None:
    """A chain of links of equal length; half of it lies left of its lowest point."""

    def energy(chain: Any, length: Any) -> jax.Array:
        y = chain["y"]
        return length * jnp.sum(y[1:] + y[:-1]) / 2

    def links(chain: Any, length: Any) -> Any:
        x, y = chain["x"], chain["y"]
        ends = {"left": (x[0], y[0]), "right": (x[-1] - 1, y[-1])}
        lengths = (x[1:] - x[:-1]) ** 2 + (y[1:] - y[:-1]) ** 2 - length**2
        return {"links": lengths, "ends": ends}

    start = {"x": np.linspace(0, 1, 7), "y": -np.sin(np.linspace(0, np.pi, 7))}
    problem = NonlinearProgram(energy, links, start, 0.25)
    x, unravel = ravel_pytree(start)
    for length in (0.2, 0.25):
        chain = unravel(solve(problem, np.asarray(x), length))
        np.testing.assert_allclose(as_vector(links(chain, length)), 0, atol=1e-7)
        np.testing.assert_allclose(chain["y"], chain["y"][::-1], atol=1e-4)
        # Tensions balance: slopes of links change by equal amounts.
        slope = jnp.diff(chain["y"]) / jnp.diff(chain["x"])
        np.testing.assert_allclose(jnp.diff(slope), jnp.diff(slope)[0], rtol=1e-3)


@SOLVERS
def test_linear_constraints(solve: Any) -> None:
    def constraints(x: jax.Array) -> Any:
        return {"sum": x.sum(), "order": x[1:] - x[:-1]}

    problem = NonlinearProgram(
        lambda x: jnp.sum((x - jnp.arange(4.0, 0, -1)) ** 2),
        constraints,
        np.ones(4),
        constraint_bounds=({"sum": 6.0, "order": 0.0}, {"sum": 6.0, "order": None}),
    )
    if solve is solve_by_ipopt:
        expected = {"jac_c_constant": "yes", "jac_d_constant": "yes"}
        assert problem.cyipopt().options == expected
    np.testing.assert_allclose(solve(problem, np.zeros(4)), 1.5, atol=1e-3)


def test_a_beam() -> None:
    """It buckles: the energy is below that of the straight beam, which is the load."""
    x = beam.start(50)
    problem = NonlinearProgram(beam.energy, beam.shape, x, bounds=beam.bounds(50))
    found = solve_by_ipopt(problem, np.asarray(as_vector(x)))
    least = problem.objective(problem.domain.unravel(jnp.asarray(found)))
    assert 340 < least < beam.LOAD


@pytest.mark.parametrize(
    "name",
    ["pytrees", "mixed_rows", "empty_constraints", "parameters", "a_static_argument"],
)
def test_callbacks(name: str) -> None:
    (_, _, x, args, _), p, m = PROBLEMS[name], program(name), multipliers(name)
    callbacks, at = p.cyipopt(*args), np.asarray(as_vector(x))
    expected = dense(name)(x, m, args)
    assert callbacks.objective(at) == expected.objective
    np.testing.assert_allclose(callbacks.gradient(at), expected.gradient, rtol=1e-12)
    np.testing.assert_allclose(callbacks.constraints(at), expected.constraints, rtol=1e-12)
    jacobian = np.zeros(expected.jacobian.shape)
    jacobian[callbacks.jacobianstructure()] = callbacks.jacobian(at)
    np.testing.assert_allclose(jacobian, expected.jacobian, rtol=1e-12)
    hessian = np.zeros(expected.hessian.shape)
    multiplied = callbacks.hessian(at, np.asarray(as_vector(m)), 1.0)
    hessian[callbacks.hessianstructure()] = multiplied
    np.testing.assert_allclose(hessian, np.tril(expected.hessian), rtol=1e-12)
    halved = dense(name)(x, m, args, 0.5).hessian
    hessian[callbacks.hessianstructure()] = callbacks.hessian(
        at, np.asarray(as_vector(m)), 0.5
    )
    np.testing.assert_allclose(hessian, np.tril(halved), rtol=1e-12)
    scipy = p.scipy(*args)
    if m_size := as_vector(m).size:
        constraint = scipy["constraints"]
        total = scipy["hess"](at) + constraint.hess(at, np.asarray(as_vector(m)))
        np.testing.assert_allclose(
            constraint.jac(at).toarray(), expected.jacobian, rtol=1e-12
        )
        np.testing.assert_allclose(
            total.toarray(), expected.hessian, rtol=1e-12, atol=1e-12
        )
    assert ("constraints" in scipy) == bool(m_size)


def test_one_compiled_call_serves_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is kept for the last point, of which a copy is compared."""
    # The constraints are the argument itself, whose memory JAX uses again.
    problem = NonlinearProgram(lambda x: jnp.sum(x**2), lambda x: x, np.ones(3))
    callbacks, calls = problem.cyipopt(), 0
    compute = callbacks._program._first_order

    def counted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return compute(x)

    monkeypatch.setattr(callbacks._program, "_first_order", counted)
    x = np.arange(3.0)
    found = callbacks.constraints(x)
    np.testing.assert_array_equal(callbacks.gradient(x), [0, 2, 4])
    assert callbacks.objective(x) == 5
    assert callbacks.jacobian(x) is callbacks.jacobian(x)
    assert calls == 1
    x += 1
    np.testing.assert_array_equal(found, [0, 1, 2])
    np.testing.assert_array_equal(callbacks.constraints(x), [1, 2, 3])
    assert callbacks.objective(x) == 14
    assert calls == 2
    for shared in (callbacks.gradient(x), callbacks.hessian(x, np.ones(3), 1.0)):
        assert not shared.flags.writeable
        assert not shared.flags.owndata
