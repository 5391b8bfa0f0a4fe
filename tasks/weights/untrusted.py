"""Files of weights from strangers, opened safely: ONNX files, bounded in size and on their own, tensors, matrices."""

import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import WeightsError
from tasks.weights.store import Weights

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor, nn

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


def fill_module(module: "nn.Module", path: Path, what: str) -> None:
    """Copy the tensors that a module has from a file, which may hold more, such as another head.

    Args:
        module: the network.
        path: .safetensors, or anything that PyTorch saves of tensors alone.
        what: the network, for messages.

    Raises:
        WeightsError: the file holds anything but tensors, lacks one, or has one of another shape.
    """
    given = _tensors(path)
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    if missing:
        others = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        held = ", ".join([*list(given)[:3], "…"]) if given else "nothing"
        raise WeightsError(f"{path} is not of {what}: it has no {missing[0]}{others}, but {held}.")
    for key, tensor in wanted.items():
        if key in given and given[key].shape != tensor.shape:
            raise WeightsError(
                f"{path} is not of {what}: {key} must have shape {tuple(tensor.shape)}, got {tuple(given[key].shape)}."
            )
    module.load_state_dict({key: given.get(key, tensor) for key, tensor in wanted.items()})


def _tensors(path: Path) -> "dict[str, Tensor]":
    """Return the tensors of a file, which is read as tensors and nothing else."""
    import torch  # noqa: PLC0415 - it takes seconds; those who read tensors have it by now
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    # What an untrusted file makes PyTorch raise has no base but Exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise WeightsError(f"{path} does not hold weights of PyTorch's that can be read safely: {reason}") from error
    if isinstance(found, dict) and isinstance(inner := found.get("state_dict"), dict):
        found = inner  # as training scripts keep them, beside the optimiser
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__}, and no tensors by name.")
    return {str(key): value for key, value in found.items() if isinstance(value, torch.Tensor)}


LONGEST_CAUSE = 160  # characters of a library's own words


def refuse(weights: Weights, what: str, cause: Exception | None = None) -> NoReturn:
    """Say what is wrong with a file; `what` goes on after the file's name.

    Raises:
        WeightsError: always.
    """
    words = " ".join(str(cause).split()).rstrip(". ")[:LONGEST_CAUSE] if cause else ""
    raise WeightsError(
        f"The weights {weights.record.name} ({weights.path}) {what}{f': {words}' if words else ''}. Delete that file, "
        f"and `reelsift weights fetch {weights.record.name}`."
    ) from cause


LARGEST_MEMBER_BYTES = 64 << 20  # of a .npz, unpacked; VGGish's largest has 65 KB
DAMAGED = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),  # the last two of zipfile: unknown, encrypted
)

Shape = tuple[int, ...]


def read_array(weights: Weights, shape: Shape) -> NDArray[np.float32]:
    """Read the array of a .npy file.

    Raises:
        WeightsError: it is no array, or not one of finite floats of that shape.
    """
    try:
        # Mapped, so that a header which promises more than the file holds is refused before memory is taken.
        array = np.lib.format.open_memmap(weights.path, mode="r")
        return _checked(weights, "an array", array, shape)
    except DAMAGED as error:
        refuse(weights, "are no arrays of NumPy's", error)


def read_arrays(weights: Weights, shapes: dict[str, Shape]) -> dict[str, NDArray[np.float32]]:
    """Read the arrays of those names from a .npz file; others are not looked at.

    Raises:
        WeightsError: it lacks one, or has one that is not of finite floats of that shape.
    """
    try:
        with zipfile.ZipFile(weights.path) as archive:
            missing = [name for name in shapes if f"{name}.npy" not in archive.namelist()]
            if missing:
                refuse(weights, f"hold no {', '.join(missing)}")
            return {name: _checked(weights, name, _member(weights, archive, name), shapes[name]) for name in shapes}
    except DAMAGED as error:
        refuse(weights, "are no arrays of NumPy's", error)


def _member(weights: Weights, archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    size_bytes = archive.getinfo(f"{name}.npy").file_size
    if size_bytes > LARGEST_MEMBER_BYTES:
        refuse(weights, f"hold {name} of {size_bytes:,} bytes, over {LARGEST_MEMBER_BYTES:,}")
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _checked(weights: Weights, name: str, array: NDArray[np.generic], shape: Shape) -> NDArray[np.float32]:
    if array.shape != shape or array.dtype.kind != "f":
        refuse(weights, f"hold {name} that must have shape {shape} of floats, got {array.shape} of {array.dtype}")
    floats = np.array(array, np.float32)
    if not np.isfinite(floats).all():
        refuse(weights, f"hold {name} with values that are not finite")
    return floats
