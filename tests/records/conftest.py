"""TensorFlow's own parser, the oracle of the record reader."""

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

Parse = Callable[[bytes], Any]


@pytest.fixture(scope="session")
def parse_example() -> Parse:
    """`tf.train.Example.FromString`; TensorFlow and what it imports warn of their own affairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow.core.example import example_pb2
    return example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue] - made at run time


@pytest.fixture(scope="session")
def parse_entries(parse_example: Parse) -> Parse:
    """The same, but that an entry of the map with a field unknown to it counts.

    protobuf's Python parser forgets such entries, which its C++ parser keeps. Here the map is declared as what it is
    on the wire, a repeated message, of which the last one with a key wins.
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
    whole: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName(example.full_name))

    def parse(payload: bytes) -> Any:
        features = {entry.key: entry.value for entry in whole.FromString(payload).features.feature}
        return SimpleNamespace(features=SimpleNamespace(feature=features))

    return parse
