"""What a home holds already: a second build of a version, and the choices that a shell completes."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reelsift.cli import app
from tasks.datasets.manifest import MANIFEST_NAME, Dataset
from tasks.vocabulary.table import kept_vocabulary
from tests.reelsift.test_cli import REELSIFT, reelsift
from tests.support.built import build
from tests.support.mlflow_servers import free_port

NOWHERE = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api"}  # a flow cannot run
SHELL = """
source "$1"; shift
while [ $# -gt 0 ]; do
    IFS='|' read -ra COMP_WORDS <<<"$1"; [ "${1%|}" = "$1" ] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _reelsift_completion reelsift
    printf '%s\\n' "${COMPREPLY[@]}" --; shift
done
"""


@pytest.fixture(scope="module")
def mirror(synthetic_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror of which a shard is damaged."""
    folder = shutil.copytree(synthetic_mirror, tmp_path_factory.mktemp("mirror") / "damaged")
    shard = folder / "2" / "video" / "train" / "trainab.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-100])
    return folder


@pytest.fixture(scope="module")
def dataset(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A version that the stages alone have built in a home."""
    return build(mirror, tmp_path_factory.mktemp("homes") / "home", "Cooking")


@pytest.fixture
def home(dataset: Dataset, tmp_path: Path) -> Path:
    return shutil.copytree(dataset.folder.parents[2], tmp_path / "home", symlinks=True)


def test_a_second_build_says_that_it_was_built(dataset: Dataset, home: Path, mirror: Path) -> None:
    command = ("dataset", "build", "--label", "Cooking", "--background", "all", "--mirror", mirror)
    run = reelsift(*command, "--json", home=home, **NOWHERE)
    assert run.returncode == 0, run.stderr
    manifest = dataset.manifest
    answer = json.loads(run.stdout)
    assert (answer["id"], answer["slug"], answer["absent"]) == (manifest.id, manifest.slug, [])
    assert (answer["rows"], answer["matches"], answer["records"]) == (manifest.rows, manifest.matches, manifest.records)
    assert [damage["path"] for damage in answer["damage"]] == [str(damage.path) for damage in manifest.shards[1].damage]
    folder = home / "datasets" / manifest.slug / manifest.id
    assert answer["folder"] == str(folder)
    built = datetime.fromtimestamp((folder / MANIFEST_NAME).stat().st_mtime, UTC)
    assert run.stderr.startswith(f"Already built: {manifest.reference}, on {built:%Y-%m-%d %H:%M} UTC.")
    assert not (home / "prefect").exists()

    part = next(folder.glob("*.parquet"))
    content = part.read_bytes()
    for changed, options in ((content[:-1] + b"?", ()), (content, ("--strict",))):
        part.chmod(0o600)
        part.write_bytes(changed)
        other = reelsift(*command, *options, home=home, **NOWHERE)
        assert (other.returncode, other.stdout) == (1, ""), options
        assert "Already built" not in other.stderr
        assert NOWHERE["PREFECT_API_URL"] in other.stderr  # a flow was to do the work


def completed_by_bash(home: Path, *lines: str) -> list[list[str]]:
    """Return what bash offers at the end of each line, its words apart by |, with the script that reelsift prints."""
    environment = os.environ | {"REELSIFT_HOME": str(home), "PATH": f"{REELSIFT.parent}:{os.environ['PATH']}"}
    script = home.parent / "completion.sh"
    show = ["reelsift", "--show-completion", "bash"]
    shown = environment | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script.write_text(subprocess.run(show, env=shown, capture_output=True, text=True, check=True).stdout)
    command = ["bash", "--norc", "-c", SHELL, "bash", script, *lines]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=home.parent)
    assert run.stderr == ""
    return [[word for word in each.splitlines() if word] for each in run.stdout.split("--\n")[:-1]]


def test_a_shell_completes_what_the_home_holds(dataset: Dataset, home: Path) -> None:
    names = [label.shown_name for label in kept_vocabulary(home / "vocabulary").labels]  # type: ignore[union-attr]
    spaced = next(name for name in names if name.count(" ") == 1)
    found = completed_by_bash(
        home,
        "reelsift|dataset|show|",
        "reelsift|dataset|build|--label|Cook",
        "reelsift|dataset|build|--label|" + spaced[:-1].replace(" ", "\\ "),
        "reelsift|dataset|build|--label|'" + spaced[:-1],
        "reelsift|detect|x.mp4|--classes|bottle,wine",
    )
    assert found[0] == ["latest", "cooking", dataset.manifest.reference]
    assert found[1] == [name.replace(" ", "\\ ") for name in names if name.startswith("Cook")]
    assert spaced.replace(" ", "\\ ") in found[2]
    assert spaced in found[3]  # within quotes, nothing is escaped
    assert found[4] == ["bottle,wine\\ glass"]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        pytest.param(["train", "--model"], "g", {"gated"}, id="preset"),
        pytest.param(["train", "--model"], "m", {"moe", "mine"}, id="preset-of-ones-own"),
        pytest.param(["weights", "fetch"], "y", {"yolox-nano", "yt8m-pca-mean", "yt8m"}, id="weights"),
        pytest.param(["label", "x.mp4", "--model"], "", {"imagenet", "champion"}, id="model"),
        pytest.param(["dataset", "import", "x", "--features"], "", {"efficientnet-lite0", "yt8m", "own"}, id="space"),
        pytest.param(["dataset", "build", "--runner"], "", {"local", "dask"}, id="choice"),
        pytest.param(["detect", "--detector"], "point", {"pointrend", "pointrend-resnet101"}, id="detector"),
        pytest.param(["shards", "plan", "--partition"], "video/", {"video/train", "video/validate"}, id="partition"),
        pytest.param(["detect", "--speed"], "", {"normal", "fast", "rapid"}, id="speed"),
        pytest.param(["dataset", "show"], "", set(), id="no-dataset"),
        pytest.param(["--config", "nowhere.toml", "dataset", "show"], "", set(), id="error"),
    ],
)
def test_choices_of_an_empty_home(
    words: list[str], incomplete: str, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text('[presets.mine]\nmodel = "logistic"\n[feature_spaces.own]\nweights = "own"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REELSIFT_HOME", str(tmp_path / "home"))
    line = [*([] if "--config" in words else ["--config", "mine.toml"]), *words]
    asked = "\n".join(["reelsift", *line, incomplete])
    variables = {"_REELSIFT_COMPLETE": "complete_bash", "COMP_WORDS": asked, "COMP_CWORD": str(len(line) + 1)}
    run = CliRunner().invoke(app, env=variables, prog_name="reelsift")
    assert (run.exit_code, run.stderr) == (0, "")
    assert expected <= set(run.stdout.split())
    assert expected or not run.stdout.strip()
    assert not (tmp_path / "home").exists()
