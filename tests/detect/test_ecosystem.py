"""Functions written with lineax, optimistix and diffrax.

The pattern holds every nonzero of the dense derivative at several points; where the rules
are meant to be precise, it is written out.
"""

from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
import pytest
from jax import lax
from jax.experimental.ode import odeint

import asdex

from .literal import check_hessian, check_jacobian, check_sound

DIAGONAL = "x... .x.. ..x. ...x"
BLOCKS = "xx.. xx.. ..xx ..xx"
FULL = "xxxx xxxx xxxx xxxx"


# The annotations of all rules are checked by other tests; in large programs that is slow.
pytestmark = pytest.mark.usefixtures("standard_promotion", "without_annotation_checks")


class TestLineax:
    matrix = jnp.array([[2.0, 1, 0, 0], [1, 3, 0, 0], [0, 0, 2, 1], [0, 0, 0, 2]])

    @pytest.mark.parametrize(
        ("operator", "solver"),
        [
            (lx.MatrixLinearOperator(matrix), lx.LU()),
            (lx.MatrixLinearOperator(matrix), lx.QR()),
            (lx.MatrixLinearOperator(matrix), lx.SVD()),
            (lx.MatrixLinearOperator(matrix), lx.GMRES(rtol=1e-10, atol=1e-10)),
            (lx.MatrixLinearOperator(matrix), lx.AutoLinearSolver(well_posed=None)),
            (
                lx.MatrixLinearOperator(matrix @ matrix.T, lx.positive_semidefinite_tag),
                lx.CG(rtol=1e-10, atol=1e-10),
            ),
            (
                lx.MatrixLinearOperator(matrix @ matrix.T, lx.positive_semidefinite_tag),
                lx.Cholesky(),
            ),
        ],
        ids=["LU", "QR", "SVD", "GMRES", "auto", "CG", "Cholesky"],
    )
    def test_blocks(self, operator: Any, solver: Any) -> None:
        def f(x):
            return lx.linear_solve(operator, x**2, solver).value

        check_sound(f, expected=BLOCKS)

    def test_diagonal(self) -> None:
        operator = lx.DiagonalLinearOperator(jnp.arange(1.0, 5.0))
        check_jacobian(lambda x: lx.linear_solve(operator, jnp.sin(x)).value, 4, DIAGONAL)

    def test_diagonal_from_input(self) -> None:
        def f(x):
            return lx.linear_solve(lx.DiagonalLinearOperator(1 + x**2), x[::-1]).value

        check_sound(f, expected="x..x .xx. .xx. x..x")

    def test_tridiagonal(self) -> None:
        def solve(side, coupling):
            operator = lx.TridiagonalLinearOperator(jnp.full(4, 4.0), coupling, coupling)
            return lx.linear_solve(operator, side).value

        check_jacobian(lambda x: solve(x, jnp.array([1.0, 0.0, 1.0])), 4, BLOCKS)
        check_jacobian(lambda x: solve(x, jnp.ones(3)), 4, FULL)
        check_sound(lambda x: solve(x, x[:3] / 2))

    def test_operator_from_input(self) -> None:
        """Two blocks of the matrix stay zero, whatever the inputs are."""

        def f(x):
            a = jnp.zeros((4, 4)).at[:2, :2].set(x[0] * jnp.eye(2) + 3)
            a = a.at[2:, 2:].set(jnp.diag(x[2:]) + 5)
            return lx.linear_solve(lx.MatrixLinearOperator(a + jnp.eye(4)), x).value

        check_sound(f, expected=BLOCKS)

    def test_function_operator(self) -> None:
        def f(x):
            def product(y):
                return 2 * y + jnp.array([1.0, 1, 0, 0]) * y[jnp.array([1, 0, 2, 3])]

            operator = lx.FunctionLinearOperator(product, jax.eval_shape(lambda: x))
            return lx.linear_solve(operator, x, lx.GMRES(rtol=1e-8, atol=1e-8)).value

        check_sound(f, expected="xx.. xx.. ..x. ...x")

    def test_least_squares(self) -> None:
        tall = jnp.array([[1.0, 0], [2, 0], [0, 1], [0, 3]])
        solver = lx.AutoLinearSolver(well_posed=None)

        def f(x):
            return lx.linear_solve(lx.MatrixLinearOperator(tall), x, solver).value

        check_jacobian(f, 4, "xx.. ..xx")
        check_jacobian(
            lambda x: lx.linear_solve(lx.MatrixLinearOperator(tall.T), x, solver).value,
            2,
            "x. x. .x .x",
        )
        check_sound(f)

    def test_permutation(self) -> None:
        operator = lx.MatrixLinearOperator(jnp.eye(4)[jnp.array([2, 0, 3, 1])])
        check_jacobian(
            lambda x: lx.linear_solve(operator, x).value, 4, ".x.. ...x x... ..x."
        )

    @pytest.mark.parametrize("in_axes", [(0, 0), (None, 0), (0, None)])
    def test_vmap(self, in_axes: tuple[int | None, int | None]) -> None:
        matrices, sides = jnp.ones((2, 2, 2)) + 2 * jnp.eye(2), jnp.ones(2)

        def f(x):
            def solve(a, b):
                return lx.linear_solve(lx.MatrixLinearOperator(a), b).value

            a = matrices if in_axes[0] == 0 else matrices[0]
            b = x.reshape(2, 2) if in_axes[1] == 0 else x[:2] * sides
            return jax.vmap(solve, in_axes)(a, b).ravel()

        check_sound(f, expected="xx.. xx.. xx.. xx.." if in_axes[1] is None else BLOCKS)

    def test_vmap_of_vmap(self) -> None:
        operator = lx.DiagonalLinearOperator(jnp.array([2.0]))

        def f(x):
            solve = lambda b: lx.linear_solve(operator, b).value  # noqa: E731
            return jax.vmap(jax.vmap(solve, 1, 1))(x.reshape(2, 1, 2)).ravel()

        check_jacobian(f, 4, DIAGONAL)

    def test_tree(self) -> None:
        operator = lx.DiagonalLinearOperator({"a": jnp.ones(2), "b": jnp.ones(2)})

        def f(x):
            side = {"a": x[:2], "b": x[2:] * x[:2]}
            solution = lx.linear_solve(operator, side).value
            return jnp.concatenate([solution["b"], solution["a"]])

        check_jacobian(f, 4, "x.x. .x.x x... .x..")

    def test_hessian(self) -> None:
        operator = lx.MatrixLinearOperator(self.matrix)

        def energy(x):
            return jnp.sum(lx.linear_solve(operator, x**2).value ** 2)

        check_hessian(energy, 4, BLOCKS)

    def test_hessian_of_operator_from_input(self) -> None:
        def energy(x):
            operator = lx.DiagonalLinearOperator(2 + x**2)
            return jnp.sum(lx.linear_solve(operator, jnp.cos(x)).value)

        check_hessian(energy, 4, DIAGONAL)

    def test_in_a_loop(self) -> None:
        operator = lx.MatrixLinearOperator(self.matrix)

        def f(x):
            def step(_, y):
                return lx.linear_solve(operator, jnp.tanh(y)).value

            return jax.lax.fori_loop(0, 3, step, x)

        check_jacobian(f, 4, BLOCKS)


class TestOptimistix:
    @pytest.mark.parametrize(
        "adjoint", [optx.ImplicitAdjoint(), optx.RecursiveCheckpointAdjoint()]
    )
    def test_root_of_independent_equations(self, adjoint: Any) -> None:
        def f(x):
            def residual(y, x):
                return y**3 + y - x

            solver = optx.Newton(rtol=1e-10, atol=1e-10)
            return optx.root_find(residual, solver, jnp.zeros(4), x, adjoint=adjoint).value

        implicit = isinstance(adjoint, optx.ImplicitAdjoint)
        check_sound(f, expected=DIAGONAL if implicit else None)

    @pytest.mark.parametrize("solver", [optx.Chord, optx.Dogleg, optx.LevenbergMarquardt])
    def test_root_of_pairs(self, solver: Any) -> None:
        def f(x):
            def residual(y, x):
                swapped = y.reshape(2, 2)[:, ::-1].ravel()
                return y + 0.1 * jnp.sin(swapped) - x

            return optx.root_find(residual, solver(1e-8, 1e-8), jnp.zeros(4), x).value

        check_sound(f, expected=BLOCKS)

    def test_root_by_bisection(self) -> None:
        def f(x):
            def root(x):
                solver = optx.Bisection(rtol=1e-8, atol=1e-8)
                options = {"lower": -3.0, "upper": 3.0}
                residual = lambda y, x: y**3 + y - x  # noqa: E731
                return optx.root_find(residual, solver, 0.0, x, options=options).value

            return jax.vmap(root)(x)

        check_sound(f, expected=DIAGONAL)

    @pytest.mark.parametrize("solver", [optx.GaussNewton, optx.LevenbergMarquardt])
    def test_least_squares(self, solver: Any) -> None:
        def f(x):
            def residual(y, x):
                return jnp.concatenate([y**2 + 2 * y - x, 0.1 * y])

            return optx.least_squares(residual, solver(1e-8, 1e-8), jnp.ones(4), x).value

        check_sound(f, expected=DIAGONAL)

    def test_minimum(self) -> None:
        def f(x):
            def objective(y, x):
                return jnp.sum((y - x) ** 2 + (y - x) ** 4 + 0.1 * y**4)

            return optx.minimise(objective, optx.BFGS(1e-8, 1e-8), jnp.zeros(4), x).value

        check_sound(f, expected=DIAGONAL)

    def test_fixed_point(self) -> None:
        def f(x):
            solver = optx.FixedPointIteration(1e-9, 1e-9)
            step = lambda y, x: 0.5 * jnp.cos(y) + x  # noqa: E731
            return optx.fixed_point(step, solver, jnp.zeros(4), x).value

        check_sound(f, expected=DIAGONAL)


def _integrate(x: Any, controller: Any, solver: Any, **options: Any) -> Any:
    """Two pairs of states, which are independent of each other."""

    def rate(_, y, args):
        pairs = y.reshape(2, 2)
        return jnp.stack([pairs[:, 1], -pairs[:, 0] * jnp.abs(pairs[:, 0])], axis=1).ravel()

    return diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        solver,
        t0=0.0,
        t1=1.0,
        dt0=0.25,
        y0=x,
        stepsize_controller=controller,
        **options,
    ).ys


class TestDiffrax:
    @pytest.mark.parametrize("solver", [diffrax.Euler(), diffrax.Heun()])
    @pytest.mark.parametrize(
        "adjoint", [diffrax.RecursiveCheckpointAdjoint(), diffrax.DirectAdjoint()]
    )
    def test_fixed_steps(self, solver: Any, adjoint: Any) -> None:
        def f(x):
            controller = diffrax.ConstantStepSize()
            return _integrate(x, controller, solver, adjoint=adjoint, max_steps=8)[-1]

        check_sound(f, expected=BLOCKS)

    def test_forward_mode(self) -> None:
        def f(x):
            controller, adjoint = diffrax.ConstantStepSize(), diffrax.ForwardMode()
            return _integrate(x, controller, diffrax.Tsit5(), adjoint=adjoint)[-1]

        check_sound(f, expected=BLOCKS)

    def test_adaptive_steps(self) -> None:
        def f(x):
            controller = diffrax.PIDController(rtol=1e-4, atol=1e-4)
            return _integrate(x, controller, diffrax.Tsit5(), max_steps=64)[-1]

        check_sound(f)

    def test_saved_times(self) -> None:
        def f(x):
            saved = diffrax.SaveAt(ts=jnp.array([0.3, 1.0]))
            controller = diffrax.ConstantStepSize()
            ys = _integrate(x, controller, diffrax.Heun(), saveat=saved, max_steps=8)
            return ys.ravel()

        check_sound(f)

    def test_saved_steps(self) -> None:
        def f(x):
            controller, saved = diffrax.ConstantStepSize(), diffrax.SaveAt(steps=True)
            ys = _integrate(x, controller, diffrax.Euler(), saveat=saved, max_steps=4)
            return ys.ravel()

        check_sound(f)

    def test_implicit_solver(self) -> None:
        def f(x):
            controller = diffrax.PIDController(rtol=1e-3, atol=1e-3)
            return _integrate(x, controller, diffrax.Kvaerno3(), max_steps=16)[-1]

        check_sound(f)

    def test_implicit_solver_with_fixed_steps(self) -> None:
        root_finder = diffrax.VeryChord(rtol=1e-3, atol=1e-3, norm=optx.max_norm)
        solver = diffrax.ImplicitEuler(root_finder=root_finder)

        def f(x):
            solution = diffrax.diffeqsolve(
                diffrax.ODETerm(lambda t, y, args: -(y**3)),
                solver,
                t0=0.0,
                t1=0.5,
                dt0=0.25,
                y0=x,
                adjoint=diffrax.ForwardMode(),
                max_steps=4,
                throw=False,
            )
            assert solution.ys is not None
            return solution.ys[-1]

        check_jacobian(f, 4, DIAGONAL)
        x = jnp.linspace(0.1, 1.0, 4)
        found = asdex.jacobian(f, x, output_format="dense")(x)
        np.testing.assert_allclose(found, jax.jit(jax.jacfwd(f))(x), rtol=1e-12)

    def test_parameter(self) -> None:
        def f(x):
            term = diffrax.ODETerm(lambda t, y, rate: -rate * y)
            solution = diffrax.diffeqsolve(
                term, diffrax.Tsit5(), 0.0, 1.0, 0.1, jnp.ones(4), x, max_steps=16
            )
            assert solution.ys is not None
            return solution.ys[-1]

        check_sound(f, expected=DIAGONAL)


class TestOdeint:
    """Its derivative rule runs loops backwards, whose steps all cotangents choose."""

    TIMES = np.array([0.0, 0.2, 0.5])

    @pytest.mark.parametrize(
        ("rate", "expected"),
        [
            (lambda y, t: -jnp.sin(t) * y**2, DIAGONAL),
            (lambda y, t: -y * y[::-1], "x..x .xx. .xx. x..x"),
            (lambda y, t: -y + jnp.pad(y[:-1], (1, 0)), "x... xx.. xxx. xxxx"),
        ],
    )
    def test_state(self, rate: Any, expected: str) -> None:
        check_sound(lambda x: odeint(rate, x, self.TIMES)[-1], 4, 0.1, expected=expected)

    def test_parameter(self) -> None:
        def f(x):
            return odeint(lambda y, t, rate: -rate * y, jnp.ones(4), self.TIMES, x)[-1]

        check_jacobian(f, 4, DIAGONAL)
        x = np.linspace(0.5, 1.0, 4)
        found = asdex.jacobian(f, x, output_format="dense")(x)
        np.testing.assert_allclose(found, np.diag(-0.5 * np.exp(-0.5 * x)), atol=1e-7)

    def test_many(self) -> None:
        """At a cost in proportion to the state, as far as nothing couples it."""
        x = jax.ShapeDtypeStruct((100_000,), jnp.float64)
        pattern = asdex.jacobian_sparsity(
            lambda x: odeint(lambda y, t: -(y**3), x, self.TIMES)[-1], x
        )
        assert pattern.nnz == x.size

    @pytest.mark.parametrize("shape", [lambda ct: 2 * ct, jnp.sin, jnp.cos])
    def test_backward_passes_by_hand(self, shape: Any) -> None:
        """Of a sum, all that is not linear can be anything, even if it is zero at zero."""

        @jax.custom_vjp
        def f(x):
            return x

        def backward(_, ct):
            size = lax.while_loop(lambda s: s < jnp.sum(ct**2), lambda s: s + 1.0, 0.0)
            scaled = jnp.cos(size) * ct + jnp.where(size > 2, ct, ct[::-1])
            return (scaled + jnp.concatenate([0 * ct[:2], shape(ct[:2])]),)

        f.defvjp(lambda x: (x, None), backward)
        if shape in (jnp.sin, jnp.cos):
            with pytest.warns(asdex.ConservativePatternWarning):
                assert asdex.jacobian_sparsity(f, np.ones(4)).nnz == 16
        else:
            check_sound(f, expected="x.xx .xxx .xx. x..x")
