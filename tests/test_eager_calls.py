"""Calls outside of `jit`: they see what the function reads, trace it once, compile once."""

import abc
import copy
import dataclasses
import functools
import gc
import os
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import asdex
from asdex._verbs.compiled import MAX_PROGRAMS

from .helpers import constants

pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]
X = jnp.linspace(0.5, 1.5, 4)
HERE = sys.modules[__name__]
SCALE: Any = 2.0
IN_LIST = [2.0]
IN_DICT = {"inner": {"scale": 2.0}}
IN_ARRAY, IN_SCALAR = np.full(4, 2.0), np.full((), 2.0)
IN_QUEUE = deque([2.0])
NAMESPACE = types.SimpleNamespace(scale=2.0)


class Model:
    factor: Any = 2.0

    def __call__(self, x: Array) -> Array:
        return self.factor * x**2


class Slotted:
    __slots__ = ("scale",)


MODEL, SLOTTED = Model(), Slotted()
SLOTTED.scale = 2.0


def with_default(x: Array, scale: Any = IN_LIST) -> Array:
    return scale[0] * x**2


@jax.custom_jvp
def by_jvp(x: Array) -> Array:
    return x**2


@by_jvp.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return by_jvp(*primals), 2 * SCALE * primals[0] * tangents[0]


@jax.custom_vjp
def by_vjp(x: Array) -> Array:
    return x**2


by_vjp.defvjp(
    lambda x: (x**2, x),
    lambda x, cotangent: (2 * SCALE * x * cotangent,),
)


def by_callback(x: Array) -> Array:
    scale = SCALE
    shape = jax.ShapeDtypeStruct((), x.dtype)
    return jax.pure_callback(lambda: np.asarray(scale, x.dtype), shape) * x**2


def set_in(where: Any, name: Any) -> Callable[[Any], None]:
    """How to replace a value in a container, a module or an object."""
    if isinstance(where, dict | list | deque | np.ndarray):
        return lambda value: where.__setitem__(name, value)
    return lambda value: setattr(where, name, value)


# Functions with the value `scale * x**2`, and how to replace the scale that each reads.
READ: dict[str, tuple[Callable[[Any], Any], Callable[[Any], None]]] = {
    "global": (lambda x: SCALE * x**2, set_in(HERE, "SCALE")),
    "scan": (
        lambda x: jax.lax.scan(lambda c, _: (SCALE * c * x, None), x, None, 1)[0],
        set_in(HERE, "SCALE"),
    ),
    "list": (lambda x: IN_LIST[0] * x**2, set_in(IN_LIST, 0)),
    "dict": (lambda x: IN_DICT["inner"]["scale"] * x**2, set_in(IN_DICT["inner"], "scale")),
    "array": (lambda x: IN_ARRAY * x**2, set_in(IN_ARRAY, slice(None))),
    "array of no dimension": (lambda x: IN_SCALAR * x**2, set_in(IN_SCALAR, ())),
    "queue": (lambda x: IN_QUEUE[0] * x**2, set_in(IN_QUEUE, 0)),
    "default": (with_default, set_in(IN_LIST, 0)),
    "namespace": (lambda x: NAMESPACE.scale * x**2, set_in(NAMESPACE, "scale")),
    "slots": (lambda x: SLOTTED.scale * x**2, set_in(SLOTTED, "scale")),
    "module": (lambda x: constants.scale * x**2, set_in(constants, "scale")),
    "by name": (lambda x: getattr(constants, "scale") * x**2, set_in(constants, "scale")),  # noqa: B009
    "class attribute": (MODEL, set_in(Model, "factor")),
    "partial": (functools.partial(lambda m, x: m(x), MODEL), set_in(MODEL, "factor")),
    "environment": (
        lambda x: float(os.environ.get("ASDEX_SCALE", "2")) * x**2,
        lambda value: os.environ.__setitem__("ASDEX_SCALE", str(value)),
    ),
    "vmap": (jax.vmap(lambda x: SCALE * x**2), set_in(HERE, "SCALE")),
    "rule of a custom_jvp": (lambda x: by_jvp(x), set_in(HERE, "SCALE")),
    "rule of a custom_vjp": (lambda x: by_vjp(x), set_in(HERE, "SCALE")),
    "callback": (by_callback, set_in(HERE, "SCALE")),
}


@pytest.mark.parametrize("name", READ)
def test_a_change_is_seen(name: str) -> None:
    fun, put = READ[name]
    put(2.0)
    derivative = asdex.jacobian(fun, X, output_format="numpy_dense")
    for value in (2.0, 3.0, 3.0, 2.0):
        put(value)
        np.testing.assert_allclose(derivative(X), np.diag(2 * value * X))
    put(2.0)


FORMATS = ("bcoo", "bcsr", "dense", "operator", "numpy_dense", "scipy_csr")


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("verb", [asdex.jacobian, asdex.hessian])
def test_all_formats_see_changes(verb: Any, output_format: Any) -> None:
    scale: Any = 1.0

    def fun(x: Array) -> Array:
        y = scale * x**3
        return y if verb is asdex.jacobian else y.sum()

    dense = jax.jacobian if verb is asdex.jacobian else jax.hessian
    derivative = verb(fun, X, output_format=output_format)
    for scale in (1.0, np.full(4, 2.0), jnp.full(4, 3.0), 1.0):  # noqa: B007
        found = derivative(X)
        found = found.todense() if hasattr(found, "todense") else found
        np.testing.assert_allclose(found, dense(lambda x: fun(x))(X))


def test_what_is_traced_again_is_as_it_was() -> None:
    """JAX keeps NumPy's arrays in its programs as they are, not copies of them."""
    scale = np.full((), 2.0)
    derivative = asdex.jacobian(lambda x: scale * x**2, X, output_format="dense")
    for value in (2.0, 3.0, 2.0):
        scale[()] = value
        np.testing.assert_allclose(derivative(X), jnp.diag(2 * value * X))
    jax.clear_caches()
    for value in (2.0, 3.0):
        scale[()] = value
        np.testing.assert_allclose(derivative(X), jnp.diag(2 * value * X))


def test_constants_of_jitted_functions_are_seen() -> None:
    weights = np.zeros((4, 4))
    inner = jax.jit(lambda x: x + weights @ x)
    derivative = asdex.jacobian(lambda x: inner(x), X, output_format="dense")
    weights[0, 1] = 1.0
    with pytest.raises(ValueError, match=r"lacks entry \(0, 1\)"):
        derivative(X)


def test_a_class_registered_with_an_abstract_one_is_seen() -> None:
    class Doubles(abc.ABC):  # noqa: B024
        pass

    class Plain:
        pass

    plain = Plain()
    derivative = asdex.jacobian(
        lambda x: x * (2.0 if isinstance(plain, Doubles) else 1.0), X, output_format="dense"
    )
    np.testing.assert_array_equal(derivative(X), jnp.eye(4))
    Doubles.register(Plain)
    np.testing.assert_array_equal(derivative(X), 2 * jnp.eye(4))


def test_settings_are_seen() -> None:
    derivative = asdex.jacobian(
        lambda x: x * jax.random.uniform(jax.random.key(0), (4,)), X, output_format="dense"
    )
    first = derivative(X)
    with jax.default_prng_impl("rbg"):
        expected = jnp.diag(jax.random.uniform(jax.random.key(0), (4,)))
        np.testing.assert_array_equal(derivative(X), expected)
    np.testing.assert_array_equal(derivative(X), first)

    printed = asdex.jacobian(lambda x: x * float(str(np.array([1.23456]))[1:-1]), X)
    with np.printoptions(precision=2):
        np.testing.assert_array_equal(printed(X).data, np.full(4, 1.23))
    np.testing.assert_array_equal(printed(X).data, np.full(4, 1.23456))


def test_a_replaced_library_function_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    derivative = asdex.jacobian(lambda x: jnp.sin(x), X, output_format="numpy_dense")
    np.testing.assert_allclose(derivative(X), np.diag(np.cos(X)))
    monkeypatch.setattr(jnp, "sin", jnp.cos)
    np.testing.assert_allclose(derivative(X), np.diag(-np.sin(X)))


def test_other_dtypes_and_static_arguments() -> None:
    @dataclasses.dataclass
    class Record:
        scale: float

    record: Any = Record(3.0)
    derivative = asdex.jacobian(
        lambda x, power, record: record.scale * x**power,
        *(X, 2, record),
        output_format="numpy_dense",
    )
    for x, record.scale in ((X, 3.0), (X.astype(jnp.float32), 3.0), (X, 4.0)):
        found = derivative(x, 2, record)
        assert found.dtype == x.dtype
        np.testing.assert_allclose(found, np.diag(2 * record.scale * x), rtol=1e-6)


def test_each_call_returns_its_own_auxiliary_output() -> None:
    derivative = asdex.jacobian(
        lambda x: (x**2, {"seen": [], "norm": x.sum()}),
        X,
        has_aux=True,
        output_format="numpy_dense",
    )
    _, first = derivative(X)
    first["seen"].append("mine")
    _, second = derivative(2 * X)
    assert second["seen"] == []
    np.testing.assert_allclose(second["norm"], 2 * first["norm"])


# -- Patterns ----------------------------------------------------------------------------


class Shift:
    by = 1


@pytest.mark.parametrize("output_format", ["bcoo", "operator"])
def test_another_structure_of_the_output_is_seen(output_format: Any) -> None:
    names = ["a"]

    def f(x: Array) -> dict[str, Array]:
        return {names[0]: x**2}

    derivative = asdex.jacobian(f, X, output_format=output_format)
    for name in ("a", "b"):
        names[0] = name
        found = derivative(X)
        nested = found.out_structure if output_format == "operator" else found
        assert list(nested) == [name]


@pytest.mark.parametrize("output_format", ["bcoo", "numpy_dense"])
def test_a_pattern_that_a_change_makes_wrong(output_format: Any) -> None:
    """What decides about the pattern: an index, an array in place, an attribute."""
    shift, weights, build = Shift(), np.zeros(4), asdex.jacobian
    settings = {"output_format": output_format}
    rolled = build(lambda x, shift: x * jnp.roll(x, shift.by), X, shift, **settings)
    weighted = build(lambda x: x + weights * x[::-1], X, **settings)
    as_jax = build(lambda x: x + jnp.asarray(weights) * x[::-1], X, **settings)
    for _ in range(2):
        for call in (lambda: rolled(X, shift), lambda: weighted(X), lambda: as_jax(X)):
            call()
        shift.by, weights[0] = 2, 1.0
        for call in (lambda: rolled(X, shift), lambda: weighted(X), lambda: as_jax(X)):
            with pytest.raises(ValueError, match=r"lacks entry \(0, .*has changed"):
                call()
        with pytest.raises(ValueError, match="has changed"):
            jax.jit(weighted.__call__)(X)
        shift.by, weights[0] = 1, 0.0


def test_weak_types_decide_about_dtypes() -> None:
    """A constant is zero in the one and not in the other."""
    x = jnp.ones(3, jnp.float16)

    def fun(x: Array, w: Any) -> Array:
        tiny = jnp.asarray(1e-8, (x * w).dtype)
        return jnp.where(tiny == 0, 0.0, x * x)

    derivative = asdex.jacobian(fun, x, 1.0)
    np.testing.assert_array_equal(derivative(x, 1.0).todense(), np.zeros((3, 3)))
    coloring = asdex.jacobian_coloring(fun, x, 1.0)
    for each in (derivative, asdex.jacobian_from_coloring(fun, coloring)):
        for call in (each, jax.jit(each)):
            with pytest.raises(ValueError, match=r"lacks entry \(0, 0\).*weak float"):
                call(x, jnp.float32(1.0))


def test_a_given_coloring_is_trusted_at_first() -> None:
    weights = np.zeros(4)
    coloring = asdex.jacobian_coloring(lambda x: x, X)
    derivative = asdex.jacobian_from_coloring(lambda x: x + weights * x[::-1], coloring)
    derivative(X)
    weights[1] = 1.0
    with pytest.raises(ValueError, match=r"lacks entry \(1, 2\)"):
        derivative(X)


# -- Costs -------------------------------------------------------------------------------

COMPILED: list[str] = []


def _note_compilation(event: str, duration_secs: float, **kwargs: Any) -> None:
    del duration_secs, kwargs
    if event.endswith("backend_compile_duration"):
        COMPILED.append(event)


jax.monitoring.register_event_duration_secs_listener(_note_compilation)


@pytest.fixture
def detections(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One element for each time that a pattern was detected again."""
    from asdex._verbs import sparsity

    found: list[int] = []
    detect = sparsity.detect

    def counted(*args: Any, **kwargs: Any) -> Any:
        found.append(1)
        return detect(*args, **kwargs)

    monkeypatch.setattr(sparsity, "detect", counted)
    return found


@pytest.fixture
def fun() -> Any:
    """A function that counts its calls, and closes over a large array of each kind."""
    on_host, on_device = np.ones((300, 300)), jnp.ones((300, 300))

    class Counted:
        calls = 0

        def __call__(self, x: Array) -> Array:
            self.calls += 1
            return jnp.sin(on_host[:4, :4] * on_device[:4, :4] @ x) + jax.nn.relu(x)

    return Counted()


@pytest.mark.parametrize("output_format", FORMATS)
def test_a_call_traces_once_and_compiles_at_first(
    fun: Any, output_format: Any, detections: list[int]
) -> None:
    derivative = asdex.value_and_jacobian(fun, X, output_format=output_format)
    derivative(X)
    points = [X / 2, X / 3, X / 4]
    calls, compiled, detected = fun.calls, len(COMPILED), len(detections)
    for x in points:
        derivative(x)
    assert fun.calls == calls + 3
    assert (len(COMPILED), len(detections)) == (compiled, detected)


def test_operations_of_numpy_are_compiled_once(detections: list[int]) -> None:
    """Since JAX 0.12 some are parameters of an equation, not programs."""

    def f(x: Array) -> Array:
        return jnp.ldexp(jnp.interp(x, X, X**2), 3)

    derivative = asdex.jacobian(f, X)
    x, others = X / 1.1, [X / 1.2, X / 1.3]
    np.testing.assert_allclose(derivative(x).todense(), jax.jacobian(f)(x))
    compiled, detected = len(COMPILED), len(detections)
    for x in others:
        derivative(x)
    assert (len(COMPILED), len(detections)) == (compiled, detected)


@pytest.mark.parametrize("mode", ["fwd_over_rev", "rev_over_fwd", "rev_over_rev"])
def test_a_hessian_traces_once(fun: Any, mode: Any) -> None:
    derivative = asdex.value_and_hessian(lambda x: fun(x).sum(), X, mode=mode)
    fun.calls = 0
    derivative(X)
    assert fun.calls == 1


def test_under_jit_nothing_is_compiled_apart(fun: Any, detections: list[int]) -> None:
    derivative = asdex.jacobian(fun, X)
    jitted, calls = jax.jit(derivative), fun.calls
    points = [X / 2, X / 3, X / 4]
    compiled, detected = len(COMPILED), len(detections)
    for x in points:
        jitted(x)
    assert fun.calls == calls + 1
    assert (len(COMPILED), len(detections)) == (compiled + 1, detected)


def test_numbers_that_are_new_at_every_call_are_not_compiled_forever() -> None:
    scale = 1.0
    derivative = asdex.jacobian(lambda x: scale * x**2, X, output_format="dense")
    for k in range(2, 2 * MAX_PROGRAMS):
        scale = float(k)
        np.testing.assert_allclose(derivative(X), jnp.diag(2 * k * X))
    compiled, scale = len(COMPILED), 0.5
    derivative(X)
    assert len(COMPILED) == compiled
    derivative(X)  # The same number again.
    assert len(COMPILED) == compiled + 1


def test_constants_that_change_are_checked_but_not_compiled(detections: list[int]) -> None:
    weights: Any = jnp.ones(4)
    derivative = asdex.jacobian(lambda x: weights * x, X, mode="fwd", output_format="dense")
    derivative(X)
    other, equal = jnp.asarray(np.full(4, 3.0)), jnp.asarray(np.full(4, 3.0))
    compiled, detected = len(COMPILED), len(detections)
    for weights in (other, equal):  # noqa: B007
        np.testing.assert_array_equal(derivative(X), np.diag(np.full(4, 3.0)))
    assert (len(COMPILED), len(detections)) == (compiled, detected + 1)


def test_accumulation_makes_way_for_constants_that_change(detections: list[int]) -> None:
    weights, compiled = cast(Any, jnp.ones(4)), 0
    derivative = asdex.jacobian(lambda x: weights * x, X, output_format="dense")
    np.testing.assert_array_equal(derivative(X), np.eye(4))
    for k in range(2, 6):
        weights = jnp.asarray(np.full(4, float(k)))
        np.testing.assert_array_equal(derivative(X), np.diag(np.full(4, float(k))))
        if k == 2:  # From now on by colors, compiled once.
            compiled = len(COMPILED)
    assert len(COMPILED) == compiled
    weights = jnp.asarray(np.full(4, 1.0))
    np.testing.assert_array_equal(derivative(X), np.eye(4))
    assert len(COMPILED) == compiled


def test_callbacks_that_are_new_at_every_call(detections: list[int]) -> None:
    derivative = asdex.jacobian(by_callback, X, output_format="dense")
    derivative(X)
    derivative(X)
    compiled, detected = len(COMPILED), len(detections)
    for _ in range(3):
        derivative(X)
    assert len(detections) == detected
    assert len(COMPILED) <= compiled + 3  # The callbacks alone.


def test_what_was_compiled_dies_with_the_derivative() -> None:
    big = np.ones(1000)
    derivative = asdex.jacobian(lambda x: x * big[:4], X, mode="fwd")
    derivative(X)
    alive = weakref.ref(derivative)
    coloring = weakref.ref(derivative.coloring)
    del derivative
    gc.collect()
    assert alive() is None
    assert coloring() is None


# -- The derivative as a value -----------------------------------------------------------


def test_what_a_verb_returns() -> None:
    def named(x: Array) -> Array:
        return x[1:] * x[:-1]

    derivative = asdex.jacobian(named, X)
    assert isinstance(derivative, asdex.Derivative)
    assert derivative.function is named
    assert derivative.order == 1
    assert derivative.sparsity == asdex.jacobian_sparsity(named, X)
    assert derivative.coloring is None
    assert derivative.num_colors == 0
    assert "named" in repr(derivative)
    assert "accumulated" in repr(derivative)
    colored = asdex.jacobian(named, X, mode="fwd")
    assert colored.coloring is not None
    assert colored.coloring.sparsity == colored.sparsity == derivative.sparsity
    assert colored.num_colors == colored.coloring.num_colors == 2
    assert "2 colors" in repr(colored)
    for name in ("function", "coloring", "sparsity", "num_colors", "options"):
        with pytest.raises(AttributeError):
            setattr(derivative, name, None)


def test_it_can_be_a_static_argument() -> None:
    derivative = asdex.jacobian(lambda x: x**2, X, output_format="dense")
    expected = jnp.diag(2 * X)
    apply = jax.jit(lambda fun, x: fun(x), static_argnums=0)
    for call in (
        functools.partial(apply, derivative),
        jax.jit(functools.partial(derivative)),
        eqx.filter_jit(derivative),
        lambda x: eqx.filter_jit(lambda fun, x: fun(x))(derivative, x),
        lambda x: jax.vmap(derivative)(x[None])[0],
        lambda x: jax.jit(derivative)(x),
    ):
        np.testing.assert_allclose(call(X), expected)
    assert len({derivative, derivative}) == 1
    assert copy.deepcopy({"derivative": derivative})["derivative"] is derivative


def test_threads_share_a_derivative() -> None:
    scale = 1.0
    derivative = asdex.jacobian(lambda x: scale * x**2, X, output_format="numpy_dense")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(derivative, [k * X for k in range(1, 17)]))
    for k, matrix in enumerate(found, 1):
        np.testing.assert_allclose(matrix, np.diag(2 * k * X))


@pytest.mark.parametrize("mode", [None, "fwd", "rev"])
def test_constants_that_jax_converts_may_change(mode: Any) -> None:
    """JAX keeps what it has converted for as long as something refers to it."""
    weights, x = np.ones(5), jnp.linspace(1.0, 2.0, 5, dtype=jnp.float32)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        derivative = asdex.jacobian(
            lambda x: weights * x**2, x, mode=mode, output_format="dense"
        )
        for value in (1.0, 3.0, 5.0, 3.0):
            weights[-1] = value
            np.testing.assert_allclose(derivative(x)[-1, -1], 4 * value)


@pytest.mark.parametrize("output_format", ["bcoo", "bcsr"])
def test_results_share_their_indices(output_format: Any):
    jac = asdex.jacobian(lambda x: x[1:] * x[:-1], X, output_format=output_format)
    first, second = jac(X), jac(2 * X)
    assert first.indices is second.indices
    first.indices.delete()  # As if it had been donated.
    np.testing.assert_array_equal(jac(X).todense(), jax.jit(jac)(X).todense())
    on_device = jac(jax.device_put(X, jax.devices()[0]))
    assert on_device.indices.committed
    assert not jac(X).indices.committed


def test_indices_of_a_traced_program_are_not_shared():
    jac = asdex.jacobian(lambda x: 2 * x[1:], X)  # The values are constants.
    with jax.checking_leaks():
        jax.jit(jac)(X)
        jax.vmap(jac)(jnp.stack([X, X]))
    np.testing.assert_array_equal(jac(X).todense(), 2 * np.eye(4)[1:])
