"""Pages in Chromium: a video of ten minutes with 160 tracks and 18,000 boxes, and the index of 1,000 videos."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from playwright.sync_api import Browser, Page
from skimage import data

from tasks.contracts.media import OBJECTS_NAME, OBJECTS_TABLE_NAME, POSTER_NAME, FetchedVideo, ObjectTrack
from tasks.detection.boxes import pack_mask
from tasks.detection.table import OBJECTS
from tasks.per_video.jobs import show_original
from tasks.reports.video_report import refresh_index, write_index, write_report
from tasks.video.config import MediaBounds
from tasks.video.drawing import colour_of, hex_of
from tasks.video.writing import open_writer
from tests.support.browser import COUNT_DRAWN, open_chromium
from tests.support.reports import video_record, write_labels, write_objects

WIDTH, HEIGHT, RATE_HZ, LOOKS_HZ = 1280, 720, 30, 10
LENGTH_S, TRACKS, BOXES = 600, 160, 18_000
VIDEOS = int(os.environ.get("PAGE_VIDEOS", "1000"))
PLAYED_S = 10
MOST_PAGE_MB, MOST_INDEX_MB, MOST_PAINT_S, LEAST_HZ = 15, 5, 1.0, 30
WORDS = ("harbour", "kitchen", "market", "garden", "station", "bakery", "river", "workshop", "street", "orchard")
# From a key to the picture that shows the answer: the second frame after it.
TIME_KEYS = """() => {
    window.taken_ms = [];
    document.getElementById("query").addEventListener("keydown", (event) => requestAnimationFrame(() =>
        requestAnimationFrame((now_ms) => window.taken_ms.push(now_ms - event.timeStamp))));
}"""


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield what was measured."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_chromium("--autoplay-policy=no-user-gesture-required") as browser,
    ):
        video = write_video(Path(folder) / "film.mp4")
        for what, with_masks in (("boxes", False), ("boxes and as many masks", True)):
            page = Path(folder) / what.replace(" ", "-")
            written_s = write_results(page, video, with_masks=with_masks)
            yield from of_page(browser, page, f"10 minutes, {TRACKS} tracks, {BOXES:,} {what}", written_s)
        yield from of_index(browser, Path(folder) / "index")


def of_page(browser: Browser, folder: Path, what: str, written_s: float) -> Iterator[tuple[str, str, str]]:
    """Yield what the page of a video takes."""
    size_mb = sum(path.stat().st_size for path in page_files(folder)) / 1e6
    own_mb = (folder / "index.html").stat().st_size / 1e6
    said = f"{size_mb:.1f} MB, {own_mb:.1f} MB of it the page, written in {written_s:.1f} s"
    yield f"{what}: beside the video", said, f"{MOST_PAGE_MB} MB"
    page = opened(browser, folder / "index.html")
    yield f"{what}: first paint", f"{paint_s(page):.2f} s", f"{MOST_PAINT_S:.0f} s"
    page.wait_for_timeout(2000)
    page.evaluate(COUNT_DRAWN)
    page.evaluate("document.getElementById('player').play()")
    page.wait_for_timeout(1000)
    before, shown_before = page.evaluate("drawn"), shown(page)
    page.wait_for_timeout(1000 * PLAYED_S)
    drawn_hz, shown_hz = (page.evaluate("drawn") - before) / PLAYED_S, (shown(page) - shown_before) / PLAYED_S
    said = f"{drawn_hz:.1f} a second, of {shown_hz:.1f} frames of the video"
    yield f"{what}: overlay drawn while it plays", said, f"{LEAST_HZ} a second"
    page.context.close()


def shown(page: Page) -> int:
    """Return how many frames of the video were shown so far."""
    return page.evaluate(
        "(({totalVideoFrames, droppedVideoFrames}) => totalVideoFrames - droppedVideoFrames)"
        "(document.getElementById('player').getVideoPlaybackQuality())"
    )


def of_index(browser: Browser, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield what the index of many videos takes."""
    write_many(folder)
    started_s = time.monotonic()
    refresh_index(folder)
    refreshed_s = time.monotonic() - started_s
    posters_mb = sum(path.stat().st_size for path in folder.glob(f"*/{POSTER_NAME}")) / 1e6
    own_mb = (folder / "index.html").stat().st_size / 1e6
    said = f"{own_mb + posters_mb:.1f} MB, {own_mb:.1f} MB of it the page; brought up to date in {refreshed_s:.1f} s"
    yield f"index of {VIDEOS:,} videos, posters included", said, f"{MOST_INDEX_MB} MB"
    page = opened(browser, folder / "index.html")
    yield "index: first paint", f"{paint_s(page):.2f} s", "-"
    page.evaluate(TIME_KEYS)
    page.keyboard.press("/")
    for word in ("kitchen", "espresso"):
        page.keyboard.type(word, delay=120)
        page.wait_for_timeout(200)
        page.keyboard.press("Control+a")
    taken_ms = page.evaluate("taken_ms")
    yield "index: from a key to the list", f"{median(taken_ms):.0f} ms, at most {max(taken_ms):.0f} ms", "while typing"
    page.context.close()


def opened(browser: Browser, path: Path) -> Page:
    """Open a page in a context of its own, which has nothing in its cache."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
    page.goto(path.as_uri())
    return page


def paint_s(page: Page) -> float:
    """Return when something of the page was first seen."""
    page.wait_for_timeout(500)
    return page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000


def page_files(folder: Path) -> Iterator[Path]:
    """Yield the files that a page loads, the video left out."""
    yield folder / "index.html"
    yield from (path for path in folder.rglob("*") if path.suffix in {".jpg", ".webp"})


def write_video(path: Path) -> Path:
    """Write ten minutes of a picture that moves."""
    whole = np.asarray(Image.fromarray(data.coffee()).resize((WIDTH + 300, HEIGHT + 10)), np.uint8)
    with open_writer(path, width=WIDTH, height=HEIGHT, frame_rate=RATE_HZ, sound_of=None) as writer:
        for number in range(LENGTH_S * RATE_HZ):
            left = abs(number % 600 - 300)
            writer.write(np.ascontiguousarray(whole[:HEIGHT, left : left + WIDTH]), number / RATE_HZ)
    return path


def write_results(folder: Path, video: Path, *, with_masks: bool) -> float:
    """Write objects and labels of that video, and its page; return how many seconds the page took."""
    media = video_record().media.model_copy(
        update={"width": WIDTH, "height": HEIGHT, "frame_rate": RATE_HZ, "duration_s": float(LENGTH_S)}
    )
    record = video_record(media=media)
    made = write_objects(folder, record, tracks=TRACKS, annotate=False)
    each = BOXES // TRACKS
    found = [(number, first) for number, first in enumerate(np.linspace(0, LENGTH_S - each / LOOKS_HZ, TRACKS))]
    table = [row for number, start_s in found for row in boxes_of(number, round(start_s * LOOKS_HZ), each, with_masks)]
    table.sort(key=lambda row: (row["frame"], row["track_id"]))
    tracks = [track_of(made.tracks[number], start_s, each) for number, start_s in found]
    detector = made.detector.model_copy(update={"has_masks": with_masks})
    update = {"tracks": tuple(tracks), "detector": detector, "options": {"rate_hz": LOOKS_HZ}, "boxes": len(table)}
    (folder / OBJECTS_NAME).write_text(made.model_copy(update=update).model_dump_json(), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(table, schema=OBJECTS), folder / OBJECTS_TABLE_NAME)
    write_labels(folder, record, annotate=False, seconds=LENGTH_S)
    fetched = FetchedVideo(source="film.mp4", path=video, sha256="ab" * 32, size_bytes=1, title="A film")
    show_original(fetched, folder, MediaBounds())
    started_s = time.monotonic()
    write_report(folder)
    return time.monotonic() - started_s


def track_of(track: ObjectTrack, start_s: float, boxes: int) -> ObjectTrack:
    """Return the track of some boxes from a time on."""
    end_s = start_s + boxes / LOOKS_HZ
    colour = hex_of(colour_of(track.track_id))
    update = {"start_s": start_s, "end_s": end_s, "best_time_s": start_s + 1, "boxes": boxes, "colour": colour}
    return track.model_copy(update=update)


def boxes_of(number: int, first: int, count: int, with_masks: bool) -> Iterator[dict[str, object]]:
    """Yield boxes that move slowly over the picture."""
    for step in range(count):
        left, top = 40 + (97 * number + 3 * step) % 900, 40 + (53 * number + 2 * step) % 400
        wide, high = 80 + number % 160, 100 + number % 140
        yield {
            "frame": (first + step) * RATE_HZ // LOOKS_HZ,
            "time_s": (first + step) / LOOKS_HZ,
            "track_id": number,
            "class_id": number % 4,
            "class_name": "thing",
            "score": 0.3 + 0.69 * (step % 100) / 100,
            "x_min": left,
            "y_min": top,
            "x_max": left + wide,
            "y_max": top + high,
            "mask": pack_mask(blob(left, top, wide, high, number + step)) if with_masks else None,
            "carried": False,
        }


def blob(left: int, top: int, wide: int, high: int, turn: int) -> np.ndarray:
    """Return a mask with a wavy edge within a box."""
    rows, columns = np.mgrid[:high, :wide]
    y, x = (rows - high / 2) / (high / 2), (columns - wide / 2) / (wide / 2)
    within = np.hypot(x, y) < 0.85 + 0.12 * np.sin(7 * np.arctan2(y, x) + turn)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top : top + high, left : left + wide] = within
    return mask


def write_many(folder: Path) -> None:
    """Write results of many videos, each with a poster of a part of a real picture, and their index."""
    pictures = [Image.fromarray(each) for each in (data.coffee(), data.astronaut(), data.chelsea(), data.rocket())]
    for number in range(VIDEOS):
        place = folder / f"video-{number:04d}"
        record = video_record(
            title=f"{WORDS[number % 10]} {WORDS[number // 10 % 10]} {number}", sha256=f"{number:064x}"
        )
        write_labels(place, record, annotate=False)
        write_objects(place, record, annotate=False, thumbnails=False, tracks=1 + number % 12)
        picture = pictures[number % 4]
        left, top = number % 40 * 2, number % 60
        cut = picture.crop((left, top, left + 320, top + 180)).resize((256, 144))
        cut.save(place / POSTER_NAME, quality=55)
    write_index(folder)
