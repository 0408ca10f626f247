"""Every solver gives what NumPy gives for the dense matrix."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asdex._linalg.solvers import SolverName

from .cases import CASES, EACH_SOLVER, check_close, solve_flat

ALL = [(name, solver) for name, a in CASES.items() for solver in a.solvers]


@pytest.mark.parametrize(("name", "solver"), ALL)
def test_solution_and_its_transpose(name: str, solver: SolverName):
    a = CASES[name]
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())

    @jax.jit
    def solve(data, b):
        solve_for = partial(solve_flat, a.pattern, data, solver=solver)
        x, pull_back, singular = jax.vjp(solve_for, b, has_aux=True)
        return x, pull_back(b)[0], singular

    x, y, singular = solve(data, b)
    assert not singular
    check_close(x, np.linalg.solve(a.dense(), b))
    check_close(y, np.linalg.solve(a.dense().T, b))


IN_PRECISIONS = [
    *((solver, dtype) for solver in EACH_SOLVER for dtype in ("float32", "complex128")),
    # These look for the function of a library by the dtype.
    *((solver, "complex64") for solver in ("tridiagonal", "banded", "superlu")),
]


@pytest.mark.parametrize(("solver", "dtype"), IN_PRECISIONS)
def test_dtypes(solver: SolverName, dtype: str):
    a = CASES[EACH_SOLVER[solver]]
    data, b = a.data.astype(dtype), a.rhs().astype(dtype)
    if dtype.startswith("complex"):
        data = data * np.exp(1j * np.arange(data.size)).astype(dtype)
        b = b * np.exp(2j * np.arange(b.size)).astype(dtype)

    @jax.jit
    def solve(data, b):
        solve_for = partial(solve_flat, a.pattern, data, solver=solver)
        x, pull_back, _ = jax.vjp(solve_for, b, has_aux=True)
        return x, pull_back(b)[0]

    x, y = solve(jnp.asarray(data), jnp.asarray(b))
    assert x.dtype == y.dtype == dtype
    tolerance = 1e-10 if dtype == "complex128" else 1e-3
    check_close(x, np.linalg.solve(a.dense(data), b), tolerance)
    # What derivatives need is the transpose, without conjugation.
    check_close(y, np.linalg.solve(a.dense(data).T, b), tolerance)


@pytest.mark.parametrize("solver", ["diagonal", "superlu"])
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
    a = CASES["wide_below"]
    data, b = (jnp.asarray(v, jnp.bfloat16) for v in (a.data, a.rhs()))
    grads = jax.grad(
        lambda *args: solve_flat(a.pattern, *args, solver="banded")[0].sum(), (0, 1)
    )(data, b)
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
