"""Which solver is chosen, which refuse, and the facts of patterns that they use."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, diags_array, eye_array, kron
from scipy.sparse.csgraph import structural_rank

from asdex import SparsityPattern
from asdex._linalg.solvers import SOLVERS, SolverName, matching
from asdex._linalg.solvers.direct.choose import choose, plan
from asdex._linalg.solvers.matching import (
    Facts,
    block_triangle,
    components,
    match_rows,
    narrowest_band,
)

from .cases import (
    block_diagonal,
    from_mask,
    grid_mask,
    shuffled,
    solve_flat,
    sparse_mask,
)


def ring(n: int) -> np.ndarray:
    return np.eye(n) + np.roll(np.eye(n), 1, axis=0) + np.roll(np.eye(n), -1, axis=0)


def band(n: int, lower: int, upper: int) -> np.ndarray:
    return np.tri(n, k=upper) - np.tri(n, k=-lower - 1)


CHOICES: dict[str, tuple[np.ndarray, SolverName]] = {
    "identity": (np.eye(300), "diagonal"),
    "tridiagonal": (band(300, 1, 1), "tridiagonal"),
    "bidiagonal": (band(300, 1, 0), "tridiagonal"),
    "permutation": (shuffled(np.eye(50)), "block_diagonal"),
    "small blocks": (shuffled(block_diagonal([3] * 60)), "block_diagonal"),
    "larger blocks": (shuffled(block_diagonal([40] * 4)), "block_diagonal"),
    "two parts": (shuffled(block_diagonal([50, 50])), "block_diagonal"),
    "small": (sparse_mask(100, 3), "dense"),
    "band": (band(300, 3, 8), "banded"),
    "band without diagonal": (band(300, 3, 8) - np.eye(300), "banded"),
    "ring": (ring(300), "banded"),
    "two fields on a line": (np.kron(np.ones((2, 2)), band(150, 1, 1)), "banded"),
    "triangle": (shuffled(np.tril(sparse_mask(300, 6))), "triangular"),
    "dense": (np.ones((200, 200)), "dense"),
    "small grid": (grid_mask(20), "banded"),
    "two fields on a small grid": (np.kron(np.ones((2, 2)), grid_mask(12)), "banded"),
    "sparse": (sparse_mask(400, 3), "superlu"),
    "sparse, but not its factors": (sparse_mask(300, 30), "dense"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choice(name: str):
    mask, solver = CHOICES[name]
    facts = Facts.of(SparsityPattern.from_dense(mask))
    assert facts is not None
    assert choose(facts) == solver


@pytest.mark.parametrize(("m", "n", "solver"), [(500, 20, "banded"), (100, 100, "superlu")])
def test_choice_for_grids_of_equal_size(m: int, n: int, solver: SolverName):
    """By predicted work: strips are bands, squares fill too little for their width."""
    line = [diags_array([1.0, 1, 1], offsets=[-1, 0, 1], shape=(k, k)) for k in (m, n)]
    grid = (kron(line[0], eye_array(n)) + kron(eye_array(m), line[1])).tocoo()
    rows, cols = grid.coords
    facts = Facts.of(SparsityPattern(rows, cols, grid.shape))
    assert facts is not None
    assert choose(facts) == solver


REFUSALS: dict[SolverName, str] = {
    "diagonal": r"solver='diagonal' needs a diagonal matrix.*entry \(0, 1\)\. Use solver=",
    "tridiagonal": r"solver='tridiagonal' needs.*entry \(0, 2\)\. Use solver='banded'",
    "triangular": r"solver='triangular' needs.*entry \(0, 1\)\. Use solver='superlu'",
}


@pytest.mark.parametrize("solver", REFUSALS)
def test_solvers_that_do_not_suit_the_pattern(solver: SolverName):
    a = from_mask(np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1]]))
    with pytest.raises(ValueError, match=REFUSALS[solver]):
        solve_flat(a.pattern, jnp.asarray(a.data), jnp.ones(3), solver=solver)


def test_what_would_fill_the_memory():
    n = 100_000
    first, spokes = np.zeros(n - 1, int), np.arange(1, n)
    arrow = SparsityPattern(
        np.concatenate([np.arange(n), first, spokes]),
        np.concatenate([np.arange(n), spokes, first]),
        (n, n),
    )
    with pytest.raises(ValueError, match="solver='banded' needs an order"):
        solve_flat(arrow, jnp.ones(arrow.nnz), jnp.ones(n), solver="banded")
    for solver in ("dense", "block_diagonal"):
        with pytest.raises(ValueError, match=f"solver='{solver}' would fill .* 100000"):
            solve_flat(arrow, jnp.ones(arrow.nnz), jnp.ones(n), solver=solver)


def test_wrong_arguments(without_annotation_checks: None):
    del without_annotation_checks
    oblong = SparsityPattern([0], [2], (2, 3))
    with pytest.raises(ValueError, match=r"Only square .* Got shape \(2, 3\)"):
        solve_flat(oblong, jnp.ones(1), jnp.ones(2))
    square = SparsityPattern([0, 1], [0, 1], (2, 2))
    with pytest.raises(ValueError, match="Unknown solver 'lapack'"):
        solve_flat(square, jnp.ones(2), jnp.ones(2), solver="lapack")  # pyright: ignore[reportArgumentType]


def test_missing_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "klujax_cpp", None)
    # A pattern for which nothing has been planned yet.
    pattern = SparsityPattern.from_dense(np.eye(23))
    with pytest.raises(ImportError, match=r"pip install klujax"):
        solve_flat(pattern, jnp.ones(23), jnp.ones(23), solver="klu")


masks = st.builds(sparse_mask, st.integers(1, 25), st.floats(0, 3), st.integers(0, 10**6))


@given(masks, st.integers(0, 10**6))
def test_orders_of_random_patterns(mask: np.ndarray, seed: int):
    pattern = SparsityPattern.from_dense(shuffled(mask, seed))
    row_of_col = match_rows(pattern)
    assert row_of_col is not None
    dense = pattern.todense()
    n = pattern.n
    assert sorted(row_of_col) == [*range(n)]
    assert dense[row_of_col, np.arange(n)].all()

    triangle = block_triangle(pattern, row_of_col)
    ordered = dense[triangle.rows][:, triangle.cols]
    block = triangle.block[triangle.cols]
    assert np.diagonal(ordered).all()
    assert (block[1:] >= block[:-1]).all()
    assert not ordered[block[:, None] > block].any()

    row_part, col_part, count = components(pattern)
    assert not dense[row_part[:, None] != col_part].any()
    assert count == len({*row_part, *col_part})

    band = narrowest_band(pattern)
    moved = dense[band.order][:, band.order]
    assert not np.tril(moved, -band.lower - 1).any()
    assert not np.triu(moved, band.upper + 1).any()


@pytest.mark.parametrize("name", CHOICES)
def test_each_fact_of_a_pattern_is_computed_once(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    counts: Counter[str] = Counter()

    def counted(fact: str, compute: Callable[..., Any], *args: Any) -> Any:
        counts[fact] += 1
        return compute(*args)

    for fact in ("match_rows", "block_triangle", "components", "narrowest_band"):
        compute = getattr(matching, fact)
        monkeypatch.setattr(matching, fact, partial(counted, fact, compute))
    plan.__wrapped__(SparsityPattern.from_dense(CHOICES[name][0]), "auto")
    assert counts["match_rows"] == max(counts.values()) == 1


@given(st.builds(sparse_mask, st.integers(1, 25), st.floats(0, 2), st.integers(0, 10**6)))
def test_patterns_without_matching_are_found(mask: np.ndarray):
    mask = mask.copy()
    np.fill_diagonal(mask, np.arange(len(mask)) % 3 > 0)
    row_of_col = match_rows(SparsityPattern.from_dense(mask))
    assert (row_of_col is None) == (structural_rank(csr_array(mask)) < len(mask))
    if row_of_col is not None:
        assert mask[row_of_col, np.arange(len(mask))].all()


def test_a_renumbered_triangle_is_matched_by_its_single_entries(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(matching, "_match_by_flow", None)
    mask = np.tril(np.random.default_rng(0).random((300, 300)) < 0.05) | np.eye(
        300, dtype=bool
    )
    assert match_rows(SparsityPattern.from_dense(shuffled(mask, 1))) is not None


def test_a_pattern_without_matching_in_a_full_looking_matrix():
    mask = np.ones((4, 4))
    mask[:3, :2] = 0
    mask[:3, 2] = 0
    assert match_rows(SparsityPattern.from_dense(mask)) is None


@pytest.mark.parametrize("solver", ["auto", "cusolver"])
def test_programs_for_cuda_need_no_host(solver: SolverName):
    mask = grid_mask(12)
    a = from_mask(mask)
    solve = jax.jit(lambda data, b: solve_flat(a.pattern, data, b, solver=solver))
    grad = jax.jit(jax.grad(lambda data, b: solve(data, b)[0].sum()))
    batch = jax.jit(jax.vmap(solve, (0, None)))
    data, b = jnp.asarray(a.data), jnp.asarray(a.rhs())
    for function, values in ((solve, data), (grad, data), (batch, data[None])):
        traced = function.trace(values, b)
        on_gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
        assert "cusolver_csrlsvqr" in on_gpu
        assert "callback" not in on_gpu
        on_cpu = traced.lower().compile().as_text() or ""
        assert "callback" in on_cpu
        assert "conditional" not in on_cpu


def test_solver_names():
    assert {"auto", *CHOICES_AND_MORE} == {*SOLVERS}


CHOICES_AND_MORE = {solver for _, solver in CHOICES.values()} | {"klu", "cusolver"}


PROGRAM = """
import importlib.util
import jax
import jax.numpy as jnp
from asdex import SparseJacobian, SparsityPattern
from asdex._linalg.solvers import SOLVERS

names = "jax_enable_x64", "jax_platform_name"
settings = {name: jax.config.values[name] for name in names}
tridiagonal = SparsityPattern([0, 0, 1, 1, 1, 2, 2], [0, 1, 0, 1, 2, 1, 2], (3, 3))
data, b = jnp.array([2, 1, 1, 3, 1, 1, 4.0]), jnp.array([3, 5, 5.0])
unfit = {"diagonal", "triangular", "block_diagonal"}
if importlib.util.find_spec("klujax") is None:
    unfit.add("klu")
for solver in set(SOLVERS) - unfit:
    def solve(data, b):
        return SparseJacobian(data, tridiagonal).solve(b, solver=solver)

    solve = jax.jit(solve)
    x = jax.vmap(solve, (None, 0))(data, jnp.stack([b, 2 * b]))
    assert x.dtype == jnp.float32, solver
    assert jnp.allclose(x, jnp.array([[1.0], [2.0]]), atol=1e-6), solver
    grads = jax.grad(lambda data, b: solve(data, b).sum(), (0, 1))(data, b)
    assert all(grad.dtype == jnp.float32 for grad in grads), solver
assert settings == {name: jax.config.values[name] for name in settings}
"""


def test_single_precision_only():
    subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], check=True)
