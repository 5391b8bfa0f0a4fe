"""What protobuf makes of a payload, and what the filter should therefore make of it."""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from tasks.records.kernels.judge import Verdict
from tests.records.framing import AUDIO_FLOATS, EXCLUDED, RGB_FLOATS, VOCABULARY, WANTED

Values = tuple[bytes, list[int], bytes, bytes]


def expected(payload: bytes, parse_example: Callable[[bytes], Any]) -> tuple[Verdict, Values | None]:
    """Return the verdict on a payload, and its values where it is well, by the documented order of faults."""
    try:
        features = dict(parse_example(payload).features.feature)
    except DecodeError:
        return Verdict.MALFORMED, None
    lists = {key: (feature.WhichOneof("kind"), feature) for key, feature in features.items()}
    text = lists.get("id", lists.get("video_id", (None, None)))
    if text[0] == "bytes_list" and text[1].bytes_list.value and not _is_utf8(text[1].bytes_list.value[-1]):
        return Verdict.MALFORMED, None
    return _judge(text, lists)


def _judge(text: tuple[Any, Any], lists: dict[str, tuple[Any, Any]]) -> tuple[Verdict, Values | None]:
    rgb, audio, labels = (lists.get(key, (None, None)) for key in ("mean_rgb", "mean_audio", "labels"))
    if text[0] != "bytes_list" or not text[1].bytes_list.value or not text[1].bytes_list.value[-1]:
        return Verdict.MISSING_FEATURE, None
    if rgb[0] != "float_list" or audio[0] != "float_list" or labels[0] in {"bytes_list", "float_list"}:
        return Verdict.MISSING_FEATURE, None
    ids, rgb, audio = text[1].bytes_list.value, rgb[1].float_list.value, audio[1].float_list.value
    label_ids = list(labels[1].int64_list.value) if labels[0] else []
    if (len(ids), len(rgb), len(audio)) != (1, RGB_FLOATS, AUDIO_FLOATS) or len(label_ids) > VOCABULARY:
        return Verdict.WRONG_LENGTH, None
    if not all(map(math.isfinite, [*rgb, *audio])):
        return Verdict.NON_FINITE, None
    verdict = judge_labels(label_ids)
    if verdict in {Verdict.NO_LABELS, Verdict.LABEL_OUT_OF_RANGE}:
        return verdict, None
    return verdict, (ids[0], label_ids, _floats(rgb), _floats(audio))


def judge_labels(labels: Sequence[int]) -> Verdict:
    if not labels:
        return Verdict.NO_LABELS
    if not all(0 <= label < VOCABULARY for label in labels):
        return Verdict.LABEL_OUT_OF_RANGE
    if set(labels) & set(EXCLUDED):
        return Verdict.EXCLUDED
    return Verdict.MATCH if set(labels) & set(WANTED) else Verdict.NO_MATCH


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)
