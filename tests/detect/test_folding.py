"""Known values against the compiled program, which may round in many ways.

Random programs on constants are folded, and run by XLA with its optimizations and without,
with the constants in the program and as arguments. More of them from the command line:

    python -m tests.detect.test_folding 20000
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Literal

from asdex._detect.folding import Bounds
from asdex._detect.known import Known, bounds, constant, results

from ..compiling import optimized_jit, plain_jit

FLOATS = (jnp.float64, jnp.float32, jnp.float16, jnp.bfloat16)
INTEGERS = (jnp.int32, jnp.int64, jnp.int8, jnp.uint8, jnp.uint32, jnp.int16, jnp.uint64)

Operation = Callable[..., Any]
Jit = Callable[..., Callable[..., Any]]


class Family(NamedTuple):
    """Functions of so many arrays of one kind, that give one of a kind or the same."""

    arity: int
    takes: str
    gives: str
    functions: Sequence[Operation]


FAMILIES = [
    Family(
        2,
        "float",
        "float",
        [
            *(lax.add, lax.sub, lax.mul, lax.div, lax.rem, lax.max, lax.min, lax.add),
            *(lax.sub, lax.mul, lax.div, lambda x, y: lax.mul(x, lax.sub(x, y))),
            lambda x, y: lax.add(lax.mul(x, y), y),
            lambda x, y: lax.sub(lax.add(x, y), x),
            lambda x, y: lax.pow(lax.abs(x), y),
            lambda x, y: lax.atan2(x, y),
            lambda x, y: lax.dot(x[None], y[:, None])[0] + x,
            lambda x, y: jnp.linspace(x[0], y[0], x.size, dtype=x.dtype),
            lambda x, y: lax.clamp(lax.min(x, y), lax.full_like(x, 1.5), lax.max(x, y)),
        ],
    ),
    Family(
        1,
        "float",
        "float",
        [
            *(lax.neg, lax.abs, lax.floor, lax.ceil, lax.sqrt, lax.exp, lax.log, lax.sin),
            *(lax.cos, lax.tanh, lax.square, lax.rsqrt, lax.sign, lax.logistic, lax.expm1),
            *(lax.log1p, lax.cbrt, lax.asin, lax.acos, lax.atan, lax.sinh, lax.asinh),
            *(lax.atanh, lax.erf, lax.exp2, jnp.cumsum, jnp.sort, jnp.flip, lax.round),
            lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
            lambda x: lax.integer_pow(x, 3),
            lambda x: lax.integer_pow(x, -2),
            lambda x: x / jnp.asarray(41, x.dtype),
            lambda x: x * jnp.asarray(0.1, x.dtype) * 3,
            lambda x: x + jnp.asarray(1e4, x.dtype) - jnp.asarray(1e4, x.dtype),
            lambda x: jnp.broadcast_to(jnp.sum(x), x.shape),
            lambda x: jnp.broadcast_to(jnp.max(x), x.shape),
            lambda x: jnp.broadcast_to(jnp.mean(x), x.shape),
            lambda x: lax.cummax(x),
            lambda x: lax.top_k(x, x.size)[0],
            lambda x: lax.reduce_precision(x, 5, 4),
            lambda x: x.at[jnp.array([0, 2])].add(x[:2]),
            lambda x: x.astype(jnp.float32).astype(x.dtype),
            lambda x: x.astype(jnp.bfloat16).astype(x.dtype),
            lambda x: lax.scan(lambda c, e: (c * 0.5 + e, c), x[0], x)[1],
        ],
    ),
    Family(
        2,
        "float",
        "bool",
        [lax.lt, lax.le, lax.gt, lax.ge, lax.eq, lax.ne],
    ),
    Family(
        1,
        "float",
        "int",
        [
            *(jnp.argsort, jnp.int32, jnp.int64),
            lambda x: jnp.argmax(x) + jnp.arange(x.size),
            lambda x: jnp.argmin(x) - jnp.arange(x.size),
            lambda x: jnp.searchsorted(jnp.sort(x), x),
            lambda x: lax.top_k(x, x.size)[1],
            lambda x: jnp.floor(x / jnp.asarray(3, x.dtype)).astype(jnp.int32),
        ],
    ),
    Family(
        2,
        "int",
        "int",
        [
            *(lax.add, lax.sub, lax.mul, lax.max, lax.min, jnp.bitwise_and, jnp.bitwise_or),
            jnp.bitwise_xor,
            lambda x, y: lax.div(x, y | jnp.asarray(1, y.dtype)),
            lambda x, y: lax.rem(x, y | jnp.asarray(1, y.dtype)),
            lambda x, y: x % (y | jnp.asarray(1, y.dtype)),
            lambda x, y: x // (y | jnp.asarray(1, y.dtype)),
        ],
    ),
    Family(
        1,
        "int",
        "int",
        [
            *(lax.neg, jnp.abs, lax.sign, jnp.invert, jnp.cumsum, jnp.sort, jnp.argsort),
            *(lax.square, jnp.flip, lax.population_count),
            lambda x: lax.integer_pow(x, 3),
            lambda x: lax.shift_left(x, jnp.asarray(2, x.dtype)),
            lambda x: lax.shift_right_logical(x, jnp.asarray(1, x.dtype)),
            lambda x: lax.shift_right_arithmetic(x, jnp.asarray(1, x.dtype)),
            lambda x: x.at[jnp.array([1, 1])].add(x[:2]),
            lambda x: jnp.broadcast_to(jnp.sum(x, dtype=x.dtype), x.shape),
            lambda x: jnp.clip(x, 1, 3),
            lambda x: x[jnp.clip(x, 0, x.size - 1)],
        ],
    ),
    Family(2, "int", "bool", [lax.lt, lax.le, lax.gt, lax.ge, lax.eq, lax.ne]),
    Family(2, "bool", "bool", [jnp.logical_and, jnp.logical_or, jnp.logical_xor]),
    Family(1, "bool", "bool", [jnp.logical_not, jnp.flip]),
    Family(1, "bool", "int", [jnp.int32, lambda x: jnp.cumsum(x)]),
    Family(1, "int", "float", [jnp.float32, jnp.float64, lambda x: x.astype(jnp.bfloat16)]),
]
SIZE = 6


class Program(NamedTuple):
    """A program of several steps on constants, all of whose values are outputs."""

    constants: list[Any]
    run: Callable[..., list[Any]]

    def __str__(self) -> str:
        return f"{self.constants}\n{jax.make_jaxpr(self.run)(*self.constants)}"


def random_program(random: np.random.Generator) -> Program:
    """Three constants, and up to ten steps, each applied to values so far."""
    dtype = FLOATS[random.choice(4, p=[0.3, 0.4, 0.15, 0.15])]
    integer = INTEGERS[random.integers(len(INTEGERS))]
    constants = [
        _random_floats(random, dtype),
        _random_floats(random, dtype),
        jnp.asarray(
            random.integers(-5 if jnp.iinfo(integer).min else 0, 40, SIZE), integer
        ),
        jnp.arange(SIZE, dtype=dtype),
        jnp.asarray(random.choice([0, 1, 1j, -2.5, 0.1 + 3j], SIZE), jnp.complex64),
    ]
    values, steps = [jax.typeof(c) for c in constants], []
    for _ in range(int(random.integers(2, 11))):
        step = _random_step(random, values)
        if step is not None:
            steps.append(step[:2])
            values.append(step[2])

    def run(*constants: Any) -> list[Any]:
        found = list(constants)
        for function, operands in steps:
            found.append(function(*(found[k] for k in operands)))
        return found[len(constants) :]

    return Program(constants, run)


def _random_floats(random: np.random.Generator, dtype: Any) -> jax.Array:
    kind = random.integers(5)
    if kind == 0:
        values = random.integers(-4, 5, SIZE)
    elif kind == 1:
        values = random.integers(-40, 41, SIZE) / 10
    elif kind == 2:
        values = random.normal(size=SIZE) * 10.0 ** random.integers(-3, 4, SIZE)
    elif kind == 3:
        values = random.choice([0.0, 0.1, -1.0, 0.5, 1e-30, 1e30, 3.0, 1e-3], SIZE)
    else:
        values = np.linspace(-1, 1, SIZE)
    with np.errstate(over="ignore"):
        return jnp.asarray(values, dtype)


def _random_step(random: np.random.Generator, values: list[Any]) -> Any:
    if random.uniform() < 0.15:
        return _random_choice(random, values)
    family = FAMILIES[int(random.choice(len(FAMILIES), p=_WEIGHTS))]
    fitting = [k for k, v in enumerate(values) if _kind(v.dtype) == family.takes]
    if not fitting:
        return None
    first = int(random.choice(fitting))
    same = [k for k in fitting if values[k].dtype == values[first].dtype]
    operands = [first, *(int(random.choice(same)) for _ in range(family.arity - 1))]
    function = family.functions[int(random.integers(len(family.functions)))]
    return function, operands, _result_type(function, [values[k] for k in operands])


_WEIGHTS = np.array([len(f.functions) ** 0.5 for f in FAMILIES])
_WEIGHTS /= _WEIGHTS.sum()


def _random_choice(random: np.random.Generator, values: list[Any]) -> Any:
    """`where(mask, x, y)`."""
    masks = [k for k, v in enumerate(values) if _kind(v.dtype) == "bool"]
    first = int(random.integers(len(values)))
    same = [k for k, v in enumerate(values) if v.dtype == values[first].dtype]
    if not masks:
        return None
    operands = [int(random.choice(masks)), first, int(random.choice(same))]
    return jnp.where, operands, values[first]


def _result_type(function: Operation, avals: list[Any]) -> Any:
    return jax.make_jaxpr(function)(*avals).out_avals[0]


def _kind(dtype: Any) -> str:
    if np.dtype(bool) == dtype:
        return "bool"
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return "complex"
    return "float" if jnp.issubdtype(dtype, jnp.floating) else "int"


def folded(program: Program) -> list[Bounds | None]:
    """What is known of the values."""
    with jax.numpy_dtype_promotion("standard"):
        closed = jax.make_jaxpr(program.run)(*program.constants)
    consts = [*map(constant, closed.consts)]
    known = _interpret(closed.jaxpr, [*consts, *map(constant, program.constants)])
    return [bounds(value) for value in known]


def _interpret(jaxpr: Any, args: Sequence[Known]) -> list[Known]:
    found = dict(zip((*jaxpr.constvars, *jaxpr.invars), args, strict=True))

    def read(atom: Any) -> Known:
        return constant(atom.val) if isinstance(atom, Literal) else found[atom]

    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        if eqn.primitive.name in ("jit", "pjit"):
            inner = eqn.params["jaxpr"]
            outputs = _interpret(inner.jaxpr, [*map(constant, inner.consts), *inputs])
        else:
            outputs = results(eqn, inputs)
        found |= zip(eqn.outvars, outputs, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def compiled(jit: Jit, programs: Sequence[Program], *, inside: bool) -> list[list[Any]]:
    """The values as XLA computes them, with the constants in the program or not."""

    def run(all_constants: list[list[Any]]) -> list[list[Any]]:
        given = [p.constants for p in programs] if inside else all_constants
        with jax.numpy_dtype_promotion("standard"):
            return [p.run(*own) for p, own in zip(programs, given, strict=True)]

    return jit(run)([program.constants for program in programs])


def violations(known: Bounds | None, value: Any) -> str:
    """How a computed value contradicts what is known; empty if it does not."""
    if known is None:
        return ""
    value, lo, hi = (_widened(np.asarray(side)) for side in (value, known.lo, known.hi))
    if lo.shape not in ((), value.shape):
        return f"shape {lo.shape} for {value.shape}"
    # Nothing is known where a bound is NaN; and a factor of zero counts as zero, although
    # times NaN or infinity it gives NaN.
    wrong = ~((value >= lo) & (value <= hi)) & ~np.isnan(lo) & ~np.isnan(hi)
    wrong &= ~(np.isnan(value) & (lo == 0) & (hi == 0))
    return f"{value} outside of {lo} to {hi}" if wrong.any() else ""


def _widened(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) if _kind(x.dtype) == "float" else x


WAYS = [(jit, inside) for jit in (plain_jit, optimized_jit) for inside in (False, True)]


def check(programs: Sequence[Program]) -> tuple[int, int]:
    """Compare, and count the elements that are known exactly and all of them."""
    exact = total = 0
    known = [folded(program) for program in programs]
    for jit, inside in WAYS:
        results = compiled(jit, programs, inside=inside)
        for program, found, values in zip(programs, known, results, strict=True):
            for number, (one, value) in enumerate(zip(found, values, strict=True)):
                problem = violations(one, value)
                assert not problem, (
                    f"value {number}, {jit}, {inside=}: {problem}\n{program}"
                )
                total += value.size
                if one is not None:
                    exact += int(np.broadcast_to(one.known, value.shape).sum())
    return exact, total


@pytest.mark.parametrize("seed", range(6))
def test_random_programs(seed: int) -> None:
    random = np.random.default_rng(seed)
    exact, total = check([random_program(random) for _ in range(25)])
    assert exact > 0.4 * total


def main(count: int) -> None:
    """Check so many programs."""
    exact = total = 0
    for batch in range(0, count, 50):
        random = np.random.default_rng(10_000 + batch)
        found = check([random_program(random) for _ in range(50)])
        exact, total = exact + found[0], total + found[1]
        print(f"{batch + 50} programs, {exact / total:.0%} of the elements known exactly")


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(int(sys.argv[1]))
