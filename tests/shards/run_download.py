"""A download in a process of its own, for tests that kill it: `python -m tests.shards.run_download FOLDER CONFIG`.

CONFIG is the JSON of a `DownloadConfig`. Prints the report as JSON, and then the most memory that the process has had,
in bytes. REELSIFT_TEST_FILE_BYTES limits the size of a file as `ulimit -f` does.
"""

import os
import resource
import sys
from pathlib import Path

from tasks.contracts.errors import ReelsiftError
from tasks.shards.config import DownloadConfig
from tasks.shards.download import download_shards
from tasks.shards.plan import fetch_plan


def main(folder: str, config_json: str) -> None:
    config = DownloadConfig.model_validate_json(config_json)
    if limit := os.environ.get("REELSIFT_TEST_FILE_BYTES"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        report = download_shards(fetch_plan("video/train", config), Path(folder), config)
    except ReelsiftError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(report.model_dump_json())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
