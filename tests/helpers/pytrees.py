"""Functions with structured, several, static or empty arguments and outputs."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree

from .table import Maker, family, followed_by, normal

register, case = family("pytrees")


class Pair(NamedTuple):
    left: Any
    right: Any


class Affine(eqx.Module):
    """A small module with arrays, a static field and an empty slot."""

    weight: Array
    bias: Array
    extra: Array | None
    power: int = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return (self.weight @ x + self.bias) ** self.power


def tree(build: Any, *shapes: Any) -> Maker:
    """One argument: `build` applied to one array of normal numbers per shape."""
    arrays = normal(*shapes)
    return lambda rng, dtype: (build(*arrays(rng, dtype)),)


def make_affine(rng: np.random.Generator, dtype: np.dtype) -> tuple[Any, ...]:
    weight, bias, x = normal((2, 3), 2, 3)(rng, dtype)
    return Affine(weight, bias, None, 2), x


register("scalar_to_scalar", jnp.sin, normal(()), core=True)
register("scalar_to_vector", lambda x: x * np.arange(3.0), normal(()))
register("vector_to_scalar", lambda x: x[0] * x[2], normal(4), core=True)
register("scalars", lambda x, y: x * y, normal((), ()), argnums=(0, 1))
register("matrix_to_matrix", lambda x: x.T * x[0, 0], normal((2, 2)), core=True)
register("empty_input", lambda x: jnp.sin(x), normal(0))
register("empty_output", lambda x: x[:0], normal(3))
register("empty_rows", lambda x: x * 2, normal((0, 3)))
register("empty_sum", lambda x: jnp.sum(x) * jnp.ones(2), normal(0))
register("some_empty", lambda x, y: jnp.append(x, y) ** 2, normal(0, 2), argnums=(0, 1))
register("two_arguments", lambda x, y: x * y[0], normal(3, 2), argnums=(0, 1), core=True)
register("second_argument", lambda x, y: x[:2] * y, normal(3, 2), argnums=1, core=True)
register(
    "swapped_arguments", lambda x, y: x[:2] * y, normal(3, 2), argnums=(1, 0), core=True
)
register("last_argument", lambda x, y: x[:2] * y, normal(3, 2), argnums=-1)
register("one_in_tuple", lambda x, y: x[:2] * y, normal(3, 2), argnums=(1,))
register(
    "outer_two_of_three",
    lambda x, y, z: x * jnp.sum(y) + z[::-1],
    normal(3, 2, 3),
    argnums=(0, 2),
)
register(
    "keyword", lambda x, *, scale: x * scale, normal(3), kwargs={"scale": 2.0}, core=True
)
register(
    "keyword_array",
    lambda x, shift: x[::-1] * shift,
    normal(3),
    kwargs={"shift": np.array([1.0, 0, 2])},
    exact="no",
)
register("unused_argument", lambda x, y: x**2, normal(3, 2), argnums=(0, 1))
register("constant_output", lambda x: (x, jnp.ones(2)), normal(2))
register("repeated_output", lambda x: [x, x, x[0]], normal(3))
register("integer_aux_input", lambda x, k: x**k, followed_by(normal(3), 3))


@case(followed_by(normal(3), "reverse", True, None), core=True)
def static_arguments(x: Array, order: str, double: bool, nothing: None) -> Array:
    assert nothing is None
    x = x[::-1] * x[0] if order == "reverse" else x
    return 2 * x if double else x


@case(tree(lambda a, b: {"b": b, "a": (a, None)}, 2, (2, 2)), core=True)
def nested_dict(tree: PyTree) -> PyTree:
    a, _ = tree["a"]
    return {"sum": a + tree["b"][0], "parts": [tree["b"].T, a[0] * a[1]]}


@case(tree(lambda a, b: Pair(Pair(a, ()), [b]), 3, 2))
def named_tuple(tree: Pair) -> Pair:
    return Pair(tree.left.left**2, tree.right[0] * tree.left.left[0])


@case(tree(lambda a, b: [a, b, {}], 2, ()), argnums=0)
def list_with_empty_parts(parts: list[Any]) -> PyTree:
    return parts[0] * parts[1], None, ()


@case(tree(lambda a: {"x": a, "steps": 2, "name": "sin", "flag": True}, 3))
def static_leaves(tree: PyTree) -> Array:
    x = tree["x"]
    for _ in range(tree["steps"]):
        x = getattr(jnp, tree["name"])(x) * (x[0] if tree["flag"] else 1)
    return x


@case(tree(lambda a, b: (a, {"b": b}), 2, 3))
def tuple_and_dict(tree: PyTree) -> Array:
    a, rest = tree
    return a[:, None] * rest["b"]


@case(make_affine, argnums=0, core=True)
def module(layer: Affine, x: Array) -> Array:
    return layer(x)


@case(make_affine, argnums=(0, 1))
def module_and_input(layer: Affine, x: Array) -> tuple[Array, Array]:
    return layer(x), layer.bias * x[:2]


@case(make_affine, argnums=1)
def module_as_constant(layer: Affine, x: Array) -> Array:
    return layer(x) + x[0]


def make_mixed(rng: np.random.Generator, dtype: np.dtype) -> tuple[Any, ...]:
    (x,) = normal(3)(rng, dtype)
    return (
        x,
        np.array([2, 0, 1], np.int8),
        np.array([1, 2, 3], np.float16),
        np.array([True, False, True]),
    )


@case(make_mixed, exact="no", core=True)
def mixed_dtypes(x: Array, index: Array, half: Array, mask: Array) -> Array:
    return jnp.where(mask, x[index], x) * half


@case(make_mixed, argnums=(0, 2), exact="no", tolerance=1e-2)
def mixed_dtypes_differentiated(x: Array, index: Array, half: Array, mask: Array) -> Array:
    return (x[::-1] * half.astype(x.dtype)) ** 2 * mask


@case(followed_by(normal((2, 4)), jax.random.key(3)), exact="no")
def key_argument(x: Array, key: Array) -> Array:
    return x * jax.random.bernoulli(key, 0.5, (4,))


@case(followed_by(normal(3), {"gain": np.float32(2), "rows": np.array([0, 2])}), exact="no")
def dict_of_constants(x: Array, constants: PyTree) -> Array:
    return x[constants["rows"]] * constants["gain"]


@case(followed_by(normal(3), [None, "mean", {"axis": 0}]))
def tree_of_static_values(x: Array, options: PyTree) -> Array:
    return x - getattr(jnp, options[1])(x, **options[2])


@case(normal(3), kwargs={"options": {"reverse": True}})
def keyword_tree(x: Array, options: PyTree) -> Array:
    return x[::-1] * x if options["reverse"] else x


@case(followed_by(normal(4), "same", 2))
def parameters_named_like_options(x: Array, mode: str, argnums: int) -> Array:
    return jnp.convolve(x, np.array([1.0, 0.0, 1.0]), mode) ** argnums
