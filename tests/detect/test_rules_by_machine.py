"""Every rule against differences of the primitive's own values.

The table in `equations` makes random equations of each primitive. Each is interpreted with
some operands as inputs, the others known or not, and evaluated: an output depends on an
input element if it changes, at some point, when only that element is drawn again.
"""

from collections.abc import Iterator, Sequence
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Primitive
from jaxtyping import Bool, Complex128, PyTree

from asdex._detect.compose import as_own_inputs, joined
from asdex._detect.dependence import nothing
from asdex._detect.known import UNKNOWN, constant
from asdex._detect.registry import RULES
from asdex._detect.rules.control import call
from asdex._detect.value import Notes, Scope, Value

from ..helpers import check_contains
from .equations import EQUATIONS, Equation

POINTS = 48
SEEDS = range(3)


def _name(key: Primitive | str) -> str:
    return key if isinstance(key, str) else key.name


KEYS = sorted(RULES, key=_name)


@pytest.mark.parametrize("key", KEYS, ids=_name)
def test_rule(key: Primitive | str) -> None:
    assert key in EQUATIONS, f"No equation of {key} in tests/detect/equations."
    for number, make in enumerate(EQUATIONS[key]):
        for seed in SEEDS:
            rng = np.random.default_rng([number, seed])
            check(make(rng), key, rng, f"{_name(key)}, maker {number}, seed {seed}")


def check(
    equation: Equation, key: Primitive | str, rng: np.random.Generator, where: str
) -> None:
    samples = [operand.sample(rng) for operand in equation.operands]
    program = jax.make_jaxpr(equation.fun)(*samples)
    assert _name(key) in set(_primitives(program.jaxpr)), where
    inputs = _inputs(equation, key)
    changes = Changes(equation, inputs, rng)
    exact = equation.exact in ("yes", "unknown")
    needed = changes.needed(inputs)
    _compare(_detected(program, samples, inputs, False), needed, exact, where)
    for k in inputs:
        if len(samples) == 1:
            break
        part = needed[:, changes.columns(inputs, k)]
        _compare(_detected(program, samples, [k], False), part, exact, f"{where}, {k}")
        fixed = changes.needed([k], samples)
        found = _detected(program, samples, [k], True)
        exact_known = equation.exact in ("yes", "known")
        _compare(found, fixed, exact_known, f"{where}, {k}, others known")


def _inputs(equation: Equation, key: Primitive | str) -> Sequence[int]:
    """The operands through which the rule passes dependence."""
    if equation.inputs is not None:
        return equation.inputs
    linear = RULES[key].linear
    return range(len(equation.operands)) if linear is None else linear


def _compare(
    found: Bool[np.ndarray, "m n"], needed: Bool[np.ndarray, "m n"], exact: bool, where: str
) -> None:
    try:
        check_contains(found, needed)
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from None
    extra = np.argwhere(found & ~needed)
    assert not (exact and len(extra)), f"{where}: {len(extra)} too many: {extra[:10]}"


def _detected(
    program: ClosedJaxpr, samples: Sequence[np.ndarray], inputs: Sequence[int], known: bool
) -> Bool[np.ndarray, "m n"]:
    """The pattern by the rule, with the other operands known or not."""
    values = [
        Value(
            var.aval,
            nothing(sample.shape, 0) if k in inputs else None,
            constant(sample) if known and k not in inputs else UNKNOWN,
        )
        for k, (var, sample) in enumerate(zip(program.jaxpr.invars, samples, strict=True))
    ]
    own, scope = as_own_inputs(values, Scope(0, Notes()))
    outputs = call(program, own, scope)
    dependences = [out.dependence or nothing(out.shape, scope.n) for out in outputs]
    return joined(dependences, scope.n).matrix().toarray()


class Changes:
    """The values of an equation at random points, and with one element drawn again."""

    def __init__(
        self, equation: Equation, inputs: Sequence[int], rng: np.random.Generator
    ) -> None:
        self.operands = equation.operands
        self.rng = rng
        self.sizes = {k: prod(self.operands[k].shape) for k in inputs}
        fun = equation.evaluated or equation.fun
        # A loop over the points, so that the primitive itself is run, not batched.
        self.run = jax.jit(lambda points: lax.map(lambda xs: _flat(fun(*xs)), points))

    def columns(self, inputs: Sequence[int], k: int) -> slice:
        """The positions of the elements of operand `k` among those of `inputs`."""
        start = sum(self.sizes[j] for j in inputs if j < k)
        return slice(start, start + self.sizes[k])

    def needed(
        self, inputs: Sequence[int], fixed: Sequence[np.ndarray] | None = None
    ) -> Bool[np.ndarray, "m n"]:
        """Which output elements change with which elements of `inputs`.

        The other operands are `fixed`, or random as well.
        """
        points = []
        for _ in range(POINTS):
            point = [operand.sample(self.rng) for operand in self.operands]
            if fixed is not None:
                point = [
                    new if k in inputs else old
                    for k, (new, old) in enumerate(zip(point, fixed, strict=True))
                ]
            points.append(point)
            points.extend(self._neighbors(point, inputs))
        # All calls have the same number of points, so that the loop is compiled once.
        count = POINTS * (1 + sum(self.sizes.values()))
        padded = points + points[:1] * (count - len(points))
        stacked = [np.stack(arrays) for arrays in zip(*padded, strict=True)]
        values = np.asarray(self.run(stacked))[: len(points)]
        values = values.reshape(POINTS, len(points) // POINTS, -1)
        before, after = values[:, :1], values[:, 1:]
        # What iterates until all elements have converged differs in the last bits.
        same = np.isclose(before, after, rtol=1e-11, atol=1e-13, equal_nan=True)
        return np.logical_or.reduce(~same, axis=0).T

    def _neighbors(
        self, point: Sequence[np.ndarray], inputs: Sequence[int]
    ) -> Iterator[list[np.ndarray]]:
        for k in inputs:
            for position in range(self.sizes[k]):
                moved = list(point)
                moved[k] = point[k].copy()
                fresh = self.operands[k].sample(self.rng)
                moved[k].flat[position] = fresh.flat[position]
                yield moved


def _flat(tree: PyTree[Array]) -> Complex128[Array, " m"]:
    leaves = [jnp.ravel(leaf).astype(np.complex128) for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate(leaves)


def _primitives(jaxpr: Jaxpr) -> Iterator[str]:
    """Names of all primitives in a program."""
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name
        for param in jax.tree.leaves(tuple(eqn.params.values()), is_leaf=_is_program):
            if isinstance(param, ClosedJaxpr):
                yield from _primitives(param.jaxpr)
            elif isinstance(param, Jaxpr):
                yield from _primitives(param)


def _is_program(param: object) -> bool:
    return isinstance(param, ClosedJaxpr | Jaxpr)
