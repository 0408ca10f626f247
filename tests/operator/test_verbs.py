"""Operators that the verbs return, against what JAX computes with the same pytrees."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

import asdex
from asdex import SparseJacobian
from tests.helpers import (
    TABLE,
    Case,
    allclose,
    blocks,
    check_equal,
    points,
)

from .problems import Problem

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.ConservativePatternWarning"),
]
F64 = np.dtype(np.float64)
PYTREES = (
    "constant_output",
    "empty_input",
    "empty_output",
    "empty_rows",
    "list_with_empty_parts",
    "mixed_dtypes_differentiated",
    "module",
    "module_and_input",
    "named_tuple",
    "nested_dict",
    "one_in_tuple",
    "repeated_output",
    "scalar_to_scalar",
    "scalars",
    "some_empty",
    "static_leaves",
    "swapped_arguments",
    "vector_to_scalar",
)
SCALARS = ("both_of_pair", "first_of_pair", "shape_one", "structured")
CASES = [
    *(TABLE[f"pytrees-{name}"] for name in PYTREES),
    *(TABLE[f"scalars-{name}"] for name in SCALARS),
]


def random_like(tree: PyTree, seed: int) -> PyTree:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(x.dtype), tree)


def same(found: PyTree, expected: PyTree, tolerance: float = 0.0) -> None:
    """Raise `AssertionError` unless two pytrees agree in structure, dtypes and numbers."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for leaf, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == wanted.dtype
        if wanted.dtype != jax.dtypes.float0:
            assert allclose(leaf, wanted, wanted.dtype, tolerance), (leaf, wanted)
        else:
            assert leaf.shape == wanted.shape


# -- Functions of the table --------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_table(case: Case) -> None:
    problem, args = Problem(case), points(case, F64)[0]
    fun, arrays = problem.fun, problem.arrays
    v, u = random_like(arrays, 0), random_like(jax.eval_shape(fun, arrays), 1)

    @jax.jit
    def compute(arrays: PyTree, v: PyTree, u: PyTree) -> Any:
        a = problem.operator(arrays)
        with jax.numpy_dtype_promotion("strict"):
            products = a.mv(v), a.rmv(u), a.T.mv(u)
        expected = jax.jvp(fun, (arrays,), (v,))[1], jax.vjp(fun, arrays)[1](u)[0]
        return a, products, expected, problem.dense(arrays)

    a, (mv, rmv, transposed), (expected, pulled), matrix = compute(arrays, v, u)
    same(mv, expected, case.tolerance)
    same(rmv, pulled, case.tolerance)
    same(transposed, pulled, case.tolerance)
    assert a.symmetric == case.scalar
    assert allclose(a.todense(), matrix, F64, case.tolerance)
    check_equal(a.blocks(), blocks(case, args, np.asarray(matrix)), F64, case.tolerance)
    assert a.in_structure == jax.eval_shape(lambda: arrays)
    assert a.out_structure == jax.eval_shape(fun, arrays)


# -- Every verb and option ---------------------------------------------------------------

X = jnp.linspace(0.5, 2.0, 7)


class State(NamedTuple):
    position: Any
    speed: Any


POINT = {"state": State(X[:3], X[3:]), "gain": jnp.asarray(1.5)}


def residual(point: dict[str, Any]) -> dict[str, Any]:
    position, speed = point["state"]
    force = point["gain"] * jnp.sin(position) * position[::-1]
    return {"force": force, "speed": (speed[1:] - speed[:-1]) ** 2, "power": force @ force}


def energy(point: dict[str, Any]) -> jax.Array:
    position, speed = point["state"]
    return jnp.sum(speed**4) * point["gain"] + jnp.sum(position[1:] ** 3 * position[:-1])


def with_aux(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda point: (f(point), {"double": 2 * point["gain"], "text": "aux"})


JACOBIANS: list[dict[str, Any]] = [
    {"mode": "fwd"},
    {"mode": "bidirectional"},
    {"mode": "rev", "chunk_size": 3, "checkpoint": True},
    {"mode": "fwd", "checked": True, "chunk_size": 1},
]
HESSIANS: list[dict[str, Any]] = [
    {"mode": "fwd_over_rev"},
    {"mode": "rev_over_fwd", "symmetric": False},
    {"mode": "rev_over_rev", "chunk_size": 2},
    {"decompression": "substitution"},
    {"checked": True, "symmetric": False},
]


@pytest.mark.parametrize(
    ("order", "options"),
    [*((1, options) for options in JACOBIANS), *((2, options) for options in HESSIANS)],
)
def test_verbs(order: int, options: dict[str, Any]) -> None:
    f, kind = (residual, "jacobian") if order == 1 else (energy, "hessian")
    fun, verb = (f if order == 1 else jax.grad(f)), partial(_verb, kind)
    later = {k: options[k] for k in options if k in ("chunk_size", "checkpoint", "checked")}
    coloring = verb("{}_coloring")(
        f, POINT, **{k: options[k] for k in options if k not in later}
    )
    v, u = random_like(POINT, 0), random_like(jax.eval_shape(fun, POINT), 1)
    to_operator: Any = {"output_format": "operator", **options}

    @jax.jit
    def compute(point: Any) -> Any:
        a = verb("{}")(f, POINT, **to_operator)(point)
        both = verb("value_and_{}")(with_aux(f), POINT, has_aux=True, **to_operator)
        (value, aux), second = both(point)
        assert aux.pop("text") == "aux"
        third, also_aux = verb("{}_from_coloring")(
            with_aux(f), coloring, "operator", has_aux=True, **later
        )(point)
        assert also_aux["text"] == "aux"
        also_value, fourth = verb("value_and_{}_from_coloring")(
            f, coloring, "operator", **later
        )(point)
        compressed = verb("compressed_{}_from_coloring")(f, coloring)(point)
        fifth = asdex.decompress(compressed, coloring, "operator")
        found = value, also_value, aux["double"], a.mv(v), a.rmv(u)
        matrix = (jax.jacobian if order == 1 else jax.hessian)(f)(point)
        pushed, pulled = jax.jvp(fun, (point,), (v,))[1], jax.vjp(fun, point)[1](u)[0]
        expected = f(point), f(point), 2 * point["gain"], pushed, pulled
        return (a, second, third, fourth), fifth, found, expected, matrix

    (a, *others), flat, found, expected, matrix = compute(POINT)
    same(found, expected)
    check_equal(a.blocks(), matrix, F64)
    assert a.symmetric == (order == 2 and options.get("symmetric", True))
    if a.symmetric:  # Not only up to rounding errors.
        np.testing.assert_array_equal(a.T.data, a.data)
    for other in (*others, flat):
        like = a.flat if other is flat else a
        assert jax.tree.structure(other) == jax.tree.structure(like)
        np.testing.assert_allclose(other.data, a.data, rtol=1e-14)
    same(a.flat.mv(np.ones(8)), a.todense() @ np.ones(8))
    assert a.flat.in_structure == jax.ShapeDtypeStruct((8,), F64)


def _verb(kind: str, name: str) -> Callable[..., Any]:
    return getattr(asdex, name.format(kind))


def test_symmetric_jacobian_of_a_pytree() -> None:
    """What it takes and returns may differ though the matrix is symmetric."""

    def f(x: dict[str, Any]) -> jax.Array:
        y = jnp.append(x["a"], x["b"])
        return y**2 + jnp.pad(y[1:], (0, 1)) + jnp.pad(y[:-1], (1, 0))

    point = {"a": X[:3], "b": X[3:]}
    make = asdex.jacobian(f, point, symmetric=True, output_format="operator")
    a = jax.jit(make)(point)
    assert a.symmetric
    assert a.T.in_structure == a.out_structure
    assert a.T.out_structure == a.in_structure
    pulled = jax.vjp(f, point)[1](X)[0]
    same(a.rmv(X), pulled)
    same(a.T.mv(X), pulled)
    same((X @ a), jnp.append(pulled["a"], pulled["b"]))
    same(a.T.T.mv(point), jax.jvp(f, (point,), (point,))[1])


# -- Kinds of numbers --------------------------------------------------------------------


def test_holomorphic() -> None:
    def f(z: jax.Array) -> jax.Array:
        return jnp.sin(z) * z[::-1] * (1 + 2j)

    def g(z: jax.Array) -> jax.Array:
        return jnp.sum(z**3 * z[0])

    z, v = X[:4] + 1j * X[3:], jnp.arange(4) * 1j + X[:4]
    options: Any = {"holomorphic": True, "output_format": "operator"}

    def compare(z: jax.Array, v: jax.Array) -> Iterator[Any]:
        expected = jax.jvp(f, (z,), (v,))[1], jax.vjp(f, z)[1](v)[0]
        dense = jax.jacfwd(f, holomorphic=True)(z)
        for mode in ("fwd", "rev"):
            a = asdex.jacobian(f, z, mode=mode, **options)(z)
            yield (a.mv(v), a.rmv(v), a.H.mv(v)), (*expected, jnp.conj(dense).T @ v)
        hessian = asdex.hessian(g, z, **options)(z)
        dense = jax.hessian(g, holomorphic=True)(z)
        found = hessian.todense(), hessian.T.mv(v), hessian.H.mv(v)
        yield found, (dense, dense.T @ v, jnp.conj(dense).T @ v)

    for found, expected in jax.jit(lambda z, v: list(compare(z, v)))(z, v):
        same(found, expected)


def test_integers() -> None:
    """Nothing is differentiated by them: zeros of dtype float0, as from JAX."""

    def f(tree: dict[str, Any]) -> tuple[Any, Any]:
        return tree["x"][tree["k"]] * tree["x"], {"k": 2 * tree["k"]}

    tree = {"k": jnp.array([1, 0, 2]), "x": X[:3]}
    derivative = asdex.jacobian(f, tree, allow_int=True, output_format="operator")
    no_k = np.zeros(3, jax.dtypes.float0)
    v, u = {"k": no_k, "x": X[2:5]}, (X[1:4], {"k": no_k})
    whole = {"k": no_k, "x": jnp.array([1, 2, 3])}

    @jax.jit
    def compute(tree: Any, v: Any, u: Any, whole: Any) -> Any:
        a = derivative(tree)
        products = a.mv(v), a.rmv(u)
        expected = jax.jvp(f, (tree,), (v,))[1], jax.vjp(f, tree)[1](u)[0]
        block = jax.jacfwd(lambda x: f({**tree, "x": x})[0])(tree["x"])
        scaled = a.scale_cols({"k": no_k, "x": X[:3]})
        return a, products, expected, block, (a.row_sums(), scaled, a.mv(whole))

    a, products, expected, block, (sums, scaled, mv) = compute(tree, v, u, whole)
    same(products, expected)
    same(a.mv(v), expected[0])
    same(a.todense()[:3, 3:], block)
    assert not np.any(a.todense()[3:])
    assert not np.any(a.todense()[:, :3])
    same(sums[0], block.sum(1))
    same(scaled.todense()[:3, 3:], block * X[:3])
    # Integers are real numbers where a vector is wanted.
    same(mv[0], block @ np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_mixed_precision(mode: Any) -> None:
    def f(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x * y[:3].astype(x.dtype), y[::-1] * 2

    args = (X[:3].astype(jnp.float32), X[:5])
    v, u = random_like(args, 0), random_like(jax.eval_shape(f, *args), 1)
    options: Any = {"mode": mode, "output_format": "operator"}

    @jax.jit
    def compute(args: Any, v: Any, u: Any) -> Any:
        a = asdex.jacobian(f, *args, argnums=(0, 1), **options)(*args)
        with jax.numpy_dtype_promotion("strict"):
            found = a.mv(v), a.rmv(u)
            total = a + 2 * a.shift(1.0)
        return found, (jax.jvp(f, args, v)[1], jax.vjp(f, *args)[1](u)), a, total

    found, expected, a, total = compute(args, v, u)
    same(found, expected, 1e-7)  # JAX rounds to float32 on the way.
    assert a.dtype == total.dtype == F64
    same(total.todense(), 3 * a.todense() + 2 * np.eye(8))


@jax.jit
def in_single_precision(point: Any, a: SparseJacobian) -> Any:
    """Nothing but float32 comes out of an operator of float32."""
    assert a.dtype == jnp.float32
    with jax.numpy_dtype_promotion("strict"):
        square = (a.flat @ a.T.flat).shift(1.0) * 2
        products = a.mv(point), a.rmv(residual(point)), a.flat @ jnp.ones(8, jnp.float32)
        return products, a.norm(), square.mv(np.ones(7, np.float32))


def check_single_precision(results: Any) -> None:
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {np.dtype(np.float32)}
    expected = jax.tree.leaves(jax.jvp(residual, (POINT,), (POINT,))[1])
    for found, wanted in zip(jax.tree.leaves(results[0][0]), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


SINGLE = jax.tree.map(lambda x: np.asarray(x, np.float32), POINT)


def test_other_precision_than_the_sample() -> None:
    make = asdex.jacobian(residual, POINT, output_format="operator")
    single, double = jax.jit(make)(SINGLE), jax.jit(make)(POINT)
    check_single_precision(in_single_precision(SINGLE, single))
    np.testing.assert_allclose(single.data, double.data, rtol=1e-5)
    assert single.sparsity == double.sparsity


@pytest.mark.parametrize("mode", ["fwd", "rev", "bidirectional"])
def test_without_x64(mode: Any) -> None:
    with jax.enable_x64(False), jax.numpy_dtype_promotion("strict"):
        make = asdex.jacobian(residual, SINGLE, mode=mode, output_format="operator")
        results = in_single_precision(SINGLE, jax.jit(make)(SINGLE))
    check_single_precision(results)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_values_of_less_precision_than_the_function(dtype: Any) -> None:
    """As a preconditioner may have: it computes in the precision of its values."""
    a = asdex.jacobian(residual, POINT, output_format="operator")(POINT)
    low, double = jax.tree.map(
        lambda data: data.astype(dtype), (a, (POINT, residual(POINT)))
    )
    x, u = double
    whole = {"state": State(X[:3].astype(dtype), jnp.arange(4)), "gain": 2.0}

    @jax.jit
    def compute(a: SparseJacobian, x: Any, u: Any) -> Any:
        with jax.numpy_dtype_promotion("strict"):
            scaled = a.scale_cols(x).scale_rows(u)
            square = a.gram().shift(4.0)
            return a.mv(x), a.rmv(u), scaled, square.solve(x), square.mv(whole)

    results = compute(low, x, u)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {np.dtype(dtype)}
    expected = jax.tree.leaves(jax.jvp(residual, (POINT,), (POINT,))[1])
    for found, wanted in zip(jax.tree.leaves(results[0]), expected, strict=True):
        tolerance = 8 * float(jnp.finfo(dtype).eps) * np.abs(wanted).max()
        np.testing.assert_allclose(found.astype(float), wanted, rtol=0, atol=tolerance)
