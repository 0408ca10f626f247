"""Patterns that rest on values known up to rounding, or on integers known up to a range."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import asdex

from ..compiling import optimized_jit
from .literal import check_jacobian

CELLS = 100


def blocks() -> jax.Array:
    """The block of each cell, from a quotient that is rounded at the borders."""
    return jnp.floor(jnp.arange(CELLS, dtype=jnp.float32) / 41).astype(int)


def on_the_disc(u: jax.Array) -> jax.Array:
    """Poisson's equation with a nonlinear source on the unit disc."""
    n = 51
    s = jnp.linspace(-1, 1, n, dtype=u.dtype)
    x, y = jnp.meshgrid(s, s)
    inside = x**2 + y**2 < 1
    v = jnp.pad(u.reshape(n, n), 1)
    middle = v[1:-1, 1:-1]
    around = v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2]
    return jnp.where(inside, 4 * middle - around + middle**3, middle).reshape(-1)


def nearest(x: jax.Array) -> jax.Array:
    """Differences to the three nearest points of a lattice, which has ties."""
    a, b = jnp.meshgrid(jnp.arange(5.0) * 0.1, jnp.arange(5.0) * 0.1)
    points = jnp.stack([a.ravel(), b.ravel()], axis=1).astype(x.dtype)
    distance = jnp.sum((points[:, None] - points[None]) ** 2, axis=-1)
    neighbors = jnp.argsort(distance, axis=1)[:, 1:4]
    return jnp.sum(jnp.sin(x[neighbors]) - x[:, None] ** 2, axis=1)


def within_a_cutoff(x: jax.Array) -> jax.Array:
    """Interactions within a distance that some pairs of points have up to rounding."""
    points = jnp.arange(25, dtype=x.dtype) * jnp.asarray(0.1, x.dtype)
    distance = jnp.abs(points[:, None] - points[None])
    return jnp.sum(jnp.where(distance <= 0.3, jnp.sin(x[:, None] * x[None]), 0.0), axis=1)


def largest(x: jax.Array) -> jax.Array:
    """The elements at the largest of constants that are equal up to rounding."""
    weights = jnp.cumsum(jnp.full(25, 0.1, x.dtype)) % jnp.asarray(0.5, x.dtype)
    return x[lax.top_k(weights, 5)[1]] * x[jnp.argmin(weights)]


def bins(x: jax.Array) -> jax.Array:
    """Table lookup at edges that rounding may put on either side."""
    edges = jnp.linspace(0, 1, 11, dtype=x.dtype)
    points = jnp.arange(25, dtype=x.dtype) / 24
    return x[jnp.searchsorted(edges, points) % 25] * x


def signs(x: jax.Array) -> jax.Array:
    """Upwind differences by the sign of a constant velocity with zeros up to rounding."""
    velocity = jnp.sin(jnp.arange(25, dtype=x.dtype) * jnp.pi / 4)
    return jnp.where(velocity > 0, x - jnp.roll(x, 1), jnp.roll(x, -1) - x) * jnp.sign(
        velocity
    )


ROUNDED: dict[str, tuple[Callable[[jax.Array], jax.Array], int]] = {
    "index": (lambda x: x * x[blocks()], CELLS),
    "mask": (
        lambda x: jnp.where(jnp.arange(CELLS, dtype=x.dtype) / 41 < 1, x**2, 0),
        CELLS,
    ),
    "segments": (lambda x: jax.ops.segment_sum(x**2, blocks(), 3), CELLS),
    "disc": (on_the_disc, 51 * 51),
    "nearest": (nearest, 25),
    "cutoff": (within_a_cutoff, 25),
    "largest": (largest, 25),
    "bins": (bins, 25),
    "signs": (signs, 25),
    "slice": (lambda x: lax.dynamic_slice(x, (blocks()[41],), (3,)) ** 2, 9),
    "update": (lambda x: lax.dynamic_update_slice(x, x[:2] * x[2:4], (blocks()[82],)), 9),
    "scatter": (lambda x: jnp.zeros_like(x).at[blocks()[:82:41]].set(x[:2] ** 2), 9),
    "branch": (
        lambda x: lax.switch(blocks()[41], [lambda x: x, lambda x: x[::-1], jnp.sin], x),
        9,
    ),
    "power": (
        lambda x: x * ((jnp.arange(9, dtype=x.dtype) / 3) ** 2 >= 1).astype(x.dtype),
        9,
    ),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.float16])
@pytest.mark.parametrize("name", ROUNDED)
def test_no_entry_is_lost_to_rounding(name: str, dtype: Any) -> None:
    """The compiled program may decide differently from operations one by one."""
    f, n = ROUNDED[name]
    x = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, n), dtype)
    held = np.asarray(asdex.jacobian_sparsity(f, x).todense()) != 0
    dense = optimized_jit(jax.jacfwd(f))(x), jax.jacfwd(f)(x)
    for matrix in dense:
        assert not ((np.asarray(matrix) != 0) & ~held).any()
    if dtype == jnp.float64 and name in EXTRA:
        found = np.any([np.asarray(matrix) != 0 for matrix in dense], axis=0)
        assert held.sum() - found.sum() <= EXTRA[name]


EXTRA = {
    "index": 2,
    "mask": 1,
    "segments": 2,
    "disc": 60,
    "cutoff": 44,
    "power": 1,
    "slice": 3,
}
"""How many entries rounding leaves open at most, where that is little."""


def whole(x: jax.Array) -> jax.Array:
    """An integer that depends on the input."""
    return x[0].astype(int)


BOUNDED: dict[str, tuple[Callable[[jax.Array], jax.Array], str]] = {
    "argmax of two": (lambda x: x[jnp.argmax(x[:2])][None], "xx......"),
    "argmin": (lambda x: x[2 + jnp.argmin(x[:3])][None], "..xxx..."),
    "clip": (lambda x: x[jnp.clip(whole(x), 0, 3)][None], "xxxx...."),
    "remainder": (lambda x: x[whole(x) % 4][None], "xxxx...."),
    "shifted": (lambda x: x[2 + whole(x) % 2][None], "..xx...."),
    "backwards": (lambda x: x[-1 - whole(x) % 2][None], "......xx"),
    "quotient": (lambda x: x[jnp.clip(whole(x), 0, 15) // 8][None], "xx......"),
    "square": (lambda x: x[(whole(x) % 3) ** 2][None], "xxxxx..."),
    "product": (lambda x: x[(whole(x) % 3) * (x[1].astype(int) % 2)][None], "xxx....."),
    "comparison": (lambda x: x[(x[0] > 1).astype(int)][None], "xx......"),
    "sum of comparisons": (lambda x: x[jnp.sum(x[:3] > 1)][None], "xxxx...."),
    "bits": (lambda x: x[whole(x) & 3][None], "xxxx...."),
    "shift": (lambda x: x[(whole(x) & 7) >> 2][None], "xx......"),
    "choice": (lambda x: x[jnp.where(x[0] > 0, 5, 6)][None], ".....xx."),
    "sign": (lambda x: x[1 + jnp.sign(whole(x))][None], "xxx....."),
    "table": (lambda x: x[jnp.array([3, 1, 4])[whole(x) % 3]][None], ".xxxx..."),
    "bytes": (lambda x: x[(whole(x) % 2).astype(jnp.uint8)][None], "xx......"),
    "top": (lambda x: x[lax.top_k(x[:2], 1)[1]], "xx......"),
    "window": (
        lambda x: lax.dynamic_slice(x, (whole(x) % 2,), (3,)).sum()[None],
        "xxxx....",
    ),
    "wide": (lambda x: x[jnp.clip(whole(x), 2, 5)][None], "..xxxx.."),
    "each its own": (
        lambda x: x[4 * jnp.arange(2) + x[:2].astype(int) % 4],
        "xxxx.... ....xxxx",
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_only_the_range_of_an_index(name: str) -> None:
    f, expected = BOUNDED[name]
    check_jacobian(f, 8, expected)


def test_a_wide_range() -> None:
    """A range too wide to try its indices one by one."""
    pattern = asdex.jacobian_sparsity(
        lambda x: x[100 + whole(x) % 200][None], np.ones(1000)
    )
    assert pattern.cols.tolist() == list(range(100, 300))


def test_updates_in_a_range() -> None:
    def f(x):
        return jnp.zeros(8).at[2 + whole(x) % 2].add(x[5])

    check_jacobian(
        f, 8, "........ ........ .....x.. .....x.. ........ ........ ........ ........"
    )


def test_branches_in_a_range() -> None:
    branches = [lambda x: x[0], lambda x: x[1], lambda x: x[2], lambda x: x[3]]
    check_jacobian(lambda x: lax.switch(whole(x) % 2, branches, x)[None], 4, "xx..")


def test_a_maximum_in_a_batch() -> None:
    """JAX gives the axes of batched reductions as integers of NumPy."""
    rows = jnp.array([[0.1, 0.2], [0.3, 0.7]])
    keep = jax.vmap(lambda row: jnp.where(jnp.max(row) > 0.5, 1.0, 0.0))
    check_jacobian(lambda x: x * keep(rows), 2, ".. .x")
