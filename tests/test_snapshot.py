"""What functions read, and whether that can be told."""

import dataclasses
import functools
import importlib
import itertools
import operator
import os
import random
import sys
import time
import types
from collections import deque
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.random as npr
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

import asdex
from asdex._evaluate.snapshot import take_snapshot

from .helpers import constants

X = np.linspace(0.5, 1.5, 4)
SCALE: Any = 2.0
IN_LIST = [2.0]
IN_DICT = {"inner": {"scale": 2.0}}
IN_ARRAY = np.ones(4)
NAMESPACE = types.SimpleNamespace(scale=2.0)


class Plain:
    factor: Any = 2.0

    def __init__(self) -> None:
        self.scale: Any = 2.0

    def __call__(self, x: Array) -> Array:
        return self.scale * self.factor * x**2

    @property
    def doubled(self) -> float:
        return 2 * SCALE


class Slotted:
    __slots__ = ("scale",)


class Model(eqx.Module):
    weights: Array
    options: dict[str, float] = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return self.weights * self.options["scale"] * x**2


@dataclasses.dataclass
class Record:
    scale: float = 2.0


PLAIN, RECORD, SLOTTED = Plain(), Record(), Slotted()
MODEL = Model(jnp.ones(4), {"scale": 2.0})
SLOTTED.scale = 2.0


def helper(x: Array) -> Array:
    return SCALE * x**2


JITTED: Any = jax.jit(lambda x: x)
JITTED.scale = 2.0
DOUBLE = functools.partial(lambda x: SCALE * x)


def over_module() -> Callable[[Array], Array]:
    from .helpers import constants as local

    return lambda x: local.scale * x**2


MARKED: Any = helper
MARKED.scale = 2.0


def with_default(x: Array, scale: Any = IN_LIST) -> Array:
    return scale[0] * x**2


@jax.custom_jvp
def custom(x: Array) -> Array:
    return SCALE * x**2


@custom.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return custom(*primals), 2 * SCALE * primals[0] * tangents[0]


def set_in(where: Any, name: Any) -> Callable[[Any], None]:
    """How to replace a value in a container, a module or an object."""
    if isinstance(where, dict | list | np.ndarray):
        return lambda value: where.__setitem__(name, value)
    return lambda value: setattr(where, name, value)


HERE = sys.modules[__name__]

# Functions, and how to replace the 2.0 that each of them reads.
READ: dict[str, tuple[Callable[[Any], Any], Callable[[Any], None]]] = {
    "global": (lambda x: SCALE * x**2, set_in(HERE, "SCALE")),
    "function": (lambda x: helper(x), set_in(HERE, "SCALE")),
    "inner function": (lambda x: (lambda y: SCALE * y)(x) ** 2, set_in(HERE, "SCALE")),
    "comprehension": (lambda x: sum(SCALE * x**2 for _ in "ab"), set_in(HERE, "SCALE")),
    "scan": (
        lambda x: jax.lax.scan(lambda c, _: (SCALE * c * x, None), x, None, 2)[0],
        set_in(HERE, "SCALE"),
    ),
    "list": (lambda x: IN_LIST[0] * x**2, set_in(IN_LIST, 0)),
    "dict": (lambda x: IN_DICT["inner"]["scale"] * x**2, set_in(IN_DICT["inner"], "scale")),
    "array": (lambda x: IN_ARRAY[0] * x**2, set_in(IN_ARRAY, 0)),
    "default": (with_default, set_in(IN_LIST, 0)),
    "namespace": (lambda x: NAMESPACE.scale * x**2, set_in(NAMESPACE, "scale")),
    "module": (lambda x: constants.scale * x**2, set_in(constants, "scale")),
    "callable": (PLAIN, set_in(PLAIN, "scale")),
    "method": (PLAIN.__call__, set_in(PLAIN, "scale")),
    "attribute": (lambda x: PLAIN.scale * x**2, set_in(PLAIN, "scale")),
    "class attribute": (PLAIN, set_in(Plain, "factor")),
    "property": (lambda x: PLAIN.doubled * x**2, set_in(HERE, "SCALE")),
    "dataclass": (lambda x: RECORD.scale * x**2, set_in(RECORD, "scale")),
    "static field": (MODEL, set_in(MODEL.options, "scale")),
    "partial": (
        functools.partial(lambda model, x: model(x), PLAIN),
        set_in(PLAIN, "scale"),
    ),
    "custom_jvp": (lambda x: custom(x), set_in(HERE, "SCALE")),
    "vmap": (jax.vmap(lambda x: SCALE * x**2), set_in(HERE, "SCALE")),
    "checkpoint": (jax.checkpoint(lambda x: IN_LIST[0] * x**2), set_in(IN_LIST, 0)),
    "attribute of a jitted function": (
        lambda x: JITTED.scale * x**2,
        set_in(JITTED, "scale"),
    ),
    "closed-over module": (over_module(), set_in(constants, "scale")),
    "library function": (lambda x: DOUBLE(x) ** 2, set_in(HERE, "SCALE")),
    "function attribute": (lambda x: MARKED.scale * x**2, set_in(MARKED, "scale")),
}


@pytest.mark.parametrize("name", READ)
def test_a_change_is_seen(name: str):
    fun, put = READ[name]
    put(2.0)
    derivative = asdex.jacobian(fun, X, output_format="numpy_dense")
    for value in (2.0, 3.0, 3.0, 2.0):
        put(value)
        expected = jax.jacobian(lambda x: fun(x))(jnp.asarray(X))
        np.testing.assert_allclose(derivative(X), expected)
    put(2.0)
    before, again = take_snapshot(fun), take_snapshot(fun)
    put(3.0)
    changed = take_snapshot(fun)
    put(2.0)
    assert again is not None
    assert again.matches(before)
    assert changed is not None
    assert not changed.matches(before)


class Box(tuple[float, ...]):
    """A tuple with attributes of its own."""


BOX, UNRAVEL = Box((1.0,)), ravel_pytree(MODEL)[1]
BOX.scale = 2.0  # pyright: ignore[reportAttributeAccessIssue]
RECORDS = np.array([(1.0, 2.0)], dtype=[("a", "f8"), ("b", "f8")])
UFUNC = np.frompyfunc(lambda v: v * SCALE, 1, 1)
NARROW = np.dtype(jnp.bfloat16).type(2.0)


class AttributeDict(dict[str, Any]):
    __getattr__ = dict.__getitem__


ATTRIBUTE_DICT = AttributeDict(scale=2.0)


def read_scale(module: Any) -> float:
    return module.scale


def read_with_import(x: Array) -> Array:
    from .helpers import constants

    return constants.scale * x


COUNTER, QUEUE, GENERATOR = itertools.count(), deque([2.0]), np.random.default_rng(0)

UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "unravelled model": lambda x: UNRAVEL(x)(x),
    "np.load": lambda x: np.load("weights.npy") * x,
    "jnp.load": lambda x: jnp.load("weights.npy") * x,
    "np.loadtxt": lambda x: np.loadtxt("weights.txt") * x,
    "np.memmap": lambda x: np.memmap("weights", float) * x,
    "np.geterr": lambda x: len(np.geterr()) * x,
    "np.datetime64": lambda x: float(np.datetime64("now", "ms").astype(int)) * x,
    "jax.config": lambda x: jax.config.read("jax_enable_x64") * x,
    "eqx file": lambda x: eqx.tree_deserialise_leaves("weights.eqx", x),
    "alias of numpy.random": lambda x: npr.normal() * x,  # noqa: NPY002
    "structured array": lambda x: RECORDS["a"][0] * x,
    "numpy.void": lambda x: RECORDS[0]["a"] * x,
    "user ufunc": lambda x: UFUNC(x),
    "tuple with attributes": lambda x: BOX.scale * x,  # pyright: ignore
    "dict with attributes": lambda x: ATTRIBUTE_DICT.scale * x,
    "subclasses": lambda x: len(Plain.__subclasses__()) * x,
    "docstring": lambda x: len(helper.__doc__ or "") * x,
    "bfloat16": lambda x: NARROW * x,
    "clock": lambda x: time.time() * x,
    "environment": lambda x: float(os.environ.get("SCALE", "2")) * x,
    "random": lambda x: random.random() * x,
    "numpy.random": lambda x: np.random.normal() * x,  # noqa: NPY002
    "generator": lambda x: GENERATOR.normal() * x,
    "iterator": lambda x: next(COUNTER) * x,
    "deque": lambda x: QUEUE[0] * x,
    "slots": lambda x: SLOTTED.scale * x,
    "globals": lambda x: globals()["SCALE"] * x,
    "getattr": lambda x: getattr(constants, "scale") * x,  # noqa: B009
    "attrgetter": lambda x: operator.attrgetter("scale")(constants) * x,
    "namespace of a module": lambda x: constants.__dict__["scale"] * x,
    "module as a value": lambda x: read_scale(constants) * x,
    "sys.modules": lambda x: sys.modules[__name__].SCALE * x,
    "importlib": lambda x: importlib.import_module(constants.__name__).scale * x,
    "import": read_with_import,
    "eval": lambda x: eval("SCALE") * x,
    "file": lambda x: len(open(__file__).read()) * x,  # noqa: SIM115
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_told(name: str):
    assert take_snapshot(UNKNOWN[name]) is None


def test_a_replaced_library_function_is_seen(monkeypatch: pytest.MonkeyPatch):
    derivative = asdex.jacobian(lambda x: jnp.sin(x), X, output_format="numpy_dense")
    np.testing.assert_allclose(derivative(X), np.diag(np.cos(X)))
    monkeypatch.setattr(jnp, "sin", jnp.cos)
    np.testing.assert_allclose(derivative(X), np.diag(-np.sin(X)))


def test_memory_order_is_seen():
    holder = [np.arange(6.0).reshape(2, 3)]
    before = take_snapshot(holder)
    holder[0] = np.asfortranarray(holder[0])
    after = take_snapshot(holder)
    assert after is not None
    assert not after.matches(before)


def test_callbacks_of_a_new_function_are_called():
    holder = deque([2.0])  # Its content cannot be told, so the function is traced anew.

    def fun(x: Array) -> Array:
        scale = holder[0]
        shape = jax.ShapeDtypeStruct((), x.dtype)
        return jax.pure_callback(lambda: np.asarray(scale, x.dtype), shape) * x

    derivative = asdex.jacobian(fun, X, output_format="numpy_dense")
    for scale in (2.0, 3.0, 5.0, 2.0):
        holder[0] = scale
        np.testing.assert_allclose(derivative(X), scale * np.eye(4))


def test_numbers_are_told_apart():
    values = [0, 0.0, -0.0, False, 1, 1.0, True, np.float32(1), np.float64(1), "1", b"1"]
    values += [
        10**5000,
        10**5000 + 1,
        (1,),
        [1],
        [1, 2, 1],
        [1, 2, 2],
        {"a": 1},
        {"b": 1},
        None,
        float("nan"),
    ]
    snapshots = [take_snapshot(value) for value in values]
    for (i, first), (j, second) in itertools.product(enumerate(snapshots), repeat=2):
        assert first is not None
        assert first.matches(second) == (i == j)


def test_a_new_object_at_the_same_place_is_told_apart():
    holder = [jnp.ones(3)]
    before = take_snapshot(holder)
    for k in range(100):
        holder[0] = jnp.full(3, k)
        after = take_snapshot(holder)
        assert after is not None
        assert not after.matches(before)


HOST_FORMATS = ("numpy_dense", "scipy_coo", "scipy_csr", "scipy_csc")


@pytest.mark.parametrize("output_format", HOST_FORMATS)
@pytest.mark.parametrize("verb", [asdex.jacobian, asdex.hessian])
def test_a_loop_over_points_does_not_trace(verb: Callable[..., Any], output_format: str):
    calls, count = [], 0

    def fun(x: Float[Array, " n"]) -> Any:
        nonlocal count
        count += 1
        calls.append(x.shape)
        y = SCALE * x**3
        return y if verb is asdex.jacobian else y.sum()

    derivative = verb(fun, X, output_format=output_format)
    derivative(X)
    before = count, len(calls)
    for k in range(5):
        found = derivative(X + k)
        dense = found.todense() if hasattr(found, "todense") else found
        factor = 3 * SCALE if verb is asdex.jacobian else 6 * SCALE
        power = 2 if verb is asdex.jacobian else 1
        np.testing.assert_allclose(dense, np.diag(factor * (X + k) ** power))
    assert (count, len(calls)) == before


def test_other_dtypes_and_static_arguments_have_traces_of_their_own():
    def fun(x: Array, power: int, options: dict[str, Any]) -> Array:
        return options["scale"] * x**power

    options = {"scale": 2.0}
    holder: Any = Record(3.0)
    derivative = asdex.jacobian(fun, X, 2, options, output_format="numpy_dense")
    for x in (X, X.astype(np.float32), X):
        found = derivative(x, 2, options)
        assert found.dtype == x.dtype
        np.testing.assert_allclose(found, np.diag(4 * x), rtol=1e-6)
    derivative = asdex.jacobian(
        lambda x, record: record.scale * x, X, holder, output_format="numpy_dense"
    )
    for scale in (3.0, 4.0):
        holder.scale = scale  # A static argument that is changed in place.
        np.testing.assert_allclose(derivative(X, holder), scale * np.eye(4))


def test_precision_context_is_seen():
    """What is compiled depends on JAX's own settings too."""
    derivative = asdex.jacobian(
        lambda x: x * jnp.full(4, 0.1), X, output_format="numpy_dense"
    )
    x = X.astype(np.float32)
    for enabled in (True, False, True):
        with jax.enable_x64(enabled):
            found = derivative(x)
            expected = jax.jacobian(lambda x: x * jnp.full(4, 0.1))(jnp.asarray(x))
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
