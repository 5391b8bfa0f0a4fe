"""The shape of the source tree: few modules of a readable length, no cycles, no name twice."""

import ast
from collections import Counter, defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("reelsift", "conf", "flows", "tasks", "deployments")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path for top in TOPS for path in (ROOT / top).rglob("*.py")
}
LINES = {
    name: len(path.read_text(encoding="utf-8").splitlines())
    for name, path in FILES.items()
    if path.name != "__init__.py"
}


@cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax tree of each module; when a test wants them, as every process imports this file."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imports(name: str) -> set[str]:
    """Return the modules of this project that a module imports, within functions and for types included."""
    found = set()
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & FILES.keys() or {node.module}
    return found & FILES.keys() - {name}


@cache
def all_imports() -> dict[str, set[str]]:
    """Return what each module imports of this project."""
    return {name: imports(name) for name in FILES}


def test_there_are_few_modules() -> None:
    assert len(LINES) <= 220  # packages' one-line markers left out, as in what is measured below


def test_modules_have_a_readable_length() -> None:
    assert 120 <= median(LINES.values()) <= 200
    assert max(LINES.values()) <= 450
    assert len([name for name, lines in LINES.items() if lines < 40]) <= 15


def test_few_small_modules_serve_one_other_alone() -> None:
    importers = Counter(imported for found in all_imports().values() for imported in found)
    assert len([name for name, lines in LINES.items() if lines <= 80 and importers[name] == 1]) <= 25


def test_no_import_goes_round() -> None:
    tuple(TopologicalSorter(all_imports()).static_order())  # raises CycleError, with the cycle


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for name, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    assert not {name: found for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.count(".") == 1 and name.startswith("flows.")))
def test_a_file_below_flows_holds_at_most_one_flow(name: str) -> None:
    decorators = [ast.unparse(each) for node in trees()[name].body for each in getattr(node, "decorator_list", [])]
    assert len([each for each in decorators if each.startswith("flow")]) <= 1


def test_loose_modules_of_tasks_need_prefect() -> None:
    loose = {
        name for name in FILES if name.count(".") == 1 and name.startswith("tasks.") and not name.endswith("__init__")
    }
    sources = {name: FILES[name].read_text(encoding="utf-8") for name in loose}
    assert not {
        name for name, source in sources.items() if "import prefect" not in source and "from prefect" not in source
    }
