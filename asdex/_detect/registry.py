"""The registry of rules: how each linear primitive passes dependence on.

A rule has the signature `rule(eqn, operands, scope) -> Dependence | list[Dependence]`. It
is called only if some operand depends on an input, and returns how each output does,
made of the operands' dependences by `take`, `spread`, `combine` and `union`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jax.extend.core import JaxprEqn, Primitive

from .dependence import Dependence
from .value import Scope, Value

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
