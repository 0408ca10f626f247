"""`SparsityPattern`: attributes, input checks, and patterns inside transformations."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO

import asdex
from asdex._structure.matrices import as_pattern
from asdex._structure.pattern import SparsityPattern

F32 = np.dtype(np.float32)


def aval(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, F32)


def example() -> SparsityPattern:
    return SparsityPattern.from_coo([2, 0, 2], [3, 1, 0], (3, 4))


def count_compilations(function: Callable, *calls: tuple) -> int:
    traces = []

    @jax.jit
    def counted(*args):
        traces.append(None)
        return function(*args)

    for args in calls:
        counted(*args)
    return len(traces)


# Attributes


def test_entries_keep_the_order_they_are_given_in():
    pattern = example()
    assert pattern.rows.tolist() == [2, 0, 2]
    assert pattern.cols.tolist() == [3, 1, 0]
    assert pattern.rows.dtype == pattern.cols.dtype == np.int32
    assert not pattern.is_sorted
    assert SparsityPattern([0, 2, 2], [1, 0, 3], (3, 4)).is_sorted


def test_sizes():
    pattern = example()
    assert (pattern.shape, pattern.m, pattern.n, pattern.nnz) == ((3, 4), 3, 4, 3)
    assert pattern.density == 3 / 12


def test_groups_are_dicts_of_sorted_lists():
    pattern = example()
    assert pattern.row_to_cols == {0: [1], 2: [0, 3]}
    assert pattern.col_to_rows == {0: [2], 1: [0], 3: [2]}
    assert SparsityPattern([], [], (3, 4)).row_to_cols == {}


def test_of_equal_entries_the_first_is_kept():
    pattern = SparsityPattern([2, 0, 2, 0], [3, 1, 3, 1], (3, 4))
    assert (pattern.rows.tolist(), pattern.cols.tolist()) == ([2, 0], [3, 1])
    assert SparsityPattern([0, 0, 1], [1, 1, 0], (2, 2)).is_sorted


def test_default_input_is_one_vector():
    pattern = example()
    assert pattern.input_avals == pattern.dyn_avals == (aval(4),)
    assert pattern.argnums == 0
    assert pattern.example_input == aval(4)
    assert (pattern.leaf_shapes, pattern.leaf_sizes) == ([(4,)], [4])
    assert pattern.output_shapes == ((3,),)


def test_selected_inputs_follow_argnums():
    avals = ({"a": aval(2), "b": aval(3, 2)}, aval(7), aval(4))
    pattern = SparsityPattern([0], [11], (1, 12), input_avals=avals, argnums=[2, 0])
    assert pattern.argnums == (2, 0)
    assert pattern.input_avals == avals
    assert pattern.dyn_avals == pattern.example_input == (avals[2], avals[0])
    assert pattern.leaf_shapes == [(4,), (2,), (3, 2)]
    assert pattern.leaf_sizes == [4, 2, 6]
    assert pattern.input_treedef == jax.tree.structure((avals[2], avals[0]))


@pytest.mark.parametrize("argnums", [1, -1])
def test_an_int_argnums_stays_one(argnums):
    pattern = SparsityPattern([0], [1], (1, 2), (aval(9), aval(2)), argnums)
    assert pattern.argnums == 1
    assert pattern.example_input == aval(2)


def test_static_arguments_are_stored_as_their_values():
    pattern = SparsityPattern([0], [1], (1, 2), (aval(2), "periodic", True))
    assert pattern.input_avals == (aval(2), "periodic", True)


def test_arrays_as_avals_count_by_shape_and_dtype():
    pattern = SparsityPattern([0], [1], (1, 2), (np.ones(2, F32), jnp.ones(3)))
    assert pattern.input_avals == (aval(2), jax.ShapeDtypeStruct((3,), jnp.ones(3).dtype))
    assert hash(pattern) == hash(SparsityPattern([0], [1], (1, 2)))


@pytest.mark.parametrize(
    ("entries", "shape", "expected"),
    [
        ([(0, 1), (1, 0), (2, 2)], (3, 3), True),
        ([(2, 2), (1, 0), (0, 1)], (3, 3), True),
        ([(0, 1), (2, 2)], (3, 3), False),
        ([(0, 0)], (2, 3), False),
        ([], (0, 0), True),
    ],
)
def test_is_symmetric(entries, shape, expected):
    rows, cols = [i for i, _ in entries], [j for _, j in entries]
    assert SparsityPattern(rows, cols, shape).is_symmetric is expected


# Conversions


def test_dense_round_trip():
    dense = np.array([[0, 2, 0], [0.0, np.nan, -1]])
    pattern = SparsityPattern.from_dense(dense)
    assert pattern.is_sorted
    np.testing.assert_array_equal(pattern.todense(), dense != 0)
    assert SparsityPattern.from_dense(jnp.asarray(dense)) == pattern
    assert SparsityPattern.from_dense(dense != 0) == pattern
    with pytest.raises(ValueError, match=r"dense must be a matrix\. Got shape \(3,\)"):
        SparsityPattern.from_dense(jnp.ones(3))


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_scipy_round_trip(format):
    pattern = example()
    matrix: Any = pattern.to_scipy(np.array([1.0, 0.0, 3.0]), format)
    assert isinstance(matrix, getattr(scipy.sparse, f"{format}_array"))
    expected = np.zeros(pattern.shape)
    expected[pattern.rows, pattern.cols] = [1.0, 0.0, 3.0]
    np.testing.assert_array_equal(matrix.toarray(), expected)
    found = SparsityPattern.from_scipy(matrix)  # An entry of zero is stored.
    np.testing.assert_array_equal(found.todense(), pattern.todense())
    np.testing.assert_array_equal(pattern.to_scipy().toarray(), pattern.todense())
    matrix.data[:] = 7
    matrix.sum_duplicates()
    assert pattern == example()
    with pytest.raises(ValueError, match=r"shape \(3,\). Got \(2,\)"):
        pattern.to_scipy(np.ones(2))


def test_a_pattern_is_given_as_any_matrix():
    dense = np.array([[1.0, 0, 2], [0, 3, 0], [4, 0, 0]])
    expected = SparsityPattern.from_dense(dense)
    csr = scipy.sparse.csr_array(dense)
    operator = asdex.SparseJacobian(jnp.ones(4), expected)
    for matrix in (
        *(dense, jnp.asarray(dense), expected, expected.to_bcoo(), operator.to_bcsr()),
        *(csr, csr.tocsc(), csr.tocoo(), scipy.sparse.csr_matrix(dense), operator),
        asdex.jacobian_coloring_from_sparsity(expected, mode="fwd"),
    ):
        np.testing.assert_array_equal(as_pattern(matrix).todense(), dense != 0)
    asdex.check_coloring_cols(csr, np.arange(3))
    coloring = asdex.jacobian_coloring_from_sparsity(csr)
    assert coloring == asdex.jacobian_coloring_from_sparsity(dense)


def test_bcoo_round_trip_tells_the_truth_about_order():
    pattern = example()
    bcoo = pattern.to_bcoo()
    assert bcoo.unique_indices
    assert not bcoo.indices_sorted
    assert SparsityPattern.from_bcoo(bcoo) == pattern
    np.testing.assert_array_equal(bcoo.todense(), pattern.todense())
    assert SparsityPattern([0, 1], [1, 0], (2, 2)).to_bcoo().indices_sorted


def test_to_bcoo_with_values():
    bcoo = example().to_bcoo(np.array([1.0, 2.0, 3.0]))
    assert bcoo.todense()[2].tolist() == [3.0, 0.0, 0.0, 1.0]
    with pytest.raises(ValueError, match=r"one value per entry, shape \(3,\)"):
        example().to_bcoo(np.ones(4))


def test_from_bcoo_keeps_explicit_zeros_and_drops_padding():
    bcoo = BCOO((jnp.zeros(2), jnp.array([[1, 0], [2, 2]])), shape=(2, 2))
    pattern = SparsityPattern.from_bcoo(bcoo)
    assert (pattern.rows.tolist(), pattern.cols.tolist()) == ([1], [0])


@pytest.mark.parametrize("options", [{"n_batch": 1}, {"n_dense": 1}])
def test_from_bcoo_refuses_batch_and_dense_dimensions(options):
    with pytest.raises(ValueError, match="n_sparse=2, n_batch=0 and n_dense=0"):
        SparsityPattern.from_bcoo(BCOO.fromdense(jnp.ones((2, 2, 2)), **options))


# Empty and very large


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 3)])
def test_patterns_without_entries(shape):
    pattern = SparsityPattern([], [], shape)
    assert (pattern.shape, pattern.nnz, pattern.density) == (shape, 0, 0.0)
    assert pattern.is_sorted
    assert pattern.todense().shape == pattern.to_bcoo().shape == shape
    assert SparsityPattern.from_dense(np.zeros(shape)) == pattern
    assert SparsityPattern.from_bcoo(pattern.to_bcoo()) == pattern


def test_products_of_dimensions_do_not_overflow():
    dim = 1_000_000
    rows = np.array([dim - 1, 0, dim - 1, 4295, 0])
    cols = np.array([dim - 1, 7, dim - 1, 0, 7])
    pattern = SparsityPattern(rows, cols, (dim, dim))
    assert pattern.rows.tolist() == [dim - 1, 0, 4295]
    assert pattern.density == 3e-12
    assert not pattern.is_symmetric
    # These two would be one entry if `rows * n + cols` wrapped around at 2**32.
    apart = SparsityPattern([0, 4295], [0, 2**32 - 4295 * dim + dim], (dim, 2 * dim))
    assert apart.nnz == 2


# Errors


@pytest.mark.parametrize(
    ("rows", "cols", "shape", "message"),
    [
        ([0, 3], [0, 0], (3, 4), r"rows must lie in 0\.\.2 .* 3 rows\. Got 3"),
        ([0, -1], [0, 0], (3, 4), r"rows must lie in 0\.\.2 .* Got -1"),
        ([0], [4], (3, 4), r"cols must lie in 0\.\.3 .* 4 cols\. Got 4"),
        ([0], [2**32], (3, 4), r"cols must lie in 0\.\.3 .* Got 4294967296"),
        ([0, 1], [0], (3, 4), "equal lengths.* 2 rows and 1 cols"),
        ([0], [0], (0, 4), "rows must lie in"),
        ([], [], (-1, 4), r"Dimensions must lie .* Got shape \(-1, 4\)"),
        ([], [], (2**31, 4), "range of an int32 index"),
        ([], [], (3, 4, 5), r"pair \(m, n\)"),
    ],
)
def test_values_that_do_not_fit(rows, cols, shape, message):
    with pytest.raises(ValueError, match=message):
        SparsityPattern(rows, cols, shape)


@pytest.mark.usefixtures("without_annotation_checks")
@pytest.mark.parametrize(
    ("rows", "shape", "error", "message"),
    [
        (np.array([0.0]), (3, 4), TypeError, "rows must be integers.*float64"),
        (np.array([True]), (3, 4), TypeError, "rows must be integers.*bool"),
        (np.array([[0]]), (3, 4), ValueError, r"one-dimensional\. Got shape \(1, 1\)"),
        (np.array([0]), (3.0, 4), TypeError, "shape must hold two integers"),
    ],
)
def test_types_that_do_not_fit(rows, shape, error, message):
    with pytest.raises(error, match=message):
        SparsityPattern(rows, [0], shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_avals": (aval(3),)}, "have 3 elements in all, but the pattern has n=4"),
        ({"input_avals": (aval(4),), "argnums": 1}, "argnums=1 .* 1 argument"),
        ({"input_avals": (aval(4),), "argnums": (0, -2)}, "out of range"),
        ({"input_avals": (aval(2),), "argnums": (0, 0)}, "more than once"),
        ({"output_shapes": ((2,), (2,))}, "4 elements in all, but the pattern has m=3"),
    ],
)
def test_inputs_and_outputs_that_do_not_add_up(options, message):
    with pytest.raises(ValueError, match=message):
        SparsityPattern([0], [0], (3, 4), **options)


# Immutability, equality, structure


def test_nothing_can_be_changed():
    pattern: Any = example()
    with pytest.raises(AttributeError):
        pattern.shape = (9, 9)
    with pytest.raises(ValueError, match="read-only"):
        pattern.rows[0] = 1


def test_the_arrays_of_the_caller_are_not_shared():
    rows = np.array([0, 1], np.int32)
    pattern = SparsityPattern(rows, [0, 1], (2, 2))
    view = rows[:]
    view.setflags(write=False)
    from_view = SparsityPattern(view, [0, 1], (2, 2))
    rows[:] = 1
    assert pattern.rows.tolist() == from_view.rows.tolist() == [0, 1]


def test_the_arrays_cannot_be_made_writable():
    """Neither through the owner of a read-only array nor by the flag of a view."""
    rows, cols = np.arange(5, dtype=np.int32), np.arange(5, dtype=np.int32)[::-1]
    rows.setflags(write=False)
    pattern = SparsityPattern.from_coo(rows, cols, (5, 5))
    before, key = pattern.todense(), hash(pattern)
    rows.setflags(write=True)
    rows[0] = 3
    coloring = asdex.hessian_coloring_from_sparsity(pattern)
    loaded = pickle.loads(pickle.dumps(pattern))
    for array in (pattern.rows, pattern.cols, loaded.rows, coloring.colors):
        for view in (array, array[1:], array.reshape(-1, 1), array.view(np.uint32)):
            with pytest.raises(ValueError, match="WRITEABLE"):
                view.flags.writeable = True
            assert not isinstance(view.base, np.ndarray) or not view.base.flags.writeable
    np.testing.assert_array_equal(pattern.todense(), before)
    assert hash(pattern) == key
    assert pattern == loaded


def test_arrays_of_a_pattern_are_copied_once():
    pattern = SparsityPattern.from_dense(np.eye(4))
    again = SparsityPattern(pattern.rows, pattern.cols, (4, 4))
    assert again.rows is pattern.rows
    empty = SparsityPattern([], [], (0, 3))
    assert empty.rows.size == 0


def test_patterns_of_the_same_entries_share_them():
    avals = (jax.ShapeDtypeStruct((2, 2), jnp.float32),)
    pattern = SparsityPattern([2, 0, 1], [3, 1, 0], (3, 4), avals)
    assert pattern.bare.entries is pattern.entries
    assert pattern.bare == SparsityPattern([2, 0, 1], [3, 1, 0], (3, 4))
    transposed = pattern.transposed
    assert transposed.rows is pattern.cols
    assert transposed.cols is pattern.rows
    assert transposed == SparsityPattern([3, 1, 0], [2, 0, 1], (4, 3))
    assert not transposed.is_sorted
    assert SparsityPattern([0, 1], [1, 0], (2, 2)).transposed.transposed.is_sorted


def test_equal_patterns_compare_and_hash_equal():
    assert example() == example()
    assert hash(example()) == hash(example())
    assert len({example(), example()}) == 1


@pytest.mark.parametrize(
    "other",
    [
        SparsityPattern([2, 0, 2], [3, 1, 1], (3, 4)),
        SparsityPattern([0, 2, 2], [1, 0, 3], (3, 4)),  # Another order of entries.
        SparsityPattern([2, 0, 2], [3, 1, 0], (4, 4)),
        SparsityPattern([2, 0, 2], [3, 1, 0], (3, 4), (aval(2, 2),)),
        SparsityPattern([2, 0, 2], [3, 1, 0], (3, 4), argnums=[0]),
        SparsityPattern([2, 0, 2], [3, 1, 0], (3, 4), output_shapes=((1,), (2,))),
        "a string",
    ],
)
def test_different_patterns_compare_unequal(other):
    assert example() != other


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_are_equal_and_immutable(copied):
    duplicate = copied(example())
    assert duplicate == example()
    assert not duplicate.rows.flags.writeable


def test_pickle_leaves_the_hash_behind():
    pattern = example()
    hash(pattern)
    duplicate = pickle.loads(pickle.dumps(pattern))
    assert duplicate.entries.rows._hash is None  # Another process would hash otherwise.
    assert duplicate == pattern
    assert not duplicate.rows.flags.writeable


def test_a_pattern_is_structure():
    assert jax.tree.leaves(example()) == []
    assert jax.tree.structure(example()) == jax.tree.structure(example())
    assert jax.tree.map(lambda leaf: 1 / 0, example()) == example()


def test_an_equal_pattern_does_not_compile_again():
    def apply(pattern, x):
        return pattern.to_bcoo() @ x

    x = jnp.ones(4, F32)
    assert count_compilations(apply, (example(), x), (example(), x)) == 1
    other = SparsityPattern([0], [0], (3, 4))
    assert count_compilations(apply, (example(), x), (other, x), (example(), x)) == 2


def test_transformations_pass_a_pattern_through(tmp_path):
    pattern, x = example(), jnp.arange(4.0)

    def through(x):
        return x, pattern

    assert jax.jit(through)(x)[1] == pattern
    assert jax.vmap(through)(x)[1] == pattern
    assert jax.jacfwd(lambda x: (x, pattern))(x)[1] == pattern
    carry, _ = jax.lax.scan(lambda carry, _: (carry, None), (x, pattern), length=2)
    assert carry[1] == pattern
    assert jax.lax.cond(x[0] > 0, lambda: pattern, example) == pattern
    eqx.tree_serialise_leaves(tmp_path / "leaves", pattern)
    assert eqx.tree_deserialise_leaves(tmp_path / "leaves", pattern) == pattern


def test_equal_patterns_share_their_indices_once_compared():
    first, second = (SparsityPattern([0, 1], [1, 0], (2, 2)) for _ in range(2))
    assert first.rows is not second.rows
    assert first == second
    assert first.rows is second.rows
    assert first != SparsityPattern([0, 1], [1, 1], (2, 2))


def test_symmetry_of_a_pattern_survives_pickling():
    pattern = SparsityPattern([0, 1], [1, 0], (2, 2))
    for copied in (pickle.loads(pickle.dumps(pattern)), pattern):
        assert copied.is_symmetric
    assert pickle.loads(pickle.dumps(pattern)).is_symmetric
    assert not SparsityPattern([0], [1], (2, 2)).is_symmetric
    assert not SparsityPattern([0], [0], (1, 2)).is_symmetric


def test_blocks_need_two_dimensions() -> None:
    pattern = SparsityPattern.from_coo([0], [1], (2, 2))
    assert pattern.kron((2, 1)).shape == (4, 2)
    assert pattern.kron(2) == pattern.kron((2, 2))
    with pytest.raises(ValueError, match="pair"):
        pattern.kron((2, 2, 2))


def test_union() -> None:
    """All entries in order; types of the function are those of the first."""
    rows, cols = [1, 0], [0, 1]
    typed = SparsityPattern(rows, cols, (2, 2), (aval(2, 1), aval()), 0, [(2,)])
    other = scipy.sparse.csr_array(np.diag([1.0, 0.0]))
    found = asdex.union(typed, other, np.array([[0, 2], [0, 3]]))
    assert found.todense().tolist() == [[1, 1], [1, 1]]
    assert found.is_sorted
    assert found.input_avals == typed.input_avals
    assert found.output_shapes == ((2,),)
    assert not found.is_local
    assert asdex.union(other, typed).input_avals == as_pattern(other).input_avals
    local = SparsityPattern([], [], (2, 2), is_local=True)
    assert asdex.union(typed, local).is_local
    assert asdex.union(typed).nnz == 2
    with pytest.raises(ValueError, match=r"Got \(2, 2\) and \(3, 3\)"):
        asdex.union(typed, np.eye(3))


def test_a_mass_matrix_fills_the_diagonal() -> None:
    """`M / dt - J` has a full diagonal where `J` has none."""
    u = jnp.arange(1.0, 5.0)
    a = asdex.jacobian(lambda u: jnp.roll(u, 1) ** 2, u, output_format="operator")(u)
    mass = asdex.diag(jnp.array([1.0, 2.0, 1.0, 2.0]))
    expected = np.asarray(mass.todense() / 0.1 - a.todense())
    system = mass / 0.1 - a
    assert system.sparsity.nnz == asdex.union(a.sparsity, mass.sparsity).nnz == 8
    np.testing.assert_allclose(system.todense(), expected)
    np.testing.assert_allclose(system.solve(u), np.linalg.solve(expected, u))
    shifted = (-a).shift(10.0)
    np.testing.assert_allclose(shifted.todense(), 10 * np.eye(4) - a.todense())
