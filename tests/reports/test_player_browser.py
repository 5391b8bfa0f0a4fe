"""The player in a real browser: the video itself with what was found drawn over it, compared with the table's boxes."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tasks.contracts.errors import ReportError
from tasks.contracts.media import OBJECTS_NAME, FetchedVideo, ObjectsManifest
from tasks.per_video.jobs import show_original
from tasks.reports.video_report import write_comparison, write_report
from tasks.video.config import MediaBounds
from tests.reports.test_video_report_browser import until
from tests.support.browser import COUNT_DRAWN, open_chromium
from tests.support.media import Shape, write_video
from tests.support.reports import HEIGHT, WIDTH, video_record, write_boxes, write_clip, write_labels, write_objects

VIEWPORT = ViewportSize(width=1280, height=900)
NEAR = 40  # by which a drawn colour may differ in a channel: lines are smoothed

Opener = Callable[..., Page]
Table = list[dict[str, Any]]


def fetched(path: Path) -> FetchedVideo:
    """The file as a person named it."""
    return FetchedVideo(
        source=str(path), path=path, sha256="ab" * 32, size_bytes=path.stat().st_size, title="A belt with bottles"
    )


def with_options(folder: Path, made: ObjectsManifest, **options: object) -> ObjectsManifest:
    """Say of objects that they were looked for with these options, and with masks."""
    detector = made.detector.model_copy(update={"has_masks": True})
    manifest = made.model_copy(update={"options": options, "detector": detector})
    (folder / OBJECTS_NAME).write_text(manifest.model_dump_json(), encoding="utf-8")
    return manifest


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a video of 6 s that lies elsewhere: a box of each of five tracks every fifth of a second."""
    out = tmp_path_factory.mktemp("out")
    write_clip(out / "films" / "belt.mp4", blue=90)
    folder = out / "videos" / "belt"
    write_labels(folder)
    made = with_options(folder, write_objects(folder), rate_hz=5.0)
    write_boxes(folder, made, masks=True)
    show_original(fetched(out / "films" / "belt.mp4"), folder, MediaBounds())
    write_report(folder)
    return out


@pytest.fixture(scope="module")
def boxes(out: Path) -> Table:
    """The rows of objects.parquet, as another reader has them."""
    return pq.read_table(out / "videos" / "belt" / "objects.parquet").to_pylist()


@pytest.fixture
def opened(browser: Browser, out: Path) -> Iterator[Opener]:
    """Open a page; at the end, nothing may have been complained of, and nothing asked for beyond the disk."""
    complaints, asked = [], []

    def open_page(folder: str = "belt", mark: str = "", page: str = "index.html") -> Page:
        context = browser.new_context(viewport=VIEWPORT, offline=True)
        context.set_default_timeout(10_000)
        shown = context.new_page()
        shown.on("console", lambda message: complaints.append(f"{message.location['url']}: {message.text}"))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto((out / "videos" / folder / page).as_uri() + mark)
        return shown

    yield open_page
    for context in browser.contexts:
        context.close()
    assert [each for each in complaints if "ERR_FILE_NOT_FOUND" not in each or "gone" not in each] == []
    assert [url for url in asked if not url.startswith("file:")] == []


def ready(page: Page) -> Page:
    until(page, "document.getElementById('player').readyState >= 2 && !document.getElementById('player').seeking")
    page.evaluate("document.getElementById('player').controls = false")  # which lie over the picture while it is paused
    page.wait_for_timeout(200)  # until the picture of that time is on the screen
    return page


def draw_only(page: Page, *names: str) -> None:
    for box in page.locator("#drawn input[type=checkbox]:not([name=class])").all():
        box.set_checked(box.get_attribute("name") in names)


def pixels(page: Page, screen: int = 0) -> np.ndarray:
    """What is seen of the picture, (H, W, 3)."""
    content = page.locator(".frame").nth(screen).screenshot()
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int16)


def is_of(seen: np.ndarray, colour: str) -> np.ndarray:
    return np.all(np.abs(seen - np.array(list(bytes.fromhex(colour[1:])), np.int16)) < NEAR, axis=-1)


def sides_of(seen: np.ndarray, colour: str) -> list[float] | None:
    """Where the outermost pixels of a colour are, in pixels of the video."""
    rows, columns = np.nonzero(is_of(seen, colour))
    if not len(rows):
        return None
    x, y = WIDTH / seen.shape[1], HEIGHT / seen.shape[0]
    return [columns.min() * x, rows.min() * y, (columns.max() + 1) * x, (rows.max() + 1) * y]


def expected(boxes: Table, time_s: float) -> dict[int, list[float]]:
    """The boxes of each track at a time: those of the table, and between two of them the way from one to the other."""
    sides = ("x_min", "y_min", "x_max", "y_max")
    found = {}
    for number in sorted({row["track_id"] for row in boxes}):
        own = {row["time_s"]: [row[side] for side in sides] for row in boxes if row["track_id"] == number}
        if min(own) <= time_s <= max(own):
            found[number] = [
                float(np.interp(time_s, list(own), [box[side] for box in own.values()])) for side in range(4)
            ]
    return found


@pytest.mark.parametrize("time_s", [0.8, 1.3, 3.2, 4.0, 5.1])
def test_the_boxes_on_the_picture_are_those_of_the_table(
    time_s: float, opened: Opener, out: Path, boxes: Table
) -> None:
    """Of frames that were looked at and of those between: what is drawn in a track's colour spans its box."""
    page = ready(opened(mark=f"#t={time_s}"))
    draw_only(page, "boxes")
    manifest = ObjectsManifest.model_validate_json((out / "videos" / "belt" / OBJECTS_NAME).read_bytes())
    seen, wanted = pixels(page), expected(boxes, time_s)
    last = {track.colour: track.track_id for track in manifest.tracks if track.track_id in wanted}
    for track in manifest.tracks:
        if (
            last.get(track.colour) == track.track_id
            and sum(other.colour == track.colour for other in manifest.tracks if other.track_id in wanted) == 1
        ):
            assert sides_of(seen, track.colour) == pytest.approx(wanted[track.track_id], abs=1.0)
        elif track.colour not in last:
            assert sides_of(seen, track.colour) is None


def only(page: Page, number: int) -> None:
    """Let one track alone be drawn."""
    for eye in page.locator(".eye").all():
        if eye.is_visible():
            eye.set_checked(eye.get_attribute("data-track") == f"0 {number}")


def test_a_mask_covers_the_pixels_of_the_table_and_no_others(opened: Opener, boxes: Table) -> None:
    page = ready(opened(mark="#t=1.4"))
    only(page, 1)
    draw_only(page)
    bare = pixels(page)
    draw_only(page, "masks")
    masked = np.abs(pixels(page) - bare).max(axis=-1) > 20
    rows, columns = np.nonzero(masked)
    scale = masked.shape[1] / WIDTH
    centre, area = (columns.mean() / scale, rows.mean() / scale), masked.sum() / scale**2
    assert centre == pytest.approx((41.5, 40.5), abs=0.6)  # the disc of `write_boxes`: around (41, 40), radius 9
    assert area == pytest.approx(np.pi * 9**2, rel=0.08)


def test_the_picture_follows_toggles_of_class_and_track_and_the_score(opened: Opener, boxes: Table) -> None:
    page = ready(opened(mark="#t=2.0"))
    draw_only(page, "boxes")
    cup, bottle = "#3cb44b", "#e6194b"

    def drawn() -> list[bool]:
        seen = pixels(page)
        return [sides_of(seen, colour) is not None for colour in (cup, bottle)]

    assert drawn() == [True, True]
    page.get_by_role("group", name="Classes").get_by_label("cup").uncheck()
    assert drawn() == [False, True]
    page.get_by_role("button", name="None").click()
    assert drawn() == [False, False]
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("checkbox", name="Draw cup 1").uncheck()
    assert drawn() == [False, True]
    page.get_by_role("checkbox", name="Draw cup 1").check()
    page.get_by_role("slider", name="Score from").fill("0.53")  # the boxes of second 2.0 have .520
    assert drawn() == [False, False]
    expect(page.locator("#least-said")).to_have_text("0.53")
    page.get_by_role("slider", name="Score from").fill("0.52")
    assert drawn() == [True, True]


def test_labels_are_written_while_they_hold(opened: Opener) -> None:
    page = ready(opened(mark="#t=3.0"))
    draw_only(page)
    bare = pixels(page)
    draw_only(page, "labels")
    with_label = np.argwhere(np.abs(pixels(page) - bare).max(axis=-1) > 40)
    top, left = with_label.min(axis=0) / bare.shape[:2]
    assert top < 0.1
    assert left > 0.5
    until(page, "!document.getElementById('drawn').querySelector('[name=boxes]').checked")


def test_keys_play_and_seek_wherever_the_focus_is(opened: Opener) -> None:
    page = ready(opened())
    time = "document.getElementById('player').currentTime"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(time) == pytest.approx(0.5, abs=0.01)
    page.keyboard.press(".")
    assert page.evaluate(time) == pytest.approx(0.6, abs=0.02)
    page.keyboard.press(",")
    assert page.evaluate(time) == pytest.approx(0.5, abs=0.02)
    page.keyboard.press(" ")
    until(page, f"!document.getElementById('player').paused && {time} > .7")
    page.keyboard.press(" ")
    until(page, "document.getElementById('player').paused")
    page.locator("#player").focus()
    at_s = page.evaluate(time)
    page.keyboard.press("ArrowRight")  # which a player would take for ten seconds
    assert page.evaluate(time) == pytest.approx(at_s + 0.5, abs=0.02)
    page.get_by_role("checkbox", name="Boxes").focus()
    page.keyboard.press(" ")  # which is the checkbox's
    expect(page.get_by_role("checkbox", name="Boxes")).not_to_be_checked()
    assert page.evaluate("document.getElementById('player').paused")


def test_boxes_follow_the_video_while_it_plays(opened: Opener) -> None:
    """Drawn anew with each picture of the video: ten a second here."""
    page = ready(opened())
    page.evaluate(COUNT_DRAWN)
    page.evaluate("document.getElementById('player').play()")
    until(page, "document.getElementById('player').currentTime > 2")
    assert page.evaluate("drawn / document.getElementById('player').currentTime") >= 8


def test_tables_follow_and_leave_a_reader_alone(opened: Opener) -> None:
    page = ready(opened())
    page.get_by_text("Labels as tables").click()
    held = page.get_by_role("table", name="Where each label holds")
    page.evaluate("document.querySelectorAll('.wide').forEach(box => { box.style.maxHeight = '4.5rem'; })")
    page.locator("#slider").press("End")
    expect(held.locator("tr[aria-current=true]")).to_contain_text("banana")
    row, around = held.locator("tr.on").bounding_box(), held.locator("xpath=..").bounding_box()
    assert row
    assert around
    assert around["y"] - 1 <= row["y"] <= around["y"] + around["height"] - row["height"] + 1
    page.locator(".as-table .follow input").first.uncheck()
    page.locator("#slider").press("Home")
    expect(held.locator("tr.on")).to_contain_text("espresso")
    assert held.locator("xpath=..").evaluate("box => box.scrollTop") > 0


def test_the_filmstrip_shows_the_video_and_looks_closer(opened: Opener) -> None:
    """The light bar of the clip goes from left to right, and so it does on the strip."""
    page = ready(opened())
    film = page.locator("#film")
    strip = np.asarray(Image.open(io.BytesIO(film.screenshot())).convert("L"), np.int16)[4:-4]
    box = film.bounding_box()
    assert box
    tiles = np.array_split(strip, round(box["width"] / (box["height"] * WIDTH / HEIGHT)), axis=1)
    places = [tile.max(axis=0).argmax() / tile.shape[1] for tile in tiles[1:]]  # the cursor covers the first
    assert places == sorted(places)
    assert (places[0], places[-1]) == (pytest.approx(0.25, abs=0.15), pytest.approx(0.85, abs=0.15))
    page.locator("#slider").press("PageUp")
    page.keyboard.press("+")
    expect(page.locator("#stretch")).to_have_text("3.0 s of 6.0 s")
    film.click(position={"x": box["width"] / 2, "y": 10})
    assert page.evaluate("document.getElementById('player').currentTime") == pytest.approx(1.8, abs=0.05)
    page.get_by_role("button", name="Filmstrip: show more").click()
    expect(page.get_by_role("button", name="Filmstrip: show more")).to_be_disabled()


def test_the_copies_are_not_drawn_on_twice(opened: Opener) -> None:
    page = ready(opened(mark="#t=2.0"))
    draw_only(page, "boxes")
    page.locator(".switch").get_by_text("Objects").click()
    until(page, "document.getElementById('player').currentSrc.endsWith('/detected.mp4')")
    ready(page)
    assert sides_of(pixels(page), "#3cb44b") is None
    page.locator(".switch").get_by_text("Original").click()
    until(page, "document.getElementById('player').currentSrc.endsWith('/original.mp4')")
    until(page, "Math.abs(document.getElementById('player').currentTime - 2) < .05")
    assert sides_of(pixels(ready(page)), "#3cb44b") is not None


def written(out: Path, name: str, film: Path, *, annotate: bool = True) -> Path:
    folder = out / "videos" / name
    write_boxes(folder, write_objects(folder, annotate=annotate))
    show_original(fetched(film), folder, MediaBounds())
    write_report(folder)
    return folder


def test_two_results_of_a_video_play_side_by_side(out: Path, opened: Opener) -> None:
    """The first one's boxes on the first screen, the other's on the second, which goes along; both are told of."""
    belt, other = out / "videos" / "belt", out / "others" / "belt"
    write_labels(other)
    made = write_objects(other, annotate=False)
    cup = made.tracks[1].model_copy(update={"best_box": (100.0, 20.0, 140.0, 60.0), "start_s": 0.0})
    made = with_options(other, made.model_copy(update={"tracks": (cup,), "counts": {"cup": 1}}), rate_hz=5.0)
    table = write_boxes(other, made)
    assert write_comparison(belt, other) == belt / "beside.html"
    page = ready(opened("belt", page="beside.html", mark="#t=2.0"))
    draw_only(page, "boxes")
    for screen, wanted in ((0, expected(pq.read_table(belt / "objects.parquet").to_pylist(), 2.0)[1]),
                           (1, expected(table.to_pylist(), 2.0)[1])):  # fmt: skip
        assert sides_of(pixels(page, screen), "#3cb44b") == pytest.approx(wanted, abs=1.5)
    moment = page.get_by_role("region", name="At this moment, side by side")
    expect(moment.locator("strong")).to_have_text(
        ["cooking/3", "cooking/3 (others)", "yolox-nano", "yolox-nano (others)"]
    )
    expect(moment.locator("ol").nth(2)).to_have_text("bottle \u00d7 1cup \u00d7 1")
    expect(moment.locator("ol").nth(3)).to_have_text("cup \u00d7 1")
    expect(page.get_by_role("heading", name="Objects over time, by yolox-nano (others)")).to_be_visible()
    page.get_by_role("heading", level=1).click()
    page.keyboard.press(" ")
    until(page, "[...document.querySelectorAll('video')].every(video => !video.paused && video.currentTime > 2.5)")
    page.keyboard.press(" ")
    until(page, "new Set([...document.querySelectorAll('video')].map(video => video.currentTime)).size === 1")


def test_results_of_other_videos_are_not_compared(out: Path, tmp_path: Path) -> None:
    write_labels(tmp_path / "cat", video_record(sha256="cd" * 32), annotate=False)
    with pytest.raises(ReportError, match="is of another video than"):
        write_comparison(out / "videos" / "belt", tmp_path / "cat")


def test_where_the_file_is_gone_a_copy_is_shown_and_the_page_says_so(out: Path, opened: Opener) -> None:
    write_clip(out / "films" / "gone.mp4", blue=20)
    written(out, "gone", out / "films" / "gone.mp4")
    (out / "films" / "gone.mp4").unlink()
    page = opened("gone")
    expect(page.get_by_role("status").first).to_contain_text("Original (h264) does not play here: the file is gone")
    expect(page.get_by_role("status").first).to_contain_text("Objects is shown instead.")
    until(page, "document.getElementById('player').currentSrc.endsWith('/detected.mp4')")
    expect(page.get_by_role("radio", name="Objects")).to_be_checked()


def test_what_no_browser_decodes_is_shown_as_its_filmstrip_with_boxes(out: Path, opened: Opener) -> None:
    images = [np.full((HEIGHT, WIDTH, 3), 200, np.uint8) for _ in range(60)]
    film = write_video(out / "films" / "odd.mkv", images, codec="ffv1")
    written(out, "odd", film, annotate=False)
    page = opened("odd", mark="#t=2.0")
    expect(page.get_by_role("status").first).to_contain_text("Pictures of the filmstrip stand in for it")
    draw_only(page, "boxes")
    seen = pixels(page)
    assert sides_of(seen, "#3cb44b") is not None
    assert np.median(seen) == pytest.approx(200, abs=6)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#now")).to_contain_text("2.5 s")


@pytest.mark.parametrize(
    ("name", "stored", "size"),
    [
        pytest.param("turned", {"rotation_deg": 90}, (HEIGHT, WIDTH), id="turned by 90 degrees"),
        pytest.param("wide", {"shape": Shape(aspect=Fraction(2))}, (2 * WIDTH, HEIGHT), id="pixels twice as wide"),
    ],
)
def test_boxes_lie_where_the_thing_is_seen_whatever_the_file_stores(
    name: str, stored: dict[str, Any], size: tuple[int, int], out: Path, opened: Opener
) -> None:
    """A light patch at a known place of what is shown, and the box of a track around it."""
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[20:50, 100:140] = 220
    film = write_video(out / "films" / f"{name}.mp4", [image] * 60, **stored)
    shown = np.rot90(image) if name == "turned" else np.repeat(image, 2, axis=1)
    rows, columns = np.nonzero(shown[:, :, 0] > 100)
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    media = video_record().media.model_copy(update={"width": size[0], "height": size[1]})
    folder = out / "videos" / name
    made = write_objects(folder, video_record(media=media), annotate=False, tracks=1)
    track = made.tracks[0].model_copy(update={"best_box": box, "start_s": 0.0, "end_s": 0.0})
    write_boxes(folder, made.model_copy(update={"tracks": (track,)}))
    show_original(fetched(film), folder, MediaBounds())
    write_report(folder)
    page = ready(opened(name))
    draw_only(page, "boxes")
    seen = pixels(page)
    assert seen.shape[1] / seen.shape[0] == pytest.approx(size[0] / size[1], rel=0.02)
    left, top, right, bottom = (round(side * seen.shape[1] / size[0]) for side in box)
    assert seen[top + 6 : bottom - 6, left + 6 : right - 6].min() > 180  # light up to the box ...
    around = seen[max(top - 20, 0) : bottom + 20, max(left - 20, 0) : right + 20].min(axis=-1) > 180
    assert around.sum() <= (right - left + 4) * (bottom - top + 4)  # ... and not beyond it
    assert is_of(seen, track.colour)[top:bottom, left - 3 : left + 3].any(axis=1).mean() > 0.95
