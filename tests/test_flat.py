"""How arguments are bound: argnums, keywords, samples, static values, pytrees."""

import enum
import functools
import operator
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]
X = jnp.linspace(1.0, 2.0, 4)
Y = jnp.linspace(3.0, 4.0, 3)


class Scheme(enum.Enum):
    CENTRAL = 1
    UPWIND = 2


def pair(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.concatenate([x**2, y**3])


def check(f: Callable[..., Any], samples: tuple[Any, ...], **options: Any) -> None:
    """The dense Jacobian and the first derivative JAX gives are the same."""
    derivative = asdex.jacobian(f, *samples, output_format="dense", **options)
    expected = jax.jacobian(f, argnums=options.get("argnums", 0))
    jax.tree.map(np.testing.assert_array_equal, derivative(*samples), expected(*samples))


@pytest.mark.parametrize("argnums", [0, 1, -1, (0,), (0, 1), (1, 0), [0, -1]])
def test_argnums_select_and_order_the_blocks(argnums: Any) -> None:
    check(pair, (X, Y), argnums=argnums)


def test_argnums_are_kept_nonnegative() -> None:
    assert asdex.jacobian_sparsity(pair, X, Y, argnums=-1).argnums == 1
    assert asdex.jacobian_sparsity(pair, X, Y, argnums=[-1, 0]).argnums == (1, 0)


def test_a_pattern_made_by_hand_may_count_from_the_last_argument() -> None:
    detected = asdex.jacobian_sparsity(pair, X, Y, argnums=1)
    by_hand = asdex.SparsityPattern(
        detected.rows, detected.cols, detected.shape, detected.input_avals, argnums=-1
    )
    coloring = asdex.jacobian_coloring_from_sparsity(by_hand)
    derivative = asdex.jacobian_from_coloring(pair, coloring, "dense")
    expected = jax.jacobian(pair, argnums=1)(X, Y)
    np.testing.assert_array_equal(derivative(X, Y), expected)


def test_keywords_bind_by_the_signature() -> None:
    by_keyword = asdex.jacobian_sparsity(pair, y=Y, x=X, argnums=1)
    assert by_keyword == asdex.jacobian_sparsity(pair, X, Y, argnums=1)
    derivative = asdex.jacobian(pair, X, y=Y, argnums=1, output_format="dense")
    expected = jax.jit(jax.jacobian(pair, argnums=1))(X, Y)
    for args, kwargs in [((X, Y), {}), ((X,), {"y": Y}), ((), {"y": Y, "x": X})]:
        np.testing.assert_array_equal(derivative(*args, **kwargs), expected)


def test_a_skipped_parameter_has_its_default() -> None:
    def f(x: jax.Array, power: int = 2, scale: float = 1.0) -> jax.Array:
        return scale * x**power

    pattern = asdex.jacobian_sparsity(f, X, scale=3.0)
    assert pattern.input_avals[1] == 2
    derivative = asdex.jacobian(f, X, scale=3.0, output_format="dense")
    np.testing.assert_array_equal(derivative(X, scale=5.0), jnp.diag(10 * X))
    np.testing.assert_array_equal(derivative(X), jnp.diag(2 * X))
    np.testing.assert_allclose(derivative(X, power=3), jnp.diag(3 * X**2))


def test_static_arguments_may_change_while_the_pattern_holds() -> None:
    def f(x: jax.Array, shift: int, mirrored: bool = False) -> jax.Array:
        return x * jnp.roll(x[::-1] if mirrored else x, shift)

    coloring = asdex.jacobian_coloring(f, X, 1)
    for derivative in (
        asdex.jacobian(f, X, 1, output_format="dense"),
        asdex.jacobian_from_coloring(f, coloring, "dense"),
    ):
        for call in (derivative, jax.jit(derivative, static_argnums=1)):
            with pytest.raises(ValueError, match=r"lacks entry \(0, 2\)"):
                call(X, 2)
            expected = jax.jacobian(lambda x: f(x, 1))(X)
            np.testing.assert_allclose(call(X, 1), expected)
            np.testing.assert_allclose(call(X, -3), expected)


def test_keyword_only_and_variadic_parameters() -> None:
    def f(*parts: jax.Array, weight: jax.Array, **more: jax.Array) -> jax.Array:
        return weight * jnp.concatenate(parts) + more.get("shift", 0.0)

    kwargs: dict[str, Any] = {"weight": jnp.asarray(2.0), "shift": jnp.asarray(1.0)}
    derivative = asdex.jacobian(f, X, Y, argnums=(1, 2), output_format="dense", **kwargs)
    of_part, of_weight = derivative(X, Y, **kwargs)
    np.testing.assert_array_equal(of_part, jnp.eye(7)[:, 4:] * 2)
    np.testing.assert_array_equal(of_weight, jnp.concatenate([X, Y]))


def test_a_function_without_a_signature() -> None:
    check(operator.itemgetter(1), ({0: X, 1: X},))
    with pytest.raises(TypeError, match="Expected 1 positional argument"):
        asdex.jacobian(operator.itemgetter(1), [X, X])([X, X], X)


@pytest.mark.parametrize(
    "sample",
    [X, np.asarray(X), jax.ShapeDtypeStruct((4,), jnp.float32)],
    ids=["jax", "numpy", "struct"],
)
def test_samples_only_give_shapes(sample: Any) -> None:
    derivative = asdex.jacobian(lambda x: x**2, sample, output_format="dense")
    np.testing.assert_array_equal(derivative(X), jnp.diag(2 * X))


def test_tracers_as_samples() -> None:
    @jax.jit
    def inside(x: jax.Array, y: jax.Array) -> jax.Array:
        return asdex.jacobian(pair, x, y, output_format="dense")(x, y)

    np.testing.assert_array_equal(inside(X, Y), jax.jacobian(pair)(X, Y))


def test_scalars() -> None:
    check(lambda x: jnp.sin(x), (2.0,))
    check(lambda x, y: x * y, (2.0, X), argnums=(0, 1))
    assert asdex.jacobian(lambda x: x**2, 3.0)(3.0).todense() == 6.0
    assert asdex.hessian(lambda x: x**3, 3.0)(3.0).todense() == 18.0


@pytest.mark.parametrize("shape", [4, (4,), (2, 2), ()])
def test_input_shape_replaces_a_sample(shape: Any) -> None:
    expected = (shape,) if isinstance(shape, int) else shape
    for pattern in (
        asdex.jacobian_sparsity(lambda x: x**2, input_shape=shape),
        asdex.jacobian_coloring(lambda x: x**2, input_shape=shape).sparsity,
        asdex.hessian_sparsity(lambda x: (x**2).sum(), input_shape=shape),
        asdex.hessian_coloring(lambda x: (x**2).sum(), input_shape=shape).sparsity,
    ):
        assert pattern.leaf_shapes == [expected]
        assert pattern.dyn_avals[0].dtype == jnp.float64
    x = jnp.ones(expected)
    derivative = asdex.jacobian(lambda x: x**2, input_shape=shape, output_format="dense")
    np.testing.assert_array_equal(derivative(x), jax.jacobian(lambda x: x**2)(x))


def test_input_shape_is_left_to_a_function_that_has_it() -> None:
    def f(x: jax.Array, input_shape: tuple[int, ...]) -> jax.Array:
        return jnp.broadcast_to(x.sum(), input_shape)

    assert asdex.jacobian_sparsity(f, X, input_shape=(5,)).shape == (5, 4)


def test_static_values_are_stored_in_the_pattern() -> None:
    def f(
        x: jax.Array, flag: bool, power: int, name: str, scheme: Scheme, how: Any, no: None
    ) -> jax.Array:
        assert (flag, name, scheme, no) == (True, "name", Scheme.UPWIND, None)
        return how(x) ** power

    static = (True, 2, "name", Scheme.UPWIND, jnp.sin, None)
    pattern = asdex.jacobian_sparsity(f, X, *static)
    assert pattern.input_avals[1:] == static
    check(f, (X, *static))


@pytest.mark.parametrize(
    "dtype", [np.float32, np.dtype(np.float32), jnp.float32, "float32"]
)
def test_types_are_static(dtype: Any) -> None:
    check(lambda x, dtype: x.astype(dtype) ** 2, (X, dtype))


def test_static_values_inside_of_pytrees() -> None:
    def f(options: dict[str, Any], x: jax.Array) -> jax.Array:
        return x ** options["power"] * options["scale"] + (1 if options["flag"] else x)

    options = {"power": 3, "scale": 2.0, "flag": True, "none": None}
    derivative = asdex.jacobian(f, options, X, argnums=1, output_format="dense")
    np.testing.assert_allclose(
        derivative({**options, "scale": 4.0}, X), jnp.diag(12.0 * X**2)
    )
    np.testing.assert_allclose(
        derivative({**options, "flag": False}, X), jnp.diag(6.0 * X**2 + 1)
    )
    with pytest.raises(TypeError, match=r"options\['flag'\] was True"):
        derivative({**options, "flag": 1}, X)


def test_static_leaves_of_a_selected_argument_have_no_block() -> None:
    def f(x: dict[str, Any]) -> jax.Array:
        return x["values"] ** x["power"]

    sample = {"values": X, "power": 2}
    derivative = asdex.jacobian(f, sample, output_format="dense")
    blocks = derivative(sample)
    assert blocks["power"] is None
    np.testing.assert_array_equal(blocks["values"], jnp.diag(2 * X))


def test_equinox_modules() -> None:
    network = eqx.nn.MLP(2, 3, 4, 1, key=jax.random.key(0))
    arrays, static = eqx.partition(network, eqx.is_array)

    def loss(arrays: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(eqx.combine(arrays, static)(x) ** 2)

    def whole(network: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(network(x) ** 2)

    x = jnp.ones(2)
    expected = jax.jit(jax.hessian(loss))(arrays, x)
    for f, sample in ((loss, arrays), (whole, network)):
        found = asdex.hessian(f, sample, x, output_format="dense")(sample, x)
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
        for block, reference in pairs:
            np.testing.assert_allclose(block, reference, atol=1e-12)


def test_arrays_that_are_not_differentiated_may_have_any_dtype() -> None:
    def f(x: jax.Array, index: jax.Array, mask: jax.Array, key: jax.Array) -> jax.Array:
        noise = jax.random.normal(key, x.shape)
        return jnp.where(mask, x[index], noise)

    samples = (X, jnp.array([1, 0, 3, 2]), jnp.array([True] * 4), jax.random.key(0))
    derivative = asdex.jacobian(f, *samples, output_format="dense")
    other = (X, jnp.array([0, 0, 1, 1]), jnp.array([True, False] * 2), jax.random.key(1))
    np.testing.assert_array_equal(derivative(*other), jax.jacobian(f)(*other))


def test_values_of_samples_are_not_used() -> None:
    """A zero or an index in a sample must not make entries vanish."""

    def f(x: jax.Array, scale: float, index: jax.Array) -> jax.Array:
        return scale * x[index]

    derivative = asdex.jacobian(f, X, 0.0, jnp.zeros(2, int), output_format="dense")
    args = (X, 2.0, jnp.array([3, 1]))
    np.testing.assert_array_equal(derivative(*args), jax.jacobian(f)(*args))


def test_a_call_may_change_the_precision() -> None:
    derivative = asdex.jacobian(lambda x: x**2, X, output_format="dense")
    for dtype in (jnp.float32, jnp.float16, jnp.bfloat16):
        result = derivative(X.astype(dtype))
        assert result.dtype == dtype
    holomorphic = asdex.jacobian(lambda x: x**2, X, output_format="dense", holomorphic=True)
    z = X + 1j * X
    np.testing.assert_array_equal(holomorphic(z), jnp.diag(2 * z))


def test_mixed_dtypes_get_blocks_as_jax_gives_them() -> None:
    def f(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x * y[:4].astype(x.dtype), y * 2

    args = (X.astype(jnp.float32), jnp.arange(5.0))
    pairs: list[tuple[Any, Any]] = [("fwd", jax.jacfwd), ("rev", jax.jacrev)]
    for mode, reference in pairs:
        found = asdex.jacobian(f, *args, argnums=(0, 1), mode=mode, output_format="dense")(
            *args
        )
        expected = reference(f, argnums=(0, 1))(*args)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
        assert jax.tree.map(lambda a: a.dtype, found) == jax.tree.map(
            lambda a: a.dtype, expected
        )


def test_integer_inputs_give_zero_blocks_as_jacrev_does() -> None:
    def f(x: jax.Array, index: jax.Array) -> jax.Array:
        return x[index] * index

    args = (X, jnp.array([1, 0, 3]))
    found = asdex.jacobian(f, *args, argnums=(0, 1), allow_int=True, output_format="dense")(
        *args
    )
    expected = jax.jacrev(f, argnums=(0, 1), allow_int=True)(*args)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert found[1].dtype == expected[1].dtype


def test_partial_and_parameters_named_like_options() -> None:
    def f(x: jax.Array, mode: str, argnums: int) -> jax.Array:
        assert mode == "a"
        return x**argnums

    derivative = asdex.jacobian(f, X, "a", 2, output_format="dense")
    np.testing.assert_array_equal(derivative(X, mode="a", argnums=2), jnp.diag(2 * X))
    check(functools.partial(f, mode="a", argnums=2), (X,))


def test_keywords_without_a_sample_reach_the_function() -> None:
    def f(x: jax.Array, scale: Any = 1.0, roll: int = 0, **more: Any) -> jax.Array:
        return scale * x * jnp.roll(x, roll) + more.get("shift", 0.0)

    coloring = asdex.jacobian_coloring(f, X)
    for derivative in (
        asdex.value_and_jacobian_from_coloring(f, coloring, "dense"),
        asdex.value_and_jacobian(f, X, output_format="dense"),
    ):
        for scale in (2.0, np.full(4, 3.0), jnp.full(4, 5.0)):
            for call in (derivative, jax.jit(derivative)):
                value, matrix = call(X, scale=scale, shift=1.0)
                np.testing.assert_array_equal(value, scale * X**2 + 1)
                np.testing.assert_array_equal(matrix, jnp.diag(2 * scale * X))
        with pytest.raises(ValueError, match=r"lacks entry \(0, 3\)"):
            derivative(X, roll=1)
        with pytest.raises(TypeError, match="Expected 1 positional argument"):
            derivative(X, 2.0)


def test_empty_and_zero_size_leaves() -> None:
    def f(x: dict[str, Any]) -> dict[str, Any]:
        return {"out": x["a"] * 2, "empty": x["b"], "none": None}

    check(f, ({"a": X, "b": jnp.zeros((0, 2)), "c": {}},))
    pattern = asdex.jacobian_sparsity(lambda x: x[:0], X)
    assert pattern.shape == (0, 4)
    assert asdex.jacobian(lambda x: x[:0], X)(X).shape == (0, 4)
