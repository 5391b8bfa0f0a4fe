"""A stranger's ONNX file, opened so that only a network of the expected form gets through.

In: a path. Out: a session of ONNX Runtime, with the shapes of its input and output. Does not know what the network
finds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import WeightsError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LARGEST_FILE_BYTES = 512 << 20  # the largest YOLOX has 400 MB; what is larger is something else
FATAL_ONLY = 4  # ONNX Runtime prints its errors as well as raising them
FIRST_CHARACTERS = 160  # of what ONNX Runtime says

Dimension = int | None  # None: the file leaves it open


@dataclass(frozen=True)
class Network:
    """An open network with one input and one output, both float32."""

    session: "InferenceSession"
    input_name: str
    input_shape: tuple[Dimension, ...]
    device: str  # cpu or cuda

    def run(self, blob: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output for one input; several threads may ask at once."""
        made: Any = self.session.run(None, {self.input_name: blob})[0]
        return made


def open_network(path: Path) -> Network:
    """Open `path` on the GPU where this ONNX Runtime has one, else on the CPU, with one thread for each call.

    One thread a call, and several calls at once: on two cores that gave 136 pictures a second with YOLOX-nano, where
    two threads a call gave 88 (they wait for each other at every layer), and it leaves room for the other stages.

    Raises:
        WeightsError: the file is no network that ONNX Runtime can load, or has several inputs or outputs.
    """
    session = _open_session(path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [each.type for each in (*inputs, *outputs)] != ["tensor(float)"] * 2:
        found = ", ".join(f"{each.name} {each.type}" for each in (*inputs, *outputs))
        raise WeightsError(f"{path} should have one input and one output of floats, and has {found}: {WHAT_TO_DO}")
    shape = tuple(side if isinstance(side, int) else None for side in inputs[0].shape)
    device = "cuda" if "CUDAExecutionProvider" in session.get_providers() else "cpu"
    return Network(session, inputs[0].name, shape, device)


WHAT_TO_DO = "remove it and run `reelsift weights fetch yolox-nano`, or give the right file."


def _open_session(path: Path) -> "InferenceSession":
    # onnxruntime takes half a second to import, which whoever takes PointRend need not wait for.
    import onnxruntime as ort  # noqa: PLC0415

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    # Weights kept in another file are looked for in this folder; as it is none, a network brings its own or is refused.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path))
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in ort.get_available_providers()]
    content = _content(path)
    try:
        return ort.InferenceSession(content, options, providers=providers)
    # ONNX Runtime's exceptions have no base but Exception, and it raises RuntimeError and others beside them.
    except Exception as error:
        said = " ".join(str(error).split())[:FIRST_CHARACTERS]
        raise WeightsError(f"{path} is no network that ONNX Runtime can load ({said}): {WHAT_TO_DO}") from error


def _content(path: Path) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if size_bytes > LARGEST_FILE_BYTES:
            raise WeightsError(
                f"{path} has {size_bytes:,} bytes; no YOLOX has more than {LARGEST_FILE_BYTES:,}: {WHAT_TO_DO}"
            )
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}): {WHAT_TO_DO}") from error
