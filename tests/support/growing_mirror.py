"""A mirror whose plan grows, as that of a dataset which is still being published."""

import json
import shutil
from pathlib import Path


class GrowingMirror:
    """A copy of a mirror below `folder`; every shard is there, and the plans say which ones count."""

    def __init__(self, source: Path, folder: Path) -> None:
        shutil.copytree(source, folder)
        self.folder = folder
        self._whole = {split: self._plan(split).read_text(encoding="utf-8") for split in ("train", "validate")}

    def name_shards(self, split: str, count: int) -> None:
        """Let the plan of a split name its first `count` shards."""
        files = json.loads(self._whole[split])["files"]
        named = dict(list(files.items())[:count])
        self._plan(split).write_text(json.dumps({"files": named}), encoding="utf-8")

    def _plan(self, split: str) -> Path:
        return self.folder / "2" / "download_plans" / f"video_{split}.json"
