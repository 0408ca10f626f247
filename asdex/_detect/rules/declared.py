"""Primitives without a rule, and why each needs none.

A test compares this list and the registry of rules with all primitives of JAX.
"""

from jax import lax
from jax.extend.core import Primitive
from jax.extend.core import primitives as p

from ..._base.compat import OLD_SINKS

_NO_ARRAY = "It has no array operand, or only integers, keys and tokens."
_FACTORS = (
    "Linearized, a factorization is made of products and triangular solves; itself it is "
    "applied to a tangent only by a custom rule."
)
_RARE = "JAX does not differentiate it, or only when its parts are known to be linear."

NEVER_ACTIVE: dict[Primitive, str] = {
    primitive: _NO_ARRAY
    for primitive in (
        *(lax.iota_p, lax.axis_index_p, lax.after_all_p, lax.create_token_p, p.empty2_p),
        *(p.random_seed_p, p.random_split_p, p.random_fold_in_p, p.random_bits_p),
        *(lax.rng_bit_generator_p, lax.rng_uniform_p, p.threefry2x32_p, p.random_gamma_p),
        *(*OLD_SINKS, lax.stage_p),
    )
}
"""Primitives through which no tangent passes."""

CONSERVATIVE: dict[Primitive, str] = {
    **dict.fromkeys(
        (
            *(p.cholesky_p, p.eig_p, p.eigh_p, p.hessenberg_p, p.householder_product_p),
            *(p.lu_p, p.qr_p, p.schur_p, p.svd_p, p.tridiagonal_p),
        ),
        _FACTORS,
    ),
    **dict.fromkeys(
        (*(lax.reduce_window_p, lax.select_and_scatter_p, lax.ragged_all_to_all_p),), _RARE
    ),
}
"""Primitives whose outputs are taken to depend on all operands, with the warning."""

REFUSED: dict[Primitive, str] = {
    p.get_p: "It reads a mutable reference.",
    p.swap_p: "It writes a mutable reference.",
}
"""Primitives that detection does not follow, and raises an error for."""
