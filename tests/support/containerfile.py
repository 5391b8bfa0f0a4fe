"""A Containerfile as the stages that it consists of."""

import json
import re
from dataclasses import dataclass, field

CONTINUED = re.compile(r"\\\n(?:\s*#.*\n)*")


@dataclass(frozen=True)
class Stage:
    """One `FROM ... AS name`, and what follows it."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """Return the arguments of every instruction of a kind."""
        return [arguments for each, arguments in self.instructions if each == keyword]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        return dict(pair.split("=", 1) for arguments in self.all("ENV") for pair in arguments.split())

    @property
    def copied(self) -> list[str]:
        """The paths of the checkout that it takes."""
        lines = [line.split() for line in self.all("COPY") if not line.startswith("--from=")]
        return [source for line in lines for source in line[:-1]]

    @property
    def entrypoint(self) -> list[str]:
        """The words of its ENTRYPOINT."""
        return json.loads(self.all("ENTRYPOINT")[-1])


def read_stages(text: str) -> dict[str, Stage]:
    """Return the stages by name."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for line in CONTINUED.sub(" ", text).splitlines():
        keyword, _, arguments = line.strip().partition(" ")
        if keyword == "FROM":
            base, _, name = arguments.partition(" AS ")
            stage = stages[name] = Stage(name, base)
        elif stage and keyword and not keyword.startswith("#"):
            stage.instructions.append((keyword, arguments.strip()))
    return stages
