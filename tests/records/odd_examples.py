"""Examples in every shape that the wire format allows: any order, packed or not, split, repeated, with strange fields.

Most are well formed and mean what they should; a few are wrong on purpose.
"""

import struct
from random import Random

KEYS = ("id", "video_id", "labels", "mean_rgb", "mean_audio", "other", "", "ключ")
SEGMENT_KEYS = ("segment_start_times", "segment_end_times", "segment_labels", "segment_scores")
KINDS = {"id": 1, "video_id": 1, "labels": 3, "mean_rgb": 2, "mean_audio": 2}
KINDS |= dict(zip(SEGMENT_KEYS, (3, 3, 3, 2), strict=True))
VARINT, FIXED64, LEN, GROUP, END_GROUP, FIXED32 = range(6)


def varint(value: int, padding: int = 0) -> bytes:
    """Encode; `padding` adds bytes that say nothing, which the format allows up to ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    if padding and len(out) + 1 + padding <= 10:
        return bytes(out) + bytes([value | 0x80]) + b"\x80" * (padding - 1) + b"\0"
    return bytes(out) + bytes([value])


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def chunk(number: int, content: bytes) -> bytes:
    return tag(number, LEN) + varint(len(content)) + content


class OddExamples:
    """An endless source of payloads, the same for the same seed."""

    def __init__(self, seed: int, rgb_floats: int, audio_floats: int) -> None:
        self.rng = Random(seed)
        self.lengths = {"mean_rgb": rgb_floats, "mean_audio": audio_floats}

    def example(self) -> bytes:
        keys = ["id", "labels", "mean_rgb", "mean_audio", *self.rng.choices(KEYS, k=self.rng.choice((0, 0, 1, 3)))]
        if self._rarely():
            keys.remove(self.rng.choice(keys))
        self.rng.shuffle(keys)
        return self._mixed(self._map(1, [chunk(1, self._entry(key)) for key in keys]), 1)

    def _map(self, number: int, entries: list[bytes]) -> list[bytes]:
        """Return a field that has the entries of a map, or two of which each has some."""
        cut = self.rng.randrange(len(entries) + 1) if self._rarely() else 0
        parts = [chunk(number, self._mixed(entries[:cut], 1)), chunk(number, self._mixed(entries[cut:], 1))]
        return parts[0 if cut else 1 :]

    def _rarely(self) -> bool:
        return self.rng.random() < 0.12

    def _mixed(self, fields: list[bytes], known: int) -> bytes:
        """Join fields, sometimes with unknown ones in between; numbers above `known` are unknown."""
        out = []
        for field in fields:
            if self._rarely():
                out.append(self._unknown(known))
            out.append(field)
        return b"".join(out) + (self._unknown(known) if self._rarely() else b"")

    def _unknown(self, known: int) -> bytes:
        number = known + self.rng.choice((1, 2, 13, 5000, (1 << 29) - 1 - known))
        choice = self.rng.randrange(6)
        if choice == 0:
            return tag(number, VARINT) + varint(self.rng.getrandbits(64), self.rng.randrange(3))
        if choice == 1:
            return tag(number, FIXED64) + self.rng.randbytes(8)
        if choice == 2:
            return chunk(number, self.rng.randbytes(self.rng.randrange(200)))
        if choice == 3:
            return tag(number, FIXED32) + self.rng.randbytes(4)
        if choice == 4:  # a known number, with a wire type that it does not have
            return tag(self.rng.randint(1, known), FIXED64) + self.rng.randbytes(8)
        wrong = self.rng.random() < 0.1
        return tag(number, GROUP) + self._mixed([b""], known) + tag(number + wrong, END_GROUP)

    def _entry(self, key: str) -> bytes:
        name, value = chunk(1, key.encode()), chunk(2, self._feature(key))
        if self._rarely():  # protobuf merges the two values, and takes the last key
            return self._mixed([chunk(1, b"labels"), chunk(2, self._feature(key)), name, value], 2)
        return self._mixed([value, name] if self._rarely() else [name, value], 2)

    def _feature(self, key: str) -> bytes:
        kind = KINDS.get(key, self.rng.randint(1, 3))
        if self.rng.random() < 0.03:
            kind = self.rng.randint(1, 3)
        lists = [chunk(kind, part) for part in self._values(kind, key)]
        if self._rarely():  # another member of the oneof first, which the next one clears
            other = self.rng.randint(1, 3)
            lists = [chunk(other, b"".join(self._values(other, key))), *lists]
        return b"" if self.rng.random() < 0.02 else self._mixed(lists, 3)

    def _values(self, kind: int, key: str) -> list[bytes]:
        """Return a list's content, in one part or in several that are to be merged."""
        makers = {1: self._texts, 2: self._floats, 3: self._ints}
        pieces = makers[kind](key)
        cut = self.rng.randrange(len(pieces) + 1) if self._rarely() else 0
        parts = [pieces[:cut], pieces[cut:]] if cut else [pieces]
        return [self._mixed(part, 1) for part in parts]

    def _texts(self, _: str) -> list[bytes]:
        count = self.rng.choice((1, 1, 1, 1, 1, 1, 1, 1, 0, 2))
        texts = ("Xz9H", "dQw4w9WgXcQ", "é", "☂", "\U0001f600", "", "a" * 300)
        plain = [self.rng.choice(texts).encode() if self._rarely() else b"Xz9H" for _ in range(count)]
        return [chunk(1, self.rng.randbytes(2) if self.rng.random() < 0.02 else text) for text in plain]

    def _floats(self, key: str) -> list[bytes]:
        count = self.lengths.get(key, 2) + (self.rng.choice((-1, 1)) if self.rng.random() < 0.04 else 0)
        strange = (float("nan"), float("inf"), -0.0, 1e-45, 3.4e38)
        values = [self.rng.gauss(0, 1) if self.rng.random() < 0.99 else self.rng.choice(strange) for _ in range(count)]
        words = [struct.pack("<f", value) for value in values]
        return self._runs(words, FIXED32)

    def _ints(self, _: str) -> list[bytes]:
        labels = [self.rng.randrange(50) for _ in range(self.rng.choice((0, 1, 2, 3, 3, 4, 60)))]
        if self.rng.random() < 0.03:
            labels.append(self.rng.choice((-1, 50, 1 << 40, 1 << 63)))
        return self._runs([varint(label, self.rng.randrange(9) if self._rarely() else 0) for label in labels], VARINT)

    def _runs(self, words: list[bytes], wire_type: int) -> list[bytes]:
        """Return values packed; or, now and then, in several packs and one by one in between."""
        if self.rng.random() < 0.6:
            return [chunk(1, b"".join(words))]
        out = []
        while words:
            size = self.rng.randint(1, len(words))
            run, words = words[:size], words[size:]
            out += [chunk(1, b"".join(run))] if self.rng.random() < 0.5 else [tag(1, wire_type) + word for word in run]
        return out


class OddSequences(OddExamples):
    """An endless source of payloads of records of frames: rated segments in a few, frames of the same odd shapes."""

    def __init__(self, seed: int, rgb_bytes: int, audio_bytes: int) -> None:
        super().__init__(seed, 2, 2)
        self.sizes = {"rgb": rgb_bytes, "audio": audio_bytes}
        self.rated = 0

    def sequence(self) -> bytes:
        self.rated = self.rng.choice((0, 0, 1, 3, 3, 26))
        keys = [
            "id",
            "labels",
            *(SEGMENT_KEYS if self.rated else ()),
            *self.rng.choices(KEYS, k=self.rng.choice((0, 1))),
        ]
        lists = ["rgb", "audio", *self.rng.choices(("rgb", "audio", "other", ""), k=self.rng.choice((0, 0, 0, 1)))]
        frames = self.rng.choice((1, 2, 5, 5, 5, 8, 0))
        for names in (keys, lists):
            if self.rng.random() < 0.05:
                names.remove(self.rng.choice(names))
            self.rng.shuffle(names)
        context = self._map(1, [chunk(1, self._entry(key)) for key in keys])
        found = self._map(2, [chunk(1, self._frames_entry(key, frames)) for key in lists])
        parts = found + context if self._rarely() else context + found
        return self._mixed(parts, 2)

    def _frames_entry(self, key: str, frames: int) -> bytes:
        count = max(0, frames + (self.rng.choice((-1, 1)) if self.rng.random() < 0.04 else 0))
        features = [chunk(1, self._frame(self.sizes.get(key, 2))) for _ in range(count)]
        cut = self.rng.randrange(count + 1) if self._rarely() else 0  # protobuf merges the two lists
        values = [chunk(2, self._mixed(some, 1)) for some in ((features[:cut], features[cut:]) if cut else (features,))]
        name = chunk(1, key.encode())
        return self._mixed([*values, name] if self._rarely() else [name, *values], 2)

    def _frame(self, size: int) -> bytes:
        if self.rng.random() < 0.97:
            return chunk(1, chunk(1, self.rng.randbytes(size)))
        if self.rng.random() < 0.5:  # in another shape that means the same
            plain = self._mixed([chunk(1, self.rng.randbytes(size))], 1)
            return self._mixed([chunk(self.rng.choice((2, 3)), b""), chunk(1, plain)], 3)
        values = [
            self.rng.randbytes(self.rng.choice((0, 1, size, size + 1))) for _ in range(self.rng.choice((0, 1, 1, 2)))
        ]
        return chunk(self.rng.choice((1, 1, 1, 2)), b"".join(chunk(1, value) for value in values))

    def _values(self, kind: int, key: str) -> list[bytes]:
        if key not in SEGMENT_KEYS or kind == 1:
            return super()._values(kind, key)
        count = max(0, self.rated + (self.rng.choice((-1, 1)) if self.rng.random() < 0.02 else 0))
        strange = self.rng.random() < 0.02
        if kind == 2:
            values = [float("nan") if strange else self.rng.choice((0.0, 1.0)) for _ in range(count)]
            return [b"".join(self._runs([struct.pack("<f", value) for value in values], FIXED32))]
        first = {"segment_end_times": 305, "segment_labels": 7}.get(key, 0)
        numbers = [self.rng.choice((-1, 50, 1 << 31, 1 << 63)) if strange else first + n for n in range(count)]
        return [b"".join(self._runs([varint(number) for number in numbers], VARINT))]
