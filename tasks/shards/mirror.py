"""Files of YouTube-8M on a mirror and on its fallbacks, with their expected digests."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from tasks.contracts.datasets import PlannedShard, placed
from tasks.contracts.errors import MirrorError
from tasks.contracts.text import shown as text_shown
from tasks.shards.config import PUBLIC, DownloadConfig

Source = str | Path  # an http(s) URL, or a file on this machine

PUBLIC_INDEX = ("http://data.yt8m.org", "https://storage.googleapis.com/data.yt8m.org")
PUBLIC_VOCABULARY = "https://research.google.com"
PUBLIC_DOMAIN = "data.yt8m.org"
CHOICES = (
    f"A mirror is one of {', '.join(PUBLIC)}, an http(s) URL, or a folder in the layout of the hosts: `--mirror us`."
)

INDEX_RELEASE = 2  # vocabulary and id files exist in this release alone
VOCABULARY = f"youtube8m/csv/{INDEX_RELEASE}/vocabulary.csv"


@dataclass(frozen=True)
class Mirror:
    """The roots below which each kind of file lies."""

    shards: Source
    index: tuple[Source, ...]  # plans and id files
    vocabulary: Source
    is_bag: bool = False  # shards lie in the folder itself, and there is no plan


@dataclass(frozen=True)
class Mirrors:
    """The mirrors of a config, in the order in which they are tried."""

    release: int
    mirrors: tuple[Mirror, ...]

    def plan(self, partition: str) -> tuple[Source, ...]:
        """Return where the download plan of a partition such as `video/train` may lie."""
        release, name = placed(partition, self.release)
        path = f"{release}/download_plans/{name.replace('/', '_')}.json"
        return _unique(_join(root, path) for mirror in self.mirrors if not mirror.is_bag for root in mirror.index)

    def shard(self, shard: PlannedShard) -> tuple[Source, ...]:
        """Return where a shard may lie."""
        release, partition = placed(shard.partition, self.release)
        path = f"{release}/{partition}/{shard.name}"
        return _unique(_join(mirror.shards, shard.name if mirror.is_bag else path) for mirror in self.mirrors)

    def vocabulary(self) -> tuple[Source, ...]:
        """Return where the vocabulary may lie."""
        return _unique(_join(mirror.vocabulary, VOCABULARY) for mirror in self.mirrors)

    def youtube_id(self, video_id: str) -> tuple[Source, ...]:
        """Return where the file may lie that tells the YouTube id of a four-letter id such as `ZU9H`.

        Raises:
            MirrorError: `video_id` is not such an id.
        """
        if not re.fullmatch(r"[A-Za-z0-9]{4}", video_id):
            raise MirrorError(
                f"{video_id!r} is not an id of YouTube-8M: those have four letters or digits, like 'ZU9H'."
            )
        path = f"{INDEX_RELEASE}/j/i/{video_id[:2]}/{video_id}.js"
        return _unique(_join(root, path) for mirror in self.mirrors for root in mirror.index)

    def bag(self) -> Path | None:
        """Return the first mirror's folder where that is a bag of shards without a plan."""
        first = self.mirrors[0]
        return first.shards if first.is_bag and isinstance(first.shards, Path) else None


def resolve(config: DownloadConfig) -> Mirrors:
    """Look up what the mirrors' names mean, and add the public ones as fallbacks of a public one.

    Raises:
        MirrorError: a name is neither a public mirror nor an http(s) URL nor a folder that holds shards.
    """
    names = list(config.mirrors)
    if set(names) & set(PUBLIC):
        names += PUBLIC
    return Mirrors(config.release, tuple(_mirror(name, config.release) for name in dict.fromkeys(names)))


def is_public(config: DownloadConfig) -> bool:
    """Say whether files may come from YouTube-8M's own hosts, judging by the mirrors' names alone."""
    return any(
        name in PUBLIC or f".{_host(name)}".endswith(f".{PUBLIC_DOMAIN}") or name.startswith(PUBLIC_INDEX)
        for name in config.mirrors
    )


def shown(source: Source) -> str:
    """Return a source as messages may show it: on one line, inert, without a password."""
    return text_shown(str(source))


def _mirror(name: str, release: int) -> Mirror:
    if name in PUBLIC:
        return Mirror(f"http://{name}.{PUBLIC_DOMAIN}", PUBLIC_INDEX, PUBLIC_VOCABULARY)
    if "://" in name:
        url = _checked_url(name)
        return Mirror(url, (url,), url)
    folder = Path(name).expanduser() if name.startswith("~/") else Path(name)
    return Mirror(folder, (folder,), folder, is_bag=_check_folder(folder, release))


def _check_folder(folder: Path, release: int) -> bool:
    """Say whether `folder` is a bag of shards, rather than laid out as the hosts are."""
    try:
        if any(folder.glob("[1-9]/download_plans/")):
            return False
        names = [path.name for path in folder.iterdir()]
        if any(name.endswith(".tfrecord") for name in names):
            return True
        problem = f"holds neither {release}/download_plans nor .tfrecord files"
        if packed := next((name for name in sorted(names) if ".tfrecord" in name), None):
            problem += f"; {packed!r} and the like are read, compressed too, once their names end in .tfrecord"
    except OSError as error:
        problem = f"is no folder to read from ({error.strerror})"
    except ValueError:  # a zero byte in the name
        problem = "is no name of a folder"
    raise MirrorError(f"No mirror {str(folder)!r}: it {problem}. {CHOICES}")


def _host(name: str) -> str:
    try:
        return urlsplit(name).hostname or ""
    except ValueError:  # brackets that hold no IPv6 address; `resolve` says so
        return ""


def _checked_url(name: str) -> str:
    try:
        parts = urlsplit(name)
        sound = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
    except ValueError:  # brackets that hold no IPv6 address
        sound = False
    if not sound:
        raise MirrorError(
            f"No mirror {shown(name)!r}: it is not an http(s) URL with a host and without a query. {CHOICES}"
        )
    return name.rstrip("/")


def _join(root: Source, path: str) -> Source:
    return root / path if isinstance(root, Path) else f"{root}/{quote(path)}"


def _unique(sources: Iterable[Source]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(sources))


@dataclass(frozen=True)
class RemoteFile:
    """A file that is wanted."""

    label: str  # how messages and progress name it
    sources: tuple[Source, ...]  # the best first
    digest: str | None = None  # in hex; without one a part of an earlier process is of no use
    algorithm: str = "md5"  # any of hashlib's
    size_bytes: int | None = None  # exactly, where it is known
