"""The table of functions on which detection and differentiation are checked.

A row states facts about one function: how to make arguments for it, whether its
detected pattern must be exact, which AD modes JAX can use on it. The functions are in
one file per family; importing `tests.helpers` fills the table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

Maker: TypeAlias = Callable[[np.random.Generator, np.dtype], tuple[Any, ...]]
"""Makes the positional arguments of a function: random, of the given real dtype."""

JACOBIAN_MODES = ("fwd", "rev")
HESSIAN_MODES = ("fwd_over_rev", "rev_over_fwd", "rev_over_rev")


@dataclass(frozen=True, eq=False)
class Case:
    """One function and the facts that tests may rely on.

    - `exact`: `"yes"` if the detected pattern must equal the union of the nonzeros over
        all points; with `"no"` it only has to contain them (cancellations, values that
        are unknown to a global analysis).
    - `scalar`: the function is one for Hessians.
    - `core`: small and typical; compared in all modes, formats and transformations.
    - `modes`: AD modes that JAX itself can use on the function.
    - `edges`: whether points with zeros and ties are in the domain of the function.
    - `tolerance`: relative error to allow for beyond that of the dtype, where the function
        rounds to a narrower one.
    """

    name: str
    fun: Callable[..., Any]
    make: Maker
    argnums: int | tuple[int, ...] = 0
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    exact: Literal["yes", "no"] = "yes"
    scalar: bool = False
    core: bool = False
    modes: tuple[str, ...] = JACOBIAN_MODES
    edges: bool = True
    tolerance: float = 0.0

    def __repr__(self) -> str:
        return self.name


TABLE: dict[str, Case] = {}


Register: TypeAlias = Callable[..., None]
Decorator: TypeAlias = Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]]


def family(prefix: str) -> tuple[Register, Decorator]:
    """The two ways to add a row to the family called `prefix`.

    `register(name, fun, make, **facts)` adds `fun`; `@case(make, **facts)` adds the
    decorated function under its own name.
    """

    def register(name: str, fun: Callable[..., Any], make: Maker, **facts: Any) -> None:
        name = f"{prefix}-{name}"
        if name in TABLE:
            raise ValueError(f"Two cases are called {name}.")
        if facts.get("scalar"):
            facts.setdefault("modes", HESSIAN_MODES)
        TABLE[name] = Case(name, fun, make, **facts)

    def case(make: Maker, **facts: Any) -> Callable[..., Any]:
        def add(fun: Callable[..., Any]) -> Callable[..., Any]:
            register(fun.__name__, fun, make, **facts)
            return fun

        return add

    return register, case


def cases(**wanted: Any) -> list[Case]:
    """The rows whose fields have these values."""
    return [
        row
        for row in TABLE.values()
        if all(getattr(row, name) == value for name, value in wanted.items())
    ]


def normal(*shapes: int | Sequence[int]) -> Maker:
    """One array of standard normal numbers per shape; an `int` means a vector."""

    def make(rng: np.random.Generator, dtype: np.dtype) -> tuple[Any, ...]:
        return tuple(np.asarray(rng.standard_normal(shape), dtype) for shape in shapes)

    return make


def uniform(low: float, high: float, *shapes: int | Sequence[int]) -> Maker:
    """One array of numbers between `low` and `high` per shape."""

    def make(rng: np.random.Generator, dtype: np.dtype) -> tuple[Any, ...]:
        return tuple(np.asarray(rng.uniform(low, high, shape), dtype) for shape in shapes)

    return make


def followed_by(make: Maker, *constants: Any) -> Maker:
    """The same arguments, then the given ones, which never change."""

    def make_all(rng: np.random.Generator, dtype: np.dtype) -> tuple[Any, ...]:
        return (*make(rng, dtype), *constants)

    return make_all


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf is an array that can be differentiated."""
    return isinstance(leaf, np.ndarray | np.generic | jax.Array) and jnp.issubdtype(
        leaf.dtype, np.inexact
    )
