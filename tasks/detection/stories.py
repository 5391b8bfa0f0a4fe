"""What is known of each track so far: what it is by the votes of its boxes, since when, and where it is seen best.

In: moments with boxes that have tracks. Out: the tracks that are sure, numbered from 1 in the order in which they
became so. Does not know how tracks are found.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.objects import THUMBNAILS_FOLDER, ObjectTrack
from tasks.detection.boxes import NO_TRACK, Moment
from tasks.video.drawing import colour_of, hex_of

SURE_SCORE = 0.5  # one box as sure as this makes a track
SURE_BOXES = 3  # so do this many weaker ones
DIGITS = 4  # of scores in manifests


@dataclass
class Story:
    """One track so far."""

    start_s: float
    votes: dict[int, float] = field(default_factory=dict)  # class id → sum of scores
    boxes: int = 0
    end_s: float = 0.0
    best_score: float = -1.0
    best_time_s: float = 0.0
    best_box: NDArray[np.float32] = field(default_factory=lambda: np.zeros(4, np.float32))
    track_id: int | None = None  # once it is sure

    @property
    def class_id(self) -> int:
        """The class that its boxes voted for, each with its score."""
        return max(self.votes, key=lambda class_id: (self.votes[class_id], -class_id))

    @property
    def score(self) -> float:
        """The mean of its boxes' scores."""
        return min(1.0, sum(self.votes.values()) / self.boxes)


class Stories:
    """All tracks of a video so far, by key."""

    def __init__(self, class_names: tuple[str, ...], *, sure_at_once: bool = False) -> None:
        """Take every track for sure at its first box, if asked to: a picture has no second one."""
        self._class_names = class_names
        self._sure_at_once = sure_at_once
        self._stories: dict[int, Story] = {}
        self._next_id = 1
        self._most_at_once: Counter[str] = Counter()
        self.boxes = 0

    def add(self, moment: Moment) -> list[int]:
        """Take in the boxes that were detected in a moment; return the places of those that no earlier one betters."""
        found = moment.boxes
        if found is None or found.carried:
            return []
        self.boxes += len(found)
        self._most_at_once |= Counter(self._class_names[class_id] for class_id in found.class_ids)
        return [
            place
            for place, (key, class_id) in enumerate(zip(found.keys.tolist(), found.class_ids.tolist(), strict=True))
            if key != NO_TRACK and self._add(key, class_id, float(found.scores[place]), found.boxes[place], moment)
        ]

    def _add(self, key: int, class_id: int, score: float, box: NDArray[np.float32], moment: Moment) -> bool:
        """Take in one box, and say whether it is the best of its track."""
        time_s = moment.time_s
        story = self._stories.setdefault(key, Story(start_s=time_s))
        story.boxes += 1
        story.votes[class_id] = story.votes.get(class_id, 0.0) + score
        story.end_s = max(time_s, moment.seen_until_s)
        is_best = score > story.best_score
        if is_best:
            story.best_score, story.best_time_s, story.best_box = score, time_s, box.copy()
        if story.track_id is None and self._is_sure(story):
            story.track_id, self._next_id = self._next_id, self._next_id + 1
        return is_best

    def _is_sure(self, story: Story) -> bool:
        return self._sure_at_once or story.best_score >= SURE_SCORE or story.boxes >= SURE_BOXES

    def sure(self, key: int) -> Story | None:
        """Return the track of a key, if it is sure by now."""
        story = self._stories.get(key)
        return story if story and story.track_id is not None else None

    def sure_keys(self) -> dict[int, int]:
        """Return the number of each sure track, by its key."""
        return {key: story.track_id or 0 for key, story in self._stories.items() if story.track_id is not None}

    def tracks(self) -> tuple[ObjectTrack, ...]:
        """Return the sure tracks, by start, then by number."""
        sure = [story for story in self._stories.values() if story.track_id is not None]
        return tuple(map(self._track, sorted(sure, key=lambda story: (story.start_s, story.track_id))))

    def counts(self) -> dict[str, int]:
        """Return the number of tracks of each class, commonest first; without tracks, the most at one moment."""
        tracks = self.tracks()
        counted = Counter(track.class_name for track in tracks) if tracks else self._most_at_once
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))

    def _track(self, story: Story) -> ObjectTrack:
        number = story.track_id or 0
        left, top, right, bottom = (round(float(side), 2) for side in story.best_box)
        return ObjectTrack(
            track_id=number,
            class_id=story.class_id,
            class_name=self._class_names[story.class_id],
            score=round(story.score, DIGITS),
            start_s=story.start_s,
            end_s=story.end_s,
            boxes=story.boxes,
            best_time_s=story.best_time_s,
            best_box=(left, top, right, bottom),
            thumbnail=thumbnail_name(number),
            colour=hex_of(colour_of(number)),
        )


def thumbnail_name(track_id: int) -> str:
    """Return where the picture of a track lies, beside the manifest."""
    return f"{THUMBNAILS_FOLDER}/track-{track_id:04d}.jpg"
