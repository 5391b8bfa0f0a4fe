"""The workers as parts of the stack: one for the pool `cpu`, one for each GPU in the pool `gpu`.

In: options, the environment that all parts share, and what the machine has. Out: `Part`s. Does not start them.

A GPU is given to a worker by the worker's own environment, which every run of it inherits: as a variable of the pool's
jobs, it would be the same for all.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from deployments.stack.options import StackOptions
from deployments.stack.part import Part
from tasks.contracts.batches import DEVICES_VARIABLE, WORKER_VARIABLE

CPU_POOL, GPU_POOL = "cpu", "gpu"
NVIDIA_TIMEOUT_S = 20


def workers(options: StackOptions, shared: Mapping[str, str], devices: Sequence[str]) -> list[Part]:
    """Return the workers; `devices` are the GPUs of the machine, by what `CUDA_VISIBLE_DEVICES` calls them."""
    keep = options.keep_foreign
    cpu = _worker("cpu-0", CPU_POOL, options.cpu_runs, {**shared, DEVICES_VARIABLE: ""}, keep_foreign=keep)
    chosen = enumerate(_chosen(options, devices))
    return [cpu, *(_gpu_worker(number, device, shared, keep_foreign=keep) for number, device in chosen)]


def _chosen(options: StackOptions, devices: Sequence[str]) -> list[str | None]:
    """Return a device for each GPU worker: more workers than devices are a rehearsal, with made-up numbers."""
    if options.gpu_workers is None:
        return list(devices) or [None]
    return [devices[number] if number < len(devices) else str(number) for number in range(options.gpu_workers)]


def _gpu_worker(number: int, device: str | None, shared: Mapping[str, str], *, keep_foreign: bool) -> Part:
    own = {} if device is None else {DEVICES_VARIABLE: device}
    return _worker(f"gpu-{number}", GPU_POOL, 1, {**shared, **own}, keep_foreign=keep_foreign)


def _worker(name: str, pool: str, runs: int, environment: Mapping[str, str], *, keep_foreign: bool) -> Part:
    command = (sys.executable, "-m", "deployments.worker", "--pool", pool, "--name", name, "--limit", str(runs))
    return Part(
        name=name,
        command=(*command, "--keep-foreign") if keep_foreign else command,
        environment={**environment, WORKER_VARIABLE: name},
        pool=pool,
    )


def visible_devices() -> list[str]:
    """Return the GPUs of this machine: those of `CUDA_VISIBLE_DEVICES`, else all that the driver tells of."""
    if DEVICES_VARIABLE in os.environ:
        return [device.strip() for device in os.environ[DEVICES_VARIABLE].split(",") if device.strip()]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=index", "--format=csv,noheader"]
    try:
        # S603: a fixed question to the driver's own command.
        run = subprocess.run(query, capture_output=True, text=True, timeout=NVIDIA_TIMEOUT_S, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    return run.stdout.split()
