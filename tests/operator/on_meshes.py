"""Functions and derivatives under meshes of eight simulated devices, of automatic or
explicit axes, and inside of `jax.shard_map`; `on_eight_devices` runs these."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import asdex

DEVICES = 8


def same(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


def functions_over_devices(mesh: Mesh) -> None:
    """Functions that are split by hand have the patterns that they have on one device."""
    square = Mesh(np.array(jax.devices()).reshape(2, 4), ("rows", "cols"))
    around = [(k, (k + 1) % DEVICES) for k in range(DEVICES)]

    def with_neighbors(x: Array, around: list[tuple[int, int]]) -> Array:
        back = [(receiver, sender) for sender, receiver in around]
        left = jax.lax.ppermute(x[-1:], "points", around)
        right = jax.lax.ppermute(x[:1], "points", back)
        extended = jnp.concatenate([left, x, right])
        return extended[2:] * x + extended[:-2]

    def first_reversed(x: Array) -> Array:
        return jnp.where(jax.lax.axis_index("points") == 0, x[::-1], x)

    def twice(x: Array) -> Array:
        step = partial(with_neighbors, around=around)
        return jax.lax.scan(lambda x, _: (step(x), None), x, None, length=2)[0]

    split, whole = P("points"), P()
    table: list[tuple[Any, Any, Any, Mesh]] = [
        (jnp.sin, split, split, mesh),
        (partial(with_neighbors, around=around), split, split, mesh),
        (partial(with_neighbors, around=around[:-1]), split, split, mesh),
        (jax.checkpoint(twice), split, split, mesh),
        (first_reversed, split, split, mesh),
        (lambda x: jax.lax.psum(jnp.sin(x), "points"), split, whole, mesh),
        (lambda x: jax.lax.all_gather(x, "points")[0] * x, split, split, mesh),
        (lambda x: jax.lax.psum_scatter(x**2, "points", tiled=True), whole, split, mesh),
        (
            lambda x: x.sum(keepdims=True) ** 2,
            P(("cols", "rows")),
            P(("rows", "cols")),
            square,
        ),
    ]
    x = jnp.linspace(0.5, 1.5, 2 * DEVICES)
    for number, (fun, into, out, where) in enumerate(table):
        f: Any = jax.shard_map(fun, mesh=where, in_specs=into, out_specs=out)

        def total(x: Array, f: Any = f) -> Array:
            return jnp.sum(jnp.sin(f(x)))

        verbs: list[Any] = [(asdex.jacobian, f, jax.jacfwd)]
        if number % 2:  # The others have the same operations.
            verbs.append((asdex.hessian, total, jax.hessian))
        for verb, function, dense in verbs:
            derivative = verb(function, x)
            expected = np.asarray(jax.jit(dense(function))(x))
            assert derivative.sparsity.nnz == np.count_nonzero(expected)
            same(derivative(x).todense(), expected)


def pairs(x: Array) -> Array:
    return x**2 * x[::-1] + x


def derivatives_while_a_mesh_is_set(kind: AxisType) -> None:
    mesh = jax.make_mesh((DEVICES,), ("points",), axis_types=(kind,))
    x = jnp.linspace(0.5, 1.5, 2 * DEVICES)
    expected = jax.jacfwd(pairs)(x)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, NamedSharding(mesh, P("points")))
        assert asdex.jacobian_coloring(pairs, x).num_colors == 2
        for mode in ("accumulate", "rev") if kind == AxisType.Explicit else (None, "fwd"):
            make = asdex.jacobian(pairs, x, mode=mode, output_format="operator")
            for at in (x, sharded):
                for run in (make, jax.jit(make)):
                    a = run(at)
                    same(a.todense(), expected)
                    same(a.mv(at), expected @ x)
                    same(a.solve(at), jnp.linalg.solve(expected, x))
        total = asdex.hessian(lambda x: (pairs(x) ** 2).sum(), x, output_format="dense")
        same(total(x), jax.hessian(lambda x: (pairs(x) ** 2).sum())(x))
        indices = jax.device_put(np.arange(x.size)[::-1].copy(), sharded.sharding)
        by_index = asdex.jacobian(lambda x, i: x**2 * x[i] + x, x, indices)
        same(by_index(sharded, indices).todense(), expected)
        pair = np.random.default_rng(0).integers(0, 3000, (2, 9000))
        pattern = asdex.SparsityPattern.from_coo(
            np.concatenate(pair), np.concatenate(pair[::-1]), (3000, 3000)
        )
        colors, number = asdex.color_cols(pattern, order=asdex.SmallestLast())
        asdex.check_coloring_cols(pattern, colors)
        assert number == max(colors) + 1


def functions_of_explicit_axes(mesh: Mesh) -> None:
    """Split as JAX asks for it, by hand, or not at all; batches of them; other formats."""
    split, x = P("points"), jnp.linspace(0.5, 1.5, 2 * DEVICES)
    on_mesh = jax.device_put(x, NamedSharding(mesh, split))
    back = np.arange(x.size)[::-1]

    def shift(x: Array) -> Array:
        return jnp.roll(x, 1) * x

    def local(x: Array) -> Array:
        return x[::-1] * x

    def gather(x: Array) -> Array:
        return x.at[back].get(out_sharding=split) * x

    shards: Any = jax.shard_map(local, in_specs=split, out_specs=split)
    table: list[tuple[Any, Any, bool]] = [
        (shift, shift, True),
        (jax.sharding.auto_axes(shift, out_sharding=split), shift, True),
        (shards, lambda x: jax.vmap(local)(x.reshape(-1, 2)).reshape(-1), True),
        (gather, local, False),
        (lambda x: jax.sharding.reshard(x, split) * x, jnp.square, False),
        (lambda x: on_mesh * x, lambda y: x * y, False),
    ]
    for f, plain, stays in table:
        expected = jax.jacfwd(plain)(x)
        for mode in ("accumulate", "rev"):
            a = asdex.jacobian(f, x, mode=mode, output_format="operator")(on_mesh)
            assert jax.typeof(a.data).sharding.spec == (split if stays else P(None))
            same(a.todense() if mode == "rev" else a.to_bcoo().todense(), expected)
            product = a.mv(on_mesh)
            assert jax.typeof(product).sharding.spec == split
            same(product, expected @ x)
    for output_format in ("bcoo", "bcsr", "dense", "scipy_csr"):
        found = asdex.jacobian(shift, x, output_format=output_format)(on_mesh)
        dense = found if output_format == "dense" else found.todense()
        same(dense, jax.jacfwd(shift)(x))
    make = asdex.jacobian(shift, x, output_format="operator")

    def solve(x: Array) -> Array:
        return (make(x).shift(2.0)).solve(x, solver="dense")

    batch = jnp.tile(x, (DEVICES, 1))
    found = jax.jit(jax.vmap(solve))(jax.device_put(batch, on_mesh.sharding))
    assert jax.typeof(found).sharding.spec == P("points", None)
    same(found, jax.vmap(solve)(batch))


def derivatives_inside_of_shard_map(mesh: Mesh) -> None:
    """Of each device's part, with the checks of what varies over devices."""
    by_hand = partial(jax.shard_map, mesh=mesh, in_specs=P("points"), out_specs=P("points"))
    x = jnp.linspace(0.5, 1.5, 4 * DEVICES)
    scale = jnp.linspace(1, 2, 4 * DEVICES)

    def scaled(x: Array, scale: Array) -> Array:
        return scale * pairs(x) * 2.0

    expected = jax.jit(by_hand(jax.jacfwd(scaled)))(x, scale)
    for mode in (None, "fwd", "rev"):
        make = asdex.jacobian(scaled, x[:4], scale[:4], mode=mode, output_format="dense")
        for _ in range(2):
            same(jax.jit(by_hand(make))(x, scale), expected)
    found = jax.jit(by_hand(all_of_one_part))(x)
    for result, dense in zip(found, jax.jit(by_hand(by_dense_matrices))(x), strict=True):
        np.testing.assert_allclose(result, dense, rtol=1e-9, atol=1e-9)


def energy(x: Array) -> Array:
    return (pairs(x) ** 2).sum() + (x**4).sum()


def all_of_one_part(x: Array) -> list[Array]:
    """What asdex computes within a program of one device."""
    coloring = asdex.jacobian_coloring(pairs, x, mode="rev")
    compressed = asdex.compressed_jacobian_from_coloring(pairs, coloring)(x)
    jacobian = asdex.jacobian(pairs, x, output_format="operator")(x)
    value, hessian = asdex.value_and_hessian(energy, x, output_format="operator")(x)
    precise: Any = {"rtol": 1e-12}
    return [
        asdex.decompress(compressed, coloring, "dense"),
        asdex.jacobian(pairs, x, mode="fwd", chunk_size=1, output_format="dense")(x),
        asdex.jacobian(pairs, x, mode="accumulate", output_format="bcsr")(x).todense(),
        hessian.todense(),
        value[None],
        jacobian.gram().todense(),
        jacobian.T.solve(x),
        jacobian.solve(x, solver="bicgstab", **precise),
        hessian.solve(x, solver="cg", preconditioner="jacobi", **precise),
        jacobian.slogdet()[1][None],
        jax.grad(lambda x: asdex.jacobian(pairs, x, output_format="operator")(x).norm())(x),
    ]


def by_dense_matrices(x: Array) -> list[Array]:
    jacobian, hessian = jax.jacfwd(pairs)(x), jax.hessian(energy)(x)
    solve = jnp.linalg.solve
    return [
        *(jacobian, jacobian, jacobian, hessian, energy(x)[None]),
        jacobian.T @ jacobian,
        solve(jacobian.T, x),
        solve(jacobian, x),
        solve(hessian, x),
        jnp.linalg.slogdet(jacobian)[1][None],
        jax.grad(lambda x: jnp.linalg.norm(jax.jacfwd(pairs)(x)))(x),
    ]
