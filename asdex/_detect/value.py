"""Values of the interpreted program, and what the equations of one detection share."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from weakref import WeakSet

import numpy as np
from jax.core import ShapedArray
from jax.extend.core import JaxprEqn, Var
from jaxtyping import Shaped

from .coefficients import Coefficients, NoCoefficients
from .dependence import Dependence
from .folding import Bounds
from .folding.bounds import only_zeros
from .known import UNKNOWN, Known, Status, StepwiseValueNeeded, bounds, evaluate
from .terms import Base, Shape
from .vanishing import vanishing


@dataclass(slots=True, eq=False)
class Value:
    """A value of the interpreted program: its type, what it depends on (`None`:
    on no input), and, in that case, what is known of it and where it is computed."""

    aval: Any
    dependence: Dependence | None = None
    known: Known = UNKNOWN
    array: Any = None
    """What it is in the emitted program, if coefficients are followed."""
    parts: tuple[Dependence, Dependence] | None = None
    """What the real and the imaginary part depend on, if that is followed; see `parts`."""
    selected: "Selected | None" = None
    """At which indices its elements were read, if that is followed; see `selection`."""

    @property
    def shape(self) -> Shape:
        """Shape of the value."""
        return self.aval.shape


def bare(value: Value) -> Value:
    """The value without coefficients."""
    if value.dependence is None:
        return value
    return replace(value, dependence=value.dependence.bare)


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """Each element depends on one of `source`, which `choice` names, and on those that
    `rest`, of the shape of the value, depends on at its place."""

    choice: Hashable
    indices: Value
    """Kept alive, since `choice` has its identity."""
    source: Dependence
    rest: Dependence


class ConservativeRuleNeeded(Exception):
    """No other rule covers an equation of a program that was tried."""


@dataclass(slots=True, eq=False)
class Scope:
    """What all equations of one detection share: the number of inputs `n` that the
    dependences refer to, and notes that the rules make."""

    n: int
    notes: "Notes"
    follow_masks: bool = True
    """Whether a loop is followed step by step for the sake of a mask."""

    local: bool = False
    """Whether the values of all arguments are known, and may be computed at any cost."""

    callers: tuple[JaxprEqn, ...] = ()
    """The equations that called this program, outermost first."""

    emits: bool = False
    """Whether coefficients are followed: what they are made of is computed by a program
    that is emitted on the way."""

    @classmethod
    def empty(cls) -> "Scope":
        """A scope without inputs, to derive others from."""
        return cls(0, Notes())

    is_tentative: bool = False
    """Whether the conservative rule is not used: `ConservativeRuleNeeded` is raised."""

    of_supports: bool = False
    """Whether dependence says only where elements are zero; see `supports`."""

    def called_by(self, eqn: JaxprEqn) -> "Scope":
        """The scope of a program that `eqn` calls."""
        return replace(self, callers=(*self.callers, eqn))

    def within(self, n: int) -> "Scope":
        """The scope of a program on `n` inputs of its own."""
        trail = self.notes.trail
        trail = trail if trail is not None and trail.within_loops else None
        return replace(self, n=n, notes=replace(self.notes, trail=trail))

    def value(self, operand: Value) -> Shaped[np.ndarray, "..."] | None:
        """The value of an operand, `None` if it is unknown. For indices and predicates:
        asking for one that changes with a loop's steps makes the loop be followed."""
        return evaluate(operand.known)

    def apart(self) -> "Scope":
        """The scope of a program that JAX does not differentiate."""
        shared = self.notes.conservative, self.notes.without_coefficients
        notes = Notes(conservative=shared[0], without_coefficients=shared[1])
        return replace(self, notes=notes, of_supports=False)

    def factor(self, operand: Value) -> Coefficients:
        """An operand by which coefficients are multiplied: constant if its value is known
        exactly. `None` if coefficients are not followed."""
        if not self.emits:
            return None
        found = bounds(operand.known, thorough=False)
        if found is not None and found.is_exact:
            return np.broadcast_to(np.asarray(found.lo, operand.aval.dtype), operand.shape)
        return operand.array

    def dtype_of(self, operand: Value) -> Any:
        """The dtype of the coefficients of an operand, `None` if they are not followed."""
        return operand.aval.dtype if self.emits else None

    def lacks_coefficients(self, eqn: JaxprEqn) -> None:
        """Say that the dependence of the results of an equation has no coefficients."""
        self.notes.without_coefficients.add(eqn.primitive.name)
        if self.emits:
            raise NoCoefficients(eqn.primitive.name)

    def partial_value(self, operand: Value) -> Bounds | None:
        """What is known of an operand in every step of a loop, `None` if that is nothing.
        For coefficients and masks, for which it is seldom worth following a loop."""
        if operand.dependence is not None:
            return None
        thorough = self.local and operand.known.status is Status.KNOWN
        return bounds(operand.known, thorough=thorough)

    def coefficient(self, operand: Value) -> Bounds | None:
        """Like `partial_value`, for a factor: what is zero unless it is not a number
        counts as zero."""
        found = self.partial_value(operand)
        zero = None if operand.dependence is not None else vanishing(operand.known)
        if zero is None:
            return found
        if found is None:
            return only_zeros(zero, operand.aval.dtype)
        return Bounds(np.where(zero, 0, found.lo), np.where(zero, 0, found.hi))

    def predicate(self, operand: Value) -> Bounds | None:
        """Like `partial_value`, but a value that is made of constants is found at any
        cost, also by following a loop that is not long: what a predicate excludes is
        structure, not chance."""
        if operand.dependence is not None:
            return None
        if operand.known.status is Status.STEPWISE and self.follow_masks:
            raise StepwiseValueNeeded
        return bounds(operand.known, thorough=operand.known.status is Status.KNOWN)

    def indices(self, operand: Value) -> Bounds | None:
        """The bounds of indices, which are worth any cost: asking for one that changes
        with a loop's steps makes the loop be followed."""
        if operand.dependence is not None:
            return None
        if operand.known.status is Status.STEPWISE:
            raise StepwiseValueNeeded
        found = bounds(operand.known)
        is_unsigned = np.issubdtype(operand.aval.dtype, np.unsignedinteger)
        if found is not None and is_unsigned and (found.hi > np.iinfo(np.int32).max).any():
            return None  # XLA takes a constant of so many bits for a negative number.
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """An equation with the values it found and made, some of which are active."""

    eqn: JaxprEqn
    operands: Sequence[Value]
    outputs: Sequence[Value]
    callers: Sequence[JaxprEqn]


@dataclass(slots=True, eq=False)
class Trail:
    """All steps of a detection that pass dependence on, and where they lead."""

    steps: list[Step] = field(default_factory=list)
    output: Value | None = None
    conservative: dict[JaxprEqn, str] = field(default_factory=dict)
    """See `Notes`."""
    within_loops: bool = False
    """Whether steps are kept also where the inputs are those of a loop's body."""
    _made_by: dict[int, Step] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        """Keep a step, unless it only hands on what steps inside of it have made."""
        made = [id(value) for value in step.outputs if value.dependence is not None]
        if not self._made_by.keys() >= set(made):
            self.steps.append(step)
            self._made_by |= dict.fromkeys(made, step)

    def origin(self, value: Value) -> Step | None:
        """The step that made a value; the inputs were made by none."""
        return self._made_by.get(id(value))


@dataclass(slots=True, eq=False)
class Notes:
    """What was noticed during a detection."""

    conservative: dict[JaxprEqn, str] = field(default_factory=dict)
    """The equations for which the conservative rule was used: what their own rule does not
    cover, an empty text if they have none."""
    custom_vjps: list[JaxprEqn] = field(default_factory=list)
    """The equations that JAX cannot run in forward mode."""
    without_coefficients: set[str] = field(default_factory=set)
    """Names of the primitives that pass on dependence, but no coefficients."""
    work: int = 0
    """How many coefficients a program that follows them computes."""
    pass_work: int = 0
    """How many elements one pass of the tangent program computes."""
    trail: "Trail | None" = None
    """Where the steps are kept, if they are."""
    calls: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    """What programs did that may be called again; see `repeats`."""
    followed: set[JaxprEqn] = field(default_factory=set)
    """The loops that had to be followed step by step for the sake of their own counters."""
    unresolved: set[tuple[JaxprEqn, tuple[bool, ...]]] = field(default_factory=set)
    """The loops that need values of the steps of a loop around them, and which of their
    operands changed with these steps."""
    peeled: set[JaxprEqn] = field(default_factory=set)
    """The loops that are what is left of others whose first step was taken apart."""
    _counted: WeakSet[Base] = field(default_factory=WeakSet)

    def count(self, results: Iterable[Dependence | None]) -> None:
        """Add the work that the results of an equation take."""
        for dependence in filter(None, results):
            self.pass_work += dependence.size
            self.work += dependence.size * len(dependence.terms)
            for term in dependence.terms:
                if term.base is not None and term.base not in self._counted:
                    self._counted.add(term.base)
                    self.work += term.base.matrix.nnz


def shape_of(var: Var) -> Shape:
    """Shape of a variable that holds an array."""
    return cast(ShapedArray, var.aval).shape


def output_shape(eqn: JaxprEqn) -> Shape:
    """Shape of the first output of an equation."""
    return shape_of(eqn.outvars[0])
