"""An ONNX file from a stranger, opened safely: bounded in size, on its own, and without telling anyone."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contracts.errors import WeightsError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LARGEST_FILE_BYTES = 512 << 20  # the largest YOLOX has 400 MB
FATAL_ONLY = 4  # ONNX Runtime prints its errors as well as raising them
FIRST_CHARACTERS = 160  # of what ONNX Runtime says


def open_session(path: Path, what_to_do: str, *, largest: str = "no network for pictures") -> "InferenceSession":
    """Open `path` on the GPU where this ONNX Runtime has one, else on the CPU, with one thread for each call.

    One thread a call, and several calls at once: on two cores that gave 136 pictures a second with YOLOX-nano, where
    two threads a call gave 88 (they wait for each other at every layer), and it leaves room for the other stages.

    Args:
        path: the file.
        what_to_do: the end of each message.
        largest: what has more bytes than are read, in a few words.

    Raises:
        WeightsError: the file is no network that ONNX Runtime can load.
    """
    # Else its builds for Linux, from 1.29 on, tell Microsoft of each model, and keep the machine's number in ~/.cache.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # onnxruntime takes half a second to import, which users of PointRend need not wait for.
    import onnxruntime as ort  # noqa: PLC0415

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    # Weights kept in another file are looked for in this folder; as it is none, a network brings its own or is refused.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path))
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in ort.get_available_providers()]
    content = _content(path, what_to_do, largest)
    try:
        return ort.InferenceSession(content, options, providers=providers)
    # ONNX Runtime's exceptions have no base but Exception, and it raises RuntimeError and others beside them.
    except Exception as error:
        raise WeightsError(
            f"{path} is no network that ONNX Runtime can load ({first_words(error)}): {what_to_do}"
        ) from error


def first_words(error: Exception) -> str:
    """Return what ONNX Runtime says, on one line."""
    return " ".join(str(error).split())[:FIRST_CHARACTERS]


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _content(path: Path, what_to_do: str, largest: str) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > LARGEST_FILE_BYTES:
            raise WeightsError(
                f"{path} has {size_bytes:,} bytes; {largest} has more than {LARGEST_FILE_BYTES:,}: {what_to_do}"
            )
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): {what_to_do}") from error
