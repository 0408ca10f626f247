"""Functions that move elements without changing them: shapes, slices, gathers."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .table import family, followed_by, normal

register, case = family("gathering")

INDEX = np.array([3, 0, 0, 2])
OUT_OF_BOUNDS = np.array([1, 7, -1, -9, 4])
FORTRAN = np.asfortranarray(np.array([[0, 4], [3, 1], [2, 2]]))

register("slice", lambda x: x[1:4], normal(6), core=True)
register("strided", lambda x: x[1::2] * x[::2], normal(6))
register("reverse", lambda x: x[::-1] * x, normal(5))
register("backward_stride", lambda x: x[4:0:-2], normal(6))
register("newaxis", lambda x: x[None, :, None] * x[:, None, None], normal(3))
register("ellipsis", lambda x: x[..., 1], normal((2, 3, 2)))
register("integer_index", lambda x: x[-1, 0] * x[0], normal((2, 3)))
register("transpose", lambda x: x.transpose(2, 0, 1), normal((2, 3, 2)), core=True)
register("reshape_fortran", lambda x: x.reshape(3, 2, order="F"), normal((2, 3)))
register("pad", lambda x: jnp.pad(x, (1, 2)), normal(4))
register("pad_edge", lambda x: jnp.pad(x, (1, 2), mode="edge"), normal(4))
register("pad_wrap", lambda x: jnp.pad(x, (2, 3), mode="wrap"), normal(4))
register("pad_reflect", lambda x: jnp.pad(x, 2, mode="reflect"), normal((4, 4)))
register("pad_value", lambda x: lax.pad(x, x[0], [(1, 1, 2)]), normal(3))
register("pad_negative", lambda x: lax.pad(x, 0.0 * x[0], [(-1, 2, 1)]), normal(5))
register("roll", lambda x: jnp.roll(x, 2) - x, normal(6), core=True)
register("roll_2d", lambda x: jnp.roll(x, (1, -1), (0, 1)), normal((3, 3)))
register("tile_repeat", lambda x: jnp.tile(jnp.repeat(x, 2), 2), normal(3))
register("repeat_uneven", lambda x: jnp.repeat(x, np.array([0, 2, 1])), normal(3))
register("stack_split", lambda x: jnp.stack(jnp.split(x, 3)[::-1], 1), normal((6, 2)))
register("flip_rot90", lambda x: jnp.rot90(jnp.flip(x, 1)), normal((2, 3)))
register("diag", lambda x: jnp.diag(x) + jnp.diagflat(x[:3], 1)[:4, :4], normal(4))
register("diagonal", lambda x: jnp.diagonal(x, 1), normal((3, 4)))
register(
    "triangles", lambda x: jnp.tril(x) @ np.ones(3) + jnp.triu(x, 1)[0], normal((3, 3))
)
register("diff", lambda x: jnp.diff(x, n=2), normal(6))
register("gradient", lambda x: jnp.gradient(x), normal(6))
register("expand_squeeze", lambda x: jnp.squeeze(jnp.expand_dims(x, (0, 2))), normal(3))
register("broadcast_to", lambda x: jnp.broadcast_to(x, (2, 3)), normal(3))
register("trace", lambda x: jnp.trace(x) * x[0], normal((3, 3)))
register("gather", lambda x: x[INDEX], normal(4), core=True)
register("gather_twice", lambda x: x[INDEX][INDEX[::-1]], normal(4))
register("gather_rows", lambda x: x[INDEX], normal((4, 2)))
register("gather_columns", lambda x: x[:, INDEX], normal((2, 4)))
register("gather_pairs", lambda x: x[INDEX, INDEX[::-1]], normal((4, 4)))
register("gather_mixed", lambda x: x[1:, None, np.array([[2], [0]])], normal((3, 3)))
register("gather_fortran_index", lambda x: x[FORTRAN], normal(5))
register("gather_strided_index", lambda x: x[np.arange(10)[::-2] // 2], normal(5))
register("gather_boolean", lambda x: x[np.array([True, False, True, True])], normal(4))
register("ix", lambda x: x[np.ix_([2, 0], [1, 1])], normal((3, 2)))
register("uint8_index", lambda x: x[jnp.array([2, 0], np.uint8)], normal(4))
register("int8_negative", lambda x: x[jnp.array([-1, -4], np.int8)], normal(4))
register("int64_index", lambda x: x[np.array([-1, 1], np.int64)], normal(4))
register("take", lambda x: jnp.take(x, OUT_OF_BOUNDS, mode="fill"), normal(5), edges=False)
register(
    "fill_zero", lambda x: x.at[OUT_OF_BOUNDS].get(mode="fill", fill_value=0), normal(5)
)
register("clip", lambda x: jnp.take(x, OUT_OF_BOUNDS, mode="clip"), normal(5))
register("wrap", lambda x: jnp.take(x, OUT_OF_BOUNDS, mode="wrap"), normal(5))
register("promise", lambda x: x.at[INDEX].get(mode="promise_in_bounds"), normal(4))
register("dynamic_slice", lambda x: lax.dynamic_slice(x, (2,), (2,)), normal(6))
register("dynamic_slice_clamped", lambda x: lax.dynamic_slice(x, (5,), (3,)), normal(6))
register("dynamic_index", lambda x: lax.dynamic_index_in_dim(x, -1, 0), normal((3, 2)))
register("searchsorted", lambda x: x[jnp.searchsorted(np.arange(4.0), 1.5)] * x, normal(4))
register("kron", lambda x: jnp.kron(x, np.array([1.0, 0.0])), normal(3))


@case(normal((3, 4)))
def take_along_axis_known(x: Array) -> Array:
    return jnp.take_along_axis(x, np.array([[0, 3], [2, 2], [1, 0]]), axis=1)


@case(normal((3, 4)))
def take_along_axis_argmax(x: Array) -> Array:
    return jnp.take_along_axis(x, jnp.argmax(x, axis=1, keepdims=True), axis=1)


@case(normal(6))
def computed_index(x: Array) -> Array:
    index = (jnp.arange(6) * 5 + 3) % 6
    return x[index] + x[index // 2] + x[jnp.minimum(index << 1, 5)]


@case(normal(6))
def index_through_jit(x: Array) -> Array:
    next_index = jax.jit(lambda i: jax.jit(lambda j: (j + 1) % 6)(i))
    return x[next_index(jnp.arange(6))] - x


@case(normal(6))
def index_by_sorting(x: Array) -> Array:
    return x[jnp.argsort(jnp.array([3, 1, 2, 5, 4, 0]))]


@case(normal(6))
def index_by_cumulation(x: Array) -> Array:
    flags = jnp.array([1, 0, 1, 1, 0, 1])
    return x[jnp.cumsum(flags) - 1] * x[jnp.nonzero(flags, size=6)[0]]


@case(followed_by(normal(6), np.array([1, 4])), exact="no")
def index_argument(x: Array, index: Array) -> Array:
    return x[index]


@case(followed_by(normal((4, 3)), np.array([1, 3])), exact="no")
def row_index_argument(x: Array, index: Array) -> Array:
    return x[index] * 2


@case(normal(6), exact="no", core=True)
def index_from_input(x: Array) -> Array:
    return x[jnp.clip((3 * jnp.abs(x)).astype(int), 0, 5)]


@case(followed_by(normal(6), 2))
def slice_start_argument(x: Array, start: int) -> Array:
    return lax.dynamic_slice(x, (start,), (3,))


@case(normal(6), exact="no")
def slice_start_from_input(x: Array) -> Array:
    return lax.dynamic_slice(x, (jnp.argmax(x),), (3,)) * x[:3]


@case(normal((3, 5)))
def vmapped_slices(x: Array) -> Array:
    starts = jnp.array([0, 2, 9])
    return jax.vmap(lambda row, i: lax.dynamic_slice(row, (i,), (2,)))(x, starts)


@case(normal((3, 5)))
def vmapped_gather_own_row(x: Array) -> Array:
    return jax.vmap(lambda row: row[jnp.argsort(row)[:2]])(x)


@case(normal((2, 3, 4)))
def vmapped_gather_known(x: Array) -> Array:
    index = np.array([[0, 3], [1, 1]])
    return jax.vmap(lambda block, i: block[:, i])(x, index)


@case(normal((2, 3, 4)))
def gather_windows(x: Array) -> Array:
    starts = np.array([[0, 1], [1, 9], [0, 2]])
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(0, 2), collapsed_slice_dims=(1,), start_index_map=(1, 2)
    )
    return lax.gather(x, starts, numbers, (2, 1, 2), mode="clip")


@case(normal((2, 3, 4)))
def gather_batched(x: Array) -> Array:
    starts = np.array([[[3]], [[0]]])
    numbers = lax.GatherDimensionNumbers(
        offset_dims=(2,),
        collapsed_slice_dims=(2,),
        start_index_map=(2,),
        operand_batching_dims=(0,),
        start_indices_batching_dims=(0,),
    )
    return lax.gather(x, starts, numbers, (1, 3, 1))


@case(normal(6))
def empty_gather(x: Array) -> Array:
    return x[np.zeros((0,), int)]


@case(normal(5), exact="no")
def interp_known_grid(x: Array) -> Array:
    points = np.array([0.5, 1.0, 2.7, 9.0, -1.0])
    return jnp.interp(points, np.arange(5.0), x)


@case(normal(5))
def interp_moving_points(x: Array) -> Array:
    return jnp.interp(x, np.linspace(-1, 1, 4), np.array([0.0, 2.0, 1.0, 5.0]))


@case(normal(3, 2), argnums=(0, 1))
def concatenate(x: Array, y: Array) -> Array:
    return jnp.concatenate([x, y * x[0], np.ones(2), x[:1]])


@case(normal((2, 3), (2, 2)), argnums=(0, 1))
def concatenate_columns(x: Array, y: Array) -> Array:
    return jnp.concatenate([x, y, x], axis=1)


@case(normal(3, 2), argnums=(0, 1))
def meshgrid(x: Array, y: Array) -> Array:
    first, second = jnp.meshgrid(x, y)
    return first * second
