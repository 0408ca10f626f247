"""The folders of the package are layers: imports go downwards, and not in circles."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import asdex

ROOT = Path(asdex.__file__).parent
LAYERS = (
    "_base",
    "_show",
    "_structure",
    "_call",
    "_detect",
    "_color",
    "_linalg",
    "_operator",
    "_evaluate",
    "_verbs",
    "optimize",
    "lineax",
)
"""From the ground up, in the order of the pipeline."""

Module = tuple[str, ...]


def modules() -> dict[Module, Path]:
    """All files by their module names below `asdex`."""
    return {
        path.relative_to(ROOT).with_suffix("").parts: path
        for path in sorted(ROOT.rglob("*.py"))
        if path != ROOT / "__init__.py"
    }


def imports(module: Module, known: dict[Module, Path]) -> Iterator[Module]:
    """The modules that a file imports from, anywhere in it, also for annotations only."""
    for node in ast.walk(ast.parse(known[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*module[: -node.level], *(node.module or "").split("."))
            base = tuple(filter(None, base))
            for alias in node.names:
                candidates = (*base, alias.name), base, (*base, "__init__")
                yield next(name for name in candidates if name in known)


@pytest.fixture(scope="module")
def graph() -> dict[Module, set[Module]]:
    known = modules()
    return {module: set(imports(module, known)) for module in known}


def test_every_folder_is_a_layer() -> None:
    assert {module[0] for module in modules() if len(module) > 1} == set(LAYERS)


def test_nothing_imports_upwards(graph: dict[Module, set[Module]]) -> None:
    above = {name: LAYERS[k + 1 :] for k, name in enumerate(LAYERS)}
    upward = [
        f"{'/'.join(module)} imports {'/'.join(other)}"
        for module, others in graph.items()
        for other in others
        if other[0] in above.get(module[0], ())
    ]
    assert not upward


def test_files_do_not_import_each_other_in_circles(
    graph: dict[Module, set[Module]],
) -> None:
    # A folder's `__init__` re-exports names: it imports the files that import from it.
    faces = {module: others for module, others in graph.items() if module[-1] != "__init__"}
    TopologicalSorter(faces).prepare()


def test_the_ground_floor_imports_nothing(graph: dict[Module, set[Module]]) -> None:
    for module, others in graph.items():
        if module[0] == "_base":
            assert {other[0] for other in others} <= {"_base"}


def test_only_accumulation_evaluates_by_the_rules_of_detection(
    graph: dict[Module, set[Module]],
) -> None:
    importing = {
        module
        for module, others in graph.items()
        if module[0] == "_evaluate" and any(other[0] == "_detect" for other in others)
    }
    assert importing == {("_evaluate", "accumulate")}


def test_no_algorithm_imports_the_checks_of_colorings(
    graph: dict[Module, set[Module]],
) -> None:
    users = {module for module, others in graph.items() if ("_color", "check") in others}
    assert users == {("_color", "__init__"), ("_color", "color")}


def test_a_folder_hands_names_on_and_holds_no_code() -> None:
    for module, path in modules().items():
        if module[-1] == "__init__":
            docstring, *rest = ast.parse(path.read_text()).body
            assert isinstance(docstring, ast.Expr), path
            assert all(isinstance(node, ast.ImportFrom) for node in rest), path
