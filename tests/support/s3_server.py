"""A real S3-compatible server (moto's) on loopback, in a process of its own.

`python -m tests.support.s3_server` serves until it ends.
"""

import subprocess
import sys
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from pyarrow import fs

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}


class S3Server:
    """The server, for the length of a `with` block; `AWS_*` must be set for whoever asks it."""

    url = ""

    def __enter__(self) -> Self:
        root = Path(__file__).parents[2]
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, as a server that dies."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def filesystem(self) -> fs.S3FileSystem:
        """Return a client that sees all buckets and may make some."""
        return fs.S3FileSystem(
            access_key="test",
            secret_key="test",
            region=REGION,
            scheme="http",
            endpoint_override=self.url.removeprefix("http://"),
            allow_bucket_creation=True,
        )

    def new_bucket(self) -> str:
        """Make a bucket and return the URI of a place in it."""
        name = f"reelsift-{uuid.uuid4().hex[:12]}"
        self.filesystem().create_dir(name)
        return self.uri(name)

    def uri(self, bucket: str) -> str:
        return f"s3://{bucket}/team?endpoint_override={self.url}"


def _main() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    _main()
