"""Where videos are kept and how they are come by: what every run over videos shares.

In: folders and configs. Out: a frozen `Workplace`, which can travel to another process. Does not do the work.
"""

from pathlib import Path

from tasks.contracts.model import FrozenModel
from tasks.shards.config import DownloadConfig
from tasks.video.config import FetchConfig, MediaBounds
from tasks.weights.store import WeightsStore


class Workplace(FrozenModel):
    """Folders and configs."""

    fetched: Path  # downloaded videos
    out: Path  # one folder below it for each video
    fetch: FetchConfig
    download: DownloadConfig  # for the files of YouTube-8M's hosts
    bounds: MediaBounds
    weights: WeightsStore
    storage: str | None = None  # URI of the object store that keeps what is found
