"""Every solver gives what NumPy gives for the dense matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asdex._solve import SolverName, solve_flat

from .cases import CASES, EACH_SOLVER, check_close, each_solver

ALL = [(name, solver) for name, a in CASES.items() for solver in a.solvers]


@pytest.mark.parametrize(("name", "solver"), ALL)
def test_solution_and_its_transpose(name: str, solver: SolverName):
    a = CASES[name]
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())

    @jax.jit
    def solve(data, b):
        x, singular = solve_flat(a.pattern, data, b, solver=solver)
        transposed = jax.linear_transpose(
            lambda b: solve_flat(a.pattern, data, b, solver=solver)[0], b
        )
        return x, singular, transposed(b)[0]

    x, singular, y = solve(data, b)
    assert not singular
    check_close(x, np.linalg.solve(a.dense(), b))
    check_close(y, np.linalg.solve(a.dense().T, b))


@each_solver
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-3), ("complex64", 1e-3), ("complex128", 1e-10)]
)
def test_dtypes(solver: SolverName, dtype: str, tolerance: float):
    a = CASES[EACH_SOLVER[solver]]
    data, b = a.data.astype(dtype), a.rhs().astype(dtype)
    if dtype.startswith("complex"):
        data = data * np.exp(1j * np.arange(data.size)).astype(dtype)
        b = b * np.exp(2j * np.arange(b.size)).astype(dtype)
    solve = jax.jit(lambda data, b: solve_flat(a.pattern, data, b, solver=solver)[0])
    x = solve(jnp.asarray(data), jnp.asarray(b))
    assert x.dtype == dtype
    check_close(x, np.linalg.solve(a.dense(data), b), tolerance)
    # What derivatives need is the transpose, without conjugation.
    (y,) = jax.linear_transpose(lambda b: solve(jnp.asarray(data), b), b)(b)
    check_close(y, np.linalg.solve(a.dense(data).T, b), tolerance)


@pytest.mark.parametrize("solver", ["diagonal", "dense", "superlu"])
@pytest.mark.parametrize(
    ("data_dtype", "b_dtype", "expected"),
    [
        ("float32", "float64", "float64"),
        ("float64", "complex64", "complex128"),
        ("int32", "int32", "float64"),
        ("int8", "float32", "float32"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("float16", "int32", "float16"),
    ],
)
def test_promotion(solver: SolverName, data_dtype: str, b_dtype: str, expected: str):
    a = CASES["diagonal"]
    data = jnp.ones(a.pattern.nnz, data_dtype)
    b = jnp.arange(a.pattern.n).astype(b_dtype)
    x, _ = solve_flat(a.pattern, data, b, solver=solver)
    assert x.dtype == expected
    np.testing.assert_array_equal(x.real.astype("float32"), np.arange(a.pattern.n))


def test_gradients_in_short_floats():
    a = CASES["grid"]
    data, b = (jnp.asarray(v, jnp.bfloat16) for v in (a.data, a.rhs()))
    grads = jax.grad(lambda *args: solve_flat(a.pattern, *args)[0].sum(), (0, 1))(data, b)
    assert [grad.dtype for grad in grads] == [jnp.bfloat16, jnp.bfloat16]


def test_real_gradient_of_a_complex_solution():
    a = CASES["grid"]
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs() + 1j)

    def loss(data):
        x, _ = solve_flat(a.pattern, data, b, solver="superlu")
        return (x * x.conj()).real.sum()

    grad = jax.grad(loss)(data)
    assert grad.dtype == jnp.float64
    step, size = np.random.default_rng(0).normal(size=data.size), 1e-6
    change = (loss(data + size * step) - loss(data - size * step)) / (2 * size)
    np.testing.assert_allclose(grad @ step, change, rtol=1e-5)
