"""The README and the docs keep up with the project: every module is named, and every picture is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FOLDERS = sorted(
    {
        path.parent
        for top in ("reelsift", "conf", "deployments", "flows", "tasks")
        for path in (ROOT / top).rglob("*.py")
        if path.stem != "__init__"
    }
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_architecture_names_the_modules_of_a_folder_and_no_other(folder: Path) -> None:
    _, _, section = ARCHITECTURE.partition(f"### `{folder.relative_to(ROOT)}/`\n")
    named = set(re.findall(r"^- `([a-z0-9_]+\.py)`: ", section.partition("\n### ")[0], re.MULTILINE))
    assert named == {path.name for path in folder.glob("*.py")} - {"__init__.py"}


def test_the_architecture_names_every_folder() -> None:
    assert set(re.findall(r"^### `(.+)/`$", ARCHITECTURE, re.MULTILINE)) == {
        str(folder.relative_to(ROOT)) for folder in FOLDERS
    }


def test_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^]]+\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()


def test_the_first_command_comes_early() -> None:
    assert "make demo" in "\n".join(README.splitlines()[:20])
