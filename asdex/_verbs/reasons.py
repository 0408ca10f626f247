"""Why primitives make a pattern denser, in words, and what can be done about it."""

from typing import NamedTuple


class Reason(NamedTuple):
    """Why the results of a primitive depend on more than its operands, and what to do."""

    why: str
    advice: str = ""


NO_RULE = Reason(
    "no rule covers it, so each result is taken to depend on all inputs of the operation",
    "write a rule for it, see asdex.register_rule",
)

_SUM = Reason(
    "each result depends on all elements that it is made of",
    "if all outputs need it, the matrix is a sparse one plus one of low rank: let the "
    "function take it as an argument, or return it apart",
)
_PRODUCT = Reason(
    "each result is a sum over an axis of both factors",
    "zeros of a factor count only if it is a constant or depends on no input; a sparse "
    "constant may also be a BCOO matrix",
)
_INDEX = Reason(
    "the index depends on the input, so that any element may be meant",
    "compute it from values that are not differentiated; if it is fixed at the samples, "
    "local=True gives the pattern there",
)
_PREFIX = Reason("each result depends on all elements before it")
_MIXED = Reason("each result depends on all elements of its axes")
_SOLVE = Reason("each element of a solution depends on the whole matrix")
_LOOP = Reason(
    "each step passes on what the steps before it depended on",
    "differentiate one step, with the state as an argument",
)
_BRANCHES = Reason(
    "the input decides which branch is taken, so that all count",
    "local=True gives the pattern of the one that is taken at the samples",
)
_JOINED = Reason("its operands depend on different inputs")
_SEVERAL = Reason("see the lines of the program that it calls")

REASONS: dict[str, Reason] = {
    name: reason
    for names, reason in {
        "reduce_sum reduce_max reduce_min reduce_prod reduce": _SUM,
        "reduce_window reduce_window_sum reduce_window_max reduce_window_min": _SUM,
        "dot_general conv_general_dilated": _PRODUCT,
        "gather dynamic_slice dynamic_update_slice": _INDEX,
        "scatter scatter-add scatter-mul": _INDEX,
        "cumsum cumprod cummax cummin cumlogsumexp": _PREFIX,
        "fft sort top_k": _MIXED,
        "custom_linear_solve triangular_solve tridiagonal_solve": _SOLVE,
        "lu cholesky qr eigh eig svd schur householder_product": _SOLVE,
        "while scan": _LOOP,
        "cond": _BRANCHES,
        "add add_any sub mul div select_n concatenate": _JOINED,
        "jit closed_call eval_jaxpr custom_jvp_call custom_lin remat2": _SEVERAL,
    }.items()
    for name in names.split()
}
"""By the names of primitives. Those that are not in it say enough by their names."""


def reason_of(primitive: str, *, conservative: bool) -> Reason:
    """Why a primitive makes a pattern denser."""
    return NO_RULE if conservative else REASONS.get(primitive, Reason(""))
