"""A mirror of made-up videos in the wire format and layout of YouTube-8M's own hosts.

The videos hold a structure that can be learnt, so a demonstration and a test mean something where no real shard is
available; but they are synthetic, and every output that shows them says so.
"""

import csv
import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.datasets import VOCABULARY_SIZE
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE

FloatArray = NDArray[np.float32]
Frames = NDArray[np.uint8]
Rating = tuple[int, int, int, float]  # start and end in seconds, label, and 1 if the segment shows it, else 0

ALPHABET = ascii_lowercase + ascii_uppercase + digits
COOKING = 22
TOPICS = {  # what a synthetic video is about -> the labels such a video may carry beside it
    COOKING: (29, 37, 89, 114, 162),
    0: (1, 12, 33, 61),
    2: (4, 30, 46),
    3: (5, 13, 71),
    6: (18, 27, 53),
    10: (15, 40, 66),
}
# Labels have names where the real vocabulary's indices are well known; the others are made up.
NAMES = {0: "Game", 1: "Video game", 2: "Vehicle", 3: "Concert", 4: "Car", 5: "Dance", 6: "Animation", 10: "Art"}
NAMES |= {COOKING: "Cooking", 29: "Dish", 37: "Food", 89: "Cake", 114: "Recipe", 162: "Baking"}
VERTICALS = {COOKING: "Food & Drink", 0: "Games", 2: "Autos & Vehicles", 3: "Arts & Entertainment"}
UNNAMED_EVERY = 70  # about as rare as in the real vocabulary, where 56 of 3,862 rows have no name
NOISE = 0.46  # standard deviation of mean_rgb, measured on real shards
ORDERED, REVERSED = COOKING, 0  # labels of the videos of `write_order_mirror`
EVENT_FRAMES = 6  # of an event in them: it lasts so many seconds


def write_mirror(
    folder: Path, *, train_shards: int = 4, validate_shards: int = 2, videos_per_shard: int = 120, seed: int = 0
) -> None:
    """Write a whole mirror below `folder`; the same arguments give the same bytes."""
    rng = np.random.default_rng(seed)
    directions = _unit_rows(rng, VOCABULARY_SIZE)
    suffixes = ["".join(pair) for pair in product(ALPHABET, repeat=2)]
    for split, first, count in (("train", 0, train_shards), ("validate", train_shards, validate_shards)):
        plan = {}
        for suffix in suffixes[first : first + count]:
            path = folder / "2" / "video" / split / f"{split}{suffix}.tfrecord"
            write_shard(path, [_video(rng, directions, suffix, n) for n in range(videos_per_shard)])
            plan[path.name] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        _write_plan(folder / "2" / "download_plans" / f"video_{split}.json", plan)
    _write_vocabulary(folder / "youtube8m" / "csv" / "2" / "vocabulary.csv")


def write_order_mirror(
    folder: Path,
    *,
    train_shards: int = 2,
    validate_shards: int = 1,
    pairs_per_shard: int = 100,
    frames: tuple[int, int] = (20, 60),
    seed: int = 0,
) -> None:
    """Write frame-level shards whose labels depend on nothing but the order of frames.

    In each video a first event and a second one happen, among noise. Every video stands there twice, the other time
    with its frames in reverse order: `ORDERED` labels the one where the first event comes first, `REVERSED` the other
    one. A model that does not look at the order gives both of a pair the same scores, so it is right about one at best.

    Args:
        folder: where the mirror goes, in the layout of YouTube-8M's hosts.
        train_shards: shards of `frame/train`.
        validate_shards: shards of `frame/validate`.
        pairs_per_shard: pairs of videos in each.
        frames: frames of the shortest and of the longest video; three events must fit.
        seed: the same one gives the same bytes.
    """
    rng = np.random.default_rng(seed)
    events = rng.integers(0, 256, (2, RGB_SIZE + AUDIO_SIZE))  # what is seen and heard of each
    suffixes = ["".join(pair) for pair in product(ALPHABET, repeat=2)]
    for split, first, count in (("train", 0, train_shards), ("validate", train_shards, validate_shards)):
        plan = {}
        for suffix in suffixes[first : first + count]:
            path = folder / "2" / "frame" / split / f"{split}{suffix}.tfrecord"
            write_shard(path, _ordered_pairs(rng, events, suffix, pairs_per_shard, frames))
            plan[path.name] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        _write_plan(folder / "2" / "download_plans" / f"frame_{split}.json", plan)
    _write_vocabulary(folder / "youtube8m" / "csv" / "2" / "vocabulary.csv")


def _ordered_pairs(
    rng: np.random.Generator, events: NDArray[np.int64], suffix: str, pairs: int, frames: tuple[int, int]
) -> Iterator[bytes]:
    for pair in range(pairs):
        count = int(rng.integers(frames[0], frames[1] + 1))
        noise = rng.normal(128, 32, (count, RGB_SIZE + AUDIO_SIZE))
        half = count // 2
        for event, start, stop in ((0, 0, half), (1, half, count)):
            at = int(rng.integers(start, stop - EVENT_FRAMES + 1))
            noise[at : at + EVENT_FRAMES] = (noise[at : at + EVENT_FRAMES] + events[event]) / 2
        codes = noise.clip(0, 255).astype(np.uint8)
        for number, label in ((2 * pair, ORDERED), (2 * pair + 1, REVERSED)):
            video_id = ALPHABET[number // 62 % 62] + ALPHABET[number % 62] + suffix
            shown = codes if label == ORDERED else codes[::-1]
            yield encode_sequence(video_id.encode(), [label], shown[:, :RGB_SIZE], shown[:, RGB_SIZE:])


def write_shard(path: Path, payloads: Iterable[bytes]) -> None:
    """Write TFRecord framing: length, masked CRC-32C of the length, payload, masked CRC-32C of the payload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for payload in payloads:
            length = struct.pack("<Q", len(payload))
            file.write(length + _masked_crc(length) + payload + _masked_crc(payload))


def encode_example(
    video_id: bytes, labels: Sequence[int], mean_rgb: FloatArray, mean_audio: FloatArray, *, id_key: str = "id"
) -> bytes:
    """Encode a `tf.train.Example` as the shards hold it (protobuf's wire format, packed lists)."""
    features = {
        id_key: _field(1, _field(1, video_id)),
        "labels": _integers(labels),
        "mean_rgb": _field(2, _field(1, mean_rgb.astype("<f4").tobytes())),
        "mean_audio": _field(2, _field(1, mean_audio.astype("<f4").tobytes())),
    }
    return _field(1, _map(features))


def encode_sequence(
    video_id: bytes, labels: Sequence[int], rgb: Frames, audio: Frames, ratings: Sequence[Rating] = ()
) -> bytes:
    """Encode a `tf.train.SequenceExample` as the frame-level shards hold it: frames uint8 (n, 1024) and (n, 128)."""
    context = {"id": _field(1, _field(1, video_id)), "labels": _integers(labels)}
    if ratings:
        starts, ends, rated, scores = zip(*ratings, strict=True)
        context |= {
            "segment_start_times": _integers(starts),
            "segment_end_times": _integers(ends),
            "segment_labels": _integers(rated),
            "segment_scores": _field(2, _field(1, np.array(scores, "<f4").tobytes())),
        }
    lists = {
        name: b"".join(_field(1, _field(1, _field(1, frame.tobytes()))) for frame in frames)
        for name, frames in (("rgb", rgb), ("audio", audio))
    }
    return _field(1, _map(context)) + _field(2, _map(lists))


def _integers(values: Sequence[int]) -> bytes:
    """Encode a feature of integers, none of them negative."""
    return _field(3, _field(1, b"".join(map(_varint, values))))


def _map(entries: Mapping[str, bytes]) -> bytes:
    return b"".join(_field(1, _field(1, key.encode()) + _field(2, value)) for key, value in entries.items())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited field (wire type 2)."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _unit_rows(rng: np.random.Generator, rows: int) -> FloatArray:
    """Return random directions in feature space, one a label."""
    return rng.standard_normal((rows, RGB_SIZE + AUDIO_SIZE), dtype=np.float32)


def _video(rng: np.random.Generator, directions: FloatArray, suffix: str, number: int) -> bytes:
    """Encode a video of a random topic: its labels' directions, weak enough to be confused, in noise."""
    topic = int(rng.choice(list(TOPICS)))
    extra = [label for label in TOPICS[topic] if rng.random() < 0.4]
    labels = sorted({topic, *extra})
    signal = directions[labels].sum(axis=0) * np.float32(0.06)
    noise = rng.standard_normal(RGB_SIZE + AUDIO_SIZE, dtype=np.float32) * np.float32(NOISE)
    features = np.clip(signal + noise, -1.992, 2.008)
    video_id = ALPHABET[number // 62 % 62] + ALPHABET[number % 62] + suffix
    return encode_example(video_id.encode(), labels, features[:RGB_SIZE], features[RGB_SIZE:])


def _write_plan(path: Path, files: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"files": files}, indent=0), encoding="utf-8")


def _write_vocabulary(path: Path) -> None:
    """Write as many rows, and the columns, of the real vocabulary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,WikiDescription"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(header.split(","))
        for index in range(VOCABULARY_SIZE):
            unnamed = index not in NAMES and index % UNNAMED_EVERY == UNNAMED_EVERY - 1
            name = "" if unnamed else NAMES.get(index, f"Synthetic label {index}")
            vertical = VERTICALS.get(index, "(Unknown)" if unnamed else "Arts & Entertainment")
            rows.writerow([index, 788_288 // (index + 1), f"/m/syn{index:04d}", name, "", vertical, "", "", ""])
