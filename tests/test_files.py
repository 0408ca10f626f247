"""`save` and `load`: equal objects come back, anything else is refused."""

import os
from collections import namedtuple
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asdex._structure.coloring import ColoredPattern
from asdex._structure.files import write_file
from asdex._structure.pattern import SparsityPattern
from asdex._structure.stars import StarSet


class State(NamedTuple):
    position: object
    velocity: object


def aval(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))


def pattern_of(input_avals: tuple, argnums=0) -> SparsityPattern:
    return SparsityPattern([1, 0, 1], [1, 0, 0], (2, 2), input_avals, argnums)


def plain_pattern() -> SparsityPattern:
    return pattern_of((aval(2),))


def plain_coloring() -> ColoredPattern:
    return ColoredPattern(plain_pattern(), np.array([0, 1]), 2, False, "fwd")


def star_coloring() -> ColoredPattern:
    pattern = SparsityPattern.from_dense(np.tri(3, k=1) * np.tri(3, k=1).T)
    zero, one = np.array([0, 0]), np.array([1])
    stars = StarSet(zero, one, np.array([0, 1]), np.array([1, 2]), np.array([0, 1]))
    return ColoredPattern(pattern, np.array([0, 1, 0]), 2, True, "fwd_over_rev", stars)


OBJECTS = {
    "pattern": plain_pattern(),
    "empty": SparsityPattern([], [], (0, 3)),
    "unsorted": SparsityPattern([2, 0], [1, 1], (3, 4), output_shapes=((1,), (2,))),
    "local": SparsityPattern([0], [1], (2, 2), is_local=True),
    "coloring": plain_coloring(),
    "rows": ColoredPattern(
        plain_pattern(), np.array([1, 0]), 2, False, "rev", found_by="Greedy", lower_bound=2
    ),
    "neutral": ColoredPattern(
        SparsityPattern([], [], (2, 2)), np.array([-1, -1]), 0, False, "fwd"
    ),
    "star": star_coloring(),
    "both": ColoredPattern(
        plain_pattern(), np.array([0, -1, -1, 1]), 2, False, "bidirectional"
    ),
}

STRUCTURES = {
    "scalar": ((aval(2), aval()), 0),
    "nested": (({"b": [aval(1)], "a": (aval(), None)}, {}), 0),
    "named tuple": ((State(aval(1), {"x": aval(1, 1)}),), [0]),
    "dtypes": ((aval(1, dtype="bfloat16"), aval(1, dtype="complex64")), (1, 0)),
    "weak": ((jax.ShapeDtypeStruct((), jnp.float32, weak_type=True), aval(1)), (0, 1)),
    "static": ((aval(2), "periodic", True, 3, 0.5, None), 0),
    "keys": (({1: aval(1), 0: aval(1)},), 0),
    "static leaf of a selected argument": (({"x": aval(2), "flag": False},), -1),
    "integers": ((aval(2), aval(4, dtype="int32")), 0),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_what_was_saved_comes_back(name, tmp_path):
    saved = OBJECTS[name]
    saved.save(tmp_path / "file.npz")
    loaded = type(saved).load(str(tmp_path / "file.npz"))
    assert loaded == saved
    assert jax.tree.structure(loaded) == jax.tree.structure(saved)
    if isinstance(loaded, ColoredPattern):
        np.testing.assert_array_equal(loaded.positions, saved.positions)


@pytest.mark.parametrize("name", STRUCTURES)
def test_input_structures_come_back(name, tmp_path):
    saved = pattern_of(*STRUCTURES[name])
    saved.save(tmp_path / "file.npz")
    loaded = SparsityPattern.load(tmp_path / "file.npz")
    assert loaded == saved
    assert loaded.input_avals == saved.input_avals
    assert loaded.argnums == saved.argnums


@pytest.mark.parametrize(
    "node",
    [
        eqx.nn.Identity(),
        {aval: 1},
        {("a", "b"): aval(2)},
        np.float32,
        jax.ShapeDtypeStruct((), jax.random.key(0).dtype),
    ],
)
def test_inputs_that_cannot_be_written_are_refused_when_saving(node, tmp_path):
    with pytest.raises(TypeError, match="saved"):
        pattern_of((aval(2), node)).save(tmp_path / "file.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_named_tuple_that_is_not_imported_is_refused(tmp_path):
    local = namedtuple("local", ["x"])
    pattern_of((local(aval(2)),)).save(tmp_path / "file.npz")
    with pytest.raises(ValueError, match=r"named tuple local .* Import it first"):
        SparsityPattern.load(tmp_path / "file.npz")


def test_the_older_layout_is_read(tmp_path):
    older: dict[str, Any] = {"rows": [0, 1], "cols": [0, 5]}
    older |= {"shape": [2, 6], "input_shape": [2, 3]}
    np.savez(tmp_path / "file.npz", **older)
    loaded = SparsityPattern.load(tmp_path / "file.npz")
    assert loaded == SparsityPattern([0, 1], [0, 5], (2, 6), (aval(2, 3),))
    del older["cols"]
    np.savez(tmp_path / "file.npz", **older)
    with pytest.raises(ValueError, match="lacks cols"):
        SparsityPattern.load(tmp_path / "file.npz")


# Interruption


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_save_leaves_the_old_file_whole(step, tmp_path, monkeypatch):
    path = tmp_path / "file.npz"
    plain_pattern().save(path)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        OBJECTS["empty"].save(path)
    assert SparsityPattern.load(path) == plain_pattern()
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "file.npz"
    plain_pattern().save(path)
    OBJECTS["empty"].save(path)
    assert SparsityPattern.load(path) == OBJECTS["empty"]


# Damage


def load_equal_or_refuse(saved: SparsityPattern | ColoredPattern, path: Path) -> bool:
    """Whether the file is refused; if it is not, what it holds must be right."""
    try:
        loaded = type(saved).load(path)
    except ValueError:
        return True
    assert loaded == saved
    return False


@pytest.mark.parametrize("name", ["pattern", "star"])
def test_flipped_bytes_never_give_another_object(name, tmp_path):
    path, random = tmp_path / "file.npz", np.random.default_rng(0)
    OBJECTS[name].save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for position in range(whole.size):
        damaged = whole.copy()
        damaged[position] ^= random.integers(1, 256)
        path.write_bytes(damaged.tobytes())
        refused += load_equal_or_refuse(OBJECTS[name], path)
    assert refused > whole.size / 2


def test_several_flipped_bytes_never_give_another_object(tmp_path):
    path, random = tmp_path / "file.npz", np.random.default_rng(1)
    star_coloring().save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(1000):
        damaged = whole.copy()
        where = random.integers(0, whole.size, random.integers(2, 9))
        damaged[where] ^= random.integers(1, 256, where.size, np.uint8)
        path.write_bytes(damaged.tobytes())
        load_equal_or_refuse(star_coloring(), path)


def test_truncated_files_are_refused(tmp_path):
    path = tmp_path / "file.npz"
    star_coloring().save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="damaged"):
            ColoredPattern.load(path)


def test_altered_contents_do_not_match_the_checksum(tmp_path):
    path = tmp_path / "file.npz"
    plain_pattern().save(path)
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "cols": arrays["rows"]})
    with pytest.raises(ValueError, match="do not match their checksum"):
        SparsityPattern.load(path)


# Other files


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"rows": np.arange(2)}, "lacks header"),
        ({"header": np.frombuffer(b"{}", np.uint8)}, "not written by asdex"),
        ({"header": np.frombuffer(b"[1]", np.uint8)}, "not written by asdex"),
        ({"header": np.frombuffer(b"\xff{", np.uint8)}, "do not fit together"),
        ({"header": np.array({"a": 1}, object)}, "damaged or not a file of asdex"),
    ],
)
def test_foreign_archives_are_refused(contents, message, tmp_path):
    np.savez(tmp_path / "file.npz", **contents)
    with pytest.raises(ValueError, match=message):
        SparsityPattern.load(tmp_path / "file.npz")


@pytest.mark.parametrize(
    "contents", [b"", b"text", b"\x80\x04N.", b"PK\x05\x06" + 18 * b"\0"]
)
def test_foreign_files_are_refused(contents, tmp_path):
    (tmp_path / "file.npz").write_bytes(contents)
    with pytest.raises(ValueError, match=r"file\.npz"):
        SparsityPattern.load(tmp_path / "file.npz")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        SparsityPattern.load(tmp_path / "file.npz")


def test_a_newer_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("asdex._structure.files._VERSION", 2)
    plain_pattern().save(tmp_path / "file.npz")
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match=r"has version 2 .* reads version 1\. Update asdex"
    ):
        SparsityPattern.load(tmp_path / "file.npz")


def test_the_other_kind_of_object_is_refused(tmp_path):
    plain_pattern().save(tmp_path / "file.npz")
    with pytest.raises(ValueError, match="Expected a coloring"):
        ColoredPattern.load(tmp_path / "file.npz")


def test_a_coloring_without_its_star_data_is_refused(tmp_path):
    path = tmp_path / "file.npz"
    star_coloring().save(path)
    arrays = {k: v for k, v in np.load(path).items() if k not in ("star", "edge_lo")}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="lacks edge_lo, star"):
        ColoredPattern.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "sideways"}, "Unknown mode 'sideways'"),
        ({"num_colors": 1}, "colors must lie in"),
        ({"shape": [2, 1]}, "cols must lie in"),
        ({"inputs": {"tuple": [{"aval": [[3], "float32", False]}]}}, "3 elements in all"),
        ({"inputs": {"tuple": [{"pickle": 1}]}}, "Unknown input structure"),
        ({"inputs": {"tuple": [{"aval": [[2], "float31", False]}]}}, "float31"),
        ({"rows": np.array([0.0, 0, 1])}, "rows must be integers"),
        ({"rows": np.array([0, 0, 7])}, "rows must lie in"),
        ({"colors": np.array([0, 0])}, "in conflict"),
    ],
)
@pytest.mark.usefixtures("without_annotation_checks")
def test_contents_that_do_not_fit_together_are_refused(changes, message, tmp_path):
    path, fields, arrays = tmp_path / "file.npz", {}, {}

    def capture(path, kind, saved_fields, saved_arrays):
        fields.update(saved_fields)
        arrays.update(saved_arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asdex._structure.coloring.write_file", capture)
        plain_coloring().save(path)
    for name, value in changes.items():
        (arrays if name in arrays else fields)[name] = value
    write_file(path, "coloring", fields, arrays)
    with pytest.raises(ValueError, match=f"do not fit together: .*{message}"):
        ColoredPattern.load(path)
