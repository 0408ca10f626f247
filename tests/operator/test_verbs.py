"""Operators that the verbs return, against what JAX computes with the same pytrees."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

import asdex
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
    pytest.mark.filterwarnings("ignore::asdex._errors.DenseColoringWarning"),
    pytest.mark.filterwarnings("ignore::asdex._errors.ConservativePatternWarning"),
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
    {"mode": "rev"},
    {"mode": "bidirectional"},
    {"mode": "fwd", "chunk_size": 2},
    {"mode": "rev", "chunk_size": 3, "checkpoint": True},
    {"mode": "bidirectional", "chunk_size": 1},
    {"mode": "fwd", "checked": True},
]
HESSIANS: list[dict[str, Any]] = [
    {"mode": "fwd_over_rev"},
    {"mode": "rev_over_fwd", "symmetric": False},
    {"mode": "rev_over_rev", "chunk_size": 2},
    {"decompression": "substitution"},
    {"decompression": "substitution", "chunk_size": 1},
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
    a = asdex.jacobian(f, point, symmetric=True, output_format="operator")(point)
    assert a.symmetric
    assert a.T.in_structure == a.out_structure
    assert a.T.out_structure == a.in_structure
    pulled = jax.vjp(f, point)[1](X)[0]
    same(a.rmv(X), pulled)
    same(a.T.mv(X), pulled)
    same((X @ a), jnp.append(pulled["a"], pulled["b"]))
    same(a.T.T.mv(point), jax.jvp(f, (point,), (point,))[1])


# -- Kinds of numbers --------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_holomorphic(mode: Any) -> None:
    def f(z: jax.Array) -> jax.Array:
        return jnp.sin(z) * z[::-1] * (1 + 2j)

    z = X[:4] + 1j * X[3:]
    options: Any = {"holomorphic": True, "output_format": "operator", "mode": mode}
    a = asdex.jacobian(f, z, **options)(z)
    v = jnp.arange(4) * 1j + X[:4]
    same(a.mv(v), jax.jvp(f, (z,), (v,))[1])
    same(a.rmv(v), jax.vjp(f, z)[1](v)[0])
    same(a.H.mv(v), jnp.conj(jax.jacfwd(f, holomorphic=True)(z)).T @ v)
    hessian = asdex.hessian(
        lambda z: jnp.sum(z**3 * z[0]), z, holomorphic=True, output_format="operator"
    )(z)
    expected = jax.hessian(lambda z: jnp.sum(z**3 * z[0]), holomorphic=True)(z)
    same(hessian.todense(), expected)
    same(hessian.T.mv(v), expected.T @ v)
    same(hessian.H.mv(v), jnp.conj(expected).T @ v)


def test_integers() -> None:
    """Nothing is differentiated by them: zeros of dtype float0, as from JAX."""

    def f(tree: dict[str, Any]) -> tuple[Any, Any]:
        return tree["x"][tree["k"]] * tree["x"], {"k": 2 * tree["k"]}

    tree = {"k": jnp.array([1, 0, 2]), "x": X[:3]}
    a = asdex.jacobian(f, tree, allow_int=True, output_format="operator")(tree)
    no_k = np.zeros(3, jax.dtypes.float0)
    v, u = {"k": no_k, "x": X[2:5]}, (X[1:4], {"k": no_k})
    for apply in (lambda f, x: f(x), lambda f, x: jax.jit(lambda x: f(x))(x)):
        same(apply(a.mv, v), jax.jvp(f, (tree,), (v,))[1])
        same(apply(a.rmv, u), jax.vjp(f, tree)[1](u)[0])
    same(a.todense()[:3, 3:], jax.jacfwd(lambda x: f({**tree, "x": x})[0])(tree["x"]))
    assert not np.any(a.todense()[3:])
    assert not np.any(a.todense()[:, :3])
    same(a.row_sums()[0], a.todense()[:3].sum(1))
    same(
        a.scale_cols({"k": no_k, "x": X[:3]}).todense()[:3, 3:], a.todense()[:3, 3:] * X[:3]
    )
    # Integers are real numbers where a vector is wanted.
    same(
        a.mv({"k": no_k, "x": jnp.array([1, 2, 3])})[0],
        a.todense()[:3, 3:] @ np.r_[1.0, 2, 3],
    )


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_mixed_precision(mode: Any) -> None:
    def f(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x * y[:3].astype(x.dtype), y[::-1] * 2

    args = (X[:3].astype(jnp.float32), X[:5])
    a = asdex.jacobian(f, *args, argnums=(0, 1), mode=mode, output_format="operator")(*args)
    v, u = random_like(args, 0), random_like(jax.eval_shape(f, *args), 1)
    with jax.numpy_dtype_promotion("strict"):
        mv, rmv, total = a.mv(v), a.rmv(u), a + 2 * a.shift(1.0)
    # JAX rounds to float32 on the way.
    same(mv, jax.jvp(f, args, v)[1], 1e-7)
    same(rmv, jax.vjp(f, *args)[1](u), 1e-7)
    assert a.dtype == total.dtype == F64
    same(total.todense(), 3 * a.todense() + 2 * np.eye(8))


def test_other_precision_than_the_sample() -> None:
    make = asdex.jacobian(residual, POINT, output_format="operator")
    single = jax.tree.map(lambda x: x.astype(jnp.float32), POINT)
    with jax.numpy_dtype_promotion("strict"):
        a = make(single)
        products = a.mv(single), a.rmv(residual(single)), a.flat @ jnp.ones(8, jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves((a, products))} == {np.dtype(np.float32)}
    expected = make(POINT)
    np.testing.assert_allclose(a.data, expected.data, rtol=1e-5)
    assert a.sparsity == expected.sparsity


@pytest.mark.parametrize("mode", ["fwd", "rev", "bidirectional"])
def test_without_x64(mode: Any) -> None:
    with jax.enable_x64(False), jax.numpy_dtype_promotion("strict"):
        point = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float32), POINT)
        a = asdex.jacobian(residual, point, mode=mode, output_format="operator")(point)
        total = (a.flat @ a.T.flat).shift(1.0) * 2
        results = a.mv(point), a.rmv(residual(point)), a.norm(), total.mv(np.ones(7))
        assert {leaf.dtype for leaf in jax.tree.leaves((a, results))} == {np.dtype("f4")}
        expected = jax.jvp(residual, (point,), (point,))[1]
        assert jax.tree.all(
            jax.tree.map(lambda x, y: np.allclose(x, y, rtol=1e-5), results[0], expected)
        )
