"""The README keeps up with the project: its tree names every module, and its picture is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [
    path
    for top in ("conf", "deployments", "flows", "tasks")
    for path in (ROOT / top).rglob("*.py")
    if path.stem != "__init__"
]


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES}), ids=lambda path: path.name)
def test_the_tree_names_every_module_of_a_folder(folder: Path) -> None:
    tree = README[README.index("## What is where") :]
    named = set(re.findall(r"^ *([a-z0-9_]+\.py) ", tree, re.MULTILINE))
    assert {path.name for path in folder.glob("*.py")} - {"__init__.py"} <= named


def test_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^]]+\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()


def test_the_first_command_comes_early() -> None:
    assert "make demo" in "\n".join(README.splitlines()[:20])
