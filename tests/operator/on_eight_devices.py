"""A program that shards operators over eight simulated devices; `test_sharding` runs it.

It ends with an error if a result differs from the one on a single device.
"""

import contextlib
import io
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import asdex
from asdex import SparseJacobian

from .on_meshes import (
    DEVICES,
    derivatives_inside_of_shard_map,
    derivatives_while_a_mesh_is_set,
    functions_of_explicit_axes,
    functions_over_devices,
    same,
)

N = 12


def residual(x: Array) -> Array:
    """Tridiagonal, of a diagonal that dominates."""
    return 9 * x + jnp.sin(jnp.roll(x, 1).at[0].set(0.0)) * x + jnp.pad(x[1:] ** 2, (0, 1))


def window(x: Array) -> Array:
    """Each output has eight inputs, so there are eight colors."""
    return jnp.convolve(jnp.sin(x), jnp.arange(1.0, 9.0), "valid") ** 2


def sent(run: Any, *args: Any) -> dict[str, int]:
    """The elements that each device receives in one collective operation at most, by the
    kind of operation."""
    program = str(jax.jit(run).lower(*args).compile().as_text())
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
    found: dict[str, int] = {}
    for result, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", program):
        for shape in re.findall(r"\[([\d,]*)\]", result):
            size = math.prod(map(int, filter(None, shape.split(","))))
            found[kind] = max(found.get(kind, 0), size)
    return found


def main() -> None:
    assert jax.device_count() == DEVICES
    mesh = Mesh(np.array(jax.devices()), ("points",))
    over_points = NamedSharding(mesh, P("points"))
    points = jnp.linspace(-1, 1, 2 * DEVICES * N).reshape(2 * DEVICES, N)
    sharded = jax.device_put(points, over_points)
    make = asdex.jacobian(residual, points[0], output_format="operator")
    expected = jax.vmap(jax.jacfwd(residual))(points)

    batch = jax.jit(jax.vmap(make))(sharded)
    assert batch.data.sharding.is_equivalent_to(over_points, 2)
    assert not sent(lambda x: jax.vmap(make)(x).data, sharded)
    assert not sent(SparseJacobian.mv, batch, sharded)
    same(batch.todense(), expected)
    products_over_points(mesh, batch, sharded, np.asarray(expected))
    solves_over_points(mesh, batch, sharded, np.asarray(expected))
    derivatives_over_points(make, sharded, points)
    colors_over_devices(mesh)
    entries_over_devices(mesh)
    functions_over_devices(mesh)
    for kind in AxisType.Auto, AxisType.Explicit:
        derivatives_while_a_mesh_is_set(kind)
    derivatives_inside_of_shard_map(mesh)
    for boundary in "wrap", "constant":
        grids_over_rows(mesh, boundary)
    explicit = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Explicit,))
    with jax.set_mesh(explicit):
        grids_over_rows(explicit, "wrap")
        functions_of_explicit_axes(explicit)
    meshes_over_rows(mesh)


def products_over_points(
    mesh: Mesh, batch: SparseJacobian, x: Array, expected: np.ndarray
) -> None:
    over_points = NamedSharding(mesh, P("points"))

    def products(batch: SparseJacobian, x: Array) -> Any:
        gram = batch.gram().shift(1.0) + batch.T
        return batch.mv(x), batch.rmv(x), gram.mv(x), batch.norm("inf")

    def check(found: Any) -> None:
        column = np.asarray(x)[..., None]
        transposed = np.swapaxes(expected, 1, 2)
        gram = transposed @ expected + np.eye(N) + transposed
        for result, matrix in zip(found, (expected, transposed, gram), strict=False):
            same(result, (matrix @ column)[..., 0])
        same(found[3], np.abs(expected).sum(2).max(1))

    found = jax.jit(products)(batch, x)
    assert all(leaf.sharding.is_equivalent_to(over_points, leaf.ndim) for leaf in found)
    check(found)
    by_hand = partial(jax.shard_map, mesh=mesh, in_specs=P("points"), out_specs=P("points"))
    check(jax.jit(by_hand(products))(batch, x))
    made_there = jax.jit(by_hand(lambda batch: batch.T * 2))(batch)
    assert made_there.data.sharding.is_equivalent_to(over_points, 2)
    same(made_there.todense(), 2 * np.swapaxes(expected, 1, 2))


def solves_over_points(
    mesh: Mesh, batch: SparseJacobian, b: Array, expected: np.ndarray
) -> None:
    """In pure JAX, and on the host, to which each device sends its part."""
    by_hand = partial(jax.shard_map, mesh=mesh, in_specs=P("points"), out_specs=P("points"))
    solution = np.linalg.solve(expected, np.asarray(b)[..., None])[..., 0]
    for solver in ("tridiagonal", "banded", "superlu"):
        solve: Any = partial(SparseJacobian.solve, solver=solver)
        same(batch.solve(b, solver=solver), solution)
        same(jax.jit(by_hand(jax.vmap(solve)))(batch, b), solution)


def derivatives_over_points(make: Any, sharded: Array, points: Array) -> None:
    def loss(points: Array) -> Array:
        a = jax.vmap(make)(points)
        return jnp.sum(a.solve(jnp.ones(N)) ** 2) + jnp.sum(a.mv(points) ** 2)

    found = jax.jit(jax.grad(loss))(sharded)
    assert found.sharding.is_equivalent_to(sharded.sharding, 2)
    same(found, jax.grad(loss)(points))


def colors_over_devices(mesh: Mesh) -> None:
    """Each device computes the products of its colors, of one if there are as many."""
    over_colors = NamedSharding(mesh, P("points"))
    x = jnp.linspace(0.1, 1, 20)
    coloring = asdex.jacobian_coloring(window, x, mode="fwd")
    assert coloring.num_colors == DEVICES
    compress = asdex.compressed_jacobian_from_coloring(window, coloring)
    compressed = jax.jit(compress, out_shardings=over_colors)(x)
    assert compressed.sharding.is_equivalent_to(over_colors, 2)
    assert {shard.data.shape[0] for shard in compressed.addressable_shards} == {1}
    same(compressed, compress(x))
    expected = jax.jacfwd(window)(x)

    def operator(compressed: Array) -> SparseJacobian:
        return asdex.decompress(compressed, coloring, "operator")

    for a in (operator(compressed), jax.jit(operator)(compressed)):
        same(a.mv(x), expected @ x)
    same(
        (a @ a.T).solve(jnp.ones(13)),
        jnp.linalg.solve(expected @ expected.T, jnp.ones(13)),
    )

    whole = jax.jit(
        lambda x: operator(compress(x)).mv(x), out_shardings=NamedSharding(mesh, P())
    )
    same(whole(x), expected @ x)
    constrained_colors(over_colors)


def constrained_colors(over_colors: NamedSharding) -> None:
    """Also of colors whose number the devices do not divide, each computes its own."""

    def f(x: Array) -> Array:
        return jnp.convolve(jnp.sin(x), jnp.arange(1.0, 14.0), "valid") ** 2

    x = jnp.linspace(0.1, 1, 200)
    coloring = asdex.jacobian_coloring(f, x, mode="fwd")
    assert coloring.num_colors == 13
    compress = asdex.compressed_jacobian_from_coloring(f, coloring)

    @jax.jit
    def split(x: Array) -> Array:
        compressed = jax.lax.with_sharding_constraint(compress(x), over_colors)
        return asdex.decompress(compressed, coloring, "operator").todense()

    def operations(run: Any) -> float:
        return run.lower(x).compile().cost_analysis()["flops"]

    same(split(x), jax.jacfwd(f)(x))
    assert operations(split) < operations(jax.jit(compress)) / 3


def entries_over_devices(mesh: Mesh) -> None:
    """The values of one large matrix, spread over devices."""
    n = 4 * DEVICES
    pattern = asdex.SparsityPattern.from_dense(np.eye(n) + np.eye(n, k=4))
    pattern = asdex.SparsityPattern(pattern.rows[:-4], pattern.cols[:-4], (n, n))
    assert pattern.nnz % DEVICES == 0
    data = jnp.linspace(1, 2, pattern.nnz)
    a = SparseJacobian(jax.device_put(data, NamedSharding(mesh, P("points"))), pattern)
    expected = np.zeros((n, n))
    expected[pattern.rows, pattern.cols] = data
    x = jnp.linspace(0, 1, n)
    same(jax.jit(SparseJacobian.mv)(a, x), expected @ np.asarray(x))
    same(a.rmv(x), np.asarray(x) @ expected)
    same((a @ a).todense(), expected @ expected)


def diffusion(u: Array, boundary: str) -> Array:
    """Of a nonlinear reaction, on a periodic grid or with zeros around it."""
    padded: Any = jnp.pad(u, 1, mode=boundary)
    neighbors = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
    return 5 * u - neighbors * jnp.cos(u) + u**3


def grids_over_rows(mesh: Mesh, boundary: str) -> None:
    """Each device computes its rows of the matrix, and gets of vectors the points next to
    its own."""
    side = 8 * DEVICES
    u = jnp.linspace(0, 1, side**2).reshape(side, side)
    f = partial(diffusion, boundary=boundary)
    pattern = asdex.pad_rows(asdex.jacobian_sparsity(f, u))
    make = asdex.jacobian(
        f, u, sparsity=pattern, mode="accumulate", output_format="operator"
    )
    on_one = jax.jit(asdex.jacobian(f, u, output_format="operator"))(u)
    sharded = jax.device_put(u, NamedSharding(mesh, P("points")))

    def solve(a: SparseJacobian, b: Array) -> Array:
        solver = asdex.Iterative("cg", preconditioner="jacobi", rtol=1e-12)
        return a.solve(b, solver=solver)

    a = jax.jit(make)(sharded)
    assert a.data.sharding.is_equivalent_to(NamedSharding(mesh, P("points")), 1)
    difference = (a.to_scipy() - on_one.to_scipy()).tocoo()
    assert abs(difference.data).max(initial=0) < 1e-13
    by_function = sent(jax.sharding.auto_axes(f, out_sharding=P("points")), sharded)
    by_values = sent(lambda u: make(u).data, sharded)
    assert by_values.keys() <= by_function.keys() == {"collective-permute"}
    assert by_values["collective-permute"] <= by_function["collective-permute"]
    for run in SparseJacobian.mv, SparseJacobian.rmv:
        assert sent(run, a, sharded) == {"collective-permute": side}
        same(jax.jit(run)(a, sharded), run(on_one, u))
    assert sent(solve, a, sharded) == {"collective-permute": side, "all-reduce": 1}
    same(jax.jit(solve)(a, sharded), solve(on_one, u))


def meshes_over_rows(mesh: Mesh) -> None:
    """Where rows have nothing in common, the vector is sent to all, values are not."""
    n = 16 * DEVICES
    edges = np.random.default_rng(0).integers(0, n, (2, n))
    some = (np.arange(n) % 3 == 0).astype(float)
    x = jnp.linspace(0.1, 1, n)

    def f(x: Array) -> Array:
        return 3 * x + x[edges[0]] ** 2 * some + x[edges[1]]

    pattern = asdex.pad_rows(asdex.jacobian_sparsity(f, x))
    make = asdex.jacobian(
        f, x, sparsity=pattern, mode="accumulate", output_format="operator"
    )
    over_rows = NamedSharding(mesh, P("points"))
    sharded = jax.device_put(x, over_rows)
    a = jax.jit(make, out_shardings=over_rows)(sharded)
    same(a.todense(), jax.jacfwd(f)(x))
    found = jax.jit(SparseJacobian.mv)(a, sharded)
    assert found.sharding.is_equivalent_to(over_rows, 1)
    same(found, jax.jacfwd(f)(x) @ x)
    assert sent(SparseJacobian.mv, a, sharded) == {"all-gather": n}


def page_of_the_guide() -> None:
    """What the documentation shows, which is also run on one device."""
    text = (Path(__file__).parents[2] / "docs/pages/guides/devices.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL)
    names: dict[str, Any] = {}
    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        assert printed.getvalue() == expected


if __name__ == "__main__":
    # Several programs at once may each wait for threads that the others hold.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    main()
    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    page_of_the_guide()
