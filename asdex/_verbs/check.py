"""Verification of sparse derivatives against JAX's dense ones."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Integer, Num

from .._base.errors import VerificationError
from .._base.types import HESSIAN_MODES, check_choice, check_jacobian_mode
from .._call.arguments import bind_call
from .._call.flat import FlatCall, flatten
from .._call.trace import trace
from .._detect import suspicion
from .._evaluate.compress import Linearization, compress, linearize, rows_of
from .._evaluate.decompress import decompress_data
from .._evaluate.probe import (
    Product,
    Tolerance,
    compare_products,
    random_probe,
)
from .._structure.coloring import ColoredPattern
from .._structure.sides import Side
from .colorings import hessian_coloring, jacobian_coloring

_METHODS = ("matvec", "dense")
_NAMED = 3
"""How many wrong entries a message names."""

_ADVICE = """
If the coloring was made by hand or for another function, make one with {verb}. If the
function has custom derivative rules, or if symmetric=True was promised, check that these
are right. Otherwise this is a bug of asdex, or of a rule given to register_rule: a
detected pattern lacks no entry that can be nonzero. explain_sparsity lists the lines of
the function by which it was found; please report them with the function."""


def check_jacobian_correctness(
    f: Callable[..., Any],
    *args: Any,
    coloring: ColoredPattern | None = None,
    method: Literal["matvec", "dense"] = "matvec",
    num_probes: int = 3,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    **kwargs: Any,
) -> None:
    """Compare the sparse Jacobian of `f` at these arguments with JAX's own.

    **Arguments:**

    - `*args`, `**kwargs`: the arguments of `f`, with values.
    - `coloring`: what `jacobian_from_coloring` would be called with. It may also be the
        last of `*args`. By default, one is made for the detected pattern, that of which
        `jacobian` computes the entries.
    - `method`: `"matvec"` compares products with random vectors, which finds any missing
        entry at the cost of few passes; `"dense"` compares all entries, at the cost of the
        dense Jacobian.
    - `num_probes`, `seed`: number of random vectors, and what they are drawn from.
    - `rtol`, `atol`: the error allowed for a number, relative to the terms it is a sum of,
        and absolute. By default `eps ** (2 / 3)` of the dtype, and that times the largest
        number, in addition to some times the rounding errors of numbers that cancel within
        the function.

    **Raises:** `VerificationError` naming the first wrong entries and, if the pattern
    lacks one, the suspected equation of `f` with its line: that at which detection loses
    the entry, or, if it does not, the one that makes it. `TypeError` for a coloring of
    another type; `ValueError` for an unknown method, a coloring for a Hessian, or arguments
    that do not fit the coloring.
    """
    args, given = _split(args, coloring)
    coloring = given or jacobian_coloring(f, *args, **kwargs)
    check_jacobian_mode(coloring.mode)
    call = _flat_call(f, args, kwargs, coloring)
    probes = Probes(method, num_probes, seed, Tolerance(rtol, atol))
    _check(call, coloring, "Jacobian", probes)


def check_hessian_correctness(
    f: Callable[..., Any],
    *args: Any,
    coloring: ColoredPattern | None = None,
    method: Literal["matvec", "dense"] = "matvec",
    num_probes: int = 3,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    **kwargs: Any,
) -> None:
    """Compare the sparse Hessian of the scalar function `f` with JAX's own.

    See `check_jacobian_correctness` for the arguments and errors.
    """
    args, given = _split(args, coloring)
    coloring = given or hessian_coloring(f, *args, **kwargs)
    check_choice("mode", coloring.mode, HESSIAN_MODES)
    call = _flat_call(f, args, kwargs, coloring)
    probes = Probes(method, num_probes, seed, Tolerance(rtol, atol))
    _check(call, coloring, "Hessian", probes)


def _split(
    args: tuple[Any, ...], coloring: ColoredPattern | None
) -> tuple[tuple[Any, ...], ColoredPattern | None]:
    """The arguments of the function, and the coloring if there is one."""
    if coloring is None and args and isinstance(args[-1], ColoredPattern):
        return args[:-1], args[-1]
    if isinstance(coloring, ColoredPattern | None):
        return args, coloring
    raise TypeError(
        "coloring must be a ColoredPattern, as jacobian_coloring returns it and, for a "
        f"pattern, jacobian_coloring_from_sparsity. Got {type(coloring).__name__}."
    )


class Probes(NamedTuple):
    """By which vectors a derivative is compared, and when it counts as wrong."""

    method: str
    number: int
    seed: int
    tolerance: Tolerance


def _check(call: FlatCall, coloring: ColoredPattern, name: str, probes: Probes) -> None:
    check_choice("method", probes.method, _METHODS)
    if probes.number <= 0:
        raise ValueError(f"num_probes must be positive. Got {probes.number}.")
    compare, dtype = _comparison(call, coloring, probes.tolerance)
    side, tolerance = coloring.sides[0], probes.tolerance
    if probes.method == "dense":
        wrong = _wrong_entries(compare, jnp.eye(side.colors.size, dtype=dtype), tolerance)
    else:
        wrong, rng = [], np.random.default_rng(probes.seed)
        for _ in range(probes.number):
            probe = random_probe(rng, side.colors.size, dtype)
            wrong = wrong or _wrong_by_probe(compare, probe, side, tolerance)
    if wrong:
        message = _message(wrong, compare, dtype, coloring, name)
        message += _suspicion(wrong, call, coloring)
        raise VerificationError(message + _ADVICE.format(verb=f"{name.lower()}_coloring"))


Comparison = Callable[[Inexact[Array, " seeds"]], Product]


def _flat_call(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    coloring: ColoredPattern,
) -> FlatCall:
    inputs = coloring.sparsity.inputs
    bound = bind_call(f, inputs, args, kwargs)
    is_hessian = coloring.mode in HESSIAN_MODES
    return flatten(bound, inputs, has_aux=False, scalar=is_hessian)


def _comparison(
    call: FlatCall, coloring: ColoredPattern, tolerance: Tolerance
) -> tuple[Comparison, Any]:
    """A compiled function that compares the product with one vector, and its dtype."""
    vector, values = call.vector, call.domain.pack(call.values)
    holomorphic = jnp.iscomplexobj(vector)

    traced = trace(call)

    def linearize_at(x: Inexact[Array, " n"], others: list[Any]) -> list[Linearization]:
        def fun(x: Inexact[Array, " n"]) -> Any:
            return traced(x, others)

        return linearize(fun, x, coloring.mode, holomorphic=holomorphic)[0]

    @jax.jit
    def compare(
        x: Inexact[Array, " n"], others: list[Any], probe: Inexact[Array, " seeds"]
    ) -> Product:
        linear_maps = linearize_at(x, others)
        rows, side = rows_of(linear_maps, coloring), coloring.sides[0]

        def values_in_chunks(size: int | None) -> Num[Array, " nnz"]:
            return decompress_data(compress(rows, size), coloring)

        return compare_products(
            values_in_chunks(None),
            probe,
            linear_maps[0],
            side,
            tolerance,
            partial(values_in_chunks, 1),
        )

    # In reverse mode the dtype of a probe is that of the output, known by tracing only.
    dtypes: list[Any] = []
    jax.eval_shape(
        lambda x, others: dtypes.append(linearize_at(x, others)[0].seed_dtype),
        vector,
        call.others,
    )
    return partial(compare, values, call.others), dtypes[0]


def _wrong_entries(
    compare: Comparison, basis: Inexact[Array, "seeds seeds"], tolerance: Tolerance
) -> list[tuple[int, int]]:
    """All wrong entries, as pairs of a seed and where it comes out, unless each seed has a
    right product if that is computed alone."""
    is_wrong = jax.vmap(compare)(basis).is_wrong(tolerance)
    wrong = [(int(i), int(j)) for i, j in zip(*np.nonzero(is_wrong), strict=True)]
    seeds = sorted({seed for seed, _ in wrong})
    is_real = any(compare(basis[seed]).is_wrong(tolerance).any() for seed in seeds)
    return wrong if is_real else []


def _wrong_by_probe(
    compare: Comparison, probe: Inexact[Array, " seeds"], side: Side, tolerance: Tolerance
) -> list[tuple[int, int]]:
    """One wrong entry for each of the first elements of the product that are wrong.

    The seed is found by bisection: of two halves of the probe, one makes the greater part
    of the difference. If the pattern lacks entries, it is one of those, not one that has
    a wrong value because of them. An entry that is right if it is computed alone differs by
    rounding errors of numbers that cancel in the function.
    """

    def compare_within(seeds: Integer[np.ndarray, " within"]) -> Product:
        inside = np.isin(np.arange(probe.size), seeds).astype(probe.dtype)
        return compare(probe * inside)

    def difference(half: Integer[np.ndarray, " half"], line: int) -> float:
        product = compare_within(half)
        return float(jnp.abs(product.expected - product.found)[line])

    found: list[tuple[int, int]] = []
    for line in np.flatnonzero(compare(probe).is_wrong(tolerance))[:_NAMED].tolist():
        every = np.arange(probe.size)
        suspects = np.setdiff1d(every, side.seeded[side.along == line])
        if not compare_within(suspects).is_wrong(tolerance)[line]:
            suspects = every
        while suspects.size > 1:
            halves = np.array_split(suspects, 2)
            suspects = max(halves, key=lambda half: difference(half, line))
        if compare_within(suspects).is_wrong(tolerance)[line]:
            found.append((int(suspects[0]), line))
    return found


def _message(
    wrong: list[tuple[int, int]],
    compare: Comparison,
    dtype: Any,
    coloring: ColoredPattern,
    name: str,
) -> str:
    pattern, side = coloring.sparsity, coloring.sides[0]
    lines = [f"The sparse {name} differs from JAX's at this point:"]
    for seeded, along in wrong[:_NAMED]:
        product = compare(jnp.zeros(side.colors.size, dtype).at[seeded].set(1))
        is_entry = side.has(seeded, along)
        found = f"{product.found[along]}" if is_entry else "not in the pattern"
        row, col = side.entry(seeded, along)
        lines.append(
            f"  row {row}, column {col}: {found}, by JAX {product.expected[along]}"
        )
    if len(wrong) > _NAMED:
        lines.append(f"  and {len(wrong) - _NAMED} more entries")
    lines.append(f"The pattern has shape {pattern.shape} and {pattern.nnz} entries.")
    return "\n".join(lines)


def _suspicion(
    wrong: list[tuple[int, int]], call: FlatCall, coloring: ColoredPattern
) -> str:
    """Why the pattern lacks the first of these entries, in a line."""
    pattern, side = coloring.sparsity, coloring.sides[0]
    lacking = [entry for entry in wrong if not side.has(*entry)]
    if not lacking:
        return ""
    row, col = side.entry(*lacking[0])
    fun, x = trace(call), call.domain.pack(call.values)
    if coloring.mode in HESSIAN_MODES:
        fun = jax.grad(fun, has_aux=True, holomorphic=jnp.iscomplexobj(x))
    try:
        found = suspicion(fun, x, call.others, row=row, col=col, local=pattern.is_local)
    except Exception as error:
        # The program is run equation by equation, through rules that may be wrong: what
        # this meets, of any type, must not hide what has been found.
        found = f"Why could not be found out: {type(error).__name__} in a rule or program."
    return found and f"\n{found}"
