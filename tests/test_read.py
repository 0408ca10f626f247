"""Reading by windows gives what the gather gives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asdex
from asdex._evaluate import read as read_module
from asdex._evaluate.read import DecompressionPlan, plan_chunks, plan_decompression, read

pytestmark = pytest.mark.filterwarnings("ignore::asdex._base.errors.DenseColoringWarning")


@pytest.fixture(autouse=True)
def windows_for_few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_module, "_MIN_ENTRIES", 1)


def banded(n: int, *offsets: int) -> np.ndarray:
    return sum(np.eye(n, k=k, dtype=np.int8) for k in offsets) + np.zeros((n, n), np.int8)


def periodic(n: int, *offsets: int) -> np.ndarray:
    rolled = [np.roll(np.eye(n, dtype=np.int8), k, axis=1) for k in offsets]
    return np.any(rolled, axis=0)


STENCILS = {
    "diagonal": banded(7, 0),
    "differences": banded(7, 0, 1)[:-1],
    "second differences": banded(7, 0, 1, 2)[:-2],
    "periodic": periodic(12, -1, 0, 1),
    "two components": np.block([[periodic(6, 0, 1), banded(6, 0)]] * 2),
    "rows apart": np.kron(np.eye(3), [[1, 1], [0, 0], [0, 0]]),
    "one column": np.ones((5, 1)),
    "one row": np.ones((1, 5)),
    "full": np.ones((4, 3)),
}
OTHERS = {
    "empty": np.zeros((3, 4)),
    "no rows": np.zeros((0, 4)),
    "random": np.random.default_rng(0).random((40, 30)) < 0.2,
    "arrow": np.eye(30) + np.eye(30)[:1] + np.eye(30)[:, :1],
    "tridiagonal": banded(9, -1, 0, 1),
    "wide": banded(12, -3, 0, 2),
}


def colorings(matrix: np.ndarray) -> list[asdex.ColoredPattern]:
    color = asdex.jacobian_coloring_from_sparsity
    found = [color(matrix, mode="fwd"), color(matrix, mode="rev")]
    if matrix.shape[0] == matrix.shape[1] and (matrix == matrix.T).all():
        found.append(asdex.hessian_coloring_from_sparsity(matrix))
    return found


def check(coloring: asdex.ColoredPattern) -> DecompressionPlan:
    plan = plan_decompression(coloring)
    shape = (coloring.num_colors, coloring.dim)
    compressed = jnp.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape)
    expected = np.asarray(compressed).reshape(-1)[plan.positions]

    @jax.jit
    def alone_and_in_a_batch(compressed: jax.Array) -> tuple[jax.Array, jax.Array]:
        batch = jax.vmap(lambda compressed: read(compressed, plan))(compressed[None])
        return read(compressed, plan), batch

    one, batch = alone_and_in_a_batch(compressed)
    np.testing.assert_array_equal(one, expected)
    np.testing.assert_array_equal(batch[0], expected)
    return plan


@pytest.mark.parametrize("name", STENCILS)
def test_stencils_are_read_by_windows(name: str) -> None:
    for coloring in colorings(STENCILS[name]):
        plan = check(coloring)
        assert plan.slots
        assert sum(slot.choice.size for slot in plan.slots) == coloring.sparsity.nnz


@pytest.mark.parametrize("name", OTHERS)
def test_other_patterns_may_be_read_by_a_gather(name: str) -> None:
    for coloring in colorings(OTHERS[name]):
        check(coloring)


def test_any_order() -> None:
    rng = np.random.default_rng(0)
    for matrix in (*STENCILS.values(), *OTHERS.values()):
        rows, cols = rng.permutation(np.argwhere(matrix)).T
        shuffled = asdex.SparsityPattern(rows, cols, matrix.shape)
        for mode in ("fwd", "rev"):
            check(asdex.jacobian_coloring_from_sparsity(shuffled, mode=mode))


def test_matrices_that_need_wide_positions() -> None:
    coloring = colorings(OTHERS["random"])[0]
    compressed = jnp.arange(1.0 * coloring.num_colors * coloring.dim)
    compressed = compressed.reshape(coloring.num_colors, coloring.dim)
    wide = DecompressionPlan(coloring.positions.astype(np.int64), ())
    with jax.enable_x64(False):
        np.testing.assert_array_equal(read(compressed, wide), coloring.positions)
    tall = asdex.SparsityPattern.from_coo([2**30, 2**30, 2**30], [0, 1, 2], (2**30 + 1, 3))
    coloring = asdex.ColoredPattern(tall, np.arange(3), 3, False, "fwd")
    assert coloring.positions.dtype == np.int64
    assert plan_chunks(coloring, 1).sides[0].positions.dtype == np.int32
    with pytest.raises(ValueError, match=r"chunk_size=2 makes chunks of .* Use at most 1"):
        plan_chunks(coloring, 2)


@pytest.mark.parametrize("transform", [jax.jacfwd, jax.jacrev])
def test_derivatives(transform: Callable[..., Callable[..., jax.Array]]) -> None:
    coloring = asdex.jacobian_coloring_from_sparsity(STENCILS["periodic"])
    plan = plan_decompression(coloring)
    compressed = jnp.ones((coloring.num_colors, coloring.dim))
    found = transform(lambda c: read(c, plan))(compressed)
    expected = transform(lambda c: c.reshape(-1)[coloring.positions])(compressed)
    np.testing.assert_array_equal(found, expected)
