"""`SparsityPattern`: which entries of a matrix can be nonzero."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, Integer, Num, Shaped
from scipy.sparse import coo_array, sparray, spmatrix

from .._base.sparse import BCOO
from .._base.types import PyTree
from .._show.drawing import Drawing
from .._show.notebook import as_html
from .._show.text import as_text, one_line
from .entries import Entries, as_shape, group
from .files import (
    FilePath,
    building_from,
    check_present,
    decode_structure,
    encode_structure,
    read_arrays,
    take_header,
    write_file,
)
from .inputs import Inputs, is_aval


class SparsityPattern(eqx.Module):
    """The structure of a sparse matrix of shape `(m, n)`, without its values.

    An immutable pytree without leaves: equal patterns hash and compare equal, so they
    can be closed over or passed through `jax.jit` without compiling again, and no
    transformation ever touches an index. Entries keep the order they are given in;
    detection gives them in row-major order. Of an entry that occurs more than once the
    first is kept.

    In addition to the entries a pattern holds the types of its function: `input_avals`, one
    pytree of `jax.ShapeDtypeStruct` per positional argument of the function (for a static
    argument, its value), which of them were differentiated (`argnums`), and the shapes
    of the function's output leaves (`output_shapes`). If the avals are given, a call with
    another dtype is checked against the pattern.

    **Arguments:**

    - `rows`, `cols`: integers of shape `(nnz,)`, stored as int32.
    - `shape`: `(m, n)`; either may be zero.
    - `input_avals`: defaults to one 1-D argument of size `n`.
    - `argnums`: an `int` stays one, a sequence becomes a tuple; negative ones are counted
        from the last argument.
    - `output_shapes`: defaults to one 1-D output of size `m`.
    - `is_local`: whether the pattern holds only at the values it was detected with.

    **Raises:** `TypeError` if indices or dimensions are not integers; `ValueError` if
    they are out of range or of unequal length, if `argnums` are out of range or repeated,
    or if the sizes of the selected inputs do not add up to `n` (of the outputs to `m`).

    Cost: O(nnz) for entries in row-major order, otherwise one sort.
    """

    entries: Entries = eqx.field(static=True)
    inputs: Inputs = eqx.field(static=True)
    output_shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    is_local: bool = eqx.field(static=True)

    def __init__(
        self,
        rows: Integer[np.ndarray, " entries"] | Sequence[int],
        cols: Integer[np.ndarray, " entries"] | Sequence[int],
        shape: Sequence[int],
        input_avals: tuple[PyTree, ...] = (),
        argnums: int | Sequence[int] = 0,
        output_shapes: Sequence[Sequence[int]] | None = None,
        is_local: bool = False,
    ):
        self.entries = Entries.of(rows, cols, shape)
        self.is_local = is_local
        m, n = self.shape
        self.inputs = (
            Inputs.of(input_avals, argnums) if input_avals else Inputs.assumed(n, argnums)
        )
        self.output_shapes = (
            ((m,),) if output_shapes is None else tuple(map(tuple, output_shapes))
        )
        if (size := sum(self.leaf_sizes)) != n:
            raise ValueError(
                f"The inputs selected by argnums={self.argnums} have {size} elements in "
                f"all, but the pattern has n={n} columns. Pass the input_avals and "
                "argnums of the function that the pattern belongs to."
            )
        if (size := sum(map(math.prod, self.output_shapes))) != m:
            raise ValueError(
                f"output_shapes have {size} elements in all, but the pattern has "
                f"m={m} rows."
            )

    @classmethod
    def of(
        cls,
        entries: Entries,
        inputs: Inputs | None = None,
        output_shapes: tuple[tuple[int, ...], ...] | None = None,
        is_local: bool = False,
    ) -> "SparsityPattern":
        """The pattern with these entries, which are shared, not compared again, and
        arguments and outputs of matching sizes."""
        m, n = entries.shape
        pattern = object.__new__(cls)
        fields = {
            "entries": entries,
            "inputs": Inputs.assumed(n, 0) if inputs is None else inputs,
            "output_shapes": ((m,),) if output_shapes is None else output_shapes,
            "is_local": is_local,
        }
        for name, value in fields.items():
            object.__setattr__(pattern, name, value)
        return pattern

    @classmethod
    def from_coo(
        cls,
        rows: Integer[np.ndarray, " entries"] | Sequence[int],
        cols: Integer[np.ndarray, " entries"] | Sequence[int],
        shape: Sequence[int],
        *,
        input_avals: tuple[PyTree, ...] = (),
        argnums: int | Sequence[int] = 0,
    ) -> "SparsityPattern":
        """The pattern with entries `(rows[k], cols[k])`, in the given order.

        Arguments and errors are those of `SparsityPattern`.
        """
        return cls(rows, cols, shape, input_avals, argnums)

    @classmethod
    def from_bcoo(cls, bcoo: BCOO) -> "SparsityPattern":
        """The pattern of a 2-D `BCOO` matrix: its stored entries, whatever their values.

        Padding entries, whose index lies outside the matrix, are dropped. Raises
        `ValueError` unless the matrix has two sparse dimensions and no batch.
        """
        if bcoo.n_sparse != 2 or bcoo.n_batch or bcoo.n_dense:
            raise ValueError(
                "from_bcoo expects a BCOO matrix with n_sparse=2, n_batch=0 and "
                f"n_dense=0. Got n_sparse={bcoo.n_sparse}, n_batch={bcoo.n_batch}, "
                f"n_dense={bcoo.n_dense}."
            )
        indices = np.asarray(bcoo.indices)
        inside = (indices < np.asarray(bcoo.shape)).all(axis=1)
        rows, cols = indices[inside].T
        return cls(rows, cols, bcoo.shape)

    @classmethod
    def from_scipy(cls, matrix: sparray | spmatrix) -> "SparsityPattern":
        """The pattern of a sparse matrix of SciPy: its stored entries, whatever their
        values, in their order."""
        coo = matrix.tocoo()
        return cls(coo.row, coo.col, coo.shape)

    @classmethod
    def from_dense(cls, dense: Shaped[np.ndarray, "m n"] | Array) -> "SparsityPattern":
        """The pattern of the nonzero entries of a boolean or numeric matrix, row-major.

        Raises `ValueError` unless `dense` has two dimensions.
        """
        dense = np.asarray(dense)
        if dense.ndim != 2:
            raise ValueError(f"dense must be a matrix. Got shape {dense.shape}.")
        rows, cols = np.nonzero(dense)
        return cls(rows, cols, dense.shape)

    def to_bcoo(self, data: Num[Array | np.ndarray, " nnz"] | None = None) -> BCOO:
        """The matrix with values `data`, in the order of the entries (default: ones).

        Raises `ValueError` if `data` does not have shape `(nnz,)`.
        """
        if data is None:
            data = np.ones(self.nnz, np.float32)
        if data.shape != (self.nnz,):
            raise ValueError(_WRONG_DATA.format(nnz=self.nnz, shape=data.shape))
        indices = np.stack([self.rows, self.cols], axis=1)
        return BCOO(
            (jnp.asarray(data), jnp.asarray(indices)),
            shape=self.shape,
            indices_sorted=self.is_sorted,
            unique_indices=True,
        )

    def to_scipy(
        self,
        data: Num[np.ndarray, " nnz"] | None = None,
        format: Literal["csr", "csc", "coo"] = "csr",
    ) -> sparray:
        """The matrix as a sparse array of SciPy with values `data`, in the order of the
        entries (default: ones); for `jac_sparsity`, for example.

        Raises `ValueError` if `data` does not have shape `(nnz,)`.
        """
        data = np.ones(self.nnz) if data is None else np.array(data)
        if data.shape != (self.nnz,):
            raise ValueError(_WRONG_DATA.format(nnz=self.nnz, shape=data.shape))
        places = self.rows.copy(), self.cols.copy()
        return coo_array((data, places), self.shape).asformat(format)

    def todense(self) -> Integer[np.ndarray, "m n"]:
        """The dense matrix with 1 where there is an entry and 0 elsewhere (int8)."""
        dense = np.zeros(self.shape, np.int8)
        dense[self.rows, self.cols] = 1
        return dense

    def kron(self, block_shape: int | Sequence[int]) -> "SparsityPattern":
        """The pattern in which each entry is a dense block of shape `block_shape`, an int
        for square ones.

        The Kronecker product with a matrix of ones: entry `(i, j)` becomes the entries
        `(r i + k, c j + l)` of a block of shape `(r, c)`. If the inputs are known,
        the selected arrays get a trailing axis of size `c`, and the outputs one of size
        `r`. `lift_coloring` does the same to a coloring.

        Raises `ValueError` unless `block_shape` holds two positive integers.
        """
        is_square = isinstance(block_shape, int)
        r, c = as_shape((block_shape, block_shape) if is_square else block_shape)
        if not (r and c):
            raise ValueError(f"block_shape must be positive. Got ({r}, {c}).")
        shape = as_shape((self.m * r, self.n * c))
        places = np.indices((r, c), np.int32).reshape(2, -1)
        rows = (self.rows[:, None] * np.int32(r) + places[0]).reshape(-1)
        cols = (self.cols[:, None] * np.int32(c) + places[1]).reshape(-1)
        if self.is_sorted:
            order = np.lexsort((cols, rows))
            rows, cols = rows[order], cols[order]
        if self.inputs.is_assumed:
            return SparsityPattern(rows, cols, shape, is_local=self.is_local)
        avals = list(self.input_avals)
        for argnum in np.atleast_1d(self.argnums).tolist():
            avals[argnum] = jax.tree.map(partial(_with_axis, size=c), avals[argnum])
        output_shapes = [(*shape, r) for shape in self.output_shapes]
        return SparsityPattern(
            rows, cols, shape, tuple(avals), self.argnums, output_shapes, self.is_local
        )

    def save(self, path: FilePath) -> None:
        """Write the pattern and the structure of its inputs to an `.npz` file.

        An older file is replaced at once or not at all. Raises `TypeError` if the inputs
        hold nodes other than dicts, lists, tuples, named tuples and `None`, or static
        values other than bool, int, float and str.
        """
        write_file(path, "pattern", *pattern_record(self))

    @classmethod
    def load(cls, path: FilePath) -> "SparsityPattern":
        """The pattern that `save` wrote to a file, equal to the one that was saved.

        Files of an older layout, which hold the arrays `rows`, `cols`, `shape` and
        `input_shape`, are read as well. Raises `ValueError` if the file is damaged, is
        none of these, or needs a newer asdex; `OSError` if it cannot be read.
        """
        arrays = read_arrays(path)
        if "header" not in arrays and "input_shape" in arrays:
            return _from_older_layout(path, arrays)
        fields = take_header(path, "pattern", arrays)
        with building_from(path):
            return pattern_from_record(fields, arrays)

    @property
    def rows(self) -> Int32[np.ndarray, " nnz"]:
        """Row of each entry, read-only."""
        return self.entries.rows.array

    @property
    def cols(self) -> Int32[np.ndarray, " nnz"]:
        """Column of each entry, read-only."""
        return self.entries.cols.array

    @property
    def shape(self) -> tuple[int, int]:
        """`(m, n)`."""
        return self.entries.shape

    @property
    def is_sorted(self) -> bool:
        """Whether the entries are in row-major order."""
        return self.entries.is_sorted

    @property
    def is_symmetric(self) -> bool:
        """Whether each entry `(i, j)` has its mirror `(j, i)`. Sorts at first access."""
        return self.entries.is_symmetric

    @property
    def bare(self) -> "SparsityPattern":
        """The pattern without the types of its function. Shares the entries."""
        is_bare = self.inputs.is_assumed and self.argnums == 0 and not self.is_local
        if is_bare and self.output_shapes == ((self.m,),):
            return self
        return SparsityPattern.of(self.entries)

    @property
    def transposed(self) -> "SparsityPattern":
        """The pattern of the transpose, its entries in the same order, without types."""
        return SparsityPattern.of(self.entries.transposed)

    @property
    def m(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def n(self) -> int:
        """Number of columns."""
        return self.shape[1]

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return self.rows.size

    @property
    def density(self) -> float:
        """Fraction of the matrix that the entries fill; 0.0 for a matrix of size zero."""
        size = self.m * self.n
        return self.nnz / size if size else 0.0

    @property
    def row_to_cols(self) -> dict[int, list[int]]:
        """Columns of the entries in each row that has some. Built at every access."""
        return group(self.rows, self.cols)

    @property
    def col_to_rows(self) -> dict[int, list[int]]:
        """Rows of the entries in each column that has some. Built at every access."""
        return group(self.cols, self.rows)

    @property
    def input_avals(self) -> tuple[PyTree, ...]:
        """One pytree of `jax.ShapeDtypeStruct` per positional argument."""
        return self.inputs.avals

    @property
    def argnums(self) -> int | tuple[int, ...]:
        """Positions of the differentiated arguments."""
        return self.inputs.argnums

    @property
    def dyn_avals(self) -> tuple[PyTree, ...]:
        """The elements of `input_avals` that `argnums` selects, in its order."""
        return self.inputs.trees

    @property
    def example_input(self) -> PyTree:
        """`dyn_avals` as the result mirrors them: not a tuple if `argnums` is an int."""
        return self.dyn_avals[0] if isinstance(self.argnums, int) else self.dyn_avals

    @property
    def input_treedef(self) -> Any:
        """Pytree structure of `dyn_avals`."""
        return jax.tree.structure(self.dyn_avals)

    @property
    def leaf_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each array among the leaves of the selected inputs."""
        return list(self.inputs.shapes)

    @property
    def leaf_sizes(self) -> list[int]:
        """Number of elements of each of those arrays; they add up to `n`."""
        return list(map(math.prod, self.inputs.shapes))

    def __hash__(self) -> int:
        return hash(self.entries)

    def __pdoc__(self, **options: Any) -> Any:
        return one_line(self)

    def __repr__(self) -> str:
        local = ", local" if self.is_local else ""
        return f"SparsityPattern(shape={self.shape}, nnz={self.nnz}{local})"

    def __str__(self) -> str:
        return as_text(self.drawing)

    def _repr_html_(self) -> str:
        return as_html(self.drawing)

    @property
    def drawing(self) -> Drawing:
        """What views of the pattern show."""
        return Drawing(self.rows, self.cols, self.shape, self.is_local)


def pattern_record(
    pattern: SparsityPattern,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fields and arrays that determine a pattern, for a file."""
    fields = {
        "shape": pattern.shape,
        "inputs": encode_structure(
            () if pattern.inputs.is_assumed else pattern.input_avals
        ),
        "argnums": pattern.argnums,
        "output_shapes": pattern.output_shapes,
        "is_local": pattern.is_local,
    }
    return fields, {"rows": pattern.rows, "cols": pattern.cols}


def pattern_from_record(
    fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> SparsityPattern:
    """The pattern that `pattern_record` describes."""
    return SparsityPattern(
        arrays["rows"],
        arrays["cols"],
        fields["shape"],
        decode_structure(fields["inputs"]),
        fields["argnums"],
        fields["output_shapes"],
        fields["is_local"],
    )


def _from_older_layout(path: FilePath, arrays: Mapping[str, np.ndarray]) -> SparsityPattern:
    check_present(path, ["rows", "cols", "shape"], arrays)
    with building_from(path):
        input_shape = tuple(np.atleast_1d(arrays["input_shape"]).tolist())
        aval = jax.ShapeDtypeStruct(input_shape, np.float32)
        return SparsityPattern(
            arrays["rows"], arrays["cols"], arrays["shape"].tolist(), (aval,)
        )


def _with_axis(leaf: Any, *, size: int) -> Any:
    """An array with one more axis; anything else stays what it is."""
    if not is_aval(leaf):
        return leaf
    return jax.ShapeDtypeStruct((*leaf.shape, size), leaf.dtype)


_WRONG_DATA = "data must have one value per entry, shape ({nnz},). Got {shape}."
