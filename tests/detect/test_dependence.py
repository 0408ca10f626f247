"""Operations on `Dependence` against the same on a dense boolean array.

The model of an array of shape `shape` that depends on `n` inputs is a boolean array of
shape `(*shape, n)`.
"""

from collections.abc import Callable
from math import prod
from typing import TypeAlias
from unittest.mock import patch

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from jaxtyping import Bool, Integer
from scipy.sparse import csr_array

from asdex._detect import dependence as module
from asdex._detect.dependence import (
    Dependence,
    boolean,
    combine,
    from_matrix,
    identity,
    nothing,
    stack,
    union,
)
from asdex._detect.rules import reductions

Model = Bool[np.ndarray, "*shape n"]

Rng: TypeAlias = np.random.Generator
Shape: TypeAlias = tuple[int, ...]

SHAPES = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


def examples(*more: st.SearchStrategy) -> Callable[[Callable], Callable]:
    """Runs a test on seeds, shapes and `more`, always the same ones."""
    same = settings(derandomize=True, database=None, deadline=None)
    return lambda test: same(given(SEEDS, SHAPES, *more)(test))


def model_of(dependence: Dependence) -> Model:
    """The dependence of the library as a dense array."""
    dense = dependence.matrix().toarray()
    return dense.reshape(*dependence.shape, dependence.n)


def make(rng: Rng, shape: Shape, n: int) -> tuple[Dependence, Model]:
    """A random dependence of up to three terms, some with a matrix, and its model."""
    parts, model = [nothing(shape, n)], np.zeros((*shape, n), bool)
    for _ in range(rng.integers(0, 4)):
        base = identity((n,), n)
        dense = np.eye(n, dtype=bool)
        if rng.random() < 0.5:
            dense = rng.random((rng.integers(1, 5), n)) < 0.4
            base = from_matrix(_sparse(dense), (len(dense),))
        positions = rng.integers(-1, len(dense), shape)
        parts.append(base.take(positions))
        model |= np.concatenate([dense, np.zeros((1, n), bool)])[positions]
    return union(parts), model


def check(dependence: Dependence, model: Model) -> None:
    """The dependence equals the model, and its matrix is canonical."""
    assert dependence.shape == model.shape[:-1]
    assert dependence.size == prod(dependence.shape)
    matrix = dependence.matrix()
    assert matrix.shape == (dependence.size, dependence.n)
    assert matrix.data.all()
    rebuilt = _sparse(matrix.toarray())
    assert np.array_equal(matrix.indices, rebuilt.indices)
    assert np.array_equal(matrix.indptr, rebuilt.indptr)
    assert np.array_equal(model_of(dependence), model)


def _sparse(dense: Bool[np.ndarray, "m n"]) -> csr_array:
    rows, cols = np.nonzero(dense)
    return boolean(rows, cols, dense.shape)


def _setup(seed: int, shape: Shape) -> tuple[Rng, int]:
    rng = np.random.default_rng(seed)
    return rng, int(rng.integers(1, 6))


@examples()
def test_made(seed: int, shape: Shape) -> None:
    rng, n = _setup(seed, shape)
    check(*make(rng, shape, n))


@examples()
def test_take(seed: int, shape: Shape) -> None:
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    positions = rng.integers(-1, max(1, dependence.size), (2, 3))
    rows = np.concatenate([model.reshape(-1, n), np.zeros((1, n), bool)])
    found = dependence.take(positions)
    check(found, rows[positions] if dependence.size else np.zeros((2, 3, n), bool))


@examples()
def test_where(seed: int, shape: Shape) -> None:
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    keep = rng.random(shape) < 0.5
    check(dependence.where(keep), model & keep[..., None])


@examples()
def test_reshape(seed: int, shape: Shape) -> None:
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    check(dependence.reshape((1, dependence.size)), model.reshape(1, -1, n))


@examples()
def test_spread(seed: int, shape: Shape) -> None:
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    count = int(rng.integers(0, 12)) if dependence.size else 0
    targets = rng.integers(0, 4, count)
    sources = rng.integers(0, max(1, dependence.size), count)
    expected = np.zeros((4, n), bool)
    np.logical_or.at(expected, targets, model.reshape(-1, n)[sources])
    check(dependence.spread(targets, sources, (2, 2)), expected.reshape(2, 2, n))
    targets, expected = rng.integers(0, 4, dependence.size), np.zeros((4, n), bool)
    np.logical_or.at(expected, targets, model.reshape(-1, n))
    check(dependence.spread(targets, None, (2, 2)), expected.reshape(2, 2, n))


@examples(st.integers(0, 20))
def test_gather_union(seed: int, shape: Shape, count: int) -> None:
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    rows = np.concatenate([model.reshape(-1, n), np.zeros((1, n), bool)])
    views = [rng.integers(-1, max(1, dependence.size), (3,)) for _ in range(count)]
    views = views if dependence.size else [np.full(3, -1)] * count
    expected = np.logical_or.reduce(
        [np.zeros((3, n), bool), *(rows[view] for view in views)]
    )
    check(dependence.gather_union(views, (3,)), expected)


@examples(st.sampled_from([2, 3, 32]), st.booleans())
def test_running_union(seed: int, shape: Shape, group: int, reverse: bool) -> None:
    rng, n = _setup(seed, shape)
    axis = int(rng.integers(len(shape)))
    shape = tuple(max(1, 5 * dim if k == axis else dim) for k, dim in enumerate(shape))
    dependence, model = make(rng, shape, n)
    expected = np.moveaxis(model, axis, 0)
    expected = np.logical_or.accumulate(expected[::-1] if reverse else expected)
    expected = np.moveaxis(expected[::-1] if reverse else expected, 0, axis)
    with patch.object(reductions, "GROUP", group):
        found = reductions.running_union(dependence, axis, reverse=reverse)
    check(found, expected)


@examples(st.sampled_from([0, 4, 16]))
def test_merge(seed: int, shape: Shape, max_terms: int) -> None:
    """With few terms allowed, it goes through a matrix."""
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    axes = tuple(np.flatnonzero(rng.random(len(shape)) < 0.5).tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_TERMS", max_terms)
        found = dependence.merge(axes)
    check(found, np.logical_or.reduce(model, axis=axes, keepdims=True))


@examples()
def test_broadcast(seed: int, shape: Shape) -> None:
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    wider = (2, *(3 if dim == 1 else dim for dim in shape))
    check(dependence.broadcast(wider), np.broadcast_to(model, (*wider, n)))


@examples()
def test_whole(seed: int, shape: Shape) -> None:
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    check(dependence.whole(), np.logical_or.reduce(model.reshape(-1, n)))


@examples(st.integers(1, 12), st.sampled_from([0, 8, 2**16]))
def test_union(seed: int, shape: Shape, count: int, few: int) -> None:
    """Also of so many terms that they are computed as a matrix, with or without sorting
    those of few entries."""
    rng, n = _setup(seed, shape)
    dependences, models = zip(*(make(rng, shape, n) for _ in range(count)), strict=True)
    with patch.object(module, "_FEW_ENTRIES", few):
        check(union(dependences), np.logical_or.reduce(models))


@examples(st.integers(1, 20))
def test_stack(seed: int, shape: Shape, count: int) -> None:
    """Also of so many matrices that they are joined into one."""
    rng, n = _setup(seed, shape)
    dependences, models = zip(*(make(rng, shape, n) for _ in range(count)), strict=True)
    check(stack(dependences), np.stack(models))


@examples(st.integers(1, 20))
def test_combine(seed: int, shape: Shape, count: int) -> None:
    """Also of so many matrices that they are joined into one."""
    rng, n = _setup(seed, shape)
    dependences, models = zip(*(make(rng, shape, n) for _ in range(count)), strict=True)
    joined = (count * shape[0], *shape[1:])

    def move(*rows: np.ndarray) -> np.ndarray:
        return np.concatenate(rows)[::-1]

    check(combine(dependences, move, joined), move(*models))


@examples()
def test_operations_follow_each_other(seed: int, shape: Shape) -> None:
    """Terms of several matrices, merged, united and taken apart."""
    rng, n = _setup(seed, shape)
    dependence, model = make(rng, shape, n)
    other, other_model = make(rng, shape, n)
    merged = dependence.merge((0,)).take(np.zeros((shape[0], 1), int) + _row(shape))
    wide = union([merged.reshape(shape), other])
    check(wide, np.logical_or.reduce(model)[None] | other_model)
    check(from_matrix(wide.matrix(), shape), model_of(wide))


def _row(shape: Shape) -> Integer[np.ndarray, " width"]:
    return np.arange(prod(shape[1:]))


@settings(derandomize=True, database=None, deadline=None)
@given(st.integers(0, 4), st.integers(0, 3))
def test_identity_and_nothing(size: int, offset: int) -> None:
    n = size + offset
    expected = np.eye(n, dtype=bool)[offset:]
    check(identity((size,), n, offset), expected)
    check(nothing((size,), n), np.zeros_like(expected))
