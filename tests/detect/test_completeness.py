"""Every primitive of JAX has a rule, or is declared to need none.

A version of JAX that adds a primitive makes the test of that name fail: give it a rule, or
declare it in `asdex/_detect/rules/declared.py` with the reason.
"""

from collections.abc import Mapping

import pytest
from jax import lax
from jax.extend.core import Primitive, primitives

from asdex._detect.registry import RULES, register
from asdex._detect.rules.declared import CONSERVATIVE, NEVER_ACTIVE, REFUSED

HOMES: dict[str, Mapping] = {
    "rules": RULES,
    "declared never active": NEVER_ACTIVE,
    "declared conservative": CONSERVATIVE,
    "declared refused": REFUSED,
}

PUBLIC = {
    name: getattr(module, name)
    for module in (lax, primitives)
    for name in dir(module)
    if name.endswith("_p")
}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_primitive_has_one_home(name: str) -> None:
    primitive = PUBLIC[name]
    assert isinstance(primitive, Primitive), f"{name} is not a primitive"
    homes = [home for home, table in HOMES.items() if _lists(table, primitive)]
    assert homes, f"{name} ({primitive}) has no rule and is not declared"
    assert len(homes) == 1, f"{name} ({primitive}) is in {homes}"


@pytest.mark.parametrize("home", [home for home in HOMES if "declared" in home])
def test_declaration_has_a_reason(home: str) -> None:
    for primitive, reason in HOMES[home].items():
        assert reason.endswith("."), f"no sentence why {primitive} is {home}"


@pytest.mark.parametrize("primitive", [lax.sin_p, lax.scan_p, "maybe_set"], ids=str)
def test_second_rule_is_refused(primitive: Primitive | str) -> None:
    with pytest.raises(ValueError, match=f"{primitive} has a rule already"):
        register(primitive)(lambda eqn, operands, scope: [])


def _lists(table: Mapping, primitive: Primitive) -> bool:
    return primitive in table or primitive.name in table
