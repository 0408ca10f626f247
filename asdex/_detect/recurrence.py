"""Recurrences: the carry of a loop as powers of a boolean matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array, eye_array, vstack

from .compose import compose, joined
from .dependence import Dependence, combine, from_matrix, nothing, stack
from .matrices import product

_MAX_DEPTH = 4
"""A carry that is forgotten after so many steps is computed for all steps at once."""


@dataclass(slots=True)
class Recurrence:
    """The active carry of a loop: `carry` after a step depends on the constants, the
    carry before the step and the step's slices, in this order."""

    carry: Dependence
    """Flat, in terms of the body's own inputs."""
    consts: Dependence
    init: Dependence
    slices: Dependence
    """Shape `(steps, slice size)`, in the order of the steps."""
    steps: int

    def states(self) -> list[Dependence]:
        """The carry before each step, and after the last."""
        depth = self._depth()
        if depth is None:
            return self._states_one_by_one()
        states = [self.init] + [nothing(self.init.shape, self.init.n)] * self.steps
        for _ in range(depth):
            after = compose(self.carry, self.inputs(states), self.index())
            states = [self.init, *unstack(after)]
        return states

    def inputs(self, states: Sequence[Dependence]) -> Dependence:
        """What the steps find: constants, then all carries, then all slices."""
        before = stack(states[: self.steps])
        return joined([self.consts, before, self.slices], self.consts.n)

    def index(self) -> Int[np.ndarray, "steps inputs"]:
        """Where in `inputs` each step finds each of the body's own inputs."""
        step = np.arange(self.steps)[:, None]
        consts = np.broadcast_to(
            np.arange(self.consts.size), (self.steps, self.consts.size)
        )
        carry = self.consts.size + step * self.init.size + np.arange(self.init.size)
        width = self.slices.shape[1]
        offset = self.consts.size + self.steps * self.init.size
        return np.hstack([consts, carry, offset + step * width + np.arange(width)])

    def _depth(self) -> int | None:
        """After how many steps the carry has forgotten what it was, if soon."""
        first = self.consts.size
        matrix = self.carry.matrix()[:, first : first + self.init.size]
        power = matrix
        for depth in range(1, _MAX_DEPTH + 1):
            if not power.nnz:
                return depth
            power = product(power, matrix)
        return None

    def _states_one_by_one(self) -> list[Dependence]:
        carry = from_matrix(self.carry.matrix(), self.carry.shape)
        states = [self.init]
        for step in unstack(self.slices):
            state = states[-1]
            after = compose(carry, joined([self.consts, state, step], state.n))
            states.append(from_matrix(after.matrix(), after.shape))
        return states

    def last_state(self) -> Dependence:
        """The carry after the last step, for a loop without slices: a matrix power.

        The constants are made part of the state, which they leave as they are.
        """
        fixed, matrix = self.consts.size, self.carry.matrix()
        keep = eye_array(fixed, matrix.shape[1], dtype=bool, format="csr")
        power = _power(csr_array(vstack([keep, matrix], format="csr")), self.steps)
        start = joined([self.consts, self.init], self.init.n)
        return compose(from_matrix(csr_array(power[fixed:]), self.init.shape), start)


def _power(matrix: csr_array, exponent: int) -> csr_array:
    """A power of a boolean matrix, by repeated squaring."""
    result = None
    while True:
        if exponent % 2:
            result = matrix if result is None else product(result, matrix)
        exponent //= 2
        if not exponent:
            break
        matrix = product(matrix, matrix)
    assert result is not None
    result.sort_indices()
    return result


def closure(pattern: csr_array) -> csr_array:
    """The reflexive transitive closure, by repeated squaring."""
    closure = csr_array(pattern + eye_array(pattern.shape[0], dtype=bool, format="csr"))
    while (squared := product(closure, closure)).nnz > closure.nnz:
        closure = squared
    closure.sort_indices()
    return closure


def unstack(dependence: Dependence) -> list[Dependence]:
    """The parts along the leading axis."""
    shape = dependence.shape[1:]
    return [
        combine([dependence], lambda rows, k=k: rows[k], shape)
        for k in range(dependence.shape[0])
    ]


def flipped(dependence: Dependence) -> Dependence:
    return combine([dependence], lambda rows: rows[::-1], dependence.shape)
