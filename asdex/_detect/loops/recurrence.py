"""Recurrences: the carry of a loop as powers of a boolean matrix."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array, eye_array, vstack

from .. import coefficients as co
from ..coefficients import Coefficients
from ..compose import compose, compose_weighted, joined
from ..dependence import Dependence, combine, from_matrix, nothing, stack
from ..matrices import product

MAX_DEPTH = 4
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

    def states(self, weights: Coefficients = None) -> Dependence:
        """The carry before each step and after the last, of shape `(steps + 1, size)`.

        `weights` are the values of the entries of the matrix of `carry` in each step, of
        shape `(steps, nnz)`, if coefficients are followed; only of a carry that is soon
        forgotten.
        """
        depth = self.depth()
        if depth is None:
            return stack(self._states_one_by_one())
        after = nothing((self.steps, self.init.size), self.init.n)
        states = self._starting_with_init(after)
        for _ in range(depth):
            inputs, index = self.inputs(states), self.index()
            if weights is None:
                after = compose(self.carry, inputs, index)
            else:
                after = compose_weighted(self.carry, weights, inputs, index)
            states = self._starting_with_init(after)
        return states

    def _starting_with_init(self, after: Dependence) -> Dependence:
        def join(first: Coefficients, others: Coefficients) -> Coefficients:
            return co.concatenate([first[None], others])

        return combine([self.init, after], join, (self.steps + 1, self.init.size))

    def inputs(self, states: Dependence) -> Dependence:
        """What the steps find: constants, then all carries, then all slices."""
        before = combine([states], lambda x: x[:-1], (self.steps, self.init.size))
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

    def depth(self) -> int | None:
        """After how many steps the carry has forgotten what it was, if soon."""
        first = self.consts.size
        matrix = self.carry.matrix()[:, first : first + self.init.size]
        power = matrix
        for depth in range(1, MAX_DEPTH + 1):
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
        """The carry after the last step, for a loop without slices: a matrix power."""
        return self._after_steps(self.carry.matrix())

    def any_state(self) -> Dependence:
        """All that the carry depends on before or after some step, for a loop without
        slices."""
        size, matrix = self.init.size, self.carry.matrix()
        unchanged = eye_array(size, matrix.shape[1], k=self.consts.size, dtype=bool)
        return self._after_steps(csr_array(matrix + csr_array(unchanged)))

    def _after_steps(self, matrix: csr_array) -> Dependence:
        """The constants are made part of the state, which they leave as they are."""
        fixed = self.consts.size
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


def element(dependence: Dependence, k: int) -> Dependence:
    """Part `k` along the leading axis."""
    shape = dependence.shape[1:]
    k %= dependence.shape[0]
    return combine([dependence], lambda x: x[k : k + 1].reshape(shape), shape)


def unstack(dependence: Dependence) -> list[Dependence]:
    """The parts along the leading axis."""
    return [element(dependence, k) for k in range(dependence.shape[0])]


def flipped(dependence: Dependence) -> Dependence:
    return combine([dependence], lambda rows: rows[::-1], dependence.shape)
