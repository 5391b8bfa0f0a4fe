"""A worker that runs reelsift's flows and nothing else: `python -m deployments.worker --pool cpu --name cpu-0`.

Prefect's own worker runs what the server says: any module, shell commands before it, any command and environment. Then
everybody who can write to the server, or to its database, can run code as the worker's account. This one asks the
server only which of the deployments in prefect.yaml is meant, and for its form.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.runner._flow_run_executor import FlowRunExecutorContext
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.settings import PREFECT_WORKER_WEBSERVER_HOST, get_current_settings, temporary_settings
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from conf import collect_rarely
from conf.environment import running_settings
from deployments.register import POOL_TEMPLATE, own_entrypoints
from tasks.contracts.errors import DeployError
from tasks.fan_out.ledger import Ledger


class FixedConfiguration(ProcessJobConfiguration):
    """How a run's process is started: the same for all, whatever the pool, the deployment or the run say."""

    @classmethod
    async def from_template_and_values(
        cls,
        base_job_template: dict[str, Any],  # noqa: ARG003 - Prefect's signature
        values: dict[str, Any],  # noqa: ARG003
        client: PrefectClient | None = None,  # noqa: ARG003
    ) -> "FixedConfiguration":
        """Return the one configuration."""
        return cls()


class OwnWorker(ProcessWorker):
    """Runs own flows, by the entrypoints that this package knows; others are refused unless `keep_foreign`."""

    type = "reelsift"  # a name of its own in Prefect's register of workers, see below
    job_configuration = FixedConfiguration
    keep_foreign = False

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run a flow in a process, and wait for its end.

        Raises:
            DeployError: the deployment is not one of this package's.
        """
        entrypoint = await self._entrypoint(flow_run)
        if entrypoint is None:
            return await super().run(flow_run, configuration, task_status)
        flow = cache(lambda: load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False))

        async def own_flow(_: FlowRun) -> Flow[Any, Any]:
            return flow()

        with tempfile.TemporaryDirectory(suffix="prefect") as folder:
            async with FlowRunExecutorContext() as context:
                starter = EngineCommandStarter(
                    cwd=Path(folder),
                    env=configuration.env,
                    entrypoint=entrypoint,  # the process asks the server for none, either
                    stream_output=configuration.stream_output,
                    control_channel=context.control_channel,
                )
                executor = context.create_executor(flow_run, starter, resolve_flow=own_flow, propose_submitting=False)
                execution = None

                async def execute(*, task_status: anyio.abc.TaskStatus[Any] = anyio.TASK_STATUS_IGNORED) -> None:
                    nonlocal execution
                    execution = await executor.submit(task_status=task_status)

                async with anyio.create_task_group() as group:
                    handle = await group.start(execute)
                    if task_status is not None:
                        task_status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise DeployError(f"The process of {flow_run.name} could not be started.")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))

    async def _worker_metadata(self) -> None:
        """Say nothing of integrations: to name them, Prefect imports all that are installed, Kubernetes and Dask."""

    async def _entrypoint(self, flow_run: FlowRun) -> str | None:
        """Return where the flow of a run is; None for a deployment of somebody else's, where those are run, too."""
        deployment = await self.client.read_deployment(flow_run.deployment_id) if flow_run.deployment_id else None
        own = own_entrypoints().get(deployment.name) if deployment else None
        if deployment and own and deployment.entrypoint == own and not deployment.pull_steps:
            return own
        if self.keep_foreign:
            return None
        name = deployment.name if deployment else "without a name"
        raise DeployError(
            f"The deployment {name!r} is none of reelsift's, so it is not run here; `reelsift up --keep-foreign` does."
        )

    async def _submit_run_and_capture_errors(self, flow_run: FlowRun, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - Prefect's
        """Start a run; of a batch of videos, others see from the first moment on that it is being worked on."""
        with self._beating(flow_run):
            return await super()._submit_run_and_capture_errors(flow_run, *arguments, **options)

    @contextmanager
    def _beating(self, flow_run: FlowRun) -> Iterator[None]:
        ledger = _ledger(flow_run)
        if ledger is None:
            yield
            return
        with ledger.beating(str(flow_run.id), at_most_s=running_settings().pool.start_within_s):
            yield


OwnWorker.type = ProcessWorker.type  # of the pools that it works for


def _ledger(flow_run: FlowRun) -> Ledger | None:
    """Return the ledger of the batch that a run is for; its path comes from the server, and leads nowhere else."""
    form = (flow_run.parameters or {}).get("form")
    batch = form.get("batch") if isinstance(form, dict) else None
    if not isinstance(batch, str):
        return None
    path = Path(os.path.normpath(batch))
    is_ours = path.is_relative_to(running_settings().paths.batches) and path.suffix == ".json" and path.is_file()
    return Ledger(path.parent, path.stem) if is_ours else None


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line; a wrong one ends the process."""
    parser = argparse.ArgumentParser(prog="python -m deployments.worker", description="Run reelsift's flows.")
    parser.add_argument("--pool", required=True, help="take runs from this work pool")
    parser.add_argument("--name", help="of this worker, as Prefect's pages show it (default: made up)")
    parser.add_argument("--limit", type=int, default=1, help="runs at once")
    parser.add_argument("--with-healthcheck", action="store_true", help="answer /health at 127.0.0.1:8080")
    parser.add_argument("--keep-foreign", action="store_true", help="run deployments that reelsift did not make, too")
    return parser.parse_args(arguments)


def main() -> None:
    """Work for a pool until somebody ends this process."""
    options = parsed(sys.argv[1:])
    collect_rarely()
    setup_signal_handlers_worker(os.getpid(), "the worker", print)
    OwnWorker.keep_foreign = options.keep_foreign
    settings = get_current_settings().worker
    worker = OwnWorker(
        work_pool_name=options.pool,
        name=options.name,
        limit=options.limit,
        prefetch_seconds=settings.prefetch_seconds,
        heartbeat_interval_seconds=int(settings.heartbeat_seconds),
        base_job_template=POOL_TEMPLATE,
    )
    # Health is asked for by the machine or container itself; Prefect would answer every network that reaches it.
    with temporary_settings(set_defaults={PREFECT_WORKER_WEBSERVER_HOST: "127.0.0.1"}):
        asyncio.run(worker.start(with_healthcheck=options.with_healthcheck, printer=print))


if __name__ == "__main__":
    main()
