"""Options of detection, the detectors that there are, and the 80 COCO classes of all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from tasks.contracts.errors import DetectorError
from tasks.contracts.model import FrozenModel

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
# The ids in COCO's own files, 1 to 90: classes were planned that no picture has.
WITHOUT_CLASS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
NO_CLASS = -1
PLACE_OF_ID = tuple(
    NO_CLASS if each in WITHOUT_CLASS else each - sum(other <= each for other in WITHOUT_CLASS) for each in range(91)
)  # of each id, among the 80
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


Speed = Literal["normal", "fast", "rapid"]
SPEEDS: tuple[Speed, ...] = get_args(Speed)
AUTO, POINTREND, POINTREND_RESNET101, YOLOX_NANO = "auto", "pointrend", "pointrend-resnet101", "yolox-nano"


@dataclass(frozen=True)
class ShippedDetector:
    """A detector whose weights have an entry in the table, and what its authors published about it."""

    kind: Literal["yolox", "detr", "pointrend", "torchvision"]
    box_ap: float  # COCO's, on val2017, in percent
    # Floating point operations for a frame, a multiplication and an addition being two; None: not published, and many.
    gflops: float | None
    weights: str  # in the table
    has_masks: bool = False
    is_for_auto: bool = True

    @property
    def is_of_torch(self) -> bool:
        """Whether PyTorch runs it, which finds any GPU; else ONNX Runtime does, for which there is another build."""
        return self.kind in {"pointrend", "torchvision"}


# YOLOX: https://github.com/Megvii-BaseDetection/YOLOX/blob/main/README.md. D-FINE: https://github.com/Peterande/D-FINE
# (README.md; n on COCO, the others on Objects365 before). torchvision: the `meta` of its weights, whose `_ops` count a
# multiplication and an addition as one. PointRend: its authors give the AP of masks alone; here is that of the boxes of
# Mask R-CNN with the same backbone, box head and schedule, from detectron2's MODEL_ZOO.md.
SHIPPED: dict[str, ShippedDetector] = {
    YOLOX_NANO: ShippedDetector("yolox", 25.8, 1.08, YOLOX_NANO),
    "yolox-tiny": ShippedDetector("yolox", 32.8, 6.45, "yolox-tiny"),
    "yolox-s": ShippedDetector("yolox", 40.5, 26.8, "yolox-s"),
    "yolox-m": ShippedDetector("yolox", 46.9, 73.8, "yolox-m"),
    "yolox-l": ShippedDetector("yolox", 49.7, 155.6, "yolox-l"),
    "yolox-x": ShippedDetector("yolox", 51.1, 281.9, "yolox-x"),
    "dfine-n": ShippedDetector("detr", 42.8, 7.0, "dfine-n"),
    "dfine-s": ShippedDetector("detr", 50.7, 25.0, "dfine-s"),
    "dfine-x": ShippedDetector("detr", 59.3, 202.0, "dfine-x"),
    "ssdlite": ShippedDetector("torchvision", 21.3, 1.17, "ssdlite"),
    "fcos": ShippedDetector("torchvision", 39.2, 256.4, "fcos"),
    "maskrcnn": ShippedDetector("torchvision", 47.4, 667.2, "maskrcnn", has_masks=True),
    POINTREND: ShippedDetector("pointrend", 41.0, None, "pointrend-resnet50", has_masks=True),
    # A ResNeXt-101: several times the work. As ever, `auto` leaves it to those who name it.
    POINTREND_RESNET101: ShippedDetector(
        "pointrend", 44.3, None, POINTREND_RESNET101, has_masks=True, is_for_auto=False
    ),
}
DETECTORS = (AUTO, *SHIPPED)

CLASS_NAMES = COCO_CLASSES  # the choices of a form


class DetectOptions(FrozenModel):
    """Everything that finding objects can be told, the detector itself left out."""

    rate_hz: float | None = Field(
        default=None, gt=0, le=240, description="frames a second that are looked at; none: every frame of the video"
    )
    every: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="of the frames looked at, detect on every N-th; tracks carry boxes to those between",
    )
    min_score: float | None = Field(
        default=None, ge=0, le=1, description="detections below this score do not count; none: the detector's own bound"
    )
    classes: tuple[str, ...] = Field(
        default=(), max_length=80, description="classes that count, e.g. bottle; none: all 80 of COCO"
    )
    tracks: bool = Field(default=True, description="follow each thing through the video")
    masks: bool = Field(default=True, description="keep the masks of a detector that gives them")
    annotate: bool = Field(default=True, description="write a copy with the boxes drawn, the sound kept")

    @field_validator("classes")
    @classmethod
    def _canonical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Spell the classes as the detectors do, so that an unknown one is refused before anything is fetched."""
        return canonical_classes(names)

    @model_validator(mode="after")
    def _carried_by_tracks(self) -> "DetectOptions":
        if self.every > 1 and not self.tracks:
            raise DetectorError(f"every = {self.every} carries boxes by tracks: leave tracks on, or take every = 1.")
        return self
