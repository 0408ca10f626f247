"""Functions that write elements at indices: scatters in all modes, segments, updates."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .table import family, followed_by, normal, uniform

register, case = family("scattering")

INDEX = np.array([4, 1, 2])
REPEATED = np.array([1, 3, 1])
OUT_OF_BOUNDS = np.array([1, 9, -1, -8])

register("set", lambda x, y: x.at[INDEX].set(y), normal(5, 3), argnums=(0, 1), core=True)
register("add", lambda x, y: x.at[INDEX].add(y), normal(5, 3), argnums=(0, 1))
register(
    "add_repeated",
    lambda x, y: x.at[REPEATED].add(y),
    normal(5, 3),
    argnums=(0, 1),
    core=True,
)
register(
    "set_repeated",
    lambda x, y: x.at[REPEATED].set(y),
    normal(5, 3),
    argnums=(0, 1),
    exact="no",
)
register(
    "set_unique",
    lambda x, y: x.at[INDEX].set(y, unique_indices=True),
    normal(5, 3),
    argnums=(0, 1),
)
register(
    "multiply",
    lambda x, y: x.at[INDEX].multiply(y, unique_indices=True),
    uniform(0.5, 2, 5, 3),
    argnums=(0, 1),
)
register("divide", lambda x: x.at[INDEX].divide(2.0), normal(5))
register(
    "min",
    lambda x, y: x.at[INDEX].min(y),
    normal(5, 3),
    argnums=(0, 1),
)
register(
    "max_repeated",
    lambda x, y: x.at[REPEATED].max(y),
    normal(5, 3),
    argnums=(0, 1),
)
register("power", lambda x: x.at[INDEX].power(2), normal(5))
register("subtract", lambda x: x.at[REPEATED].subtract(x[:3]), normal(5))
register("set_slice", lambda x: x.at[1:3].set(x[3:]), normal(5))
register("set_strided", lambda x: x.at[::2].set(x[1] * 2), normal(5))
register("set_scalar", lambda x: x.at[2].set(0.0), normal(5))
register("set_column", lambda x: x.at[:, 1].set(x[:, 0] ** 2), normal((3, 3)))
register("set_mask", lambda x: x.at[np.arange(5) > 2].set(1.0), normal(5))
register("into_zeros", lambda x: jnp.zeros(7).at[INDEX].add(x), normal(3), core=True)
register("window", lambda x: jnp.zeros((4, 3)).at[1:3, :2].add(x), normal((2, 2)))
register("pairs", lambda x: jnp.zeros((3, 3)).at[[0, 2, 0], [1, 1, 1]].add(x), normal(3))
register("rows", lambda x: jnp.zeros((4, 2)).at[np.array([3, 0])].add(x), normal((2, 2)))
register("into_nothing", lambda x: x.at[np.zeros(0, int)].add(1.0), normal(3))


@case(normal(5, 4), argnums=(0, 1))
def set_drop(x: Array, y: Array) -> Array:
    return x.at[OUT_OF_BOUNDS].set(y, mode="drop")


@case(normal(5, 4), argnums=(0, 1))
def add_drop(x: Array, y: Array) -> Array:
    return x.at[OUT_OF_BOUNDS].add(y, mode="drop")


@case(normal(5, 4), argnums=(0, 1))
def add_clip(x: Array, y: Array) -> Array:
    return x.at[OUT_OF_BOUNDS].add(y, mode="clip")


@case(normal(5, 4), argnums=(0, 1), exact="no")
def set_clip(x: Array, y: Array) -> Array:
    return x.at[OUT_OF_BOUNDS].set(y, mode="clip")


@case(normal(5, 3), argnums=(0, 1))
def add_promise(x: Array, y: Array) -> Array:
    return x.at[INDEX].add(y, mode="promise_in_bounds")


@case(followed_by(normal(5, 2), np.array([3, 0])), argnums=(0, 1), exact="no")
def set_index_argument(x: Array, y: Array, index: Array) -> Array:
    return x.at[index].set(y)


@case(followed_by(normal(5, 2), np.array([3, 0])), argnums=(0, 1), exact="no")
def add_index_argument(x: Array, y: Array, index: Array) -> Array:
    return x.at[index].add(y)


@case(normal(5))
def add_index_from_input(x: Array) -> Array:
    return jnp.zeros(5).at[jnp.argsort(x)].add(x**2)


@case(normal(5))
def permute_by_own_order(x: Array) -> Array:
    return jnp.zeros(5).at[jnp.argsort(x)].set(x, unique_indices=True)


@case(normal(6, 2), argnums=(0, 1))
def update_slice(x: Array, y: Array) -> Array:
    return lax.dynamic_update_slice(x, y, (3,))


@case(normal(6, 2), argnums=(0, 1))
def update_slice_clamped(x: Array, y: Array) -> Array:
    return lax.dynamic_update_slice(x, y, (11,))


@case(normal((3, 4), (2, 2)), argnums=(0, 1))
def update_slice_2d(x: Array, y: Array) -> Array:
    return lax.dynamic_update_slice(x, y, (1, -2))


@case(followed_by(normal(6, 2), 3), argnums=(0, 1))
def update_slice_start_argument(x: Array, y: Array, start: int) -> Array:
    return lax.dynamic_update_slice(x, y, (start,))


@case(normal(6), exact="no")
def update_slice_start_from_input(x: Array) -> Array:
    return lax.dynamic_update_slice(x**2, x[:2], (jnp.argmin(x),))


@case(normal((3, 4)))
def vmapped_updates(x: Array) -> Array:
    starts = jnp.array([0, 1, 3])

    def update(row, i):
        return lax.dynamic_update_slice(row, row[:1] * 2, (i,))

    return jax.vmap(update)(x, starts)


@case(normal((3, 2)))
def vmapped_scatter(x: Array) -> Array:
    index = jnp.array([[0, 3], [1, 1], [2, 0]])
    return jax.vmap(lambda row, i: jnp.zeros(4).at[i].add(row))(x, index)


@case(normal((3, 2)))
def vmapped_scatter_own_row(x: Array) -> Array:
    return jax.vmap(lambda row: jnp.zeros(2).at[jnp.argsort(row)].add(row))(x)


@case(normal(6), core=True)
def segment_sum(x: Array) -> Array:
    return jax.ops.segment_sum(x**2, np.array([0, 2, 0, 1, 2, 9]), num_segments=4)


@case(normal(6))
def segment_max(x: Array) -> Array:
    return jax.ops.segment_max(x, np.array([0, 2, 0, 1, 2, 2]), num_segments=3)


@case(uniform(0.1, 3.9, 6))
def weighted_histogram(x: Array) -> Array:
    return jnp.zeros(4).at[x.astype(int)].add(x**2)


@case(normal((2, 3)))
def scatter_windows(x: Array) -> Array:
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=(1,), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
    )
    return lax.scatter_add(jnp.zeros(6), np.array([[0], [2]]), x, numbers)


@case(normal((2, 3)))
def scatter_windows_out_of_bounds(x: Array) -> Array:
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=(1,), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
    )
    return lax.scatter_add(jnp.zeros(6), np.array([[4], [1]]), x, numbers, mode="drop")


@case(normal((2, 2), (2, 4)), argnums=(0, 1))
def scatter_batched(x: Array, y: Array) -> Array:
    numbers = lax.ScatterDimensionNumbers(
        update_window_dims=(),
        inserted_window_dims=(1,),
        scatter_dims_to_operand_dims=(1,),
        operand_batching_dims=(0,),
        scatter_indices_batching_dims=(0,),
    )
    index = np.array([[[3], [0]], [[1], [1]]])
    return lax.scatter_add(y, index, x, numbers)
