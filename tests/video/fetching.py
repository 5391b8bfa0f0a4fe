"""What the tests of fetching share: a site on loopback, and a way to fetch from it."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tasks.contracts.media import FetchedVideo
from tasks.shards.config import DownloadConfig
from tasks.video.config import FetchConfig
from tasks.video.fetch import fetch_video
from tests.support.mirror_server import MirrorServer

IN_A_PROCESS = """
import sys
from pathlib import Path
from tasks.shards.config import DownloadConfig
from tasks.video.config import FetchConfig
from tasks.video.fetch import fetch_video
print("ready", flush=True)
sys.stdin.readline()
print(fetch_video(sys.argv[1], Path(sys.argv[2]), FetchConfig(allow_private=True), DownloadConfig()).sha256)
"""


@dataclass
class Heard:
    """A listener that adds up."""

    totals: dict[str, float | None] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)

    def begin(self, what: str, total: float | None, unit: str) -> None:
        assert unit == "B"
        self.totals[what] = total

    def advance(self, what: str, amount: float) -> None:
        self.done[what] = self.done.get(what, 0) + amount


@dataclass(frozen=True)
class Site:
    """A folder that is served, and the cache of who fetches from it."""

    server: MirrorServer
    folder: Path
    cache: Path

    def fetch(self, name: str, progress: Heard | None = None, **config: object) -> FetchedVideo:
        """Fetch what is served under a name; attempts and private addresses as tests need them."""
        wanted = FetchConfig.model_validate({"allow_private": True, "timeout_s": 5, **config})
        return fetch_video(self.address(name), self.cache, wanted, DownloadConfig(), progress)

    def address(self, name: str) -> str:
        """Return where a file is served; a whole address stays as it is."""
        return name if "://" in name else f"{self.server.url}/{name}"

    def process(self, name: str) -> subprocess.Popen[str]:
        """Start a process that has loaded what fetching needs, and fetches when it is told a line."""
        command = [sys.executable, "-c", IN_A_PROCESS, self.address(name), str(self.cache)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )

    def gets(self, name: str) -> int:
        """Say how often a file has been asked for."""
        return self.server.gets()[name]

    def left(self) -> list[str]:
        """Return what lies in the cache."""
        return sorted(path.name for path in self.cache.rglob("*") if path.is_file() and path.name != "lock")
