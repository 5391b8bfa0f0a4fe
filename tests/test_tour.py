"""The README's commands, typed one after the other in one home beside a Prefect server, print what the README shows.

What is made from YouTube-8M is compared to the letter where this machine has the real shards. Training on those takes a
minute, so the models are of a small made-up version; there, all but numbers has to agree.
"""

import ast
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect.settings import PREFECT_API_URL

from reelsift.demo import CLIP_NAME, made_clip
from tests.conftest import REAL_DATA
from tests.reelsift.test_cli import reelsift
from tests.support.built import build
from tests.support.square_network import square_network
from tests.support.typed_commands import all_options, typed_options

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOUR = {
    command: [line for line in lines if line != "..."]
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for command, *lines in (each.splitlines() for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:])
}
NETWORK = {"reelsift weights fetch yolox-nano", "git clone URL reelsift && cd reelsift"}
THIS_VERY_RUN = {"make test"}
# Commands that other tests type; those of `reelsift` are found by what these type.
ELSEWHERE = {
    "make demo": "tests/reelsift/test_cli_runs.py::test_the_demonstration_shows_the_whole_path",
    "make docs": "tests/test_docs.py::test_the_site_builds_and_every_link_leads_somewhere",
    "MLFLOW_TRACKING_URI=sqlite:///.reelsift/mlflow/mlflow.db mlflow models serve": (
        "tests/tracking/test_scoring_server.py::test_the_line_of_the_readme_serves_the_champion_of_a_home"
    ),
}
HAS_SHARDS, HAS_WEIGHTS = (REAL_DATA / "yt8m-mirror").is_dir(), (REAL_DATA / "weights" / "yolox_nano.onnx").is_file()
OF_SHARDS = {command for command in TOUR if command.startswith(("reelsift vocabulary", "reelsift dataset"))}
TO_THE_LETTER = {command for command in TOUR if command.startswith("reelsift label")}
TO_THE_LETTER |= (OF_SHARDS if HAS_SHARDS else set()) | ({c for c in TOUR if " detect " in c} if HAS_WEIGHTS else set())
# Small networks; the mixture is hardly trained, so that the gate has something to refuse.
QUICK = """
[presets.logistic]
model = "logistic"
epochs = 2
[presets.moe]
model = "moe"
epochs = 1
learning_rate = 1e-6
[presets.gated]
model = "gated"
use_background = true
match_weight = 8
epochs = 6
hidden_size = 64
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tour")


@pytest.fixture(scope="module")
def tour(
    folder: Path, synthetic_mirror: Path, migrated_database: Path, prefect_server: None
) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each command of the tour did."""
    home = folder / ".reelsift"
    (home / "mlflow").mkdir(parents=True)
    shutil.copy(migrated_database, home / "mlflow")
    made_clip(folder)
    (folder / "quick.toml").write_text(QUICK)
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    environment = {
        "REELSIFT_MIRROR": str(REAL_DATA / "yt8m-mirror" if HAS_SHARDS else synthetic_mirror),
        "REELSIFT_WEIGHTS": str(REAL_DATA / "weights" if HAS_WEIGHTS else folder),
        "REELSIFT_CONFIG": str(folder / "quick.toml"),
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "COLUMNS": "150",
    }
    done = {}
    for command in TOUR:
        if command.startswith("reelsift train"):
            build(synthetic_mirror, home, "Cooking")  # the newest version from here on
        if command not in NETWORK:
            done[command] = reelsift(*shlex.split(command)[1:], home=home, **environment)
    return done


def printed_by(run: subprocess.CompletedProcess[str], folder: Path) -> list[str]:
    text = (run.stdout or run.stderr).replace(f"{folder}/", "")
    return [line.rstrip() for line in text.splitlines()]


def form_of(line: str) -> str:
    """Return a line with its numbers and ids masked, and with single spaces."""
    line = re.sub(r"ds-[0-9a-f]{12}", "ds-#", line)
    return " ".join(re.sub(r"[-+]?\d[\d,.:]*", "#", line).split())


@pytest.mark.parametrize("command", [command for command in TOUR if command not in NETWORK])
def test_a_command_prints_what_the_readme_shows(
    command: str, tour: dict[str, subprocess.CompletedProcess[str]], folder: Path
) -> None:
    run, shown = tour[command], TOUR[command]
    assert shown
    assert (run.returncode != 0) == shown[0].startswith("error:"), run.stderr
    assert "Traceback" not in run.stderr
    printed = printed_by(run, folder)
    if command in TO_THE_LETTER:
        remaining = iter(printed)
        assert [line for line in shown if line not in remaining] == []  # each after the one before
    elif command in OF_SHARDS:  # of another vocabulary: how the lines begin, but not those of single labels
        begins = {" ".join(form_of(line).split()[:7]) for line in printed}
        assert {" ".join(form_of(line).split()[:7]) for line in shown if not line.startswith("  ")} <= begins
    elif " detect " in command:  # by another network
        assert printed[0].startswith(Path(CLIP_NAME).stem)
    else:
        assert {form_of(line) for line in shown} <= set(map(form_of, printed))


def test_the_query_of_the_readme_finds_the_newest_version(
    tour: dict[str, subprocess.CompletedProcess[str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    assert tour
    (query,) = re.findall(r'duckdb\.sql\("(.*?)"\)', README)
    monkeypatch.chdir(folder)
    parts = Path(".reelsift/datasets/latest").glob("part-train-*.parquet")
    rows = sum(pq.read_metadata(path).num_rows for path in parts)
    result = duckdb.sql(query)
    assert result
    found = dict(result.fetchall())
    assert set(found) == {True, False}
    assert sum(found.values()) == rows > 0


def commands_in_text() -> set[str]:
    """List the commands that the README names outside of the tour's blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    named = re.findall(r"`((?:\w+=\S+ )?(?:reelsift|make|mlflow) [^`]+)`", text)
    return {*lines, *(" ".join(each.split()) for each in named)}


def test_every_other_command_of_the_readme_is_typed_by_a_test() -> None:
    typed, known = typed_options(), all_options()
    rest = set()
    for command in commands_in_text() - NETWORK - THIS_VERY_RUN:
        words = shlex.split(command)
        name = next((tuple(words[1:end]) for end in (3, 2) if tuple(words[1:end]) in known), None)
        if words[0] == "reelsift" and name in typed:
            assert {word for word in words if word.startswith("--")} <= typed[name], command
        else:
            rest.add(command)
    assert {command.partition(" -m ")[0] for command in rest} == ELSEWHERE.keys()


@pytest.mark.parametrize("where", ELSEWHERE.values())
def test_the_tests_that_type_commands_elsewhere_are_there(where: str) -> None:
    path, _, name = where.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_make_does_what_these_tests_do() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE))
    assert recipes["demo"].strip().endswith("bin/reelsift demo --yes")
    assert "bin/mkdocs build --strict" in recipes["docs"]
    assert "-m pytest" in recipes["test"]
