"""The verbs: what they return, how it is nested, and how they behave under JAX."""

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex._base.types import HESSIAN_MODES

from .helpers import densify, is_sparse

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]
X = jnp.linspace(1.0, 2.0, 5)
TREE = {"a": jnp.linspace(0.5, 1.0, 6).reshape(2, 3), "b": (jnp.asarray(2.0), X[:3])}


def f(x: jax.Array) -> jax.Array:
    return (x[1:] - x[:-1]) ** 2


def g(x: jax.Array) -> jax.Array:
    return jnp.sum((x[1:] - x[:-1] ** 2) ** 2)


EXPECTED_JACOBIAN, EXPECTED_HESSIAN = jax.jit(jax.jacobian(f)), jax.jit(jax.hessian(g))


def tree_to_tree(tree: Any, y: jax.Array) -> Any:
    a, (scalar, b) = tree["a"], tree["b"]
    return {"product": a * b * scalar, "sum": a.sum(), "pair": [b * y[:3], y**2]}


def tree_to_scalar(tree: Any, y: jax.Array) -> jax.Array:
    a, (scalar, b) = tree["a"], tree["b"]
    return (jnp.sum(a * b * scalar) + jnp.sum(y[:3] * b**2)).reshape(1, 1)


def todense(tree: Any) -> Any:
    return jax.tree.map(
        lambda leaf: densify(leaf) if is_sparse(leaf) else leaf,
        tree,
        is_leaf=is_sparse,
    )


def assert_same(found: Any, expected: Any) -> None:
    found = todense(found)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12),
        found,
        expected,
    )


NAMES = [
    f"{value}{kind}{matrix}{source}"
    for value, kind, matrix, source in itertools.product(
        ("", "value_and_"),
        ("", "compressed_"),
        ("jacobian", "hessian"),
        ("", "_from_coloring"),
    )
]


SOME_NAMES = ["jacobian", "value_and_hessian", "compressed_hessian_from_coloring"]


def build(name: str, fun: Callable[..., Any], *samples: Any, **options: Any) -> Any:
    """Any of the verbs from samples, by way of a coloring where it takes one."""
    if not name.endswith("_from_coloring"):
        return getattr(asdex, name)(fun, *samples, **options)
    kept = {key: options.pop(key) for key in ("argnums", "mode") if key in options}
    color = asdex.jacobian_coloring if "jacobian" in name else asdex.hessian_coloring
    coloring = color(fun, *samples, **kept, has_aux=options.get("has_aux", False))
    return getattr(asdex, name)(fun, coloring, **options)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def subject(name: str) -> Callable[..., Any]:
    return f if "jacobian" in name else g


def reference(name: str) -> Callable[..., Any]:
    return EXPECTED_JACOBIAN if "jacobian" in name else EXPECTED_HESSIAN


def matrix_of(name: str, result: Any) -> Any:
    """The dense matrix in what a verb returned for `f` or `g`."""
    if "value_and" in name:
        result = result[1]
    if "compressed" in name:
        color = asdex.jacobian_coloring if "jacobian" in name else asdex.hessian_coloring
        result = asdex.decompress(result, color(subject(name), X))
    return todense(result)


# -- What every verb does ----------------------------------------------------------------


# One row for each field of `Options`: a value that is not the default.
OPTIONS: dict[str, Any] = {
    "output_format": "dense",
    "has_aux": True,
    "holomorphic": True,
    "allow_int": True,
    "chunk_size": 3,
    "checkpoint": True,
    "checked": True,
}


def test_options(name: str) -> None:
    """Every verb takes every option, with the same default, and passes it on."""
    parameters = inspect.signature(getattr(asdex, name)).parameters
    usual = build(name, subject(name), X).options
    assert set(usual._fields) == {*OPTIONS, "with_value"}
    for option, value in OPTIONS.items():
        if option == "output_format" and "compressed" in name:
            assert option not in parameters
            assert usual.output_format is None
            continue
        assert parameters[option].default == getattr(usual, option) != value
        if option == "allow_int" and "hessian" in name:
            continue  # Refused.
        fun = (lambda x: (subject(name)(x), None)) if option == "has_aux" else subject(name)
        derivative = build(name, fun, X, **{option: value})
        assert derivative.options == usual._replace(**{option: value})


def test_derivatives(name: str) -> None:
    fun = subject(name)
    derivative = build(name, fun, X)
    assert isinstance(derivative, asdex.Derivative)
    assert derivative.function is fun
    assert derivative.order == (1 if "jacobian" in name else 2)
    assert derivative.options.with_value == name.startswith("value_and")
    assert derivative.sparsity.shape == ((4, 5) if derivative.order == 1 else (5, 5))


def test_derived_verbs_show_their_arguments(name: str) -> None:
    verb, template = getattr(asdex, name), getattr(asdex, name.replace("value_and_", ""))
    assert inspect.signature(verb) == inspect.signature(template)
    assert verb.__name__ == name
    assert verb.__doc__


def test_signatures(name: str) -> None:
    """Names, order and defaults of the arguments are part of the interface."""
    parameters = inspect.signature(getattr(asdex, name)).parameters
    expected: dict[str, Any] = {}
    if not name.endswith("_from_coloring"):
        expected |= {"argnums": 0, "mode": None, "symmetric": "hessian" in name}
        assert list(parameters)[:2] == ["f", "sample_args"]
    else:
        assert list(parameters)[:2] == ["f", "coloring"]
    for key, default in expected.items():
        assert parameters[key].default == default


def test_values(name: str) -> None:
    derivative = build(name, subject(name), X)
    for x in (X, X**2):
        np.testing.assert_allclose(matrix_of(name, derivative(x)), reference(name)(x))
        if "value_and" in name:
            np.testing.assert_array_equal(derivative(x)[0], subject(name)(x))


def test_aux(name: str) -> None:
    def fun(x: jax.Array) -> Any:
        return subject(name)(x), {"text": "aux", "array": 2 * x, "object": inspect}

    derivative = build(name, fun, X, has_aux=True)
    first, second = derivative(X)
    aux = first[1] if "value_and" in name else second
    assert aux["text"] == "aux"
    assert aux["object"] is inspect
    np.testing.assert_array_equal(aux["array"], 2 * X)
    result = (first[0], second) if "value_and" in name else first
    np.testing.assert_allclose(matrix_of(name, result), reference(name)(X))


@pytest.mark.parametrize("name", SOME_NAMES)
def test_transformations(name: str) -> None:
    derivative = build(name, subject(name), X)

    def matrix(x: jax.Array) -> jax.Array:
        return matrix_of(name, derivative(x))

    batch = jnp.stack([X, X**2])
    expected = reference(name)
    np.testing.assert_allclose(jax.jit(matrix)(X), expected(X))
    np.testing.assert_allclose(jax.vmap(matrix)(batch), jax.vmap(expected)(batch))
    for transform in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(
            jax.jit(transform(matrix))(X), jax.jit(transform(expected))(X), atol=1e-12
        )


@pytest.mark.parametrize("name", SOME_NAMES)
@pytest.mark.parametrize("chunk_size", [2, "auto"])
def test_chunks(name: str, chunk_size: Any) -> None:
    derivative = build(name, subject(name), X, chunk_size=chunk_size)
    np.testing.assert_allclose(matrix_of(name, derivative(X)), reference(name)(X))


def test_the_function_is_traced_once_per_call(name: str) -> None:
    calls = []

    def fun(x: jax.Array) -> Any:
        calls.append(x)
        return subject(name)(x), "aux"

    for mode in ("fwd", "rev") if "jacobian" in name else HESSIAN_MODES:
        derivative = build(name, fun, X, mode=mode, has_aux=True)
        calls.clear()
        derivative(X)
        assert len(calls) == 1


@pytest.mark.parametrize("name", SOME_NAMES)
def test_no_tracer_leaks(name: str) -> None:
    derivative = build(name, subject(name), X)
    with jax.checking_leaks():
        jax.jit(derivative)(X)
        jax.vmap(derivative)(jnp.stack([X, X]))
        np.testing.assert_allclose(matrix_of(name, derivative(X)), reference(name)(X))


@pytest.mark.parametrize("name", SOME_NAMES)
def test_building_and_calling_inside_of_jit(name: str) -> None:
    @jax.jit
    def inside(x: jax.Array) -> Any:
        return matrix_of(name, build(name, subject(name), x)(x))

    np.testing.assert_allclose(inside(X), reference(name)(X))


# -- Nesting -----------------------------------------------------------------------------


@pytest.mark.parametrize("argnums", [1, (1, 0)])
@pytest.mark.parametrize("output_format", ["bcoo", "numpy_dense"])
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_jacobians_nest_as_in_jax(mode: Any, output_format: Any, argnums: Any) -> None:
    derivative = asdex.jacobian(
        tree_to_tree, TREE, X, argnums=argnums, mode=mode, output_format=output_format
    )
    expected = jax.jit(jax.jacobian(tree_to_tree, argnums=argnums))(TREE, X)
    assert_same(derivative(TREE, X), expected)
    if output_format != "numpy_dense":
        assert_same(jax.jit(derivative)(TREE, X), expected)


@pytest.mark.parametrize("argnums", [1, (1, 0)])
@pytest.mark.parametrize("output_format", ["bcoo", "numpy_dense"])
@pytest.mark.parametrize("mode", HESSIAN_MODES)
def test_hessians_nest_as_in_jax(mode: Any, output_format: Any, argnums: Any) -> None:
    derivative = asdex.value_and_hessian(
        tree_to_scalar, TREE, X, argnums=argnums, mode=mode, output_format=output_format
    )
    expected = jax.jit(
        jax.hessian(lambda *args: tree_to_scalar(*args)[0, 0], argnums=argnums)
    )
    value, hessian = derivative(TREE, X)
    assert value.shape == ()
    assert_same(hessian, expected(TREE, X))


def test_blocks_are_sorted_and_unique() -> None:
    jacobian = asdex.jacobian(tree_to_tree, TREE, X)(TREE, X)
    blocks = jax.tree.leaves(jacobian, is_leaf=lambda leaf: hasattr(leaf, "todense"))
    for block in blocks:
        assert block.indices_sorted
        assert block.unique_indices
        indices = list(map(tuple, block.indices.tolist()))
        assert indices == sorted(set(indices))


def test_the_compressed_matrix() -> None:
    """Row `c` of `B` is the sum of the columns (mode rev: the rows) of color `c`."""
    dense = EXPECTED_JACOBIAN(X)
    sides: list[tuple[Any, jax.Array]] = [("fwd", dense.T), ("rev", dense)]
    for mode, lines in sides:
        coloring = asdex.jacobian_coloring(f, X, mode=mode)
        found = asdex.compressed_jacobian_from_coloring(f, coloring)(X)
        expected = [lines[coloring.colors == c].sum(0) for c in range(coloring.num_colors)]
        np.testing.assert_allclose(found, jnp.stack(expected))
        assert found.shape == (coloring.num_colors, coloring.dim)


@pytest.mark.parametrize("mode", [None, "fwd", "rev"])
def test_no_entries(mode: Any) -> None:
    def constant(x: jax.Array) -> jax.Array:
        return jnp.ones(3) + jnp.round(x[:3])

    coloring = asdex.jacobian_coloring(constant, X, mode=mode)
    assert coloring.num_colors == 0
    assert asdex.compressed_jacobian_from_coloring(constant, coloring)(X).shape == (
        0,
        5 if mode == "rev" else 3,
    )
    value, matrix = asdex.value_and_jacobian(constant, X, mode=mode)(X)
    np.testing.assert_array_equal(matrix.todense(), jnp.zeros((3, 5)))
    np.testing.assert_array_equal(value, constant(X))
    hessian = asdex.hessian(jnp.sum, X)(X)
    np.testing.assert_array_equal(hessian.todense(), jnp.zeros((5, 5)))


def test_patterns_made_by_hand() -> None:
    """They may lack the shape of the output."""
    pattern = asdex.SparsityPattern.from_dense(np.eye(6))
    coloring = asdex.jacobian_coloring_from_sparsity(pattern)

    def fun(x: jax.Array) -> dict[str, jax.Array]:
        return {"a": x[:4].reshape(2, 2) ** 2, "b": x[4:] ** 2}

    x = jnp.arange(6.0)
    derivative = asdex.jacobian_from_coloring(fun, coloring)
    assert_same(derivative(x), jax.jit(jax.jacobian(fun))(x))


# -- Modes and numbers -------------------------------------------------------------------


def test_the_side_with_fewer_colors_is_taken() -> None:
    assert asdex.jacobian_coloring(lambda x: x.sum(), X).mode == "rev"
    assert asdex.jacobian_coloring(lambda x: x[0] * jnp.ones(9), X).mode == "fwd"
    assert asdex.jacobian_coloring(lambda x: x, X).mode == "fwd"
    symmetric = asdex.jacobian_coloring(lambda x: x.sum() * jnp.ones(5), X, symmetric=True)
    assert symmetric.mode == "fwd"
    assert symmetric.symmetric


def test_symmetric_jacobians() -> None:
    def laplacian(x: jax.Array) -> jax.Array:
        return jnp.convolve(x, jnp.array([1.0, -2.0, 1.0]), mode="same") + x**3

    for mode in ("fwd", "rev"):
        derivative = asdex.jacobian(laplacian, X, symmetric=True, mode=mode)
        assert_same(derivative(X), jax.jit(jax.jacobian(laplacian))(X))


def test_holomorphic_functions() -> None:
    z = X + 0.5j

    def fun(z: jax.Array) -> jax.Array:
        return z**3 * jnp.roll(z, 1)

    for mode in ("fwd", "rev"):
        derivative = asdex.jacobian(fun, z, holomorphic=True, mode=mode)
        assert_same(derivative(z), jax.jit(jax.jacfwd(fun, holomorphic=True))(z))
    hessian_modes: tuple[Any, ...] = HESSIAN_MODES
    for mode in hessian_modes:
        second = asdex.hessian(lambda z: fun(z).sum(), z, holomorphic=True, mode=mode)
        expected = jax.jit(jax.hessian(lambda z: fun(z).sum(), holomorphic=True))(z)
        assert_same(second(z), expected)


def test_custom_derivatives_of_hessians() -> None:
    @jax.custom_vjp
    def square(x: jax.Array) -> jax.Array:
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, ct: (2 * x * ct,))

    def loss(x: jax.Array) -> jax.Array:
        return jnp.sum(square(x)[1:] * x[:-1])

    for mode in ("fwd_over_rev", "rev_over_rev"):
        found = asdex.hessian(loss, X, mode=mode)(X)
        assert_same(found, jax.jit(jax.jacrev(jax.grad(loss)))(X))


def test_unsymmetric_hessians_of_inconsistent_custom_rules() -> None:
    """Without symmetry assumed, the Hessian is the one JAX computes."""

    @jax.custom_jvp
    def fun(x: jax.Array) -> jax.Array:
        return x[0] * x[1]

    fun.defjvp(lambda xs, vs: (fun(*xs), xs[0][1] * vs[0][0]))
    found = asdex.hessian(fun, X, symmetric=False)(X)
    assert_same(found, jax.jit(jax.hessian(fun))(X))


def test_equal_colorings_do_not_compile_again() -> None:
    @jax.jit
    def jitted(coloring: asdex.ColoredPattern, x: jax.Array) -> jax.Array:
        compilations.append(1)
        return asdex.jacobian_from_coloring(f, coloring)(x).data

    compilations: list[int] = []
    for _ in range(3):
        jitted(asdex.jacobian_coloring(f, X), X)
    assert compilations == [1]
