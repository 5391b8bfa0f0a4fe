"""`reelsift dataset extract` as it is typed: killed, gone on with, and found again, beside a real Prefect server."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL

import reelsift as package
from tasks.imports.versions import clips_of_version
from tests.reelsift.test_cli import REELSIFT, reelsift
from tests.support.local_stack import waited
from tests.support.mirror_server import Fault
from tests.support.youtube_mirror import youtube_id_of, youtube_mirror

pytestmark = pytest.mark.usefixtures("prefect_server")
LIMIT = 6


def test_a_version_is_extracted_by_a_command_that_was_killed_meanwhile(synthetic_mirror: Path, tmp_path: Path) -> None:
    home, served = tmp_path / "home", tmp_path / "mirror"
    shutil.copytree(synthetic_mirror, served)
    version = package.build_dataset("Cooking", mirror=served, home=home)
    ids = [each.named for each in clips_of_version(version.dataset, limit=LIMIT).clips]
    (tmp_path / ids[1]).write_text("a file of the name of an id is not what is meant")
    with youtube_mirror(served, tmp_path / "site") as mirror:
        mirror.has(ids[1:])
        mirror.server.script(f"2/j/i/{ids[6][:2]}/{ids[6]}.js", Fault(hang_s=60))
        where = mirror.environment | {
            "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "REELSIFT_FLOW__VIDEOS_PER_BATCH": "2",
        }
        reference, limit = version.reference, str(LIMIT)
        killed = begun(
            ["dataset", "extract", reference, "--features", "efficientnet-lite0", "--limit", limit, "--yes",
             "--partition", "video/train", "--partition", "video/validate"], home, where,
        )  # fmt: skip
        waited(lambda: len(list(home.glob("features/*/*/features.json"))) == 5, 90, "the features of five videos")
        os.killpg(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        asked = [youtube_id_of(each) for each in ids[1:6]]
        assert mirror.asked() == asked

        named = ["dataset", "extract", reference, "--limit", limit, "--name", "today", "-y"]
        run = reelsift(*named, "--json", home=home, **where)
        assert run.returncode == 0, run.stderr
        made = json.loads(run.stdout)
        assert mirror.asked() == [*asked, *(youtube_id_of(each) for each in ids[6:])]  # each once
        assert (made["slug"], made["rows"], made["extracted"], made["cached"]) == ("today", 11, 6, 5)
        assert (made["drops"], made["without_sound"]) == ({"withdrawn": 1}, 6)
        assert made["extracted_from"] == version.reference
        assert f"warning: {ids[0]} is left out (withdrawn): The video {ids[0]} has been withdrawn" in run.stderr
        assert not list(home.glob("fetched/*/video"))

        found = reelsift(*named, home=home, **where)
        assert found.returncode == 0, found.stderr
        assert f"Already built: today/{made['id']}" in found.stderr
        assert f"today/{made['id']}: Cooking, of {version.reference}, in " in found.stdout
        assert "11 of 12 videos, by their features in efficientnet-lite0. 6 of them are without sound." in found.stdout
        assert len(mirror.asked()) == 11

        refused = reelsift("dataset", "extract", "today", "--keep-videos", "--again", home=home, **where)
        assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
        assert f"error: today/{made['id']} is not of YouTube-8M" in refused.stderr


def begun(words: list[str], home: Path, environment: dict[str, str]) -> subprocess.Popen[Any]:
    """Start the installed command in a group of its own."""
    return subprocess.Popen(
        [str(REELSIFT), *words],
        cwd=home.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment | {"REELSIFT_HOME": str(home)},
        start_new_session=True,
    )
