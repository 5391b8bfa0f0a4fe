"""What a result says over time in the formats of other tools: WebVTT, YouTube's chapters, Video Intelligence."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tasks.contracts.errors import ExportError
from tasks.contracts.media import LabelsManifest, ObjectsManifest
from tasks.contracts.text import one_line
from tasks.reports.words import length_s
from tasks.results.boxes import NO_TRACK, Box, ExportedResult, boxes_of

MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # of WebVTT's cues
SHORTEST_CUE_S = 0.001  # a cue ends after it begins


def refuse_picture(found: ExportedResult, what: str) -> None:
    """Refuse what has no time.

    Raises:
        ExportError: it is a picture.
    """
    if found.video.media.kind == "picture":
        raise ExportError(f"{found.name} is a picture, which has no {what}: take csv or coco.")


def webvtt(found: ExportedResult) -> Iterator[str]:
    """Yield a WebVTT file with a cue for each segment of a label and for each track of an object, by their starts.

    https://www.w3.org/TR/webvtt1/; the identifier of a cue tells what it is, e.g. `label imagenet` or `track 7`.
    """
    refuse_picture(found, "cues")
    cues = []
    for model, answer in found.labels.by_model.items() if found.labels else ():
        cues += [(each.start_s, each.end_s, f"label {model}", each.name) for each in answer.segments]
    for track in found.objects.tracks if found.objects else ():
        cues.append((track.start_s, track.end_s, f"track {track.track_id}", track.class_name))
    yield "WEBVTT\n"
    for start_s, end_s, name, text in sorted(cues, key=lambda cue: cue[:2]):
        until_s = max(end_s, start_s + SHORTEST_CUE_S)
        identifier = one_line(name).replace("-->", "")
        yield f"\n{identifier}\n{_cue_time(start_s)} --> {_cue_time(until_s)}\n{one_line(text).translate(MARKUP)}\n"


def _cue_time(time_s: float) -> str:
    seconds, thousandths = divmod(round(time_s * 1000), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"


SHORTEST_CHAPTER_S, FEWEST_CHAPTERS = 10, 3
HOUR_S = 3600


def chapters(found: ExportedResult) -> Iterator[str]:
    """Yield chapters as the description of a video on YouTube has them: a line for each label that leads for a while.

    YouTube takes three or more, each of ten seconds or longer, the first at 0:00
    (https://support.google.com/youtube/answer/9884579): what is shorter joins its longer neighbour.

    Raises:
        ExportError: there are too few.
    """
    refuse_picture(found, "chapters")
    if found.labels is None:
        raise ExportError(f"{found.name} has objects and no labels, which chapters are made of: `reelsift label`.")
    whole_s = length_s(found.labels, None)
    starts = _chapters(found.labels, whole_s)
    if len(starts) < FEWEST_CHAPTERS:
        raise ExportError(
            f"The labels of {found.name} make {len(starts)} {'chapter' if len(starts) == 1 else 'chapters'} of "
            f"{SHORTEST_CHAPTER_S} s or more, and YouTube takes {FEWEST_CHAPTERS} at least: webvtt has every label."
        )
    for start_s, name in starts:
        hours, minutes = start_s // HOUR_S, start_s // 60 % 60
        clock = f"{hours}:{minutes:02}:{start_s % 60:02}" if hours else f"{minutes}:{start_s % 60:02}"
        # YouTube takes no description with angle brackets.
        yield f"{clock} {one_line(name).replace('<', '(').replace('>', ')')}\n"


def _chapters(labels: LabelsManifest, whole_s: float) -> list[tuple[int, str]]:
    """Return the chapters of one model's labels by their starts in whole seconds, none too short."""
    edges = sorted({0.0, *(edge for each in labels.segments for edge in (each.start_s, each.end_s)), whole_s})
    leading: list[tuple[int, str]] = []
    for start_s, end_s in pairwise(edges):
        held = [each for each in labels.segments if each.start_s <= start_s and end_s <= each.end_s]
        if held:  # where no label holds, the chapter before goes on
            leading.append((int(start_s), max(held, key=lambda each: (each.score, -each.label_id)).name))
    found = _joined(leading)
    while len(found) > 1:
        ends = [*(start_s for start_s, _ in found[1:]), int(whole_s)]
        lengths = [end_s - start_s for (start_s, _), end_s in zip(found, ends, strict=True)]
        shortest = min(range(len(found)), key=lambda place: lengths[place])
        if lengths[shortest] >= SHORTEST_CHAPTER_S:
            break
        before, after = shortest - 1, shortest + 1
        is_before_longer = after == len(found) or (before >= 0 and lengths[before] >= lengths[after])
        if not is_before_longer:  # the one after begins sooner
            found[after] = (found[shortest][0], found[after][1])
        del found[shortest]
        found = _joined(found)
    return found


def _joined(chapters: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Join neighbours of one name; the first begins with the video."""
    found: list[tuple[int, str]] = []
    for start_s, name in chapters:
        if not found or found[-1][1] != name:
            found.append((start_s if found else 0, name))
    return found


def google_video_intelligence(found: ExportedResult) -> Iterator[str]:
    """Yield an `AnnotateVideoResponse` of Google's Video Intelligence API, as JSON.

    Labels of the whole video are its segment labels, segments of labels its shot labels, and tracks its objects; shots
    are there where they were asked for with the labels. Of several models, the labels are those of the first. https://cloud.google.com/video-intelligence/docs/reference/rest/v1/videos
    """
    refuse_picture(found, "segments")
    video = found.video
    start_s = video.part.start_s if video.part else 0.0
    whole = _segment(start_s, start_s + (video.length_s or length_s(found.labels, found.objects)))
    result: dict[str, Any] = {"inputUri": video.address or video.source, "segment": whole}
    if found.labels:
        result["segmentLabelAnnotations"] = [
            _label(each.name, [{"segment": whole, "confidence": each.score}]) for each in found.labels.top
        ]
        result["shotLabelAnnotations"] = list(_shot_labels(found.labels))
    if found.labels and found.labels.shots:
        result["shotAnnotations"] = [_segment(each.start_s, each.end_s) for each in found.labels.shots.shots]
    if found.objects:
        result["objectAnnotations"] = list(_objects(found, found.objects))
    yield json.dumps({"annotationResults": [result]}, ensure_ascii=False)
    yield "\n"


def _shot_labels(labels: LabelsManifest) -> Iterator[dict[str, Any]]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for each in labels.segments:
        said = {"segment": _segment(each.start_s, each.end_s), "confidence": each.score}
        by_name.setdefault(each.name, []).append(said)
    yield from (_label(name, segments) for name, segments in by_name.items())


def _label(name: str, segments: list[dict[str, Any]]) -> dict[str, Any]:
    return {"entity": _entity(name), "segments": segments}


def _objects(found: ExportedResult, manifest: ObjectsManifest) -> Iterator[dict[str, Any]]:
    """Yield each track with its boxes, and each box that has none."""
    tracks = {each.track_id: each for each in manifest.tracks}
    boxes: dict[int, list[Box]] = {}
    for box in boxes_of(found):
        if box.track_id in tracks:
            boxes.setdefault(box.track_id, []).append(box)
        elif box.track_id == NO_TRACK:
            yield _object(box.class_name, box.score, _segment(box.time_s, box.time_s), [_frame(found, box)])
    for number, track in tracks.items():
        frames = [_frame(found, box) for box in boxes.get(number, ())]
        yield _object(track.class_name, track.score, _segment(track.start_s, track.end_s), frames)


def _object(name: str, score: float, segment: dict[str, str], frames: list[dict[str, Any]]) -> dict[str, Any]:
    return {"entity": _entity(name), "confidence": score, "segment": segment, "frames": frames}


def _frame(found: ExportedResult, box: Box) -> dict[str, Any]:
    sides = dict(zip(("left", "top", "right", "bottom"), box.within(found.video.media), strict=True))
    return {"normalizedBoundingBox": sides, "timeOffset": _offset(box.time_s)}


def _entity(name: str) -> dict[str, str]:
    return {"description": name, "languageCode": "en-US"}


def _segment(start_s: float, end_s: float) -> dict[str, str]:
    return {"startTimeOffset": _offset(start_s), "endTimeOffset": _offset(end_s)}


def _offset(time_s: float) -> str:
    """Return a `google.protobuf.Duration` as JSON has it, to the microsecond."""
    return f"{time_s:.6f}".rstrip("0").rstrip(".") + "s"
