"""The files of one answer appear together in a folder that several processes may write to, the manifest last.

A run that is killed leaves the old answer, the new one, or no manifest. The manifest names the digest of every file, so
a mixture never counts as an answer, whatever happened on the disk.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath

from tasks.contracts.errors import OutputError
from tasks.contracts.files import file_digest, is_at, lock, remove_abandoned, temporary_folder

LOCK_NAME = ".publishing.tmp"  # named as what may be deleted: there only while somebody holds it, or was killed then
PREFIX = ".making-"

_swept: set[Path] = set()


@contextmanager
def staged(folder: Path, *, files: tuple[str, ...], manifest: str) -> Iterator[Path]:
    """Yield an empty folder; when the block ends well, what it holds takes the place of what was in `folder`.

    Args:
        folder: made where it is missing, and removed again where nothing came of it.
        files: names of all files and folders that an answer may have, the manifest's left out.
        manifest: the name of the one whose presence says that the others are whole.

    Raises:
        OutputError: the folder is a link that leads elsewhere.
    """
    check_no_link(folder)
    try:
        with _stage_in(folder) as stage:
            yield stage
            with locked(folder):
                check_no_link(folder)
                _publish(stage, folder, files, manifest)
    finally:
        with suppress(OSError):  # it is not empty, as it should be
            folder.rmdir()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from replacing answers in an existing folder, until the block ends or its process does."""
    path = folder / LOCK_NAME
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            lock(descriptor)
            if is_at(descriptor, path):  # not removed by its former holder while we waited
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(descriptor)


def check_no_link(folder: Path) -> None:
    """Refuse a link that leads out of the folder in which it lies: what is behind it is not ours to replace.

    Raises:
        OutputError: it is one.
    """
    if not folder.is_symlink():
        return
    target = folder.resolve()
    if target.parent != folder.parent.resolve() or not target.is_dir():
        raise OutputError(
            f"{folder} is a link to {target}, where nothing is written. Delete the link, or name another folder."
        )


def answer_digests(stage: Path, files: tuple[str, ...]) -> dict[str, str]:
    """Return the SHA-256 of every file of an answer, by its name in the folder."""
    found = (path for name in files for path in (stage / name, *sorted((stage / name).rglob("*"))) if path.is_file())
    return {path.relative_to(stage).as_posix(): file_digest(path) for path in found}


def is_whole(folder: Path, digests: Mapping[str, str]) -> bool:
    """Say whether every file of an answer is there as it was made."""
    try:
        return all(_is_below(name) and file_digest(folder / name) == digest for name, digest in digests.items())
    except OSError:
        return False


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


@contextmanager
def _stage_in(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; what killed runs have left in this folder and in those beside it goes before."""
    if folder.parent not in _swept:
        _swept.add(folder.parent)
        for beside in {path.parent for path in folder.parent.glob(f"*/{PREFIX}*.tmp")} - {folder}:
            remove_abandoned(beside)
            with suppress(OSError):  # there is an answer
                beside.rmdir()
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stage = stack.enter_context(temporary_folder(folder, PREFIX))
            except FileNotFoundError:  # another process has just removed the folder, as nothing came of its own try
                continue
            yield stage
            return


def _publish(stage: Path, folder: Path, files: tuple[str, ...], manifest: str) -> None:
    (folder / manifest).unlink(missing_ok=True)
    for name in files:
        _remove(folder / name)
        if (stage / name).exists():
            _move(stage / name, folder / name)
    _move(stage / manifest, folder / manifest)


def _move(made: Path, place: Path) -> None:
    """Have the disk hold a file before its name does; those of a folder can be made again."""
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())
    made.rename(place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
