"""A mirror of YouTube-8M whose id files lead to YouTube on loopback, which has a small clip for each id."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.imports.made import CLASSES, write_class_clip
from tests.support.media import Tone
from tests.support.mirror_server import MirrorServer
from tests.support.proxy_server import ProxyServer
from tests.support.youtube_site import Form, Video, YouTubeSite, playable

FORM = (18, 'video/mp4; codecs="avc1.42001E, mp4a.40.2"')


@dataclass(frozen=True)
class YouTubeMirror:
    """The mirror, the site, and what leads a process there."""

    folder: Path
    server: MirrorServer
    site: YouTubeSite
    proxy: ProxyServer
    clips: Path

    @property
    def environment(self) -> dict[str, str]:
        """What has to be set: the mirror, and a proxy through which YouTube's names lead to the site."""
        proxy = f"http://127.0.0.1:{self.proxy.port}"
        return {
            "REELSIFT_MIRROR": self.server.url,
            "REELSIFT_FETCH__ALLOW_PRIVATE": "true",
            "REELSIFT_FETCH__PAUSE_S": "0",
            "REELSIFT_FETCH__ATTEMPTS": "1",
            "REELSIFT_FETCH__RATE_LIMIT_WAIT_S": "0",
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "NO_PROXY": "",
            "no_proxy": "",
            "SSL_CERT_FILE": str(self.site.authority),
        }

    def has(self, ids: Iterable[str]) -> None:
        """Let the mirror name these videos, and YouTube have a clip of each, every other one with sound."""
        for number, video_id in enumerate(sorted(ids)):
            youtube_id = youtube_id_of(video_id)
            path = self.folder / "2" / "j" / "i" / video_id[:2] / f"{video_id}.js"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'i("{video_id}","{youtube_id}");')
            clip = self.clips / f"{video_id}.mp4"
            if not clip.exists():
                tone = Tone(duration_s=2.0) if number % 2 else None
                write_class_clip(clip, list(CLASSES)[number % 2], number, tone=tone)
            self.site.files[youtube_id] = clip
            self.say(video_id, playable([Form(*FORM, clip, 640, 360)], locked=False, video_id=youtube_id))

    def say(self, video_id: str, response: dict[str, object]) -> None:
        """Let YouTube answer so where a video of YouTube-8M is asked for."""
        self.site.videos[youtube_id_of(video_id)] = Video({"*": response})

    def asked(self) -> list[str]:
        """Return the YouTube ids whose pages were asked for, in order."""
        paths = [path for _, path, _ in self.site.requests if path.startswith("/watch?")]
        return [path.partition("v=")[2][:11] for path in paths]


def youtube_id_of(video_id: str) -> str:
    """Return the YouTube id that the mirror names."""
    return f"y{hashlib.sha256(video_id.encode()).hexdigest()[:10]}"


@contextmanager
def youtube_mirror(folder: Path, scratch: Path) -> Iterator[YouTubeMirror]:
    """Serve the mirror in `folder`, and YouTube beside it, with a home for clips in `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    with MirrorServer(folder) as server, YouTubeSite(scratch) as site, ProxyServer(site.port) as proxy:
        yield YouTubeMirror(folder, server, site, proxy, scratch / "clips")
