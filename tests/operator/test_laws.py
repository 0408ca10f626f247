"""Laws of algebra, and the patterns of results, for random patterns."""

from functools import partial
from typing import Any, NamedTuple

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
from hypothesis import HealthCheck, given, settings

import asdex
from asdex import SparseJacobian

few = partial(
    settings,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
SIZES = st.sampled_from([0, 1, 3, 6, 20])


class Drawn(NamedTuple):
    """Where an operator has entries, in which order, and the seed of its values."""

    mask: np.ndarray
    shuffled: bool
    seed: int


def drawn(m: int, n: int) -> st.SearchStrategy[Drawn]:
    entries = hnp.arrays(bool, (m, n), elements=st.booleans(), fill=st.just(False))
    return st.builds(Drawn, entries, st.booleans(), st.integers(0, 99))


@st.composite
def chains(draw: st.DrawFn) -> tuple[Drawn, ...]:
    """`A` and `B` of equal shape, `C` to the right of them and `S` square."""
    m, n, k = draw(SIZES), draw(SIZES), draw(SIZES)
    return tuple(draw(drawn(*shape)) for shape in ((m, n), (m, n), (n, k), (n, n)))


def build(mask: np.ndarray, shuffled: bool, seed: int) -> SparseJacobian:
    """Of integer values, with which sums and products make no rounding errors."""
    mask = mask.copy()
    mask[: seed % 3] = True
    rows, cols = np.nonzero(mask)
    rng = np.random.default_rng(seed)
    order = rng.permutation(rows.size) if shuffled else np.arange(rows.size)
    pattern = asdex.SparsityPattern(rows[order], cols[order], mask.shape)
    return SparseJacobian(rng.integers(-9, 9, rows.size).astype(float), pattern)


@few(max_examples=10)
@given(chains())
def test_laws(chain: tuple[Drawn, ...]) -> None:
    operators = [build(*part) for part in chain]

    @jax.jit
    def sides(
        a: SparseJacobian, b: SparseJacobian, c: SparseJacobian, s: SparseJacobian, x: Any
    ) -> Any:
        u = np.arange(1.0, 1 + a.sparsity.m)
        return {
            "associative": (a @ (c @ x), (a @ c) @ x),
            "transposed product": ((a @ c).T.mv(u), c.T @ (a.T @ u)),
            "transposed sum": ((a + b).T.mv(u), (a.T + b.T).mv(u)),
            "distributive": ((a - b) @ (c @ x), (a @ c - b @ c).mv(x)),
            "adjoint": (u @ a, a.rmv(u)),
            "shift": (s.shift(3.0) @ (c @ x), s @ (c @ x) + 3.0 * (c @ x)),
            "parts": ((s.tril() + s.triu(1)) @ (c @ x), s @ (c @ x)),
            "gram": (a.gram().diagonal(), a.gram_diagonal()),
            "congruence": (s.congruence(c).mv(x), c.rmv(s.mv(c.mv(x)))),
            "sums": (a.row_sums(), a @ np.ones(a.sparsity.n)),
        }

    x = np.arange(operators[2].shape[1]) - 2.0
    for law, (left, right) in sides(*operators, x).items():
        np.testing.assert_array_equal(left, right, err_msg=law)


@few(max_examples=60)
@given(chains())
def test_patterns_hold_no_more_than_is_needed(chain: tuple[Drawn, ...]) -> None:
    operators = [build(*part) for part in chain]
    mask, other, right, square = (a.sparsity.todense().astype(bool) for a in operators)
    identity = np.eye(*square.shape, dtype=bool)

    def patterns(*chain: SparseJacobian) -> Any:
        a, b, c, s = chain
        return a @ c, a + b, a.T, s.shift(1.0), a.gram(), s.congruence(c), a.triu(1)

    found = jax.eval_shape(patterns, *operators)
    expected = (
        mask @ right,
        mask | other,
        mask.T,
        square | identity,
        mask.T @ mask,
        right.T @ square @ right,
        np.triu(mask, 1),
    )
    for result, pattern in zip(found, expected, strict=True):
        np.testing.assert_array_equal(result.sparsity.todense(), pattern)
        assert result.data.shape == (pattern.sum(),)


@few(max_examples=30)
@given(drawn(6, 6))
def test_a_pattern_that_holds_the_other_is_kept(whole: Drawn) -> None:
    """So a sum can be the carry of a loop."""
    a = build(*whole)
    for total in jax.eval_shape(lambda: (a + a.tril(), a.triu() + a, a + a)):
        assert jax.tree.structure(total) == jax.tree.structure(a)
