"""Small instances of what people differentiate: networks, grids, meshes, integrators."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .table import family, normal, uniform

_, case = family("applications")

TRIANGLES = np.array([[0, 1, 2], [2, 1, 3], [3, 4, 2]])
EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 0]])


def constants(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@case(normal(6), core=True)
def squared_differences(x: Array) -> Array:
    return (x[1:] - x[:-1]) ** 2


@case(uniform(0.5, 2, (2, 3, 3)), core=True)
def brusselator(state: Array) -> Array:
    u, v = state

    def laplace(w):
        return sum(jnp.roll(w, s, a) for s in (1, -1) for a in (0, 1)) - 4 * w

    reaction = u**2 * v
    return jnp.stack([1 + reaction - 4 * u + laplace(u), 3 * u - reaction + laplace(v)])


@case(normal((4, 4)))
def five_point_stencil(x: Array) -> Array:
    padded = jnp.pad(x, 1)
    return padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] * x - 4 * x


@case(uniform(0.5, 2, 6))
def upwind(x: Array) -> Array:
    flux = jnp.where(x > 1, x**2, jnp.roll(x, -1) ** 2)
    return x - 0.1 * (flux - jnp.roll(flux, 1))


@case(normal(5))
def mesh_residual(x: Array) -> Array:
    local = x[TRIANGLES]
    forces = local**2 - jnp.mean(local, axis=1, keepdims=True)
    return jnp.zeros_like(x).at[TRIANGLES].add(forces)


@case(normal((4, 2)))
def graph_messages(x: Array) -> Array:
    sender, receiver = EDGES.T
    messages = jnp.tanh(x[sender] * x[receiver])
    return jax.ops.segment_sum(messages, receiver, num_segments=4)


@case(normal((3, 2)))
def batched_network(x: Array) -> Array:
    first, second = constants(2, 3), constants(3, 2)
    return jnp.tanh(x @ first) @ second


@case(normal((3, 2)))
def network_by_vmap(x: Array) -> Array:
    weight = constants(2, 2)
    return jax.vmap(lambda row: jax.nn.gelu(weight @ row) + row)(x)


@case(normal(3))
def equinox_network(x: Array) -> Array:
    network = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    return network(x)


@case(normal((1, 5, 5)))
def convolutional_network(x: Array) -> Array:
    first, second = jax.random.split(jax.random.key(0))
    x = jax.nn.relu(eqx.nn.Conv2d(1, 2, 2, key=first)(x))
    x = eqx.nn.MaxPool2d(2, 2)(x)
    return eqx.nn.Conv2d(2, 1, 1, key=second)(x)


@case(normal((2, 3, 2)))
def attention(x: Array) -> Array:
    scores = jax.nn.softmax(jnp.einsum("bid,bjd->bij", x, x), axis=-1)
    return jnp.einsum("bij,bjd->bid", scores, x)


@case(normal((2, 4)), edges=False)
def layer_norm(x: Array) -> Array:
    return jax.vmap(eqx.nn.LayerNorm(4))(x)


@case(normal(5))
def thomas(d: Array) -> Array:
    """Solve a tridiagonal system by elimination and back substitution."""
    n = d.size

    def eliminate(i, carry):
        above, rhs = carry
        pivot = 4 - above[i - 1]
        return above.at[i].set(1 / pivot), rhs.at[i].set((d[i] - rhs[i - 1]) / pivot)

    start = jnp.zeros(n, d.dtype).at[0].set(0.25), jnp.zeros(n, d.dtype).at[0].set(d[0] / 4)
    above, rhs = lax.fori_loop(1, n, eliminate, start)

    def substitute(i, x):
        return x.at[n - 2 - i].add(-above[n - 2 - i] * x[n - 1 - i])

    return lax.fori_loop(0, n - 1, substitute, rhs)


@case(normal(4))
def stepper_into_buffer(x: Array) -> Array:
    """Three explicit steps of a periodic stencil, each written to its row."""

    def step(i, buffer: Array) -> Array:
        state = buffer[i]
        return buffer.at[i + 1].set(state + 0.1 * jnp.roll(state, 1) ** 2)

    return lax.fori_loop(0, 3, step, jnp.zeros((4, 4), x.dtype).at[0].set(x))


@case(normal(3))
def runge_kutta(x: Array) -> Array:
    def field(y: Array) -> Array:
        return jnp.stack([y[1], -y[0], 0.1 * y[2] ** 2])

    def step(y: Array, _):
        k1 = field(y)
        k2 = field(y + 0.05 * k1)
        return y + 0.1 * k2, y

    return lax.scan(step, x, None, length=3)[1]


@case(normal((4, 3)))
def trajectory_residual(states: Array) -> Array:
    def step(carry: Array, state: Array):
        sigma = jnp.stack([state[1] - state[0], state[0] * state[2], state[2]])
        return state, state - carry - 0.1 * sigma

    return lax.scan(step, jnp.zeros(3, states.dtype), states)[1]


@case(normal(3), modes=("fwd",), edges=False)
def adaptive_integration(x: Array) -> Array:
    def step(carry):
        time, y = carry
        size = 0.4 / (1 + jnp.max(jnp.abs(y)))
        return time + size, y + size * jnp.stack([y[1], -y[0], jnp.sin(y[2])])

    return lax.while_loop(lambda c: c[0] < 1, step, (jnp.zeros((), x.dtype), x))[1]


@case(normal(4))
def kuramoto(phase: Array) -> Array:
    return jnp.mean(jnp.sin(phase[:, None] - phase), axis=0)


@case(normal((3, 2)), edges=False)
def bodies(points: Array) -> Array:
    difference = points[:, None] - points[None] + 5 * np.eye(3)[:, :, None]
    distance = jnp.sum(difference**2, axis=-1, keepdims=True)
    return jnp.sum(difference / distance, axis=1)


@case(normal(6))
def spline_second_derivatives(x: Array) -> Array:
    matrix = np.linalg.inv(4 * np.eye(4) + np.eye(4, k=1) + np.eye(4, k=-1))
    return jnp.asarray(matrix) @ (x[2:] - 2 * x[1:-1] + x[:-2])


@case(normal(8))
def median_filter(x: Array) -> Array:
    windows = x[np.arange(6)[:, None] + np.arange(3)]
    return jnp.median(windows, axis=1)


@case(normal((2, 4)))
def recurrent_network(inputs: Array) -> Array:
    recurrent = jnp.asarray(constants(2, 2), inputs.dtype)
    into = jnp.asarray(constants(2), inputs.dtype)

    def step(hidden: Array, element: Array):
        following = jnp.tanh(recurrent @ hidden + into * element)
        return following, following

    def single(row: Array) -> Array:
        return lax.scan(step, jnp.zeros(2, row.dtype), row)[1]

    return jax.vmap(single)(inputs)


@case(normal(6))
def implicit_step(x: Array) -> Array:
    def residual(y):
        return y - x - 0.1 * (jnp.roll(y, 1) - y) ** 2

    y = x
    for _ in range(2):
        y = y - jnp.linalg.solve(jax.jacfwd(residual)(y), residual(y))
    return y


@case(normal((3, 3)), core=True)
def optimality_of_batches(x: Array) -> Array:
    def energy(y):
        return jnp.sum(y**2 * jnp.roll(y, 1)) + y[0] ** 4

    return jax.vmap(jax.grad(energy))(x)
