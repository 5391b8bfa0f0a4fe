"""TensorFlow's own parser, the oracle of the record reader."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def parse_example() -> Callable[[bytes], Any]:
    """`tf.train.Example.FromString`; TensorFlow and what it imports warn of their own affairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow.core.example import example_pb2
    return example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue] - made at run time
