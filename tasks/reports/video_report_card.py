"""One video of many → its card on the page of all.

In: what lies in the folder of a video. Out: its title, picture and answers, in short. Does not know HTML.
"""

from dataclasses import dataclass

from tasks.reports.video_report_read import VideoFolder
from tasks.reports.video_time import moment
from tasks.reports.video_words import counted

NAMED = 3  # labels and classes on a card


@dataclass(frozen=True)
class Card:
    """What a card shows; files are named from the folder of all videos."""

    title: str
    page: str
    picture: str | None
    copy: str | None  # a video whose first frame stands where there is no picture
    duration: str | None
    labels: list[tuple[str, float]]
    counts: list[str]


def card_of(found: VideoFolder, page: str) -> Card:
    """Return the card of one video, whose own page has the name `page`."""
    labels, objects, media = found.labels, found.objects, found.video.media
    return Card(
        title=found.video.title,
        page=f"{found.folder.name}/{page}",
        picture=_within(found, _picture(found)),
        copy=_within(found, _copy(found)),
        duration=moment(media.duration_s, media.duration_s) if media.duration_s else None,
        labels=[(label.name, label.score) for label in labels.top[:NAMED]] if labels else [],
        counts=[counted(count, name) for name, count in list(objects.counts.items())[:NAMED]] if objects else [],
    )


def _picture(found: VideoFolder) -> str | None:
    """Return the annotated picture, or the thumbnail of the object that is surest."""
    if not found.objects:
        return None
    if found.video.media.kind == "picture" and found.objects.annotated:
        return found.objects.annotated
    seen = [track for track in found.objects.tracks if track.thumbnail]
    return max(seen, key=lambda track: (track.score, -track.track_id)).thumbnail if seen else None


def _copy(found: VideoFolder) -> str | None:
    labelled = found.labels.annotated_video if found.labels else None
    return (found.objects.annotated if found.objects else None) or labelled


def _within(found: VideoFolder, name: str | None) -> str | None:
    return f"{found.folder.name}/{name}" if name else None
