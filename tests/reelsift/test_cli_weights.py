"""Files of weights fetched by the name of their group, typed at the installed command against a server on loopback."""

import io
import os
import pty
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.weights.config import NEEDED_WEIGHTS
from tests.reelsift.test_cli import REELSIFT, reelsift
from tests.reelsift.test_cli_options import answer
from tests.support.mirror_server import MirrorServer

PLAIN = {"vggish": "vggish_model.ckpt", "vggish-pca": "vggish_pca_params.npz"}
ARCHIVED = {
    "inception-2015": ("inception.tgz", "classify_image_graph_def.pb"),
    "yt8m-pca-mean": ("pca.tgz", "mean.npy"),
    "yt8m-pca-eigenvals": ("pca.tgz", "eigenvals.npy"),
    "yt8m-pca-eigenvecs": ("pca.tgz", "eigenvecs.npy"),
}
SIZES = {"vggish": 3000, "vggish-pca": 500}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MirrorServer]:
    """The six files as their hosts have them, and a config whose addresses lead there."""
    served = tmp_path / "served"
    served.mkdir()
    for name, file_name in PLAIN.items():
        (served / file_name).write_bytes(bytes(SIZES[name]))
    for archive in {archive for archive, _ in ARCHIVED.values()}:
        with tarfile.open(served / archive, "w:gz") as packed:
            for member in (member for within, member in ARCHIVED.values() if within == archive):
                content = f"content of {member}".encode()
                info = tarfile.TarInfo(member)
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))
    with MirrorServer(served) as running:
        (tmp_path / "mine.toml").write_text("\n".join(entries(running.url)))
        yield running


def entries(url: str) -> Iterator[str]:
    for name, file_name in PLAIN.items():
        yield f'[weight_files.{name}]\nfile_name = "{file_name}"\nsize_bytes = {SIZES[name]}'
        yield f'urls = ["{url}/{file_name}"]'
    for name, (archive, member) in ARCHIVED.items():
        yield f'[weight_files.{name}]\nfile_name = "{member}"\nurls = ["{url}/{archive}"]\narchive_member = "{member}"'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_group_is_fetched_by_its_name_and_its_size_is_told_first(home: Path, server: MirrorServer) -> None:
    run = reelsift("--config", "mine.toml", "weights", "fetch", "yt8m", "--yes", home=home)
    assert run.returncode == 0, run.stderr
    assert [line.partition(":")[0] for line in run.stdout.splitlines()] == list(NEEDED_WEIGHTS)
    host = server.url.removeprefix("http://")
    assert f"6 files in 4 downloads, 3.5 kB and 2 of unknown size, from {host}." in " ".join(run.stderr.split())
    assert (home / "weights" / "eigenvecs.npy").read_text() == "content of eigenvecs.npy"
    assert sum(server.gets().values()) == 4  # an archive comes once, whatever is taken from it
    listed = answer("--config", "mine.toml", "weights", "list", home=home)["weights"]
    assert {each["name"] for each in listed if each["group"] == "yt8m"} == set(NEEDED_WEIGHTS)
    assert {each["state"] for each in listed if each["group"] == "yt8m"} == {"here"}
    assert {each["group"] for each in listed} == {"yt8m", "yolox", "dfine", "torchvision", "pointrend"}

    again = reelsift("--config", "mine.toml", "weights", "fetch", "yt8m", "vggish", "-y", home=home)
    assert again.returncode == 0, again.stderr
    assert len(again.stdout.splitlines()) == 6
    assert "downloads" not in again.stderr
    assert sum(server.gets().values()) == 4


def test_a_group_is_asked_about_and_nobody_to_ask_ends_it(home: Path, server: MirrorServer) -> None:
    run = reelsift("--config", "mine.toml", "weights", "fetch", "yt8m", home=home)
    assert run.returncode == 1
    assert "Cannot prompt: stdin is not a terminal. Add --yes" in " ".join(run.stderr.split())
    assert not server.log
    named = answer("--config", "mine.toml", "weights", "fetch", "vggish-pca", home=home)["weights"]
    assert [each["name"] for each in named] == ["vggish-pca"]  # a file by its own name is not asked about


def test_nothing_is_fetched_where_the_answer_is_no(home: Path, server: MirrorServer) -> None:
    terminal, other = pty.openpty()
    os.write(terminal, b"n\n")
    command = [str(REELSIFT), "--config", "mine.toml", "weights", "fetch", "yt8m"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REELSIFT_", "PREFECT_"))}
    environment = clean | {"REELSIFT_HOME": str(home)}
    run = subprocess.run(
        command, check=False, stdin=other, capture_output=True, text=True, cwd=home.parent, env=environment
    )
    os.close(terminal)
    os.close(other)
    assert "Download them?" in run.stderr
    assert run.returncode == 1
    assert not server.log
