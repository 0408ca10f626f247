"""A failed verification names the equation that is the cause."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import JaxprEqn, Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

import asdex
from asdex._detect import Dependence, suspicion
from asdex._detect.registry import RULES
from asdex._detect.value import Scope, Value

pytestmark = [
    pytest.mark.usefixtures("standard_promotion", "wrong_rule"),
    pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning"),
]

X = jnp.linspace(1.0, 2.0, 6)

flip_p = Primitive("flip")
"""The vector from its end to its start, with a rule that omits its last element."""

flip_p.def_impl(lambda x: jnp.flip(x, -1))
flip_p.def_abstract_eval(lambda x: x)
mlir.register_lowering(flip_p, mlir.lower_fun(lambda x: jnp.flip(x, -1), False))
ad.deflinear2(flip_p, lambda cotangent, x: [flip_p.bind(cotangent)])
batching.defvectorized(flip_p)


def forgetful(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Dependence:
    (dependence,) = [operand.dependence for operand in operands]
    assert dependence is not None
    positions = np.arange(dependence.size)[::-1]
    return dependence.take(np.where(positions == dependence.size - 1, -1, positions))


@pytest.fixture(scope="module")
def wrong_rule() -> Iterator[None]:
    asdex.register_rule(flip_p)(forgetful)
    yield
    del RULES[flip_p]


def straight(x: Array) -> Array:
    y = jnp.sin(x) * 2
    z = flip_p.bind(y)  # culprit
    return z[1:] + z[:-1] * x[1:]


def jitted(x: Array) -> Array:
    twice = jax.jit(lambda x: x * 2)
    return twice(flip_p.bind(twice(x)))  # culprit


def branches(x: Array) -> Array:
    def backwards(x: Array) -> Array:
        return flip_p.bind(x)  # culprit

    y = jax.lax.cond(x[0] > 0, backwards, jnp.sin, x)
    return jax.lax.cond(x[0] < 0, backwards, jnp.sin, y)


def loops(x: Array) -> Array:
    def body(carry: Array, element: Array):
        return flip_p.bind(carry) * element, carry.sum()

    return jax.lax.scan(body, x, x[:3])[0]  # culprit


def with_infinite_coefficients(x: Array) -> Array:
    y = jnp.sqrt(jnp.abs(x - x[2]))  # Its tangent is 0 * inf at element 2.
    return y + flip_p.bind(x)  # culprit


@jax.custom_vjp
def backwards(x: Array) -> Array:
    return x * 2


backwards.defvjp(lambda x: (x * 2, None), lambda _, g: (flip_p.bind(g),))


def reverse_only(x: Array) -> Array:
    return jnp.sin(backwards(x))  # culprit


def reverse_only_loop(x: Array) -> Array:
    return jax.lax.scan(lambda y, _: (backwards(y), None), x, None, 1)[0]  # culprit


def energy(x: Array) -> Array:
    y = flip_p.bind(x)  # culprit
    return jnp.sum(y[:2] ** 2 * x[1:3])


def line_of(function: Callable[..., Any]) -> str:
    """`file:line` of the line marked as culprit."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = [k for k, line in enumerate(lines) if "# culprit" in line]
    return f"{inspect.getsourcefile(function)}:{first + offset} ("


def failure(check: Callable[..., None], *args: Any, **options: Any) -> str:
    with pytest.raises(asdex.VerificationError) as caught:
        check(*args, **options)
    message = str(caught.value)
    assert "not in the pattern, by JAX" in message
    return message


@pytest.mark.parametrize("method", ["matvec", "dense"])
@pytest.mark.parametrize(
    ("function", "primitive", "mode"),
    [
        (straight, "flip", "fwd"),
        (straight, "flip", "rev"),
        (jitted, "flip", "fwd"),
        (branches, "flip", "fwd"),
        (loops, "scan", "fwd"),
        (with_infinite_coefficients, "flip", "fwd"),
    ],
)
def test_wrong_rule_in_a_jacobian(
    function: Callable[[Array], Array], primitive: str, mode: Any, method: Any
) -> None:
    x = X.at[0].set(1.5)
    coloring = asdex.jacobian_coloring(function, x, mode=mode)
    message = failure(
        asdex.check_jacobian_correctness, function, x, coloring, method=method
    )
    assert "Detection loses column" in message
    assert f" at {primitive!r}, {line_of(function)}" in message


@pytest.mark.parametrize("method", ["matvec", "dense"])
@pytest.mark.parametrize("mode", ["fwd_over_rev", "rev_over_fwd", "rev_over_rev"])
def test_wrong_rule_in_a_hessian(mode: Any, method: Any) -> None:
    coloring = asdex.hessian_coloring(energy, X, mode=mode)
    message = failure(asdex.check_hessian_correctness, energy, X, coloring, method=method)
    assert "Detection loses column" in message
    assert f" at 'flip', {line_of(energy)}" in message


@pytest.mark.parametrize(
    ("function", "primitive"), [(reverse_only, "custom_lin"), (reverse_only_loop, "scan")]
)
def test_function_without_a_tangent_program(
    function: Callable[[Array], Array], primitive: str
) -> None:
    coloring = asdex.jacobian_coloring(function, X)
    assert coloring.mode == "rev"
    message = failure(asdex.check_jacobian_correctness, function, X, coloring)
    assert f"at or after {primitive!r}, {line_of(function)}" in message


def test_pytrees_and_argnums() -> None:
    def fun(scale: Array, tree: dict[str, Array], flag: bool) -> dict[str, Array]:
        y = flip_p.bind(tree["a"])  # culprit
        return {"first": y * scale if flag else y, "second": tree["b"]}

    args = (X, {"a": X, "b": X[:2]}, True)
    coloring = asdex.jacobian_coloring(fun, *args, argnums=(1, 0))
    message = failure(asdex.check_jacobian_correctness, fun, *args, coloring)
    assert f"loses column 5 at 'flip', {line_of(fun)}" in message

    def scalar(scale: Array, tree: dict[str, Array]) -> Array:
        return jnp.sum(flip_p.bind(tree["a"])[0] ** 3 * scale)  # culprit

    coloring = asdex.hessian_coloring(scalar, *args[:2], argnums=(0, 1))
    message = failure(asdex.check_hessian_correctness, scalar, *args[:2], coloring)
    assert f" at 'flip', {line_of(scalar)}" in message


def shifted(x: Array) -> Array:
    y = x * jnp.roll(x, 1)  # culprit
    return y


@pytest.mark.parametrize("method", ["matvec", "dense"])
def test_pattern_that_is_not_of_the_function(method: Any) -> None:
    """One entry is left out, which makes another of the same color wrong."""
    dense = np.eye(6) + np.roll(np.eye(6), -1, axis=1)
    dense[2, 1] = 0
    coloring = asdex.jacobian_coloring_from_sparsity(dense)
    message = failure(asdex.check_jacobian_correctness, shifted, X, coloring, method=method)
    assert "find entry (2, 1) in this function, made at 'add_any'" in message
    assert line_of(shifted) in message

    def summed(x: Array) -> Array:
        return jnp.sum(x**3)  # culprit

    coloring = asdex.hessian_coloring_from_sparsity(np.diag([1, 1, 0, 1, 1, 1]))
    message = failure(asdex.check_hessian_correctness, summed, X, coloring, method=method)
    assert "find entry (2, 2) in this function, made at 'mul'" in message
    assert line_of(summed) in message


def test_local_pattern_at_another_point() -> None:
    def fun(x: Array) -> Array:
        return jnp.where(x > 0, x**2, 0.0)

    pattern = asdex.jacobian_sparsity(fun, -X, local=True)
    coloring = asdex.jacobian_coloring_from_sparsity(pattern)
    message = failure(asdex.check_jacobian_correctness, fun, X, coloring)
    assert "for another function or point" in message


def test_input_itself() -> None:
    coloring = asdex.jacobian_coloring_from_sparsity(np.zeros((6, 6)))
    message = failure(asdex.check_jacobian_correctness, lambda x: x, X, coloring)
    assert "find entry (0, 0) in this function: the pattern" in message


def test_nothing_is_said_without_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value of an entry that the pattern has, and errors in the search."""

    def fun(x: Array) -> Array:
        return jnp.stack([x[0] + x[1], 3 * x[0] + x[1]])

    coloring = asdex.jacobian_coloring(fun, X[:2], symmetric=True)
    with pytest.raises(asdex.VerificationError) as caught:
        asdex.check_jacobian_correctness(fun, X[:2], coloring)
    assert "Detection" not in str(caught.value)

    def no_suspicion(*args: Any, **options: Any) -> str:
        raise RuntimeError

    monkeypatch.setattr("asdex._verbs.check.suspicion", no_suspicion)
    coloring = asdex.jacobian_coloring(straight, X)
    message = failure(asdex.check_jacobian_correctness, straight, X, coloring)
    assert "Detection" not in message
    assert "made by hand" in message


def test_no_suspect_among_right_rules() -> None:
    """Entry (0, 5) is neither found by detection nor nonzero."""
    find = partial(suspicion, lambda x: (jnp.sin(x) * X, None), X)
    assert find(row=0, col=5) == ""
