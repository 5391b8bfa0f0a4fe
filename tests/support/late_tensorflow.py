"""TensorFlow for tests, imported where one first asks it for something: the other processes of a run do without."""

from typing import Any

from tasks.features.picture_network import late_tensorflow


class _Late:
    """The module, once something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):  # which pytest asks every name of a module for
            raise AttributeError(name)
        return getattr(late_tensorflow(), name)


tf: Any = _Late()
