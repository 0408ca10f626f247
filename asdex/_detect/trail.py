"""Provenance: where a pattern becomes dense, and from where an entry comes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from .compose import as_own_inputs
from .dependence import Dependence
from .interpret import apply_rule
from .value import Scope, Step, Trail, Value


def density_gain(step: Step) -> float:
    """By how much an element of the results depends on more inputs, on average, than one
    of the operand that depends on the most."""
    before = max(map(_per_element, step.operands), default=0.0)
    return max(map(_per_element, step.outputs)) - before


def densest(steps: Sequence[Step]) -> Step | None:
    """The step at which the pattern became dense, the first if there are several."""
    return max(steps, key=density_gain, default=None)


def chain(trail: Trail, row: int, col: int) -> list[Step]:
    """The steps, first to last, that carry input `col` to element `row` of the output.

    Walks back from the output: of the elements that a step's rule makes the element from,
    one that depends on the input is followed. Empty if the element is the input itself.
    Raises `KeyError` if it does not depend on the input.
    """
    assert trail.output is not None
    value, element = trail.output, row
    if not _depends(value, element, col):
        raise KeyError(f"Output {row} does not depend on input {col}.")
    steps: list[Step] = []
    while (step := trail.origin(value)) is not None:
        steps.append(step)
        value, element = _source(step, value, element, col)
    return steps[::-1]


def _source(step: Step, value: Value, element: int, col: int) -> tuple[Value, int]:
    """An operand's element that the step makes `element` of `value` from, and that
    depends on input `col`."""
    own, inner = as_own_inputs(step.operands, Scope.empty())
    outputs = apply_rule(step.eqn, own, inner)
    position = next(k for k, out in enumerate(step.outputs) if out is value)
    dependence = outputs[position].dependence
    assert dependence is not None
    sources = (
        dependence.reshape((dependence.size,)).take(np.array([element])).matrix().indices
    )
    start = 0
    for operand in step.operands:
        if operand.dependence is None:
            continue
        stop = start + operand.dependence.size
        for source in sources[(sources >= start) & (sources < stop)] - start:
            if _depends(operand, int(source), col):
                return operand, int(source)
        start = stop
    raise AssertionError(f"no operand of {step.eqn.primitive} explains the entry")


def _depends(value: Value, element: int, col: int) -> bool:
    if value.dependence is None:
        return False
    return col in _inputs(value.dependence, element)


def _inputs(dependence: Dependence, element: int) -> Integer[np.ndarray, " inputs"]:
    """The inputs that one element depends on."""
    return dependence.take(np.array([element])).matrix().indices


def _per_element(value: Value) -> float:
    if value.dependence is None or not value.dependence.size:
        return 0.0
    return value.dependence.count() / value.dependence.size
