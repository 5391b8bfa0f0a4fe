"""The 80 classes of COCO, which both detectors know.

In: names as people write them. Out: names as PixelLib spells them. Does not know which detector finds them.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from tasks.contracts.errors import DetectorError

# In the order of the detectors' outputs, spelled as in PixelLib 0.7.1 (pixellib/torchbackend/instance/__init__.py).
COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair dryer", "toothbrush",
)  # fmt: skip
# Darknet's spelling of the same, where it differs by more than spaces.
ALIASES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "tvmonitor": "tv",
    "hairdrier": "hair dryer",
}
NEAREST = 3


def canonical_class(name: str) -> str:
    """Return the class that `name` means, whatever its case and spaces; darknet's names are understood too.

    Raises:
        DetectorError: no class has that name; the message holds the nearest.
    """
    key = _squeezed(name)
    known = {_squeezed(each): each for each in COCO_CLASSES} | ALIASES
    if key not in known:
        near = [known[each] for each in get_close_matches(key, known, n=NEAREST)]
        hint = f"the nearest are {', '.join(dict.fromkeys(near))}" if near else f"they are {', '.join(COCO_CLASSES)}"
        raise DetectorError(f"No object class {name!r} among the {len(COCO_CLASSES)} of COCO: {hint}.")
    return known[key]


def canonical_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that `names` mean, each once, in COCO's order, so that equal filters are equal values."""
    return tuple(sorted({canonical_class(name) for name in names}, key=COCO_CLASSES.index))


def _squeezed(name: str) -> str:
    """Leave out what people write in different ways."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
