"""Errors and warnings that a caller can act on."""

import numpy as np


class InvalidColoringError(ValueError):
    """A coloring from which some entry of the matrix could not be recovered.

    Raised for hand-made or forced colors; the message names two entries in conflict.
    """


class VerificationError(AssertionError):
    """A sparse derivative differs from JAX's dense reference.

    A detected pattern holds every entry that can be nonzero, so this is a bug of asdex
    unless the pattern was made by hand or for another function.
    """


class DenseColoringWarning(UserWarning):
    """A coloring needs as many passes as the dense derivative."""


class ConservativePatternWarning(UserWarning):
    """Detection met a primitive without a rule and assumed that each of its outputs
    depends on all of its inputs: the pattern is right, but perhaps too dense."""


class PatternTooLargeError(ValueError):
    """Detection met more dependences than it was allowed to keep.

    The message names the line of the program where the pattern became so dense.
    """


class SingularMatrixError(np.linalg.LinAlgError):
    """A system of equations whose matrix is singular."""


class NotConvergedError(ArithmeticError):
    """An iterative solver that has not reached its tolerance."""


class NearlySingularWarning(UserWarning):
    """A system of equations was solved whose matrix is singular up to rounding errors.

    Given outside of `jax.jit` and other transformations, where values are known.
    """
