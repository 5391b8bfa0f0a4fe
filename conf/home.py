"""Where everything that reelsift writes lies: one folder, `REELSIFT_HOME`."""

from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.files import sqlite_uri


@dataclass(frozen=True)
class Home:
    """The folders and files below `root`, which is absolute."""

    root: Path

    @property
    def shards(self) -> Path:
        """Downloaded shards, by release and partition."""
        return self.root / "shards"

    @property
    def parts(self) -> Path:
        """Filtered Parquet files, by the filter's options: what dataset versions are put together from."""
        return self.root / "parts"

    @property
    def datasets(self) -> Path:
        """Published dataset versions."""
        return self.root / "datasets"

    @property
    def vocabulary(self) -> Path:
        """Vocabularies, one file for each mirror that one came from."""
        return self.root / "vocabulary"

    @property
    def fetched(self) -> Path:
        """Downloaded videos, by source and format."""
        return self.root / "fetched"

    @property
    def videos(self) -> Path:
        """What was found in videos: one folder for each."""
        return self.root / "videos"

    @property
    def found(self) -> Path:
        """Indexes of what was found in videos, by the place that they are of: made again where they are missing."""
        return self.root / "found"

    @property
    def features(self) -> Path:
        """Features of videos in datasets of one's own: a folder for each feature space, and in it one for each."""
        return self.root / "features"

    @property
    def weights(self) -> Path:
        """Files of weights that were fetched."""
        return self.root / "weights"

    @property
    def models(self) -> Path:
        """What MLflow keeps: its database and the artifacts."""
        return self.root / "mlflow"

    @property
    def prefect(self) -> Path:
        """What Prefect keeps: its database and settings."""
        return self.root / "prefect"

    @property
    def results(self) -> Path:
        """Results of cached tasks. A record there can name its serializer, so it is as good as code."""
        return self.root / "results"

    @property
    def reports(self) -> Path:
        """Figures and pages for people."""
        return self.root / "reports"

    @property
    def stack(self) -> Path:
        """The local stack: which processes it has, and what they print."""
        return self.root / "stack"

    @property
    def batches(self) -> Path:
        """Batches of videos that are handed to a pool: one folder for each run of a flow."""
        return self.root / "batches"

    @property
    def logs(self) -> Path:
        """What the flows logged."""
        return self.root / "logs"

    @property
    def default_tracking_uri(self) -> str:
        """MLflow's own database in this home, where no server is named."""
        return sqlite_uri(self.models / "mlflow.db")

    @property
    def prefect_database_uri(self) -> str:
        """Prefect's database in this home; why its connections are not pooled, `conf.unpooled` says."""
        uri = sqlite_uri(self.prefect / "prefect.db", "sqlite+aiosqlite")
        return f"{uri}{'&' if '?' in uri else '?'}plugin=reelsift-unpooled"

    def make_results(self) -> Path:
        """Create the results' folder, closed to everyone else, and return it."""
        return self.make_private(self.results)

    def make_private(self, folder: Path) -> Path:
        """Create a folder that only its owner can open, and return it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        return folder
