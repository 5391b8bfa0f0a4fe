"""Pickles of arrays, whole, damaged and malicious."""

import os
import pickle
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.errors import WeightsError
from tasks.detection import unpickler
from tasks.detection.unpickler import PickledArray, read_arrays

ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "big-endian": np.arange(6, dtype=">f8").reshape(3, 2),
    "int64": np.array([1, -2], np.int64),
    "uint8": np.frombuffer(bytes(range(256)), np.uint8),
    "bool": np.array([True, False]),
    "no-sides": np.array(3.5, np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
}


def written(folder: Path, content: bytes) -> Path:
    path = folder / "weights.pkl"
    path.write_bytes(content)
    return path


def arrays_of(found: Any) -> dict[str, np.ndarray]:
    assert all(isinstance(value, PickledArray) for value in found.values())
    return {name: value.array for name, value in found.items()}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_from_every_protocol(tmp_path: Path, protocol: int) -> None:
    found = arrays_of(read_arrays(written(tmp_path, pickle.dumps(ARRAYS, protocol))))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_numbers_texts_and_folders_of_them_come_back(tmp_path: Path) -> None:
    given = {
        "model": {},
        "author": "é",
        "is": True,
        "none": None,
        "list": [1, 2.5, -3],
        "tuple": (1, 2, 3, 4),
        "n": 2**70,
    }
    assert read_arrays(written(tmp_path, pickle.dumps(given))) == given


def test_the_same_array_twice_is_one_array(tmp_path: Path) -> None:
    array = np.ones(3, np.float32)
    found = read_arrays(written(tmp_path, pickle.dumps({"a": array, "b": array})))
    assert found["a"] is found["b"]


def test_a_number_of_numpy_comes_back(tmp_path: Path) -> None:
    assert read_arrays(written(tmp_path, pickle.dumps({"a": np.float32(1.5)}))) == {"a": 1.5}


def test_an_ordered_dict_with_attributes_of_pytorch_comes_back(tmp_path: Path) -> None:
    state = OrderedDict(weight=np.ones(2, np.float32))
    state._metadata = OrderedDict({"": {"version": 1}})  # pyright: ignore[reportAttributeAccessIssue]
    found = arrays_of(read_arrays(written(tmp_path, pickle.dumps(state, 2))))
    np.testing.assert_array_equal(found["weight"], state["weight"])


def test_an_array_of_python_2_comes_back(tmp_path: Path) -> None:
    """Python 2 wrote the bytes of an array as a text of bytes."""
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01K\x02\x85cnumpy\ndtype\n"
        b"(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08\x00\x00\x80\x3f\x00\x00\x00\xc0tb."
    )
    np.testing.assert_array_equal(read_arrays(written(tmp_path, content)).array, [1.0, -2.0])


class Does:
    """Something that a pickle calls when it is opened."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.called, self.arguments


class State:
    """An array whose state is something else."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        return np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


def runs(command: str) -> dict[str, Any]:
    """Return everything that runs a command when Python's own unpickler opens it."""
    import subprocess

    from numpy.testing._private.utils import runstring

    system, code = Does(os.system, command), f"__import__('os').system({command!r})"
    return {
        "os.system": system,
        "subprocess.Popen": Does(subprocess.Popen, ["sh", "-c", command]),
        "builtins.eval": Does(eval, code),
        "builtins.exec": Does(exec, code),
        "builtins.getattr": Does(getattr, "", "join"),
        "numpy.testing._private.utils.runstring": Does(runstring, code, {}),
        "nested in a model": {"model": {"weight": [np.ones(2), (system,)]}},
        "in an array of objects": np.array([system], object),
        "in the state of an array": State((1, (1,), np.dtype("f4"), False, system)),
        "in the type of an array": State((1, (1,), system, False, b"1234")),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", list(runs("")))
def test_a_malicious_pickle_is_refused_by_what_it_asks_for(tmp_path: Path, name: str, protocol: int) -> None:
    canary = tmp_path / "canary"
    path = written(tmp_path, pickle.dumps(runs(f"touch {canary}")[name], protocol))
    asked = (
        r"'(posix|subprocess|commands|builtins|__builtin__)\.\w+'|'numpy\.testing\._private\.utils\.runstring'|'O8?'"
    )
    with pytest.raises(WeightsError, match=rf"no checkpoint of arrays: .*({asked}).*None of it was run"):
        read_arrays(path)
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """The malice above is real: Python's own unpickler runs it."""
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(runs(f"touch {canary}")["os.system"]))
    assert canary.exists()


LIST = b"\x80\x02("  # a list of what follows, up to `l.`
ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
STARTED = ARRAY + b"cnumpy\nndarray\nK\x00\x85X\x01\x00\x00\x00b\x87R(K\x01"
FLOATS = b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R"
TEXT = b"X\x40\x00\x00\x00" + b"a" * 64 + b"q\x01"
ENCODED = b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R"
OTHERWISE = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00idna\x86R."
MALICE = {
    "inst": (b"(ios\nsystem\n.", r"the instruction INST with 'os system'"),
    "newobj": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", r"the instruction NEWOBJ"),
    "extension": (b"\x80\x02\x82\x01.", r"the instruction EXT1"),
    "persistent": (b"Pos.system\n.", r"the instruction PERSID with 'os.system'"),
    "persistent-binary": (b"\x80\x02K\x01Q.", r"the instruction BINPERSID"),
    "calls-a-number": (b"\x80\x02K\x01)R.", r"it calls a int"),
    "attributes": (ARRAY + b"}b.", r"it sets the attributes of a Name"),
    "fills-a-number": (b"\x80\x02K\x01(K\x01e.", r"it fills a int as if it were a list"),
    "number-for-key": (b"\x80\x02}(K\x01K\x01u.", r"a key in it is no text"),
    "key-that-overflows-the-stack": (b"\x80\x02}()" + b"\x85" * 300_000 + b"K\x01u.", r"a key in it is no text"),
    "key-that-hashes-for-ever": (b"\x80\x02}()" + b"q\x01h\x01\x86" * 60 + b"K\x01u.", r"a key in it is no text"),
    "instructions": (b"\x80\x02" + b"N" * 1_000_001 + b".", r"over 1,000,000 instructions"),
    "memory": (STARTED + b"J\x00\xca\x9a\x3b\x85" + FLOATS + b"\x89)tb.", r"an array made of a tuple"),
    "larger-than-the-file": (
        STARTED + b"J\x00\xca\x9a\x3b\x85" + FLOATS + b"\x89C\x00tb.",
        r"4,000,000,000 bytes, with 0",
    ),
    "side-below-zero": (STARTED + b"J\xff\xff\xff\xff\x85" + FLOATS + b"\x89C\x00tb.", r"whose shape is not valid"),
    "copies": (LIST + TEXT + ENCODED * 50 + b"l.", r"it makes more bytes than it has"),
    "encoding": (OTHERWISE, r"it encodes 'a' in 'idna'"),
}


@pytest.mark.parametrize(("content", "message"), MALICE.values(), ids=MALICE)
def test_malice_made_by_hand_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=rf"^\S+weights.pkl is no checkpoint of arrays: .*{message}"):
        read_arrays(written(tmp_path, content))


@pytest.mark.parametrize("code", ["O", "V8", "U4", "M8[s]", "c8", "f4,f4", "(9,9)f4", "f16"])
def test_only_numbers_are_admitted(tmp_path: Path, code: str) -> None:
    content = pickle.dumps(np.dtype("f4"), 2).replace(
        b"X\x02\x00\x00\x00f4", b"X" + len(code).to_bytes(4, "little") + code.encode()
    )
    with pytest.raises(WeightsError, match=r"it holds an array of '.*', and only numbers are let in"):
        read_arrays(written(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>Not found</html>", id="page"),
        pytest.param(b"PK\x03\x04" + bytes(100), id="zip"),
        pytest.param(b"\x80\x02.", id="nothing-on-the-stack"),
        pytest.param(b"\x80\x02u.", id="no-mark"),
        pytest.param(b"\x80\x02h\x05.", id="no-memory"),
        pytest.param(b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", id="bytes-beyond-the-end"),
    ],
)
def test_what_is_no_pickle_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(
        WeightsError, match=r"weights.pkl is no (whole pickle|checkpoint) of arrays.*reelsift weights fetch"
    ):
        read_arrays(written(tmp_path, content))


def test_a_pickle_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps({"model": {"weight": ARRAYS["float32"]}, "__author__": "someone"}, 4)
    for end in range(len(content)):
        with pytest.raises(WeightsError, match="no whole pickle of arrays"):
            read_arrays(written(tmp_path, content[:end]))


def test_a_pickle_with_any_byte_wrong_is_read_or_refused(tmp_path: Path) -> None:
    """Nothing but `WeightsError` comes out, whatever is in the file."""
    content = pickle.dumps({"model": {"weight": ARRAYS["int64"]}, "__author__": "someone"}, 2)
    random = np.random.default_rng(0)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] = random.integers(256)
        with suppress(WeightsError):
            read_arrays(written(tmp_path, bytes(changed)))


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickler, "LARGEST_FILE_BYTES", 10)
    with pytest.raises(WeightsError, match=r"it has 11 bytes, over 10"):
        read_arrays(written(tmp_path, bytes(11)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.pkl").mkdir()
    with pytest.raises(WeightsError, match=r"weights.pkl cannot be read \(Is a directory\)"):
        read_arrays(tmp_path / "weights.pkl")
