"""Operators as arguments, results, carries and batches of plain JAX transformations."""

import copy
import io
import pickle
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, export, lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

import asdex
from asdex import SparseJacobian

from .matrices import PATTERNS, dense, numbers, operator, symmetric_operator
from .problems import (
    MODEL,
    NAMES,
    X,
    dense_model,
    operator_of_model,
    problem,
)

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]


def same(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def same_operator(found: SparseJacobian, expected: SparseJacobian) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert found.data.dtype == expected.data.dtype
    same(found.data, expected.data)


# -- jit and vmap ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_jit_and_vmap_over_points(name: str) -> None:
    """The values have a batch axis then, and the pattern has none."""
    case = problem(name)
    points = jax.tree.map(lambda *leaves: jnp.stack(leaves), *case.points)

    def compute(points: Any, x: Array, u: Array) -> Any:
        batch = jax.vmap(case.operator)(points)
        products = (
            batch.flat.mv(x),
            jax.vmap(lambda a, x: a.flat.mv(x))(batch, x),
            batch.flat.rmv(u),
            jax.vmap(lambda a, u: u @ a)(batch, u),
        )
        return batch, products, jax.vmap(case.dense)(points)

    (m, n), count = case.operator(case.arrays).shape, len(case.points)
    x, u = numbers((count, n)), numbers((count, m), seed=1)
    batch, products, expected = jax.jit(compute)(points, x, u)
    assert batch.batch_shape == (count,)
    single = jax.eval_shape(case.operator, case.arrays)
    assert jax.tree.structure(batch) == jax.tree.structure(single)
    same(dense(batch), expected, 1e-10)
    for found in products[:2]:
        same(found, np.einsum("bij,bj->bi", expected, x), 1e-10)
    for found in products[2:]:
        same(found, np.einsum("bij,bi->bj", expected, u), 1e-10)


def test_equal_patterns_compile_once() -> None:
    traced = []

    @jax.jit
    def step(a: SparseJacobian, x: Array) -> tuple[SparseJacobian, Array]:
        traced.append(a.shape)
        return a * 2 + a.shift(1.0), a.T.mv(x)

    for k in range(3):
        coloring = asdex.jacobian_coloring(lambda x: MODEL(x), jnp.cos(X + k))
        a = asdex.jacobian_from_coloring(lambda x: MODEL(x), coloring, "operator")(X)
        result, _ = step(a, X)
        step(result.shift(0.0), X)
        step(jax.tree.map(jnp.sin, a), X)
    assert traced == [(6, 6)]
    pattern = PATTERNS["shuffled"]
    apart = asdex.SparsityPattern(pattern.rows.copy(), pattern.cols.copy(), (6, 6))
    assert pattern is not apart
    for p in (pattern, apart):
        step(SparseJacobian(np.ones(p.nnz), p), X)
    assert len(traced) == 2
    # Another order of the same entries is another pattern.
    turned = asdex.SparsityPattern(pattern.rows[::-1], pattern.cols[::-1], (6, 6))
    step(SparseJacobian(np.ones(turned.nnz), turned), X)
    assert len(traced) == 3


def test_operations_outside_of_jit_compile_once(caplog: pytest.LogCaptureFixture) -> None:
    def run(a: SparseJacobian) -> list[str]:
        caplog.clear()
        with jax.log_compiles():
            total = a @ a.T + a.shift(1.0)
            total.mv(X)
            total.T.solve(X, throw=False)
            a.submatrix([0, 2]).norm()
        return [record.message for record in caplog.records]

    a = operator(PATTERNS["square"])
    assert any("XLA compilation" in message for message in run(a))
    apart = asdex.SparsityPattern(a.sparsity.rows.copy(), a.sparsity.cols.copy(), (6, 6))
    assert run(SparseJacobian(jnp.sin(a.data), apart)) == []


def test_results_of_jit_outlive_it() -> None:
    with jax.checking_leaks():
        a = jax.jit(lambda x: operator_of_model(MODEL, x) @ operator_of_model(MODEL, x))(X)
        expected = np.linalg.matrix_power(dense_model(MODEL, X), 2)
    same(a.todense(), expected)
    closed_over = jax.jit(lambda x: a.mv(x) + a.diagonal())
    same(closed_over(X), expected @ X + expected.diagonal())


def test_lowering_without_numbers() -> None:
    a = operator(PATTERNS["wide"], (3,))
    shapes = jax.eval_shape(lambda: a)
    assert shapes.shape == a.todense().shape == (3, 4, 9)
    assert shapes.ndim == 3
    assert shapes.batch_shape == (3,)
    batch: Any = Float[SparseJacobian, "batch m n"]
    single: Any = Float[SparseJacobian, "m n"]
    assert isinstance(a, batch)
    assert not isinstance(a, single)
    compiled = jax.jit(lambda a: a.row_sums()).lower(shapes).compile()
    same(compiled(a), dense(a).sum(-1))


def test_batch_axes_elsewhere() -> None:
    a = operator(PATTERNS["shuffled"], (4, 3))
    last = jax.vmap(lambda a: a, in_axes=1, out_axes=-1)(a)
    assert last.data.shape == (4, a.nnz, 3)
    found = jax.vmap(jax.vmap(lambda a, x: a @ x, in_axes=(0, None)), (-1, 0))(
        last, numbers((3, 6))
    )
    same(found, np.einsum("kbij,bj->bki", dense(a), numbers((3, 6))))


def test_jacobian_of_the_values() -> None:
    """The derivative of an operator is an operator with axes behind its values."""
    found = jax.jit(jax.jacfwd(lambda x: operator_of_model(MODEL, x)))(X)
    expected = jax.jit(jax.jacfwd(lambda x: dense_model(MODEL, x)))(X)
    pattern = found.sparsity
    same(found.data, np.asarray(expected)[pattern.rows, pattern.cols])


# -- Control flow ------------------------------------------------------------------------


def test_carry_and_inputs_of_scan() -> None:
    start, steps = (
        operator(PATTERNS["tridiagonal"]),
        operator(PATTERNS["tridiagonal"], (4,)),
    )

    def body(carry: SparseJacobian, step: SparseJacobian) -> Any:
        following = 0.5 * carry + step - step.tril(-1).T.T
        return following.scale_rows(np.ones(7)), (carry, carry.norm())

    final, (history, norms) = jax.jit(lambda a, b: lax.scan(body, a, b))(start, steps)
    matrix, matrices = dense(start), []
    for step in dense(steps):
        matrices.append(matrix)
        matrix = 0.5 * matrix + step - np.tril(step, -1)
    same(dense(final), matrix)
    assert history.batch_shape == (4,)
    same(dense(history), np.stack(matrices))
    same(norms, np.linalg.norm(matrices, axis=(1, 2)))


def test_branches() -> None:
    a = symmetric_operator()

    def choose(flag: Any, a: SparseJacobian) -> SparseJacobian:
        return lax.cond(flag, lambda a: a.T.conj(), lambda a: -a / 2, a)

    def switch(index: Any, a: SparseJacobian) -> Array:
        products = [lambda a: a.mv(X), lambda a: a.gram().mv(X), lambda a: a.solve(X)]
        return lax.switch(index, products, a)

    same_operator(jax.jit(choose)(True, a), a)
    same_operator(jax.jit(choose)(False, a), -a / 2)
    both = jax.vmap(choose, (0, None))(jnp.array([True, False]), a)
    same(dense(both), np.stack([dense(a), -dense(a) / 2]))
    matrix, x = dense(a), np.asarray(X)
    expected = [matrix @ x, matrix @ (matrix @ x), np.linalg.solve(matrix, x)]
    for k, value in enumerate(expected):
        same(jax.jit(switch)(k, a), value, 1e-10)


def test_newton_in_a_while_loop() -> None:
    """The operator of the last step is a carry, replaced in each."""
    target = MODEL(X + 0.05)

    def unfinished(carry: Any) -> Array:
        return (jnp.linalg.norm(MODEL(carry[0]) - target) > 1e-13) & (carry[2] < 30)

    def step(carry: Any) -> Any:
        x, a, count = carry
        x = x - a.solve(MODEL(x) - target)
        return x, operator_of_model(MODEL, x), count + 1

    start = X, operator_of_model(MODEL, X), jnp.asarray(0)
    x, a, count = jax.jit(lambda start: lax.while_loop(unfinished, step, start))(start)
    same(x, X + 0.05, 1e-10)
    assert 1 < count < 30
    same(a.todense(), dense_model(MODEL, x), 1e-10)


def test_checkpoint() -> None:
    def fun(x: Array, a: SparseJacobian) -> Array:
        b = operator_of_model(MODEL, x)
        return jnp.sum((a @ b).mv(x) ** 2) + jnp.sum(b.shift(9.0).solve(x))

    a = operator(PATTERNS["square"])
    plain = jax.jit(jax.grad(fun, (0, 1)))(X, a)
    again = jax.jit(jax.grad(jax.checkpoint(fun), (0, 1)))(X, a)
    same(again[0], plain[0])
    same_operator(again[1], plain[1])


# -- A pytree with one leaf --------------------------------------------------------------


def test_one_leaf() -> None:
    a = operator_of_model(MODEL, X)
    leaves, structure = jax.tree.flatten(a)
    assert [leaf is a.data for leaf in leaves] == [True]
    assert hash(structure) == hash(jax.tree.structure(operator_of_model(MODEL, 2 * X)))
    same_operator(jax.tree.unflatten(structure, leaves), a)
    vector, unravel = ravel_pytree(a)
    same_operator(unravel(vector), a)
    params, static = eqx.partition(a, eqx.is_inexact_array)
    same_operator(eqx.combine(params, static), a)
    same_operator(
        eqx.tree_at(lambda a: a.data, a, jnp.sin(a.data)), jax.tree.map(jnp.sin, a)
    )


def test_updates_as_optimizers_make_them() -> None:
    """An operator is fitted to products, with momentum, as one leaf among others."""
    target = operator(PATTERNS["shuffled"])
    params = {"a": jax.tree.map(jnp.zeros_like, target), "shift": jnp.zeros(6)}
    inputs = jnp.asarray(numbers((20, 6)))

    def loss(params: Any) -> Array:
        found = jax.vmap(lambda x: params["a"].mv(x) + params["shift"])(inputs)
        return jnp.mean((found - (target @ inputs.T).T) ** 2)

    def step(carry: Any, _: None) -> Any:
        params, momentum = carry
        gradient = jax.grad(loss)(params)
        momentum = jax.tree.map(lambda v, g: 0.9 * v + g, momentum, gradient)
        return (jax.tree.map(lambda p, v: p - 0.1 * v, params, momentum), momentum), None

    start = params, jax.tree.map(jnp.zeros_like, params)
    fit = jax.jit(lambda start: lax.scan(step, start, None, length=600)[0])
    fitted, _ = fit(start)
    same(fitted["a"].data, target.data, 1e-8)
    same(fitted["shift"], np.zeros(6), 1e-8)


def test_serialise_leaves() -> None:
    a, file = operator_of_model(MODEL, X), io.BytesIO()
    eqx.tree_serialise_leaves(file, {"a": a, "x": X})
    file.seek(0)
    like = {"a": operator_of_model(MODEL, 0 * X), "x": 0 * X}
    found = eqx.tree_deserialise_leaves(file, like)
    same_operator(found["a"], a)
    same(found["a"].mv(X), a.mv(X))


@pytest.mark.parametrize("batch", [(), (2,)])
def test_copies(batch: tuple[int, ...]) -> None:
    for a in (operator(PATTERNS["shuffled"], batch), symmetric_operator(batch=batch)):
        for found in (
            copy.copy(a),
            copy.deepcopy(a),
            pickle.loads(pickle.dumps(a)),
            pickle.loads(pickle.dumps(a.shift(1.0))) - a.flat.shift(1.0) + a,
        ):
            same(found.todense(), a.todense())
            assert found.symmetric == a.symmetric
        assert pickle.loads(pickle.dumps(a)) == a
    b = problem("pytrees-nested_dict")
    a = b.operator(b.arrays)
    same_operator(pickle.loads(pickle.dumps(a)), a)


# -- Export ------------------------------------------------------------------------------


def test_export() -> None:
    flat = operator(PATTERNS["square"])
    domain = {"a": [jnp.ones(2, jnp.float32)], "b": (jnp.ones((2, 2)), None)}
    codomain = [jnp.ones(()), jnp.ones(5)]
    a = SparseJacobian(flat.data, flat.sparsity, domain, codomain)

    def fun(a: SparseJacobian, x: Any, s: SparseJacobian) -> Any:
        return a.T, a.mv(x), s.shift(9.0).solve(x["b"][0].reshape(4)), s.conj()

    s = symmetric_operator(PATTERNS["tridiagonal"], (3,)).submatrix([0, 1, 2, 3], range(4))
    s = jax.tree.map(lambda data: data[0], s)
    exported = export.export(jax.jit(fun))(a, domain, s)
    found = export.deserialize(exported.serialize()).call(a, domain, s)
    expected = jax.jit(fun)(a, domain, s)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        same(one, other)


def test_export_of_a_derivative() -> None:
    make = asdex.jacobian(lambda x: MODEL(x), X, output_format="operator")
    derivative: Any = jax.jit(jax.vmap(make))
    exported = export.export(derivative)(jax.ShapeDtypeStruct((3, 6), X.dtype))
    points = jnp.stack([X, 2 * X, X - 1])
    found = cast(Any, export.deserialize(exported.serialize())).call(points)
    same_operator(found, derivative(points))
    assert found.batch_shape == (3,)


def test_export_of_other_nodes_is_refused() -> None:
    flat = operator(PATTERNS["square"])
    layer = eqx.filter(MODEL.layers[0], eqx.is_array)
    a = SparseJacobian(flat.data, flat.sparsity, layer)
    exported = export.export(jax.jit(lambda a: a.data))(a)
    with pytest.raises(TypeError, match="nested dicts, lists, tuples"):
        exported.serialize()


def test_structure_does_not_tell_which_function_it_was() -> None:
    """Except for the pattern and what is mapped: the model was an argument, too."""
    a = operator_of_model(MODEL, X)
    plain = SparseJacobian(a.data, asdex.SparsityPattern.from_dense(a.sparsity.todense()))
    assert jax.tree.structure(a) == jax.tree.structure(plain)
    assert jax.tree.structure(a) == jax.tree.structure(a.T.T)
    chosen = jax.jit(lambda c: jax.lax.cond(c, lambda: a, lambda: plain * 2))
    same_operator(chosen(False), plain * 2)
    exported = export.export(jax.jit(lambda a: 2 * a))(a)
    same_operator(cast(Any, export.deserialize(exported.serialize())).call(a), 2 * a)
