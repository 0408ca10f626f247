"""`Sparse` solves with operators of every kind as a dense solver does, in all
transformations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import asdex
from asdex._verbs import sparsity
from asdex.lineax import Sparse, SparseLinearOperator

N = 40
GIVEN = jnp.linspace(1.0, 2.0, N)
VECTOR = jnp.cos(jnp.arange(float(N)))


def residual(x: Any, args: Any) -> Any:
    """Three unknowns in each equation."""
    return x**3 + args * x + 0.3 * jnp.roll(x, 1) - 0.2 * jnp.roll(x, -2)


def jacobian(args: Any, **options: Any) -> Any:
    return lx.JacobianLinearOperator(residual, GIVEN, args, **options)


OPERATORS: dict[str, Callable[[Any], Any]] = {
    "jacobian": jacobian,
    "jacobian by reverse mode": lambda args: jacobian(args, jac="bwd"),
    "function": lambda args: lx.FunctionLinearOperator(
        lambda v: args * v + 0.3 * jnp.roll(v, 1), jax.eval_shape(lambda: VECTOR)
    ),
    "linearized": lambda args: lx.linearise(jacobian(args)),
    "transposed": lambda args: jacobian(args).T,
    "sum": lambda args: (
        jacobian(args) + lx.IdentityLinearOperator(jax.eval_shape(lambda: VECTOR))
    ),
    "multiple": lambda args: -(jacobian(args) * 2.0 / 3.0),
    "product": lambda args: jacobian(args) @ lx.DiagonalLinearOperator(GIVEN),
    "tagged": lambda args: (
        lx.TaggedLinearOperator(
            lx.linearise(jacobian(args)), lx.upper_triangular_tag
        ).operator
    ),
    "diagonal": lambda args: lx.DiagonalLinearOperator(args * GIVEN),
    "tridiagonal": lambda args: lx.TridiagonalLinearOperator(
        args * GIVEN, GIVEN[1:] / 3, GIVEN[:-1] / 4
    ),
    "sparse": lambda args: SparseLinearOperator(
        asdex.jacobian(residual, GIVEN, 1.0, output_format="operator")(GIVEN, args)
    ),
    "matrix": lambda args: lx.MatrixLinearOperator(
        jnp.eye(N) * args + 0.1 * jnp.outer(GIVEN, GIVEN)
    ),
    "tagged matrix": lambda args: lx.MatrixLinearOperator(
        jnp.eye(N) * args, lx.diagonal_tag
    ),
    "tall": lambda args: lx.FunctionLinearOperator(
        lambda v: jnp.concatenate([jacobian(args).mv(v), args * v[:7]]),
        jax.eval_shape(lambda: VECTOR),
    ),
    "wide": lambda args: lx.FunctionLinearOperator(
        lambda v: jacobian(args).mv(v)[: N - 7], jax.eval_shape(lambda: VECTOR)
    ),
}


def rhs(operator: Any) -> Any:
    return jnp.cos(jnp.arange(float(operator.out_size())))


def check(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def solve(name: str, solver: Any) -> Callable[[Any, Any], Any]:
    def compute(args: Any, scale: Any) -> Any:
        operator = OPERATORS[name](args)
        return lx.linear_solve(operator, scale * rhs(operator), solver).value

    return compute


AUTO = lx.AutoLinearSolver(well_posed=None)
ARGUMENTS = jnp.asarray(4.0), jnp.asarray(0.5)

TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "value": lambda f: f,
    "forward": lambda f: jax.jacfwd(f, (0, 1)),
    "reverse": lambda f: jax.jacrev(f, (0, 1)),
    "batch": lambda f: (
        lambda a, b: (
            jax.vmap(f)(jnp.stack([a, 2 * a]), jnp.stack([b, b])),
            jax.vmap(f, (0, None))(jnp.stack([a, 2 * a]), b),
            jax.vmap(f, (None, 0))(a, jnp.stack([b, 2 * b])),
        )
    ),
    "second": lambda f: jax.jacfwd(jax.grad(lambda a, b: (f(a, b) ** 3).sum(), (0, 1))),
    "gradients of a batch": lambda f: (
        lambda a, b: jax.vmap(jax.grad(lambda a, b: (f(a, b) ** 3).sum()), (0, None))(
            jnp.stack([a, 2 * a]), b
        )
    ),
}
FEW = ("value", "reverse")
PAIRS = [
    (name, transform)
    for name in OPERATORS
    for transform in (TRANSFORMS if name in ("jacobian", "tall") else FEW)
]


@pytest.mark.parametrize(("name", "transform"), PAIRS)
def test_operators(name: str, transform: str) -> None:
    found, expected = (
        jax.jit(TRANSFORMS[transform](solve(name, solver)))(*ARGUMENTS)
        for solver in (Sparse(), AUTO)
    )
    jax.tree.map(check, found, expected)


@pytest.mark.parametrize("solver", ["superlu", "banded", "dense"])
def test_a_solver_by_name(solver: Any) -> None:
    found = solve("jacobian", Sparse(solver))(*ARGUMENTS)
    check(found, solve("jacobian", AUTO)(*ARGUMENTS))


@pytest.mark.parametrize("name", ["jacobian", "tall", "wide", "matrix"])
def test_states(name: str) -> None:
    """One factorization, for the operator, its transpose and its conjugate."""
    operator, solver = OPERATORS[name](4.0), Sparse()
    state = solver.init(operator, {})
    dense = np.asarray(operator.as_matrix())
    pairs = [
        (state, dense),
        (solver.transpose(state, {})[0], dense.T),
        (solver.conj(state, {})[0], dense),
        (solver.transpose(*solver.transpose(state, {}))[0], dense),
    ]
    for each, matrix in pairs:
        b = jnp.arange(float(len(matrix)))
        x, result, _ = solver.compute(each, b, {})
        assert result == lx.RESULTS.successful
        check(x, np.linalg.pinv(matrix) @ b)


@pytest.mark.parametrize("shape", [(6, 6), (9, 6), (6, 9)])
def test_complex_operators(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=9) + 1j * rng.normal(size=9))

    def apply(v: Any) -> Any:
        padded = jnp.pad(v, (0, 9 - v.size))
        return (weights * padded + 0.3j * jnp.roll(padded, 2))[: shape[0]]

    structure = jax.ShapeDtypeStruct((shape[1],), jnp.complex128)
    operator = lx.FunctionLinearOperator(apply, structure)
    solver = Sparse()
    state = solver.init(operator, {})
    dense = np.asarray(operator.as_matrix())
    states = (
        (state, dense),
        (solver.conj(state, {})[0], dense.conj()),
        (solver.transpose(*solver.conj(state, {}))[0], dense.conj().T),
    )
    for each, matrix in states:
        b = jnp.asarray(rng.normal(size=len(matrix)) + 0j)
        check(solver.compute(each, b, {})[0], np.linalg.pinv(matrix) @ b)


def test_pytrees() -> None:
    def fun(x: Any, args: Any) -> Any:
        return {"out": x[0] ** 2 + args, "other": x[1] * x[0].sum()}

    operator = lx.JacobianLinearOperator(fun, (GIVEN[:3], GIVEN[0]), 1.0)
    vector = {"out": jnp.arange(3.0), "other": jnp.asarray(2.0)}
    found, expected = (
        lx.linear_solve(operator, vector, solver).value for solver in (Sparse(), AUTO)
    )
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(check, found, expected)


def test_normal_equations_by_lineax() -> None:
    operator = OPERATORS["tall"](4.0)
    found = lx.linear_solve(operator, rhs(operator), lx.Normal(Sparse())).value
    check(found, solve("tall", AUTO)(4.0, 1.0))


def test_inverses() -> None:
    inverse = lx.invert(jacobian(4.0), Sparse())
    check(inverse.mv(jacobian(4.0).mv(VECTOR)), VECTOR)


def test_iterative_solvers() -> None:
    """Values and derivatives, with a preconditioner that holds arrays."""
    older = asdex.jacobian(residual, GIVEN, 1.0, output_format="operator")(GIVEN, 3.0)
    solver = Sparse(
        asdex.Iterative("bicgstab", preconditioner=older.factorize(), rtol=1e-11)
    )
    for transform in (lambda f: f, jax.jacrev):
        found, expected = (
            jax.jit(transform(solve("jacobian", s)))(*ARGUMENTS) for s in (solver, AUTO)
        )
        check(found, expected)
    hard = Sparse(asdex.Iterative("bicgstab", rtol=1e-14, max_steps=1))
    result = lx.linear_solve(jacobian(1.0), VECTOR, hard, throw=False)
    assert result.result == lx.RESULTS.max_steps_reached
    assert np.isnan(result.value).all()


def test_singular_matrices() -> None:
    operator = lx.DiagonalLinearOperator(GIVEN.at[3].set(0.0))
    result = lx.linear_solve(operator, VECTOR, Sparse(), throw=False)
    assert result.result == lx.RESULTS.singular
    with pytest.raises(RuntimeError, match="singular"):
        lx.linear_solve(operator, VECTOR, Sparse())


def test_a_dense_operator_is_a_warning() -> None:
    def dense(x: Any, args: Any) -> Any:
        return x**2 + args * x.sum()

    operator = lx.JacobianLinearOperator(dense, GIVEN, 1.0)
    with pytest.warns(asdex.DenseColoringWarning, match="AutoLinearSolver") as caught:
        found = lx.linear_solve(operator, VECTOR, Sparse()).value
    assert len(caught) == 1
    check(found, lx.linear_solve(operator, VECTOR, AUTO).value)
    again = jax.jit(lambda v: lx.linear_solve(operator, v, Sparse()).value)
    check(again(VECTOR), found)  # Without another warning, which would be an error.


def test_functions_on_the_host_are_a_warning() -> None:
    like = jax.eval_shape(lambda: VECTOR)

    def twice(v: Any) -> Any:
        return jax.pure_callback(lambda v: 2 * v, like, v, vmap_method="sequential")

    operator = lx.FunctionLinearOperator(twice, like)
    with pytest.warns(asdex.DenseColoringWarning, match="do not support JVP"):
        found = lx.linear_solve(operator, VECTOR, Sparse()).value
    check(found, VECTOR / 2)


def test_a_pattern_that_is_given() -> None:
    """lineax does not show the indices."""
    indices = jnp.asarray(np.random.default_rng(0).permutation(N))

    def gather(x: Any, args: Any) -> Any:
        return x**3 + args * x + 0.1 * x[indices]

    pattern = asdex.jacobian_sparsity(gather, GIVEN, 1.0)
    operator = lx.JacobianLinearOperator(gather, GIVEN, 1.0)
    found = lx.linear_solve(operator, VECTOR, Sparse(sparsity=pattern)).value
    check(found, lx.linear_solve(operator, VECTOR, AUTO).value)


def test_wrong_arguments(without_annotation_checks: None) -> None:
    del without_annotation_checks
    with pytest.raises(ValueError, match="Unknown solver 'lu'"):
        Sparse("lu")  # pyright: ignore[reportArgumentType]


def test_equal_programs_are_detected_once(monkeypatch: pytest.MonkeyPatch):
    """What differs in a constant that is known is another program."""
    calls = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return detect(*args, **kwargs)

    detect = sparsity.detect
    monkeypatch.setattr(sparsity, "detect", counting)
    masks = [np.arange(1000.0) % k == 0 for k in (2, 2, 3)]
    b = jnp.cos(jnp.arange(1000.0))

    def residual(mask: Any, scale: Any) -> Any:
        def apply(v: Any) -> Any:
            return scale * v + jnp.where(mask, jnp.roll(v, 7), 0)

        operator = lx.FunctionLinearOperator(apply, jax.eval_shape(lambda: b))
        x, _, _ = Sparse().compute(Sparse().init(operator, {}), b, {})
        return apply(x) - b

    residuals = jax.jit(lambda scale: [residual(mask, scale) for mask in masks])
    check(residuals(3.0), [jnp.zeros(1000)] * 3)
    assert len(calls) == 2
