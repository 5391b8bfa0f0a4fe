"""The folder of a video: found by a person, escaped from by nothing."""

import re
from pathlib import Path

import pytest

from tasks.contracts.media import FetchedVideo
from tasks.video.sources import folder_name


def named(title: str) -> str:
    return folder_name(
        FetchedVideo(source="s", path=Path("v"), sha256="0123456789abcdef" * 4, size_bytes=1, title=title)
    )


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        pytest.param("Cooking with Bottles!", "cooking-with-bottles", id="plain"),
        pytest.param("Crème brûlée — à la façon", "creme-brulee-a-la-facon", id="accents"),
        pytest.param("../../../etc/passwd", "etc-passwd", id="traversal"),
        pytest.param("..", "video", id="dots"),
        pytest.param("", "video", id="empty"),
        pytest.param("料理", "video", id="no-latin"),
        pytest.param("a\0b\nc\x1b[31md", "ab-cd", id="control"),
        pytest.param("C:\\Windows\\x", "c-windows-x", id="windows"),
        pytest.param("x" * 500, "x" * 60, id="long"),
        pytest.param("a" * 59 + "  b", "a" * 59, id="cut-at-a-dash"),
        pytest.param("-rf *", "rf", id="option"),
    ],
)
def test_a_slug_of_the_title_and_the_digest(title: str, slug: str) -> None:
    assert named(title) == f"{slug}-01234567"
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", named(title))
