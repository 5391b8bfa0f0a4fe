"""The documentation is up to date with the code, and builds without a broken link."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
README_BYTES = 12 * 1024


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_parts_are_up_to_date(generate: ModuleType) -> None:
    old = [path.name for path, content in generate.pages().items() if path.read_text(encoding="utf-8") != content]
    assert not old, "run `make docs`"


def test_a_page_that_is_out_of_date_would_be_found(generate: ModuleType) -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert generate.filled(page.replace("| `connections` | `24` |", "| `connections` | `25` |")) == page


def test_a_setting_is_shown_with_its_default_and_bounds() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    _, _, download = page.partition("## `[download]`")
    row = next(line for line in download.splitlines() if line.startswith("| `connections` "))
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["`24`", "integer, ≥ `1`, ≤ `64`"]


def test_every_key_in_force_is_on_the_settings_page() -> None:
    from conf.layers import defaults_layer, leaves
    from conf.settings import settings_of

    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `\[(\w+)\]`\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL))
    sections[""] = page.partition("## Outside of any section")[2].partition("\n## ")[0]
    for location, _ in leaves(settings_of([defaults_layer()]).model_dump()):
        assert f"\n| `{location[-1]}` | " in sections["".join(location[:-1])], location


def test_the_site_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    run = subprocess.run(
        build, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    for page in PAGES:
        name = "index.html" if page.stem == "index" else f"{page.stem}/index.html"
        assert (tmp_path / "site" / name).is_file()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


def test_links_of_the_readme_lead_to_files() -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert link.startswith("https://") or (ROOT / link).exists(), link
