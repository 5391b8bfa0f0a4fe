"""What protobuf makes of a payload, and what the filter should therefore make of it."""

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from tasks.records.kernels.judge import Verdict
from tests.records.framing import AUDIO_BYTES, AUDIO_FLOATS, EXCLUDED, RGB_BYTES, RGB_FLOATS, VOCABULARY, WANTED
from tests.records.odd_examples import SEGMENT_KEYS

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


FrameValues = tuple[bytes, list[int], bytes, bytes, list[tuple[int, int, int, bytes]]]
MOST_RATED = VOCABULARY // 2  # ratings for which there is room where there are so few labels


def expected_frames(payload: bytes, parse_sequence: Callable[[bytes], Any]) -> tuple[Verdict, FrameValues | None]:
    """Return the verdict on a payload of frames, and its values where it is well, by the documented order of faults."""
    try:
        context, lists = parse_sequence(payload)
    except DecodeError:
        return Verdict.MALFORMED, None
    text = context.get("id", context.get("video_id"))
    ids = list(text.bytes_list.value) if text is not None and text.WhichOneof("kind") == "bytes_list" else []
    if ids and not _is_utf8(ids[-1]):
        return Verdict.MALFORMED, None
    found = {key: context[key] for key in ("labels", *SEGMENT_KEYS) if key in context}
    wanted = {key: "float_list" if key == "segment_scores" else "int64_list" for key in found}
    if (
        not ids
        or not ids[-1]
        or not {"rgb", "audio"} <= lists.keys()
        or any(each.WhichOneof("kind") not in {None, wanted[key]} for key, each in found.items())
    ):
        return Verdict.MISSING_FEATURE, None
    frames = {key: list(lists[key].feature) for key in ("rgb", "audio")}
    if any(each.WhichOneof("kind") != "bytes_list" for some in frames.values() for each in some):
        return Verdict.MISSING_FEATURE, None
    numbers = {key: list(getattr(found[key], wanted[key]).value) if key in found else [] for key in wanted}
    return _judge_frames(ids, frames, [numbers.get(key, []) for key in ("labels", *SEGMENT_KEYS)])


def _judge_frames(
    ids: list[bytes], frames: dict[str, list[Any]], numbers: list[list[Any]]
) -> tuple[Verdict, FrameValues | None]:
    labels, starts, ends, rated, scores = numbers
    is_even = len(starts) == len(ends) == len(rated) == len(scores) <= MOST_RATED
    times = zip(starts, ends, strict=False)
    if len(ids) != 1 or len(labels) > VOCABULARY or not is_even or any(not 0 <= a < b < 1 << 31 for a, b in times):
        return Verdict.WRONG_LENGTH, None
    values = {key: [list(each.bytes_list.value) for each in some] for key, some in frames.items()}
    sizes = {"rgb": RGB_BYTES, "audio": AUDIO_BYTES}
    if any([len(value) for value in frame] != [sizes[key]] for key in sizes for frame in values[key]):
        return Verdict.WRONG_LENGTH, None
    if len(values["rgb"]) != len(values["audio"]) or not values["rgb"]:
        return Verdict.UNEVEN_FRAMES if values["rgb"] or values["audio"] else Verdict.NO_FRAMES, None
    if not all(map(math.isfinite, scores)):
        return Verdict.NON_FINITE, None
    verdict = judge_labels(labels)
    if verdict != Verdict.NO_LABELS and not all(0 <= label < VOCABULARY for label in rated):
        verdict = Verdict.LABEL_OUT_OF_RANGE
    if verdict in {Verdict.NO_LABELS, Verdict.LABEL_OUT_OF_RANGE}:
        return verdict, None
    rgb, audio = (b"".join(frame[0] for frame in values[key]) for key in ("rgb", "audio"))
    segments = list(zip(starts, ends, rated, (struct.pack("<f", score) for score in scores), strict=True))
    return verdict, (ids[0], labels, rgb, audio, segments)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)
