"""The arguments of the user's function: bound by its signature, checked against samples.

Arguments are numbered in the order of the signature, whether passed by position or by
keyword; a parameter that is skipped in between has its default value. Leaves of the
arguments are either *arrays* (also Python floats and complex numbers), whose values no
pattern depends on, or *static* (bool, int, str, enums, callables and all else): a call may
pass another value of the same type, and the pattern is then checked.
"""

import difflib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from .._base.types import BIDIRECTIONAL, HESSIAN_MODES
from .._structure.inputs import Argnums, Inputs, is_array, is_aval, without_values
from .space import apart_in_words, is_inexact


class Parameter(NamedTuple):
    """The parameter that an argument was bound to."""

    kind: Any
    name: str


class Bound(NamedTuple):
    """Arguments in the order of the signature, and how to call the function with them."""

    arguments: tuple[Any, ...]
    parameters: tuple[Parameter, ...]
    call: Callable[[Sequence[Any]], Any]


def bind_samples(
    f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Bound:
    """The samples, each array as its `jax.ShapeDtypeStruct`, bound to `f`.

    The keyword `input_shape` (an int or a tuple) gives the shape of one sample array,
    unless `f` has a parameter of that name.

    **Raises:** `TypeError` if `f` cannot be called with the samples.
    """
    if not callable(f):
        raise TypeError(f"f must be callable. Got {f!r}.")
    if "input_shape" in kwargs and "input_shape" not in find_signature(f).parameters:
        args, kwargs = _sample_of_shape(args, **kwargs)
    try:
        bound = _bind(f, args, kwargs)
    except TypeError as error:
        advice = _NO_SAMPLES if not (args or kwargs) else _misspelt(f, kwargs)
        raise TypeError(f"{error} {advice}".rstrip()) from None
    return bound._replace(arguments=jax.tree.map(without_values, bound.arguments))


def bind_values(
    f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Bound:
    """The samples with their values, bound to `f`.

    **Raises:** `ValueError` if one has no value.
    """
    bound = _bind(f, args, kwargs)
    for leaf in jax.tree.leaves(bound.arguments):
        if is_aval(leaf) or isinstance(leaf, Tracer):
            raise ValueError(
                "local=True needs sample arguments with values, because the pattern holds "
                f"at these values only. Got {leaf}. Pass arrays, or detect the pattern "
                "that holds everywhere with local=False."
            )
    return bound


def _misspelt(f: Callable[..., Any], kwargs: dict[str, Any]) -> str:
    """A note if a keyword is no parameter of the function, but like an option of a verb."""
    known = find_signature(f).parameters
    if not (unknown := [name for name in kwargs if name not in known]):
        return ""
    similar = difflib.get_close_matches(unknown[0], OPTIONS, 1)
    instead = f": did you mean the option {similar[0]!r}?" if similar else "."
    return f"{unknown[0]!r} is neither an option nor a parameter of the function{instead}"


def as_inputs(bound: Bound, argnums: Argnums) -> Inputs:
    """The types of bound samples, with the arguments to differentiate.

    **Raises:** what `Inputs.of` raises; `ValueError` if `argnums` select no array.
    """
    inputs = Inputs.of(bound.arguments, argnums)
    if not inputs.selected:
        advice = "Select an argument that holds floats."
        if len(bound.arguments) == 1 and _is_shape(bound.arguments[0]):
            advice = f"Did you mean input_shape={bound.arguments[0]!r}?"
        raise ValueError(
            f"argnums={argnums} selects no array to differentiate with respect to, only "
            f"{inputs.trees!r}. bool, int, str and None are static. {advice}"
        )
    return inputs


def _is_shape(sample: Any) -> bool:
    sizes = sample if isinstance(sample, tuple) else (sample,)
    return bool(sizes) and all(type(size) is int for size in sizes)


def bind_call(
    f: Callable[..., Any],
    inputs: Inputs,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    signature: inspect.Signature | None = None,
) -> Bound:
    """The arguments of a call of `f`, checked against the samples.

    `signature` is that of `f`, if available: to find it takes longer than the rest.
    Keyword arguments without a sample are passed to `f` as they are, and ints of Python as
    floats where the sample was one, as `dt=1` for `dt=0.5`.

    **Raises:** `TypeError` if the number of arguments, a static type or the kind of a
    dtype differs from the samples; `ValueError` if a shape or the pytree structure does.
    """
    count = inputs.count
    bound = _bind(f, args, kwargs, count, signature)
    surplus = bound.arguments[count:]
    if len(bound.arguments) < count or (surplus and len(args) > count):
        names = ", ".join(parameter.name for parameter in bound.parameters)
        advice = "Pass all arguments that the samples had."
        if surplus:
            advice = "Pass a sample for every argument that a call will pass."
        raise TypeError(
            f"Expected {count} positional argument(s), as in the samples. Got "
            f"{len(bound.arguments)}: {names}. {advice}"
        )
    if surplus:
        call = bound.call
        bound = Bound(
            bound.arguments[:count],
            bound.parameters[:count],
            lambda arguments: call((*arguments, *surplus)),
        )
    return _checked(bound, inputs)


def check_differentiable(
    inputs: Inputs,
    dtypes: Sequence[Any],
    mode: str,
    name: Callable[[int], str],
    *,
    holomorphic: bool,
    allow_int: bool,
) -> None:
    """Raise `TypeError` unless JAX differentiates inputs of these dtypes in this mode.

    `dtypes` are those that a call passes for the selected arrays; `name` says how a leaf of
    the arguments is reached.
    """
    leaves = inputs.leaves
    for k, dtype in zip(inputs.selected, dtypes, strict=True):
        if is_inexact(dtype):
            _check_holomorphic(dtype, holomorphic)
        else:
            _check_integer(partial(name, k), dtype, mode, allow_int)
        if is_inexact(dtype) != is_inexact(leaves[k].dtype):
            raise TypeError(
                f"The dtype {dtype} of a differentiated input does not match expected "
                f"{leaves[k].dtype} of its sample. Make a new coloring for this dtype."
            )


def check_samples(
    f: Callable[..., Any], inputs: Inputs, mode: str, allow_int: bool
) -> None:
    """Raise `TypeError` for differentiated samples of integers by which no call can
    differentiate."""
    for k in inputs.selected:
        if not is_inexact(dtype := inputs.leaves[k].dtype):
            _check_integer(partial(_name_of_sample, f, inputs, k), dtype, mode, allow_int)


def _check_holomorphic(dtype: Any, holomorphic: bool) -> None:
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    if holomorphic and not is_complex:
        raise TypeError(f"holomorphic=True needs inputs of complex dtype. Got {dtype}.")
    if is_complex and not holomorphic:
        raise TypeError(
            f"Inputs must be real-valued. Got {dtype}. If the function is holomorphic, "
            "pass holomorphic=True."
        )


def _check_integer(name: Callable[[], str], dtype: Any, mode: str, allow_int: bool) -> None:
    if mode in HESSIAN_MODES:
        raise TypeError(
            f"Integer inputs are not supported for Hessians: {name()} has dtype {dtype}. "
            f"Pass {name()}.astype(float)."
        )
    if not allow_int:
        raise TypeError(
            "Inputs must be real- or complex-valued (a sub-dtype of np.inexact), but "
            f"{name()} has dtype {dtype}. Pass {name()}.astype(float), or allow_int=True "
            "for blocks of zeros."
        )
    if mode in ("fwd", BIDIRECTIONAL):
        raise TypeError(
            f"Integer inputs are not supported in forward mode: {name()} has dtype "
            f"{dtype}. Use a coloring of mode 'rev', or pass {name()}.astype(float)."
        )


def _checked(bound: Bound, inputs: Inputs) -> Bound:
    """The arguments, with a float for an int of Python where the sample was one."""
    leaves, found = jax.tree.flatten(bound.arguments)
    if found != inputs.treedef:
        expected, got = apart_in_words(inputs.treedef, found)
        raise ValueError(
            "The pytree structure of the arguments differs from the samples.\n"
            f"Expected {expected}\nGot      {got}"
        )
    selected, has_changed = inputs.selected, False
    for k, (leaf, aval) in enumerate(zip(leaves, inputs.leaves, strict=True)):
        if not is_aval(aval):
            _check_static(partial(name_of, bound, k), leaf, aval)
            continue
        if _is_int(leaf) and k not in selected and is_inexact(aval.dtype):
            leaf = leaves[k] = leaf * 1.0
            has_changed = True
        _check_array(partial(name_of, bound, k), leaf, aval, is_selected=k in selected)
    if has_changed:
        bound = bound._replace(arguments=jax.tree.unflatten(found, leaves))
    return bound


def _is_int(leaf: Any) -> bool:
    """Whether a leaf is an int of Python, perhaps traced, as the literal `1`."""
    if isinstance(leaf, jax.Array):
        is_weak = getattr(leaf, "weak_type", False)  # Keys have no such attribute.
        return is_weak and jnp.issubdtype(leaf.dtype, jnp.integer)
    return type(leaf) is int


def name_of(bound: Bound, k: int) -> str:
    """How leaf `k` of the arguments is reached."""
    names = [parameter.name for parameter in bound.parameters]
    return _path(names, bound.arguments, k)


def _name_of_sample(f: Callable[..., Any], inputs: Inputs, k: int) -> str:
    """How leaf `k` of the samples is reached, by the signature of the function."""
    declared = find_signature(f).parameters.values()
    names: list[str] = []
    for parameter in declared:
        if parameter.kind is parameter.VAR_POSITIONAL:
            surplus = range(inputs.count - len(declared) + 1)
            names += [f"{parameter.name}[{i}]" for i in surplus]
        else:
            names.append(parameter.name)
    return _path(names, inputs.avals, k)


def _path(names: list[str], arguments: Sequence[Any], k: int) -> str:
    path, _ = jax.tree_util.tree_leaves_with_path(tuple(arguments))[k]
    return names[path[0].idx] + jax.tree_util.keystr(path[1:])


def _check_static(name: Callable[[], str], leaf: Any, expected: Any) -> None:
    """Refuse what is of another kind; whether the pattern holds for another value is
    decided by the trace."""
    if is_array(leaf) or type(leaf) is not type(expected):
        raise TypeError(
            f"Argument {name()} was {expected!r} in the samples and is static, because the "
            f"sparsity pattern may depend on it. Got {leaf!r}. Pass a value of the same "
            "type, or an array in the samples if it is data."
        )


def _check_array(
    name: Callable[[], str], leaf: Any, aval: jax.ShapeDtypeStruct, *, is_selected: bool
) -> None:
    try:
        actual = jax.typeof(leaf)
    except TypeError:
        raise TypeError(
            f"Argument {name()} must be an array of shape {aval.shape} and dtype "
            f"{aval.dtype}, as in the samples. Got {leaf!r}."
        ) from None
    if actual.shape != aval.shape:
        raise ValueError(
            f"Argument {name()}: shape {actual.shape} does not match expected "
            f"{aval.shape}. A derivative or coloring holds for the shapes of its samples "
            "only; make a new one for these, or use jax.vmap for an axis in addition."
        )
    if is_selected:
        return  # `check_differentiable` applies JAX's own rules.
    # Complex numbers may not replace a real sample: its `imag` is known to be zero.
    same_kind = any(
        jnp.issubdtype(actual.dtype, kind) and jnp.issubdtype(aval.dtype, kind)
        for kind in (jnp.floating, jnp.integer)
    )
    narrowed = is_inexact(actual.dtype) and jnp.issubdtype(aval.dtype, jnp.complexfloating)
    if not (same_kind or narrowed or actual.dtype == aval.dtype):
        raise TypeError(
            f"Argument {name()}: dtype {actual.dtype} does not match expected "
            f"{aval.dtype}. A call may change the precision of the samples, not the kind "
            "of number."
        )


def find_signature(f: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function; that of any arguments if it has none."""
    try:
        return inspect.signature(f)
    except ValueError:  # Some builtins have none.
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return inspect.Signature(
            [
                inspect.Parameter(n, k)
                for n, k in zip(("args", "kwargs"), kinds, strict=True)
            ]
        )


def _bind(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    count: int = 0,
    signature: inspect.Signature | None = None,
) -> Bound:
    """Order the arguments by the signature of `f`.

    Parameters that were not passed have their defaults where others follow, up to
    `count` arguments, and after `*args`, so that the number of arguments determines which
    parameters they belong to.
    """
    signature = signature or find_signature(f)
    declared = signature.parameters.values()
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        expected = f"Expected {count} positional argument(s): " if count else ""
        raise TypeError(
            f"{expected}the function cannot be called with these arguments: {error}."
        ) from None

    last = max((k for k, p in enumerate(declared) if p.name in given), default=-1)
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in declared)
    parameters: list[Parameter] = []
    arguments: list[Any] = []
    for k, parameter in enumerate(declared):
        kind, name = parameter.kind, parameter.name
        if kind is parameter.VAR_POSITIONAL:
            rest = given.get(name, ())
            parameters += [Parameter(kind, f"{name}[{i}]") for i in range(len(rest))]
            arguments += rest
        elif name in given or (
            parameter.default is not parameter.empty
            and (k < last or open_ended or len(arguments) < count)
        ):
            parameters.append(Parameter(kind, name))
            arguments.append(given.get(name, parameter.default))

    call = partial(_call, f, tuple(parameters))
    return Bound(tuple(arguments), tuple(parameters), call)


def _call(
    f: Callable[..., Any], parameters: Sequence[Parameter], arguments: Sequence[Any]
) -> Any:
    positional, named = [], {}
    for (kind, name), argument in zip(parameters, arguments, strict=True):
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(argument)
        elif kind is inspect.Parameter.KEYWORD_ONLY:
            named[name] = argument
        else:
            positional.append(argument)
    return f(*positional, **named)


def _sample_of_shape(
    args: Sequence[Any], input_shape: int | Sequence[int], **kwargs: Any
) -> tuple[Sequence[Any], dict[str, Any]]:
    if args:
        raise TypeError(
            "Pass either sample arguments or input_shape, not both. Got "
            f"{len(args)} sample(s) and input_shape={input_shape!r}."
        )
    shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
    return (jax.ShapeDtypeStruct(shape, jnp.result_type(float)),), kwargs


OPTIONS = (
    *("argnums", "has_aux", "holomorphic", "allow_int", "local", "max_nnz", "sparsity"),
    *("mode", "symmetric", "postprocess", "algorithm", "decompression", "output_format"),
    *("chunk_size", "checkpoint", "checked", "hessian", "input_shape"),
)
"""Keywords of the verbs that take samples."""

_NO_SAMPLES = (
    "Pass sample arguments too, as in asdex.jacobian(f, x): the pattern is detected for "
    "their shapes and dtypes when the derivative is made, not at its first call."
)
