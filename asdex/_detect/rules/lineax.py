"""Linear solves of lineax, known by name, and Equinox's way to batch them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from equinox.internal import filter_primitive_def
from jax.extend.core import JaxprEqn, Primitive
from jax.typing import ArrayLike

from ..interpret import call, conservative
from ..registry import Outcome, register
from ..value import Scope, Value
from .control import implementation
from .solves import solve_in_blocks

Arrays = Sequence[ArrayLike]


class _Solve(NamedTuple):
    """A solve of `A x = b` (or least squares) in terms of the equation's operands."""

    product: Callable[[Arrays, Arrays], Any]
    """Operands and the leaves of `x` to the leaves of `A x`."""
    right: Callable[[Arrays, Arrays], Any]
    """Operands (and nothing) to the leaves of `b`."""
    right_operands: set[int]
    """Which operands make up `b`."""
    num_unknowns: int
    """How many of the first outputs make up `x`."""


@register("linear_solve", "vprim")
def linear_solve(eqn: JaxprEqn, operands: Sequence[Value], scope: Scope) -> Outcome:
    """The solution depends on the right-hand side within the blocks of the operator,
    whatever the solver. `vprim` is a batch of any primitive of Equinox."""
    solve = _solve(eqn.primitive, eqn.params, len(operands))
    if solve is None:
        return implementation(eqn, operands, scope)
    if any(
        operand.dependence is not None and k not in solve.right_operands
        for k, operand in enumerate(operands)
    ):
        return conservative(eqn, operands, scope, "an operator that depends on the input")
    avals = [operand.aval for operand in operands]
    unknowns = [var.aval for var in eqn.outvars[: solve.num_unknowns]]
    product = jax.make_jaxpr(solve.product)(avals, unknowns)
    sides = call(jax.make_jaxpr(solve.right)(avals, []), operands, scope)
    others = [
        operand if operand.dependence is None else Value(operand.aval)
        for operand in operands
    ]
    solved = solve_in_blocks(product, others, unknowns, sides, scope)
    solution = [Value(aval, dep) for aval, dep in zip(unknowns, solved, strict=True)]
    return solution + [Value(var.aval) for var in eqn.outvars[solve.num_unknowns :]]


def _solve(primitive: Primitive, params: dict[str, Any], count: int) -> _Solve | None:
    """What a solve, or a batch of solves, with `count` operands is made of; `None` for
    other primitives."""
    if primitive.name == "vprim":
        single = _solve(params["prim"], dict(params["params"]), count)
        return single and _batched(single, params)
    if primitive.name != "linear_solve":
        return None
    tree = {"treedef": params["treedef"], "static": params["static"]}
    arguments = filter_primitive_def(lambda *arguments: arguments)

    def restored(operands: Sequence[Any]) -> Any:
        """Operator, state, right-hand side, options, solver and a flag."""
        return arguments(*operands, **tree, flatten=lambda arguments: arguments)

    def product(operands: Arrays, unknowns: Arrays) -> Any:
        operator = restored(operands)[0]
        structure = jax.tree.structure(operator.in_structure())
        return jax.tree.leaves(operator.mv(jax.tree.unflatten(structure, unknowns)))

    outputs, _ = params["flatten"].get()
    solution, *_ = jax.tree.unflatten(outputs, range(outputs.num_leaves))
    return _Solve(
        product,
        right=lambda operands, _: jax.tree.leaves(restored(operands)[2]),
        right_operands=set(jax.tree.leaves(restored(range(count))[2])),
        num_unknowns=len(jax.tree.leaves(solution)),
    )


def _batched(solve: _Solve, params: dict[str, Any]) -> _Solve:
    """Many solves, along the axis that each operand has for that (or `None`), and along
    the first axis of all other arrays."""
    over = {
        "in_axes": (list(params["__batch_axes"]), 0),
        "axis_size": params["__axis_size"],
        "axis_name": params["__axis_name"],
    }
    return solve._replace(
        product=jax.vmap(solve.product, **over), right=jax.vmap(solve.right, **over)
    )
