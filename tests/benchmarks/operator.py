"""The operator: products, solves, and what it costs to be an argument.

Products are compared with SciPy's CSR format and with BCOO of JAX; a Newton step on the
Bratu problem (evaluation and solve, inside one compiled function) with `splu` of SciPy,
called by hand with its defaults on the same matrix; a block diagonal solve with SuperLU as
asdex calls it; and a compiled function of an operator with one of the bare values.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse.linalg import splu

import asdex

from .timing import together

SIDE = 1000
CALLS = 100


def five_point(side: int, *, periodic: bool) -> asdex.SparsityPattern:
    """The neighbors of each point of a grid, and the point itself."""
    place = np.arange(side**2).reshape(side, side)
    shifts = [(0, 0), (0, 1), (0, -1), (1, 1), (1, -1)]
    cols = np.stack([np.roll(place, by, axis) for axis, by in shifts], -1)
    rows = np.broadcast_to(place[..., None], cols.shape)
    if not periodic:
        inside = np.abs(cols // side - rows // side) + np.abs(cols % side - rows % side) < 2
        rows, cols = rows[inside], cols[inside]
    return in_order(rows, cols, side**2)


def at_random(n: int, per_row: int) -> asdex.SparsityPattern:
    """So many entries in each row, anywhere."""
    cols = np.random.default_rng(0).integers(0, n, (n, per_row))
    return in_order(np.broadcast_to(np.arange(n)[:, None], cols.shape), cols, n)


def in_order(rows: np.ndarray, cols: np.ndarray, n: int) -> asdex.SparsityPattern:
    order = np.lexsort((cols.ravel(), rows.ravel()))
    return asdex.SparsityPattern(rows.ravel()[order], cols.ravel()[order], (n, n))


def compare_products() -> None:
    patterns = {
        "five-point, periodic": five_point(SIDE, periodic=True),
        "five-point": five_point(SIDE, periodic=False),
        "five per row at random": at_random(SIDE**2, 5),
    }
    for name, pattern in patterns.items():
        values = np.random.default_rng(0).standard_normal(pattern.nnz)
        a = asdex.SparseJacobian(jnp.asarray(values), pattern)
        x = jnp.asarray(np.random.default_rng(1).standard_normal(SIDE**2))
        csr, bcoo, host = a.to_scipy("csr"), a.to_bcoo(), np.asarray(x)
        multiply = jax.jit(lambda a, x: a @ x)
        transposed = jax.jit(lambda a, x: x @ a)
        ours, back, theirs, jaxs = together(
            lambda multiply=multiply, a=a, x=x: multiply(a, x),
            lambda transposed=transposed, a=a, x=x: transposed(a, x),
            lambda csr=csr, host=host: csr @ host,
            lambda multiply=multiply, bcoo=bcoo, x=x: multiply(bcoo, x),
            budget=3,
        )
        print(
            f"  {name:<24} {1e3 * ours:7.2f} ms {ours / theirs:6.2f} x SciPy CSR  "
            f"BCOO takes {jaxs / ours:5.1f} x as long  transposed {back / ours:5.2f} x"
        )


def bratu(u: Float[Array, " n"], strength: Float[Array, ""]) -> Float[Array, " n"]:
    side = round(np.sqrt(u.size))
    grid = jnp.pad(u.reshape(side, side), 1)
    neighbors = grid[2:, 1:-1] + grid[:-2, 1:-1] + grid[1:-1, 2:] + grid[1:-1, :-2]
    return (4 * grid[1:-1, 1:-1] - neighbors).ravel() - strength / side**2 * jnp.exp(u)


def compare_newton(side: int = 100) -> None:
    u, strength = jnp.zeros(side**2), jnp.asarray(1.0)
    jacobian = asdex.value_and_jacobian(bratu, u, strength, output_format="operator")

    @jax.jit
    def step(u: Array) -> Array:
        residual, a = jacobian(u, strength)
        return u - a.solve(residual)

    evaluate = jax.jit(jacobian)
    residual, a = evaluate(u, strength)
    matrix, rhs = a.to_scipy("csc"), np.asarray(residual)
    whole, evaluation, by_hand = together(
        lambda: step(u),
        lambda: evaluate(u, strength),
        lambda: splu(matrix).solve(rhs),
        budget=10,
    )
    print(
        f"  {side**2} unknowns {1e3 * whole:8.2f} ms {whole / by_hand:6.2f} x splu by "
        f"hand, of which the evaluation {evaluation / by_hand:.3f} x"
    )


def compare_blocks(count: int = 1000, size: int = 3) -> None:
    places = np.arange(count * size).reshape(count, size)
    rows, cols = np.repeat(places, size, 1), np.tile(places, size)
    pattern = asdex.SparsityPattern(rows.ravel(), cols.ravel(), (places.size, places.size))
    values = np.random.default_rng(0).standard_normal(pattern.nnz)
    a = asdex.SparseJacobian(jnp.asarray(values), pattern)
    b = jnp.ones(places.size)

    @partial(jax.jit, static_argnames="solver")
    def solve(a: asdex.SparseJacobian, b: Array, solver: asdex.SolverName) -> Array:
        return a.solve(b, solver=solver)

    blocks, general = together(
        lambda: solve(a, b, "auto"), lambda: solve(a, b, "superlu"), budget=3
    )
    print(
        f"  {count} blocks of {size}: {1e3 * blocks:8.3f} ms, SuperLU takes "
        f"{general / blocks:.1f} x as long"
    )


def compare_arguments(n: int = 200_000) -> None:
    pattern = at_random(n, 5)
    a = asdex.SparseJacobian(jnp.ones(pattern.nnz), pattern)
    again = asdex.SparseJacobian(a.data, at_random(n, 5))
    first = jax.jit(lambda leaf: jax.tree.leaves(leaf)[0][0])
    times = together(
        *[
            lambda argument=argument: [first(argument) for _ in range(CALLS)]
            for argument in (a.data, a, again)
        ],
        budget=2,
    )
    bare, ours, equal = (1e6 * seconds / CALLS for seconds in times)
    print(
        f"  nnz {pattern.nnz}: {ours - bare:6.1f} us more than the bare values "
        f"({bare:.1f} us); {equal - bare:.0f} us with an equal pattern made apart"
    )


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    print(f"J v, {SIDE**2} x {SIDE**2}")
    compare_products()
    print("Newton step on the Bratu problem, evaluation and solve")
    compare_newton()
    print("Block diagonal solve")
    compare_blocks()
    print("An operator as the argument of a compiled function")
    compare_arguments()


if __name__ == "__main__":
    main()
