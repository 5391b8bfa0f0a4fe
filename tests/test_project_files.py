"""What the project says of itself: one version, files that are there, targets and workflows that are right."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
SCHEMAS = {
    ".github/workflows/ci.yml": "vendor.github-workflows",
    ".github/ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "vendor.github-issue-forms",
    "CITATION.cff": "vendor.citation-file-format",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def workflow() -> dict[str, dict]:
    return yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]


def test_the_version_is_the_same_everywhere() -> None:
    deployed = yaml.safe_load(read("deployments/prefect.yaml"))["deployments"]
    assert {each["version"] for each in deployed} == {PROJECT["version"]}
    cited = yaml.safe_load(read("CITATION.cff"))
    newest, date = re.findall(r"^## \[(\d[\d.]*)\] - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.MULTILINE)[0]
    assert (cited["version"], newest) == (PROJECT["version"],) * 2
    assert cited["date-released"] == date
    assert cited["license"] == PROJECT["license"]


@pytest.mark.parametrize("schema", sorted(set(SCHEMAS.values())))
def test_files_for_others_have_their_form(schema: str) -> None:
    files = [str(ROOT / name) for name, kind in SCHEMAS.items() if kind == schema]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("page", PAGES)
def test_files_and_links_of_a_page_are_there(page: str) -> None:
    text = read(page)
    named = re.findall(r"`((?:conf|deployments|docs|flows|reelsift|tasks|tests)/[\w./-]*)`", text)
    linked = [each for each in re.findall(r"\]\(([^)]+)\)", text) if "://" not in each]
    assert not [each for each in (*named, *linked) if not (ROOT / each).exists()]


def test_contributing_names_only_what_its_modules_have() -> None:
    """`NAME` (of code) in a line after a module's path is defined in one of the modules of that step."""
    steps = re.findall(r"^\d\. .*?(?=^\d\. |^#|^$|\Z)", read("CONTRIBUTING.md"), re.MULTILINE | re.DOTALL)
    checked = 0
    for step in steps:
        paths = [ROOT / each for each in re.findall(r"`([\w/]+\.py)`", step)]
        code = "".join(path.read_text(encoding="utf-8") for path in paths)
        for name in re.findall(r"`([A-Z][A-Za-z_]+|[a-z]+_[a-z_]+)`", step) if paths else ():
            checked += 1
            assert re.search(rf"\b{name}\b", code), (name, step)
    assert checked >= 8


def test_every_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", read("CONTRIBUTING.md") + read(".ci/run"), re.MULTILINE))
    assert {first or second for first, second in named} <= targets


def test_the_workflow_tries_every_python_that_is_admitted() -> None:
    lowest, above = (int(each) for each in re.findall(r"3\.(\d+)", PROJECT["requires-python"]))
    tried = workflow()["test"]["strategy"]["matrix"]["python-version"]
    assert tried == [f"3.{minor}" for minor in range(lowest, above)]


def test_the_hooks_run_the_tools_of_the_lock() -> None:
    hooks = [hook for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]]
    assert {hook["entry"].split()[0] for hook in hooks} == {".venv/bin/ruff", ".venv/bin/pyright"}
    assert all(importlib.util.find_spec(Path(hook["entry"].split()[0]).name) for hook in hooks)
