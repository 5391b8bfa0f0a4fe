"""How many runs a deployment's pool has at once.

In: a deployment's name. Out: its pool, and how many workers or jobs that has. Does not start anything.
"""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound

from tasks.contracts.errors import BatchError

PROCESS = "process"  # the type of pool whose workers have one run each, here; others make jobs elsewhere


def pool_of(client: SyncPrefectClient, deployment: str) -> str:
    """Return the name of the pool that a deployment's runs go to.

    Raises:
        BatchError: there is no such deployment, or it has no pool.
    """
    try:
        pool = client.read_deployment_by_name(deployment).work_pool_name
    except ObjectNotFound:
        pool = None
    if pool is None:
        raise BatchError(
            f"There is no deployment {deployment!r} with a pool: `reelsift up` makes one, or "
            "`prefect deploy --all --prefect-file deployments/prefect.yaml`."
        )
    return pool


def capacity(client: SyncPrefectClient, pool: str) -> int:
    """Return how many runs a pool has at once: one a worker, or the jobs that it may make; 0 with no worker online."""
    try:
        workers = client.read_workers_for_work_pool(pool)
        about = client.read_work_pool(pool)
    except ObjectNotFound:
        return 0
    online = sum(worker.status == WorkerStatus.ONLINE for worker in workers)
    if online and about.type != PROCESS and about.concurrency_limit:
        return about.concurrency_limit
    return online


def makes_jobs(client: SyncPrefectClient, pool: str) -> bool:
    """Say whether a pool's runs are jobs elsewhere, slow to start, rather than processes of its workers."""
    try:
        return client.read_work_pool(pool).type != PROCESS
    except ObjectNotFound:
        return False
