"""The vocabulary that goes with a mirror's shards: found beside them or fetched, and kept under its content.

In: a folder to keep it in, and where the mirrors are. Out: a `Vocabulary`. Does not know how labels are named
or searched.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.contracts.errors import DownloadError, MirrorError, VocabularyError
from tasks.contracts.files import appearing
from tasks.contracts.progress import Progress
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import PUBLIC_VOCABULARY, VOCABULARY, Mirror, resolve, shown
from tasks.vocabulary.labels import Vocabulary
from tasks.vocabulary.table import is_vocabulary, read_vocabulary

PUBLIC_NAME = "public.csv"  # that of the public hosts never changes, so it is fetched once
PLACES = ("", "video", "video/train", "video/validate", "video/test")  # below the folder of a release


def load_vocabulary(folder: Path, config: DownloadConfig, progress: Progress | None = None) -> Vocabulary:
    """Return the vocabulary that goes with a mirror's shards: of several mirrors, that of the first which has one.

    A mirror's name as it was typed says nothing: the same name may mean another folder or server the next time. So the
    file is looked at each time, and a copy is kept in `folder` for those who ask without a mirror.

    Raises:
        MirrorError: no mirror has it.
        VocabularyError: what came is not one, or a folder holds several.
    """
    problems = dict[str, MirrorError]()
    for mirror in resolve(config).mirrors:
        try:
            return _of_mirror(mirror, folder, config, progress)
        except DownloadError as error:
            problems.setdefault(str(error), error)
    if len(problems) == 1:
        raise next(iter(problems.values()))
    raise DownloadError(" ".join(problems))


def kept_vocabulary(folder: Path) -> Vocabulary | None:
    """Return the vocabulary that was used last, from whichever mirror, or None."""
    kept = _kept(folder)
    return read_vocabulary(kept[-1]) if kept else None


def vocabulary_with(folder: Path, names: Mapping[int, str]) -> Vocabulary | None:
    """Return the vocabulary kept in `folder` that has all these labels by these names, or None."""
    for path in reversed(_kept(folder)):
        with suppress(VocabularyError):
            vocabulary = read_vocabulary(path)
            known = {label.index: label.shown_name for label in vocabulary.labels}
            if names and all(known.get(index) == name for index, name in names.items()):
                return vocabulary
    return None


def beside_shards(folder: Path, release: int) -> Path | None:
    """Return the vocabulary of a folder of shards: in the place that the hosts have it, else any beside the shards.

    Raises:
        VocabularyError: there are several that differ, and not one of them is `vocabulary.csv`.
    """
    if (folder / VOCABULARY).is_file():
        return folder / VOCABULARY
    places = dict.fromkeys([folder, *(folder / str(release) / place for place in PLACES)])
    found = [path for place in places for path in sorted(place.glob("*.csv")) if is_vocabulary(path)]
    plain = [path for path in found if path.name == "vocabulary.csv"]
    if len(plain) == 1:
        return plain[0]
    if len({path.read_bytes() for path in found}) > 1:
        raise VocabularyError(
            f"{folder} holds several vocabularies: {', '.join(str(path.relative_to(folder)) for path in found)}. "
            "Call the one that its shards belong to vocabulary.csv, or move the others elsewhere"
        )
    return found[0] if found else None


def _of_mirror(mirror: Mirror, folder: Path, config: DownloadConfig, progress: Progress | None) -> Vocabulary:
    if isinstance(mirror.shards, Path):
        path = beside_shards(mirror.shards, config.release)
        if path is None:
            raise DownloadError(
                f"There is no vocabulary in {mirror.shards}: neither {VOCABULARY} nor a CSV file with the columns "
                "label_id,label_name beside the shards. Put one there, or name labels by their index: `--label 22`."
            )
        vocabulary = read_vocabulary(path)
        _keep(path, folder)
        return vocabulary
    if mirror.vocabulary == PUBLIC_VOCABULARY:
        path = folder / PUBLIC_NAME
        if not path.is_file():
            _fetch(mirror, path, config, progress)
        vocabulary = read_vocabulary(path)
        os.utime(path)
        return vocabulary
    with TemporaryDirectory(prefix="reelsift-vocabulary-") as aside:
        path = Path(aside) / "vocabulary.csv"
        _fetch(mirror, path, config, progress)
        try:
            vocabulary = read_vocabulary(path)
        except VocabularyError as error:
            raise VocabularyError(str(error).replace(str(path), f"The file at {shown(mirror.vocabulary)}")) from error
        _keep(path, folder)
    return vocabulary


def _fetch(mirror: Mirror, path: Path, config: DownloadConfig, progress: Progress | None) -> None:
    # Imported here: an HTTP client takes longer to import than a vocabulary that is there to read.
    from tasks.shards.remote import RemoteFile  # noqa: PLC0415
    from tasks.shards.transfer import fetch_file  # noqa: PLC0415

    sources = tuple(f"{mirror.vocabulary}/{name}" for name in (VOCABULARY, "vocabulary.csv"))
    file = RemoteFile("the vocabulary", sources[:1] if mirror.vocabulary == PUBLIC_VOCABULARY else sources)
    fetch_file(file, path, config, progress)


def _keep(path: Path, folder: Path) -> None:
    """Keep a copy under its content; that it was used last is its time."""
    content = path.read_bytes()
    kept = folder / f"{hashlib.sha256(content).hexdigest()[:12]}.csv"
    with suppress(OSError):  # a copy is for convenience alone
        if not kept.is_file():
            with appearing(kept) as temporary:
                temporary.write_bytes(content)
        os.utime(kept)


def _kept(folder: Path) -> list[Path]:
    """Return the vocabularies in `folder`, that used last at the end."""
    return sorted(folder.glob("*.csv"), key=lambda path: path.stat().st_mtime)
