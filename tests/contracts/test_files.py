"""Files that appear whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts.files import appearing, file_digest, write_text


def test_a_file_appears_under_its_name_only_when_it_is_done(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with appearing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail_half_way() -> None:
        with appearing(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from tasks.contracts.files import appearing\n"
        "with appearing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('new'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_digest_is_that_of_the_whole_content(tmp_path: Path, algorithm: str) -> None:
    content = os.urandom(3_000_001)  # more than two blocks
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_digest(path, algorithm) == hashlib.new(algorithm, content).hexdigest()
