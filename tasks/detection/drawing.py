"""The boxes drawn into the picture: masks, outlines and names, in the colour of each track.

In: a moment and the tracks so far. Out: pixels changed in place. Does not know where the picture goes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.detection.boxes import NO_TRACK, Moment
from tasks.detection.detector import Picture
from tasks.detection.packed_masks import unpack_mask
from tasks.detection.stories import Stories
from tasks.video.drawing import colour_of, draw_box, draw_mask

MASK_OPACITY = 0.45


@dataclass(frozen=True)
class Label:
    """One box to draw."""

    box: NDArray[np.float32]  # x_min, y_min, x_max, y_max
    colour: tuple[int, int, int]
    text: str
    mask: str | None  # packed


def labels_of(
    moment: Moment, stories: Stories, class_names: tuple[str, ...], *, is_followed: bool, is_picture: bool
) -> list[Label]:
    """Return what to draw in a moment: the tracks that are sure by now, or every box where nothing is followed.

    A thing of a video is named by its class so far and its number, which does not flicker; one of a picture by its
    class and its score.
    """
    found = moment.boxes
    labels: list[Label] = []
    for place in range(len(found) if found is not None else 0):
        assert found is not None
        key, class_id = int(found.keys[place]), int(found.class_ids[place])
        story = stories.sure(key) if key != NO_TRACK else None
        if story is None and is_followed:
            continue
        number = (story.track_id if story else None) or 0
        class_name = class_names[story.class_id if story else class_id]
        score = f"{float(found.scores[place]):.0%}"
        text = f"{class_name} {number}" if story and not is_picture else f"{class_name} {score}"
        colour = colour_of(number if story else class_id)
        labels.append(Label(found.boxes[place], colour, text, found.masks[place]))
    return labels


def draw(image: Picture, labels: list[Label]) -> None:
    """Draw the labels, those of the largest boxes first, so that small ones stay on top."""
    for label in sorted(labels, key=lambda label: -_area(label.box)):
        if label.mask is not None:
            draw_mask(image, unpack_mask(label.mask), label.colour, MASK_OPACITY)
        left, top, right, bottom = label.box.tolist()
        draw_box(image, (left, top, right, bottom), label.colour, label.text)


def _area(box: NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
