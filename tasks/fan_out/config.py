"""How videos are handed to a pool, and how long silence is taken for work."""

from pydantic import Field

from tasks.contracts.model import FrozenModel


class PoolConfig(FrozenModel):
    """Batches, and patience with the workers that do them."""

    batch_s: float = Field(
        default=300, ge=1, le=86_400, description="seconds of work in a batch: starting one costs some 10"
    )
    batches_per_worker: int = Field(
        default=2, ge=1, le=100, description="batches handed out at once for each worker; the others wait here"
    )
    lost_after_s: float = Field(
        default=60, ge=5, le=3600, description="seconds without a heartbeat after which a run counts as lost"
    )
    start_within_s: float = Field(
        default=600,
        ge=5,
        le=86_400,
        description="seconds that a job of a cluster may take from being submitted to its first sign of life",
    )
    attempts: int = Field(
        default=3, ge=1, le=20, description="runs of a batch that may die without getting on, before it is given up"
    )
    look_every_s: float = Field(default=1.0, gt=0, le=60, description="seconds between two looks at the runs")
