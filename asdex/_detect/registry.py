"""The registry of rules: how each linear primitive passes dependence on.

A rule has the signature `rule(eqn, operands, scope)`. It returns how each output of the
equation depends on the inputs, made of the operands' dependences by `take`, `spread`,
`combine` and `union`: a `Dependence`, or a list of them if there are several outputs. The
rule of a primitive that holds a program may return a whole `Value` in place of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jax.extend.core import JaxprEqn, Primitive

from .dependence import Dependence
from .value import Scope, Value

Outcome: TypeAlias = Dependence | Sequence[Dependence | Value]
Rule: TypeAlias = Callable[[JaxprEqn, Sequence[Value], Scope], Outcome]


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule, and when it applies."""

    rule: Rule
    linear: tuple[int, ...] | None = None
    """The operands through which it lets dependence pass (`None`: all). If any other
    operand depends on an input, the conservative rule is used."""
    always: bool = False
    """Whether it applies also if no operand depends on an input."""
    coefficients: bool = False
    """Whether what it returns has the right coefficients, where those of the operands are
    followed."""

    def not_covered(self, operands: Sequence[Value]) -> list[int]:
        """The operands that depend on an input and that the rule cannot treat."""
        return [
            position
            for position, operand in enumerate(operands)
            if operand.dependence is not None
            and self.linear is not None
            and position not in self.linear
        ]


Key: TypeAlias = Primitive | str
"""A primitive, or the name of one that is not public or belongs to another library."""

RULES: dict[Key, Entry] = {}


def rule_for(primitive: Primitive) -> Entry | None:
    """The rule of a primitive, if it has one."""
    return RULES.get(primitive) or RULES.get(primitive.name)


def register(
    *primitives: Key,
    linear: tuple[int, ...] | None = None,
    always: bool = False,
    coefficients: bool = False,
) -> Callable[[Rule], Rule]:
    """Register a rule for a family of primitives; see `Entry` for the options. Raises
    `ValueError` if one of them has a rule."""

    def decorate(rule: Rule) -> Rule:
        taken = set(map(_name, RULES))
        for primitive in primitives:
            if _name(primitive) in taken:
                raise ValueError(f"The primitive {_name(primitive)} has a rule already.")
            RULES[primitive] = Entry(rule, linear, always, coefficients)
        return rule

    return decorate


def register_rule(
    primitive: Primitive, *, linear: Sequence[int] | None = None
) -> Callable[[Rule], Rule]:
    """A decorator that registers the rule of a primitive of your own.

    Without a rule each output of a primitive is taken to depend on all of its operands,
    which is sound but may be dense. A rule is a function
    `rule(eqn, operands, scope) -> Dependence`, or a list of them if the primitive has
    several results. It is called when some operand depends on the inputs, and returns how
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

    - `primitive`: a `jax.extend.core.Primitive`, linear in its operands, as it occurs in
        the derivative of the function (the JVP rule of a nonlinear primitive is traced).
    - `linear`: the operands that the rule can treat as dependent; if another one is,
        the conservative rule is used. Default: all.

    **Raises:** `TypeError` if it is of another type; `ValueError` if it has a rule.
    """
    if not isinstance(primitive, Primitive):
        raise TypeError(
            "primitive must be a jax.extend.core.Primitive. Got an object of type "
            f"{type(primitive).__name__}."
        )
    return register(primitive, linear=None if linear is None else tuple(linear))


def _name(key: Key) -> str:
    return key if isinstance(key, str) else key.name
