"""A call of the user's function as a program: all that one trace shows of the function."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer, eval_jaxpr
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import Array, Inexact

from .._base.compat import without_constants
from .._base.sharding import automatic_axes, automatically, has_explicit_axes
from .._base.types import PyTree
from .content import Content, content_of
from .flat import FlatCall, Output
from .space import Space


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """The user's function for arguments of certain types, less its constants.

    The first inputs of its `jaxpr` are the constants.
    """

    jaxpr: Jaxpr
    domain: Space
    output: Output
    scalar: bool
    is_explicit: bool
    """Whether it names explicit axes of a mesh."""

    @property
    def codomain(self) -> Space:
        """What the function returns, less its auxiliary output."""
        return self.output.space

    def run(
        self, consts: Sequence[Any], x: Inexact[Array, " n"], others: Sequence[Any]
    ) -> tuple[Inexact[Array, "..."], list[Array]]:
        """The flat output, and the arrays that `split` takes."""
        run = self._run if self.is_explicit else automatically(self._run)
        return run(x, others, consts)

    def _run(
        self, x: Inexact[Array, " n"], others: Sequence[Any], consts: Sequence[Any]
    ) -> tuple[Inexact[Array, "..."], list[Array]]:
        outputs = eval_jaxpr(self.jaxpr, (), *consts, *self.domain.unpack(x), *others)
        arrays = list(map(_as_array, outputs))
        leaves, _ = self.split(arrays)
        return leaves[0] if self.scalar else self.codomain.pack(leaves), arrays

    def split(self, arrays: list[Array]) -> tuple[list[Array], list[Array]]:
        """The leaves of the output, and the arrays of the auxiliary output."""
        count = len(self.codomain.shapes)
        return arrays[:count], arrays[count:]

    def value(self, leaves: Sequence[Array]) -> PyTree:
        """The output as the function returned it."""
        return jax.tree.unflatten(self.codomain.treedef, leaves)

    def aux(self, arrays: Sequence[Array]) -> PyTree:
        """The auxiliary output as the function returned it."""
        found = jax.tree.unflatten(self.output.aux_treedef, arrays)
        return eqx.combine(found, self.output.aux)


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """A program with its constants, as the function is at the time of the trace."""

    program: Program
    consts: list[Any]

    def __call__(
        self, x: Inexact[Array, " n"], others: Sequence[Any]
    ) -> tuple[Inexact[Array, "..."], list[Array]]:
        """The flat output, and what else the function returns."""
        return self.program.run(self.consts, x, others)

    @property
    def settled(self) -> "Trace":
        """The same with copies of the constants, to be kept.

        A constant of NumPy that JAX has converted to another dtype is used in place of
        the original as long as it exists, although the original may have changed.
        """
        consts = [c if isinstance(c, Tracer) else as_constant(c) for c in self.consts]
        return Trace(self.program, consts)

    def content(self, order: int) -> Content | None:
        """What two traces are compared by, without their constants; see `content_of`."""
        if (content := content_of(self.program.jaxpr, order)) is None:
            return None
        spaces = self.program.domain, self.program.codomain
        types = tuple((space.shapes, space.dtypes) for space in spaces)
        return content._replace(pattern=(content.pattern, types))


def trace(call: FlatCall) -> Trace:
    """Trace a call once, with arguments of which only the types are known, and axes of a
    mesh that are automatic. A function that names explicit axes, and so cannot be traced
    like that, is traced again with these.

    **Raises:** what the function raises, with a note on errors of tracing.
    """
    found: list[Output] = []

    def fun(active: list[Any], others: list[Any]) -> list[Array]:
        arrays, output = call.fun(active, others)
        found.append(output)
        return arrays

    def run() -> ClosedJaxpr:
        return jax.make_jaxpr(fun)(call.active, call.other_types)

    closed = _with_automatic_axes(run) if has_explicit_axes() else None
    is_explicit = has_explicit_axes() and closed is None
    if closed is None:
        with _advice_on_tracing():
            closed = run()
    program = Program(
        without_constants(closed), call.domain, found[-1], call.scalar, is_explicit
    )
    return Trace(program, list(closed.consts))


def _with_automatic_axes(run: Callable[[], ClosedJaxpr]) -> ClosedJaxpr | None:
    try:
        with automatic_axes(jax.sharding.get_abstract_mesh()):
            return run()
    except Exception:  # Of whatever type: if it is the function's own, it is raised again.
        return None


def as_constant(const: Any) -> jax.Array:
    """A constant as an array of JAX that shares nothing with one of NumPy."""
    if isinstance(const, jax.Array):
        return const
    with jax.ensure_compile_time_eval():
        return jnp.array(np.asarray(const))  # A copy: the original may change in place.


def _as_array(value: Any) -> Array:
    return value if isinstance(value, jax.Array) else jnp.asarray(np.asarray(value))


@contextlib.contextmanager
def _advice_on_tracing() -> Iterator[None]:
    try:
        yield
    except (jax.errors.JAXTypeError, ValueError) as error:
        # An argument of `jax.jit` that must be static and is not is a ValueError of JAX.
        if isinstance(error, ValueError) and "static arguments" not in str(error):
            raise
        error.add_note(
            "asdex traces the function with abstract values, as jax.jit does. Arguments "
            "that decide about control flow or shapes must be static: pass them as bool, "
            "int or str, or bind them with functools.partial."
        )
        raise
