"""TensorFlow's own parser, the oracle of the record reader."""

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.features.picture_network import late_tensorflow

Parse = Callable[[bytes], Any]


@pytest.fixture(scope="session")
def parse_example() -> Parse:
    """`tf.train.Example.FromString`; TensorFlow and what it imports warn of their own affairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        late_tensorflow()  # in its turn: PyTorch's parts cannot be loaded after it
        from tensorflow.core.example import example_pb2
    return example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue] - made at run time


@pytest.fixture(scope="session")
def parse_entries(parse_whole: Callable[[str], Parse]) -> Parse:
    """The same, but that an entry of the map with a field unknown to it counts."""
    example = parse_whole("tensorflow.Example")

    def parse(payload: bytes) -> Any:
        return SimpleNamespace(features=SimpleNamespace(feature=_entries(example(payload).features.feature)))

    return parse


@pytest.fixture(scope="session")
def parse_sequence(parse_whole: Callable[[str], Parse]) -> Callable[[bytes], tuple[dict[str, Any], dict[str, Any]]]:
    """What the context and the lists of a SequenceExample hold, by their keys."""
    sequence = parse_whole("tensorflow.SequenceExample")

    def parse(payload: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
        message = sequence(payload)
        return _entries(message.context.feature), _entries(message.feature_lists.feature_list)

    return parse


def _entries(found: Any) -> dict[str, Any]:
    return {entry.key: entry.value for entry in found}


@pytest.fixture(scope="session")
def parse_whole(parse_example: Parse) -> Callable[[str], Parse]:
    """Parsers by the names of messages, which declare maps as what they are on the wire.

    That is a repeated message, of which the last one with a key wins. protobuf's Python parser forgets entries with an
    unknown field, which its C++ parser keeps.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    example = type(parse_example(b"")).DESCRIPTOR
    for source in (example.fields_by_name["features"].message_type.file, example.file):
        file = descriptor_pb2.FileDescriptorProto()
        source.CopyToProto(file)
        for message in file.message_type:
            for nested in message.nested_type:
                nested.ClearField("options")
        pool.Add(file)

    def parser(name: str) -> Parse:
        whole: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        return whole.FromString

    return parser
