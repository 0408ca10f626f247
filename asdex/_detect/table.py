"""The table of rules: how each linear primitive passes dependence on.

A rule has the signature `rule(eqn, operands, scope) -> Dependence | list[Dependence]`. It
is called only if some operand depends on an input, and returns how each output does,
made of the operands' dependences by `take`, `spread`, `combine` and `union`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

import numpy as np
from jax.core import ShapedArray
from jax.extend.core import JaxprEqn, Primitive, Var
from jaxtyping import Integer, Shaped

from .dependence import Dependence, Shape
from .known import UNKNOWN, Known, Partly, Status, evaluate, evaluate_partly


@dataclass(slots=True, eq=False)
class Value:
    """A value of the interpreted program: its type, what it depends on (`None`:
    on no input), and, in that case, what is known of it."""

    aval: Any
    dependence: Dependence | None = None
    known: Known = UNKNOWN

    @property
    def shape(self) -> Shape:
        """Shape of the value."""
        return self.aval.shape


@dataclass(slots=True, eq=False)
class Scope:
    """What all equations of one detection share: the number of inputs `n` that the
    dependences at hand refer to, and what was noticed on the way."""

    n: int
    notes: "Notes"
    follow_masks: bool = True
    """Whether a loop is followed step by step for the sake of a mask."""

    local: bool = False
    """Whether the values of all arguments are known, and may be worked out at any cost."""

    callers: tuple[JaxprEqn, ...] = ()
    """The equations that called the program at hand, outermost first."""

    @classmethod
    def empty(cls) -> "Scope":
        """A scope without inputs, to derive others from."""
        return cls(0, Notes())

    def called_by(self, eqn: JaxprEqn) -> "Scope":
        """The scope of a program that `eqn` calls."""
        return replace(self, callers=(*self.callers, eqn))

    def within(self, n: int) -> "Scope":
        """The scope of a program on `n` inputs of its own."""
        return replace(self, n=n, notes=replace(self.notes, trail=None))

    def value(self, operand: Value) -> Shaped[np.ndarray, "..."] | None:
        """The value of an operand, `None` if it is unknown. For indices and predicates:
        asking for one that changes with a loop's steps makes the loop be followed."""
        return evaluate(operand.known)

    def apart(self) -> "Scope":
        """The scope of a program that JAX does not differentiate, so that it excludes no
        AD mode."""
        return replace(self, notes=Notes(conservative=self.notes.conservative))

    def partial_value(self, operand: Value) -> Partly | None:
        """What is known of an operand in every step of a loop, `None` if that is nothing.
        For coefficients and masks, which are seldom worth following a loop."""
        if operand.dependence is not None:
            return None
        if self.local and operand.known.status is Status.KNOWN:
            return self.predicate(operand)
        return evaluate_partly(operand.known)

    def predicate(self, operand: Value) -> Partly | None:
        """Like `partial_value`, but a value that is known as a whole is worked out at any
        cost, also by following a loop that is not long: what a predicate excludes is
        structure, not chance."""
        followed = Status.STEPWISE if self.follow_masks else Status.KNOWN
        if operand.dependence is None and operand.known.status <= followed:
            value = evaluate(operand.known)
            return None if value is None else Partly(value, np.ones((), bool))
        return self.partial_value(operand)

    def column_values(
        self, indices: Value
    ) -> tuple[Integer[np.ndarray, "*batch index"], list[int]]:
        """The values of an array of indices, and the numbers of the components (along
        the last axis) that are not known, which hold zeros."""
        shape = indices.shape
        whole = evaluate(indices.known)
        if whole is not None:
            return whole, []
        part = evaluate_partly(indices.known)
        if part is None:
            return np.zeros(shape, np.int64), list(range(shape[-1]))
        known = np.broadcast_to(part.known, shape).reshape(-1, shape[-1]).all(axis=0)
        return np.where(known, part.value, 0), np.flatnonzero(~known).tolist()


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

    conservative: set[str] = field(default_factory=set)
    """Names of the primitives that fell to the conservative rule."""
    excluded_modes: set[str] = field(default_factory=set)
    """AD modes that JAX cannot use for the program."""
    trail: "Trail | None" = None
    """Where the steps are kept, if they are."""


Rule: TypeAlias = Callable[
    [JaxprEqn, Sequence[Value], Scope], Dependence | Sequence[Dependence]
]
ControlRule: TypeAlias = Callable[[JaxprEqn, Sequence[Value], Scope], Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule, and the operands through which it lets dependence pass (`None`: all).

    If any other operand depends on an input, the conservative rule is used.
    """

    rule: Rule
    linear: tuple[int, ...] | None


Key: TypeAlias = Primitive | str
"""A primitive, or the name of one that is not public or belongs to another library."""

RULES: dict[Key, Entry] = {}
CONTROL_RULES: dict[Key, ControlRule] = {}


def rule_for(primitive: Primitive) -> Entry | None:
    """The rule of a primitive, if it has one."""
    return RULES.get(primitive) or RULES.get(primitive.name)


def has_rule(primitive: Primitive) -> bool:
    """Whether a primitive has a rule of either kind."""
    return rule_for(primitive) is not None or control_rule_for(primitive) is not None


def control_rule_for(primitive: Primitive) -> ControlRule | None:
    """The control rule of a primitive, if it has one."""
    return CONTROL_RULES.get(primitive) or CONTROL_RULES.get(primitive.name)


def shape_of(var: Var) -> Shape:
    """Shape of a variable that holds an array."""
    return cast(ShapedArray, var.aval).shape


def output_shape(eqn: JaxprEqn) -> Shape:
    """Shape of the first output of an equation."""
    return shape_of(eqn.outvars[0])


def register(
    *primitives: Key, linear: tuple[int, ...] | None = None
) -> Callable[[Rule], Rule]:
    """Register a rule for a family of primitives. Raises `ValueError` if one has one."""

    def decorate(rule: Rule) -> Rule:
        for primitive in primitives:
            _check_new(primitive)
            RULES[primitive] = Entry(rule, linear)
        return rule

    return decorate


def register_rule(
    primitive: Primitive, *, linear: Sequence[int] | None = None
) -> Callable[[Rule], Rule]:
    """Teach detection a primitive of your own: a decorator for its rule.

    Without a rule each output of a primitive is taken to depend on all of its operands,
    which is sound but may be dense. A rule is a function
    `rule(eqn, operands, scope) -> Dependence`, or a list of them if the primitive has
    several results. It is called when some operand depends on the inputs, and says how
    the elements of the result depend on those of the operands:

    - `eqn` is the `jax.extend.core.JaxprEqn`: `eqn.params`, `eqn.outvars[0].aval.shape`.
    - `operands[k].dependence` is what operand `k` depends on, `None` if on nothing. Its
        methods build the result: `take(positions)` copies elements, `spread(targets,
        sources, shape)` lets element `t` depend on element `s`, `merge(axes)`,
        `broadcast(shape)`, `reshape(shape)`, and `whole()`, which depends on everything.
    - `scope.value(operands[k])` is the value of an operand that depends on nothing, as
        a NumPy array, or `None` if it is not known.

    A rule must never leave out a dependence: that makes wrong derivatives without an
    error.

    **Arguments:**

    - `primitive`: a `jax.extend.core.Primitive`, linear in its operands, as it stands in
        the derivative of the function (the JVP rule of a nonlinear primitive is traced).
    - `linear`: the operands that the rule can treat as dependent; if another one is,
        the conservative rule is used. Default: all.

    **Raises:** `TypeError` if `primitive` is no primitive; `ValueError` if it has a rule.
    """
    if not isinstance(primitive, Primitive):
        raise TypeError(
            "primitive must be a jax.extend.core.Primitive. Got an object of type "
            f"{type(primitive).__name__}."
        )
    return register(primitive, linear=None if linear is None else tuple(linear))


def register_control(*primitives: Key) -> Callable[[ControlRule], ControlRule]:
    """Register a rule for primitives that hold programs of their own. It is called
    whether or not an operand depends on an input, and returns whole values."""

    def decorate(rule: ControlRule) -> ControlRule:
        for primitive in primitives:
            _check_new(primitive)
            CONTROL_RULES[primitive] = rule
        return rule

    return decorate


def _check_new(primitive: Key) -> None:
    taken = {_name(key) for key in (*RULES, *CONTROL_RULES)}
    if _name(primitive) in taken:
        raise ValueError(f"The primitive {_name(primitive)} has a rule already.")


def _name(key: Key) -> str:
    return key if isinstance(key, str) else key.name
