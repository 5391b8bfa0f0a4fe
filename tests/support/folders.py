"""What a folder holds, so that two can be compared."""

import hashlib
from pathlib import Path


def digests(folder: Path) -> dict[str, str]:
    """Hash every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
