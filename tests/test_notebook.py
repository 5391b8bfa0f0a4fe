"""The notebook of the documentation runs from top to bottom in Jupyter's kernel, and prints what it shows."""

import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REAL_DATA
from tests.support.square_network import square_network
from tests.test_docs import generate

__all__ = ["generate"]  # a fixture

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
NUMBER = re.compile(r"\d+\.\d+")
WEIGHTS = REAL_DATA / "weights"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An empty home and empty temporary folders; without the detector's weights, a network that finds squares."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REELSIFT_", "PREFECT_"))}
    folders = ("HOME", "TMPDIR", "IPYTHONDIR", "REELSIFT_WEIGHTS")
    clean |= {name: str(tmp_path / name.lower()) for name in folders}
    for name in folders:
        Path(clean[name]).mkdir()
    if (WEIGHTS / "yolox_nano.onnx").is_file():
        clean["REELSIFT_WEIGHTS"] = str(WEIGHTS)
    else:
        (Path(clean["REELSIFT_WEIGHTS"]) / "yolox_nano.onnx").write_bytes(square_network())
    return clean


def test_the_notebook_runs_and_prints_what_it_shows(
    generate: ModuleType, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    shown = json.loads(NOTEBOOK.read_bytes())["cells"]
    made = generate.run_notebook(tmp_path, environment)["cells"]
    is_found = environment["REELSIFT_WEIGHTS"] == str(WEIGHTS)
    compared = 0
    for before, after in zip(shown, made, strict=True):
        source = "".join(before["source"])
        if before["cell_type"] != "code" or ("objects" in source and not is_found):
            continue
        expected, printed = generate.shown_by(before), generate.shown_by(after)
        assert NUMBER.sub("#", printed) == NUMBER.sub("#", expected), source
        numbers = [[float(each) for each in NUMBER.findall(text)] for text in (printed, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.03), source  # another processor rounds otherwise
        compared += bool(expected)
    assert compared >= 10
    assert not list(Path(environment["HOME"]).rglob("*"))
