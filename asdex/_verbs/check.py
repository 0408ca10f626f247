"""Verification of sparse derivatives against JAX's dense ones."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact, Int32, Integer, Num

from .._base.errors import VerificationError
from .._base.types import HESSIAN_MODES, check_choice, check_jacobian_mode
from .._call.arguments import Inputs, bind_call
from .._call.flat import FlatCall, flatten
from .._detect import suspicion
from .._evaluate.compress import Linearization, compress, linearize, rows_of
from .._evaluate.decompress import decompress_data
from .._structure.coloring import ColoredPattern

_METHODS = ("matvec", "dense")
_NAMED = 3
"""How many wrong entries a message names."""

_ADVICE = """
If the coloring was made by hand or for another function, make one with {verb}. If the
function has custom derivative rules, or if symmetric=True was promised, check that these
are right. Otherwise this is a bug of asdex, or of a rule given to register_rule: a
detected pattern lacks no entry that can be nonzero. explain_sparsity lists the lines of
the function by which it was found; please report them with the function."""

_DIFFERS = (
    "A sparse derivative differs from JAX's. check_jacobian_correctness or "
    "check_hessian_correctness, called at this point, says where."
)


def check_jacobian_correctness(
    f: Callable[..., Any],
    x: Any,
    coloring: ColoredPattern,
    *,
    method: Literal["matvec", "dense"] = "matvec",
    num_probes: int = 3,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Compare the sparse Jacobian of `f` at `x` with JAX's own.

    **Arguments:**

    - `x`: the argument of `f`; a tuple of all of them if the coloring was made from more
        than one.
    - `coloring`: what `jacobian_from_coloring` would be called with.
    - `method`: `"matvec"` compares products with random vectors, which finds any missing
        entry for the price of few passes; `"dense"` compares all entries, for the price of
        the dense Jacobian.
    - `num_probes`, `seed`: number of random vectors, and what they are drawn from.
    - `rtol`, `atol`: how far a number may be off, relative to the terms it is a sum of,
        and absolutely. By default `eps ** (2 / 3)` of the dtype, and that times the
        largest number.

    **Raises:** `VerificationError` naming the first wrong entries and, if the pattern
    lacks one, the suspected equation of `f` with its line: that at which detection loses
    the entry, or, if it does not, the one that makes it. `ValueError` for an unknown
    method, a coloring for a Hessian, or arguments that do not fit the coloring.
    """
    check_jacobian_mode(coloring.mode)
    tolerance = _Tolerance(rtol, atol)
    _check(f, x, coloring, "Jacobian", method, num_probes, seed, tolerance)


def check_hessian_correctness(
    f: Callable[..., Any],
    x: Any,
    coloring: ColoredPattern,
    *,
    method: Literal["matvec", "dense"] = "matvec",
    num_probes: int = 3,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Compare the sparse Hessian of the scalar function `f` at `x` with JAX's own.

    See `check_jacobian_correctness` for the arguments and errors.
    """
    check_choice("mode", coloring.mode, HESSIAN_MODES)
    tolerance = _Tolerance(rtol, atol)
    _check(f, x, coloring, "Hessian", method, num_probes, seed, tolerance)


def with_check(
    result: Num[Array, "..."],
    values: Num[Array, " nnz"],
    order: Integer[np.ndarray, " nnz"] | None,
    linearization: Linearization,
    coloring: ColoredPattern,
) -> Num[Array, "..."]:
    """`result`, once the values of the entries in the given order have been checked.

    Compares the product with one random vector, at every call and also under `jax.jit`;
    if it differs, the program raises an error when it runs. Cost: one pass more, and
    O(nnz).
    """
    sides = _Sides.of(coloring, order)
    probe = _probe(np.random.default_rng(0), sides.seeds, linearization.seed_dtype)
    product = _product(values, probe, linearization, sides)
    is_wrong = product.is_wrong(_Tolerance(None, None)).any()
    return eqx.error_if(result, is_wrong, _DIFFERS)


class _Tolerance(NamedTuple):
    rtol: float | None
    atol: float | None

    def allowed(self, scale: Num[Array, "..."]) -> Num[Array, "..."]:
        """How far numbers of these magnitudes may be off."""
        rtol = self.rtol
        if rtol is None:
            rtol = float(jnp.finfo(scale.dtype).eps) ** (2 / 3)
        finite = jnp.where(jnp.isfinite(scale), scale, 0)
        atol = rtol * finite.max(initial=0) if self.atol is None else self.atol
        return rtol * scale + atol


class _Sides(NamedTuple):
    """The pattern as the linear map sees it: from what is seeded to what comes out."""

    seeded: Int32[np.ndarray, " nnz"]
    along: Int32[np.ndarray, " nnz"]
    seeds: int
    dim: int
    by_rows: bool

    @classmethod
    def of(
        cls, coloring: ColoredPattern, order: Integer[np.ndarray, " nnz"] | None = None
    ) -> "_Sides":
        rows, cols = coloring.sparsity.rows, coloring.sparsity.cols
        if order is not None:
            rows, cols = rows[order], cols[order]
        if coloring.mode == "rev":
            return cls(rows, cols, *coloring.sparsity.shape, by_rows=True)
        return cls(cols, rows, *reversed(coloring.sparsity.shape), by_rows=False)

    def has(self, seeded: int, along: int) -> bool:
        """Whether the pattern has an entry there."""
        return bool(((self.seeded == seeded) & (self.along == along)).any())

    def entry(self, seeded: int, along: int) -> tuple[int, int]:
        """The row and the column."""
        return (seeded, along) if self.by_rows else (along, seeded)


class _Product(NamedTuple):
    """One product of the matrix with a vector, by JAX and from the sparse values."""

    expected: Num[Array, "..."]
    found: Num[Array, "..."]
    scale: Num[Array, "..."]  # The sum of the magnitudes of the terms.

    def is_wrong(self, tolerance: _Tolerance) -> Bool[Array, "..."]:
        off = jnp.abs(self.expected - self.found) > tolerance.allowed(self.scale)
        return off | (jnp.isfinite(self.expected) != jnp.isfinite(self.found))


def _probe(rng: np.random.Generator, size: int, dtype: Any) -> Inexact[Array, " size"]:
    """A random vector without small elements, so that no entry goes unnoticed.

    It is a constant of the program: random numbers made inside would take longer than
    the product.
    """
    signs = rng.choice([-1.0, 1.0], size)
    return jnp.asarray(signs * rng.uniform(0.5, 1.5, size), dtype)


def _product(
    values: Num[Array, " nnz"],
    probe: Inexact[Array, " seeds"],
    linearization: Linearization,
    sides: _Sides,
) -> _Product:
    expected = linearization.apply(probe)
    terms = values * probe.astype(values.dtype)[sides.seeded]
    found = jnp.zeros(sides.dim, values.dtype).at[sides.along].add(terms)
    magnitude = jnp.abs(expected).at[sides.along].add(jnp.abs(terms))
    return _Product(expected, found, magnitude)


# -- Outside of jit ----------------------------------------------------------------------


def _check(
    f: Callable[..., Any],
    x: Any,
    coloring: ColoredPattern,
    name: str,
    method: str,
    num_probes: int,
    seed: int,
    tolerance: _Tolerance,
) -> None:
    check_choice("method", method, _METHODS)
    if num_probes <= 0:
        raise ValueError(f"num_probes must be positive. Got {num_probes}.")
    call = _flat_call(f, x, coloring)
    compare, dtype = _comparison(call, coloring)
    sides = _Sides.of(coloring)
    if method == "dense":
        wrong = _wrong_entries(compare, jnp.eye(sides.seeds, dtype=dtype), tolerance)
    else:
        wrong, rng = [], np.random.default_rng(seed)
        for _ in range(num_probes):
            probe = _probe(rng, sides.seeds, dtype)
            wrong = wrong or _wrong_by_probe(compare, probe, sides, tolerance)
    if wrong:
        message = _message(wrong, compare, dtype, coloring, name)
        message += _suspicion(wrong, call, coloring)
        raise VerificationError(message + _ADVICE.format(verb=f"{name.lower()}_coloring"))


Comparison = Callable[[Inexact[Array, " seeds"]], _Product]


def _flat_call(f: Callable[..., Any], x: Any, coloring: ColoredPattern) -> FlatCall:
    inputs = Inputs.of(coloring.sparsity)
    args = x if len(inputs.avals) > 1 else (x,)
    bound = bind_call(f, inputs, args, {}, forward_keywords=False)
    is_hessian = coloring.mode in HESSIAN_MODES
    return flatten(bound, inputs, has_aux=False, scalar=is_hessian)


def _comparison(call: FlatCall, coloring: ColoredPattern) -> tuple[Comparison, Any]:
    """A compiled function that compares the product with one vector, and its dtype."""
    holomorphic = jnp.iscomplexobj(call.x)

    def linearize_at(x: Inexact[Array, " n"], others: list[Any]) -> Linearization:
        def fun(x: Inexact[Array, " n"]) -> Any:
            return call.fun(x, others)

        return linearize(fun, x, coloring.mode, holomorphic=holomorphic)[0]

    @jax.jit
    def compare(
        x: Inexact[Array, " n"], others: list[Any], probe: Inexact[Array, " seeds"]
    ) -> _Product:
        linearization = linearize_at(x, others)
        rows = rows_of(linearization, coloring)
        compressed = compress(rows, coloring.num_colors, None)
        values = decompress_data(compressed, coloring)
        return _product(values, probe, linearization, _Sides.of(coloring))

    # In reverse mode the dtype of a probe is that of the output, known by tracing only.
    dtypes: list[Any] = []
    jax.eval_shape(
        lambda x, others: dtypes.append(linearize_at(x, others).seed_dtype),
        call.x,
        call.others,
    )
    return partial(compare, call.x, call.others), dtypes[0]


def _wrong_entries(
    compare: Comparison, basis: Inexact[Array, "seeds seeds"], tolerance: _Tolerance
) -> list[tuple[int, int]]:
    """All wrong entries, as pairs of a seed and where it comes out."""
    is_wrong = jax.vmap(compare)(basis).is_wrong(tolerance)
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(is_wrong), strict=True)]


def _wrong_by_probe(
    compare: Comparison,
    probe: Inexact[Array, " seeds"],
    sides: _Sides,
    tolerance: _Tolerance,
) -> list[tuple[int, int]]:
    """One wrong entry for each of the first elements of the product that are wrong.

    The seed is found by bisection: of two halves of the probe, one makes the greater part
    of the difference. If the pattern lacks entries, it is one of those, not one whose
    value they spoil.
    """

    def compare_within(seeds: Integer[np.ndarray, " within"]) -> _Product:
        inside = np.isin(np.arange(probe.size), seeds).astype(probe.dtype)
        return compare(probe * inside)

    def difference(half: Integer[np.ndarray, " half"], line: int) -> float:
        product = compare_within(half)
        return float(jnp.abs(product.expected - product.found)[line])

    found: list[tuple[int, int]] = []
    for line in np.flatnonzero(compare(probe).is_wrong(tolerance))[:_NAMED].tolist():
        every = np.arange(probe.size)
        suspects = np.setdiff1d(every, sides.seeded[sides.along == line])
        if not compare_within(suspects).is_wrong(tolerance)[line]:
            suspects = every
        while suspects.size > 1:
            halves = np.array_split(suspects, 2)
            suspects = max(halves, key=lambda half: difference(half, line))
        found.append((int(suspects[0]), line))
    return found


def _message(
    wrong: list[tuple[int, int]],
    compare: Comparison,
    dtype: Any,
    coloring: ColoredPattern,
    name: str,
) -> str:
    pattern, sides = coloring.sparsity, _Sides.of(coloring)
    lines = [f"The sparse {name} differs from JAX's at this point:"]
    for seeded, along in wrong[:_NAMED]:
        product = compare(jnp.zeros(sides.seeds, dtype).at[seeded].set(1))
        is_entry = sides.has(seeded, along)
        found = f"{product.found[along]}" if is_entry else "not in the pattern"
        row, col = sides.entry(seeded, along)
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
    """What detection has to say of the first entry that the pattern lacks, in a line."""
    pattern, sides = coloring.sparsity, _Sides.of(coloring)
    lacking = [entry for entry in wrong if not sides.has(*entry)]
    if not lacking:
        return ""
    row, col = sides.entry(*lacking[0])
    fun = call.fun
    if coloring.mode in HESSIAN_MODES:
        fun = jax.grad(fun, has_aux=True, holomorphic=jnp.iscomplexobj(call.x))
    try:
        found = suspicion(
            fun, call.x, call.others, row=row, col=col, local=pattern.is_local
        )
    except Exception:
        # The program is run equation by equation, through rules that may be wrong: what
        # this meets must not hide what has been found.
        return ""
    return found and f"\n{found}"
