"""Plain English: phrases that an engineer of this field would not write are in no source, page or message."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PHRASES = (
    r"is there already",
    r"\banew\b",
    r"to be told",
    r"obody is there",
    r"\b[Mm]end(s|ed)? (that|it|what)",
    r"\bbe had\b",
    r"who asks\b",
    r"the hard way",
    r"as far ahead as back",
    r"is at fault",
    r"somebody is",
    r"\b_?[Pp]ulses?\b",
    r"whole or not at all",
    r"drawn cop(y|ies)",
    r"[Dd]oes not know",
    r"^(\"\"\")?In: ",
)
FILES = [
    ROOT / "README.md",
    *sorted(
        path
        for top in ("reelsift", "conf", "flows", "tasks", "deployments", "docs")
        for kind in ("*.py", "*.md", "*.yaml", "*.toml")
        for path in (ROOT / top).rglob(kind)
    ),
]


@pytest.mark.parametrize("phrase", PHRASES)
def test_no_file_has_the_phrase(phrase: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(phrase, line)
    ]
    assert not found, "\n".join(found)
