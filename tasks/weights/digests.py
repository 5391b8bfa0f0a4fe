"""Digests of large files, worked out once for as long as a file does not change.

In: a path, and a folder for what is remembered. Out: a sha256. Does not know what the file is for.
"""

import json
from contextlib import suppress
from pathlib import Path

from tasks.contracts.files import file_digest, write_text

MEMORY_NAME = ".digests.json"


def known_digest(path: Path, folder: Path) -> str:
    """Return a file's sha256; 290 MB take .2 s, so it is kept beside the size, times and inode that it is of."""
    stat = path.stat()
    key = f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
    remembered = _remembered(folder / MEMORY_NAME)
    if key not in remembered:
        remembered = {
            other: digest for other, digest in remembered.items() if not other.startswith(f"{path.absolute()}|")
        }
        remembered[key] = file_digest(path)
        with suppress(OSError):  # a folder that cannot be written to remembers nothing
            write_text(folder / MEMORY_NAME, json.dumps(remembered, indent=2) + "\n")
    return remembered[key]


def _remembered(memory: Path) -> dict[str, str]:
    """Return what is remembered; a memory that is damaged is none."""
    try:
        found = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
