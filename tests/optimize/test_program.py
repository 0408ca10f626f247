"""Nonlinear programs agree with dense derivatives by JAX, under every transformation."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asdex.optimize import Derivatives, NonlinearProgram

from . import beam
from .problems import PROBLEMS, Dense, as_vector, dense, multipliers, program, vector

EVERY = pytest.mark.parametrize("name", PROBLEMS)
SOME = pytest.mark.parametrize(
    "name", ["without_constraints", "mixed_rows", "pytrees", "parameters", "a_scan"]
)


def flattened(found: Derivatives) -> Dense:
    """The same between flat vectors, with dense matrices."""
    objective, gradient, constraints, jacobian, lagrangian_gradient, hessian = found
    return Dense(
        objective,
        as_vector(gradient),
        as_vector(constraints),
        jacobian.todense(),
        as_vector(lagrangian_gradient),
        hessian.todense(),
    )


def check(found: Any, expected: Any) -> None:
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10),
        found,
        expected,
    )


@EVERY
def test_values(name: str) -> None:
    (_, _, x, args, _), p, m = PROBLEMS[name], program(name), multipliers(name)
    found, expected = p.evaluate(x, m, *args), dense(name)(x, m, args)
    check(flattened(found), expected)
    separately = Derivatives(
        p.objective(x, *args),
        p.gradient(x, *args),
        p.constraints(x, *args),
        p.jacobian(x, *args),
        p.lagrangian_gradient(x, m, *args),
        p.hessian(x, m, *args),
    )
    check(flattened(separately), expected)
    assert jax.tree.structure(separately) == jax.tree.structure(found)
    assert jax.tree.structure(found.gradient) == jax.tree.structure(x)
    lagrangian = expected.objective + as_vector(m) @ expected.constraints
    check(p.lagrangian(x, m, *args), lagrangian)


@EVERY
def test_hessians_for_all_multipliers(name: str) -> None:
    (_, _, x, args, _), p = PROBLEMS[name], program(name)
    pattern = p.hessian.sparsity
    assert pattern.is_symmetric
    hessian = jax.jit(lambda m, factor: p.hessian(x, m, *args, objective_factor=factor))
    for value, factor in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, -0.5)):
        m = jax.tree.map(lambda leaf, v=value: jnp.full(leaf.shape, v), p.codomain.tree)
        found = hessian(m, factor)
        assert found.sparsity == pattern.bare
        assert found.symmetric
        check(found.todense(), dense(name)(x, m, args, factor).hessian)


@EVERY
def test_what_is_known_to_be_linear(name: str) -> None:
    _, _, x, args, linear = PROBLEMS[name]
    p = program(name)
    assert set(linear) <= set(np.flatnonzero(p.is_linear).tolist())
    jacobian = dense(name)(x, multipliers(name), args).jacobian
    elsewhere = jax.tree.map(lambda leaf: 2 * leaf - 0.3, x)
    other = dense(name)(elsewhere, multipliers(name), args).jacobian
    check(other[p.is_linear], jacobian[p.is_linear])
    n = p.domain.size
    has_entry = np.zeros(n, bool)
    has_entry[p.hessian.sparsity.cols] = True
    np.testing.assert_array_equal(p.nonlinear_variables, has_entry)
    # Multipliers of linear rows do not matter.
    _, is_constant, values = p.jacobian.constant_entries
    at = p.jacobian(x, *args).data
    np.testing.assert_array_equal(at[is_constant], values[is_constant])
    m = jnp.where(p.is_linear, 1.0, 0.0)
    no_curvature = p.hessian(x, p.codomain.unravel(m), *args, objective_factor=0.0)
    np.testing.assert_array_equal(no_curvature.data, 0)


@pytest.mark.parametrize("pieces", [3, 20])
def test_patterns_of_a_beam_are_exact(pieces: int) -> None:
    x = beam.start(pieces)
    p = NonlinearProgram(beam.energy, beam.shape, x)
    assert p.jacobian.sparsity.nnz == 8 * pieces
    assert p.hessian.sparsity.nnz == 2 * (pieces + 1)
    ones = p.codomain.unravel(jnp.ones(p.codomain.size))
    assert (p.jacobian(x).data != 0).all()
    assert (p.hessian(x, ones).data != 0).all()


def test_rows_that_are_linear_add_no_entries() -> None:
    x = vector(9)
    for constraints in (None, lambda x: x[1:] - x[:-1], lambda x, p=3.0: p * x[::2]):
        p = NonlinearProgram(lambda x: x[0] ** 2, constraints, x)
        assert p.hessian.sparsity.nnz == 1
        np.testing.assert_array_equal(np.flatnonzero(p.nonlinear_variables), [0])


@SOME
def test_jit_and_vmap(name: str) -> None:
    (_, _, x, args, _), p, m = PROBLEMS[name], program(name), multipliers(name)
    scales = jnp.asarray([0.5, 1.0, 1.5])

    def scaled(tree: Any, scale: Any) -> Any:
        return jax.tree.map(lambda leaf: scale * leaf, tree)

    def at(scale: Any) -> Dense:
        return flattened(p.evaluate(scaled(x, scale), scaled(m, scale), *args))

    expected = [dense(name)(scaled(x, s), scaled(m, s), args) for s in scales]
    found = jax.vmap(at)(scales), jax.jit(jax.vmap(at))(scales), jax.lax.map(at, scales)
    for batch in found:
        for k, of_one in enumerate(expected):
            check(jax.tree.map(lambda leaf, k=k: leaf[k], batch), of_one)


def test_methods_are_functions_for_jax() -> None:
    (_, _, x, (args,), _), p = PROBLEMS["parameters"], program("parameters")
    m = multipliers("parameters")
    expected = p.evaluate(x, m, args)
    check(jax.jit(p.evaluate)(x, m, args), expected)
    check(jax.grad(p.objective)(x, args), expected.gradient)
    over_x = jax.vmap(p.gradient, (0, None))(jnp.stack([x, x]), args)
    check(over_x[1], expected.gradient)
    assert "KKT matrix" in str(p.kkt.__doc__)


def test_vmap_over_parameters() -> None:
    name = "parameters"
    (_, _, x, (p,), _), problem, m = PROBLEMS[name], program(name), multipliers(name)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), p)
    batch = jax.vmap(lambda p: problem.evaluate(x, m, p))(many)
    assert batch.hessian.batch_shape == (2,)
    for k in range(2):
        one = jax.tree.map(lambda leaf, k=k: leaf[k], (batch, many))
        check(flattened(one[0]), dense(name)(x, m, (one[1],)))


@SOME
def test_gradients(name: str) -> None:
    (_, _, x, args, _), p, m = PROBLEMS[name], program(name), multipliers(name)

    def summary(found: Dense) -> jax.Array:
        return jnp.sum(jnp.sin(as_vector(found)))

    def sparse(x: Any, m: Any) -> jax.Array:
        return summary(flattened(p.evaluate(x, m, *args)))

    def reference(x: Any, m: Any) -> jax.Array:
        return summary(dense(name)(x, m, args))

    check(jax.grad(sparse, (0, 1))(x, m), jax.grad(reference, (0, 1))(x, m))
    tangents = jax.tree.map(jnp.ones_like, (x, m))
    check(jax.jvp(sparse, (x, m), tangents), jax.jvp(reference, (x, m), tangents))


def test_methods_are_compiled_once() -> None:
    traces = 0

    def objective(x: jax.Array, p: Any) -> jax.Array:
        nonlocal traces
        traces += 1
        return jnp.sum(x**2) * p

    def evaluate(value: float) -> int:
        found = problem.evaluate(value * x, value, value, objective_factor=value)
        assert found.objective == problem.objective(value * x, value)
        return traces

    x = vector(3)
    problem = NonlinearProgram(objective, lambda x, p: x[0] * p, x, 1.0)
    assert evaluate(2.0) == evaluate(0.0) == evaluate(1.5)


def test_a_program_is_a_pytree_of_its_bounds() -> None:
    x = {"a": vector(3), "b": vector(2)}
    p = NonlinearProgram(
        lambda x: jnp.sum(x["a"] ** 2),
        lambda x: (x["a"] * 2, x["b"] ** 2),
        x,
        bounds=({"a": 0.0, "b": None}, 5.0),
        constraint_bounds=((None, -1.0), (0.0, np.arange(2.0))),
    )
    np.testing.assert_array_equal(as_vector(p.bounds.lower), [0, 0, 0, -np.inf, -np.inf])
    np.testing.assert_array_equal(as_vector(p.bounds.upper), np.full(5, 5.0))
    np.testing.assert_array_equal(
        as_vector(p.constraint_bounds.lower), [*[-np.inf] * 3, -1, -1]
    )
    np.testing.assert_array_equal(as_vector(p.constraint_bounds.upper), [0, 0, 0, 0, 1])
    assert len(jax.tree.leaves(p)) == 8
    doubled = jax.jit(lambda p: jax.tree.map(lambda leaf: 2 * leaf, p))(p)
    np.testing.assert_array_equal(as_vector(doubled.bounds.upper), np.full(5, 10.0))
    check(doubled.objective(x), p.objective(x))


def test_by_default_constraints_are_equations_and_variables_have_no_bounds() -> None:
    p = program("mixed_rows")
    assert not np.isfinite(as_vector(p.bounds)).any()
    np.testing.assert_array_equal(as_vector(p.constraint_bounds), 0)


def test_samples_are_types() -> None:
    x = jax.ShapeDtypeStruct((4,), np.float64)
    p = NonlinearProgram(lambda x: x[0] ** 2, lambda x: x[1:] * x[:-1], x)
    check(p.jacobian(np.ones(4)).todense(), np.eye(3, 4) + np.eye(3, 4, 1))


@pytest.mark.usefixtures("standard_promotion")
def test_float32() -> None:
    x = vector(5).astype(np.float32)
    p = NonlinearProgram(lambda x: jnp.sum(x**4), lambda x: x[1:] * x[:-1], x)
    found = p.evaluate(x, jnp.ones(4, np.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    assert found.kkt(0.5, 0.1).dtype == np.float32


X = vector(3)
NUMBER: Any = 1.0
WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "objective": (
        lambda: NonlinearProgram(NUMBER, None, X),
        TypeError,
        "objective must be",
    ),
    "constraints": (
        lambda: NonlinearProgram(jnp.sum, NUMBER, X),
        TypeError,
        "constraints must be a function",
    ),
    "a vector": (lambda: NonlinearProgram(jnp.sin, None, X), ValueError, "return a scalar"),
    "a pair": (
        lambda: NonlinearProgram(lambda x: (x[0], x[1]), None, X),
        ValueError,
        "return a scalar",
    ),
    "integers": (
        lambda: NonlinearProgram(jnp.sum, None, np.arange(3)),
        TypeError,
        "x must be real floating point numbers. Got int",
    ),
    "complex numbers": (
        lambda: NonlinearProgram(jnp.sum, None, X.astype(complex)),
        TypeError,
        "x must be real",
    ),
    "constraints that are integers": (
        lambda: NonlinearProgram(jnp.sum, lambda x: x > 1, X),
        TypeError,
        r"constraints\(x\) must be real floating point numbers. Got bool",
    ),
    "constraints in a dict that are integers": (
        lambda: NonlinearProgram(jnp.sum, lambda x: {"a": x, "b": x > 1}, X),
        TypeError,
        r"constraints\(x\)\['b'\] must be real",
    ),
    "an objective that is an integer": (
        lambda: NonlinearProgram(lambda x: 3, None, X),
        TypeError,
        r"objective\(x\) must be real floating point numbers. Got int.*Cast it",
    ),
    "an objective that is complex": (
        lambda: NonlinearProgram(lambda x: jax.lax.complex(x[0], x[1]), None, X),
        TypeError,
        r"objective\(x\) must be real floating point numbers. Got complex128\.$",
    ),
    "no pair of bounds": (
        lambda: NonlinearProgram(jnp.sum, None, X, bounds=1.0),
        TypeError,
        "bounds must be a pair",
    ),
    "bounds of another shape": (
        lambda: NonlinearProgram(jnp.sum, None, X, bounds=(np.zeros(2), None)),
        ValueError,
        "bounds must be numbers, None, or pytrees",
    ),
    "bounds of another structure": (
        lambda: NonlinearProgram(jnp.sum, None, X, bounds=({"a": 0.0}, None)),
        ValueError,
        "bounds must be numbers, None, or pytrees",
    ),
    "bounds that exclude each other": (
        lambda: NonlinearProgram(
            jnp.sum, lambda x: x, X, constraint_bounds=(np.array([0, 2.0, 0]), 1.0)
        ),
        ValueError,
        r"constraint_bounds: the lower bound 2.0 at \(1,\)",
    ),
}


@pytest.mark.usefixtures("without_annotation_checks")
@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str) -> None:
    call, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        call()


OF_MULTIPLIERS = ("lagrangian", "lagrangian_gradient", "hessian", "evaluate", "kkt")
WRONG_MULTIPLIERS: dict[str, tuple[Any, type[Exception], str]] = {
    "None": (None, ValueError, "pytree structure"),
    "a scalar": (1.0, ValueError, "pytree structure"),
    "a vector": (np.ones(7), ValueError, "pytree structure"),
    "a list": ([np.ones((2, 3)), 1.0], ValueError, "pytree structure"),
    "other keys": ({"ceq": 1.0, "a": np.ones((2, 3))}, ValueError, "pytree structure"),
    "None inside": ({"a": np.ones((2, 3)), "b": None}, ValueError, "pytree structure"),
    "lists inside": ({"a": 2 * [[1.0] * 3], "b": 1.0}, ValueError, "pytree structure"),
    "transposed": (
        {"a": np.ones((3, 2)), "b": 1.0},
        ValueError,
        r"multipliers\['a'\]: shape \(3, 2\) does not match expected \(2, 3\)",
    ),
    "a scalar for a matrix": ({"a": 1.0, "b": 1.0}, ValueError, r"\['a'\]: shape \(\)"),
    "complex": (
        {"a": np.ones((2, 3)) * 1j, "b": 1.0},
        TypeError,
        r"multipliers\['a'\]: dtype complex128",
    ),
    "a string": (
        {"a": np.ones((2, 3)), "b": "1"},
        TypeError,
        r"multipliers\['b'\] must be",
    ),
}
WRONG_FACTORS: dict[str, tuple[Any, type[Exception], str]] = {
    "None": (None, ValueError, "pytree structure"),
    "a vector": (np.ones(3), ValueError, r"objective_factor: shape \(3,\)"),
    "complex": (1j, TypeError, "objective_factor: dtype complex128"),
    "a string": ("1", TypeError, "objective_factor must be"),
}


@functools.cache
def matrix_and_scalar() -> NonlinearProgram:
    return NonlinearProgram(
        lambda x: jnp.sum(x**3), lambda x: {"a": x.reshape(2, 3) ** 2, "b": x[0]}, vector(6)
    )


@pytest.mark.usefixtures("without_annotation_checks")
@pytest.mark.parametrize("method", OF_MULTIPLIERS)
@pytest.mark.parametrize("name", WRONG_MULTIPLIERS)
def test_wrong_multipliers(method: str, name: str) -> None:
    given, error, message = WRONG_MULTIPLIERS[name]
    with pytest.raises(error, match=message):
        getattr(matrix_and_scalar(), method)(vector(6), given)


@pytest.mark.usefixtures("without_annotation_checks")
@pytest.mark.parametrize("method", OF_MULTIPLIERS)
@pytest.mark.parametrize("name", WRONG_FACTORS)
def test_wrong_factors(method: str, name: str) -> None:
    given, error, message = WRONG_FACTORS[name]
    multipliers = {"a": np.ones((2, 3)), "b": 1.0}
    with pytest.raises(error, match=message):
        getattr(matrix_and_scalar(), method)(vector(6), multipliers, objective_factor=given)


@pytest.mark.parametrize("method", OF_MULTIPLIERS)
@pytest.mark.parametrize("factor", [0, 1, True, np.int64(0), np.bool_(True), np.float32(2)])
def test_integers_as_multipliers_and_factor(method: str, factor: Any) -> None:
    whole = np.arange(6).reshape(2, 3)
    call = functools.partial(getattr(matrix_and_scalar(), method), vector(6))
    expected = call({"a": whole.astype(float), "b": 1.0}, objective_factor=float(factor))
    check(call({"a": whole, "b": 1}, objective_factor=factor), expected)
    inside = jax.jit(lambda m, factor: call(m, objective_factor=factor))
    check(inside({"a": whole, "b": True}, factor), expected)


@pytest.mark.usefixtures("without_annotation_checks")
@pytest.mark.parametrize(
    "method", ["gradient", "lagrangian_gradient", "evaluate", "kkt", "jacobian", "hessian"]
)
def test_integers_as_x(method: str) -> None:
    multipliers = ({"a": np.ones((2, 3)), "b": 1.0},)
    rest = () if method in ("gradient", "jacobian") else multipliers
    with pytest.raises(TypeError, match=r"\bx .*int64.* x.astype\(float\)"):
        getattr(matrix_and_scalar(), method)(np.arange(6), *rest)


@pytest.mark.parametrize("method", ["objective", "gradient", "constraints", "jacobian"])
def test_shapes_of_x(method: str) -> None:
    with pytest.raises(ValueError, match=r"x: shape \(5,\) does not match expected \(6,\)"):
        getattr(matrix_and_scalar(), method)(np.ones(5))


def test_values_that_are_closed_over_are_read_once() -> None:
    weight = 1.0
    p = NonlinearProgram(lambda x: weight * jnp.sum(x**2), None, X)
    before, hessian = p.objective(X), p.hessian(X, np.zeros(0))
    weight = 2.0
    check(p.objective(X), before)
    check(p.hessian(X, np.zeros(0)).data, 2 * hessian.data)
