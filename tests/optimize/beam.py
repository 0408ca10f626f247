"""Optimal control of a clamped beam, problem CLNLBEAM of CUTEst (Maurer and Mittelmann, The
nonlinear beam via optimal control with bounded state variables, 1991)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

LOAD = 350.0


class Beam(NamedTuple):
    """Angle, height and bending of a beam at the ends of its pieces."""

    angle: Any
    height: Any
    bending: Any


def energy(x: Beam) -> jax.Array:
    """The elastic energy less the work of the load."""
    h = 1 / (x.angle.size - 1)
    bent = x.bending[1:] ** 2 + x.bending[:-1] ** 2
    shortened = jnp.cos(x.angle[1:]) + jnp.cos(x.angle[:-1])
    return h / 2 * jnp.sum(bent + LOAD * shortened)


def shape(x: Beam) -> dict[str, jax.Array]:
    """The trapezoidal rule for the height, whose slope is the sine of the angle, and for
    the angle, which bends."""
    h = 1 / (x.angle.size - 1)
    rise = jnp.sin(x.angle[1:]) + jnp.sin(x.angle[:-1])
    turn = x.bending[1:] + x.bending[:-1]
    return {
        "height": x.height[1:] - x.height[:-1] - h / 2 * rise,
        "angle": x.angle[1:] - x.angle[:-1] - h / 2 * turn,
    }


def bounds(pieces: int) -> tuple[Beam, Beam]:
    """The beam is level at both ends, and its height is limited."""
    angle, height = np.full(pieces + 1, 1.0), np.full(pieces + 1, 0.05)
    for limited in (angle, height):
        limited[[0, -1]] = 0
    return Beam(-angle, -height, None), Beam(angle, height, None)


def start(pieces: int) -> Beam:
    wave = 0.05 * np.cos(np.linspace(0, 1, pieces + 1))
    return Beam(wave, wave, np.zeros(pieces + 1))
