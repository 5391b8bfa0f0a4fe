"""The names of ImageNet's thousand classes, as torchvision's weight metadata has them.

In: the installed torchvision. Out: 1,000 names in the order of the network's outputs. Does not import torchvision.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tasks.contracts.errors import WeightsError

CLASSES = 1000
PLACE = ("models", "_meta.py")  # below torchvision; what `EfficientNet_B0_Weights.DEFAULT.meta["categories"]` names
LIST_NAME = "_IMAGENET_CATEGORIES"


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names, out of torchvision's source: importing torchvision takes 4.5 s, reading that file 3 ms.

    Raises:
        WeightsError: there is no torchvision, or it does not keep a thousand names there.
    """
    found = find_spec("torchvision")
    source = Path(found.origin).parent.joinpath(*PLACE) if found and found.origin else None
    names = _names_in(source) if source and source.is_file() else ()
    if len(names) != CLASSES:
        raise WeightsError(
            f"{source or 'torchvision'} has {len(names)} names of ImageNet's classes under {LIST_NAME}, not {CLASSES}: "
            "install the torchvision that requirements.lock names."
        )
    return names


def _names_in(source: Path) -> tuple[str, ...]:
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List() as value) if name == LIST_NAME:
                return tuple(ast.literal_eval(value))
    return ()
