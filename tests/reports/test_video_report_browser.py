"""The page in a real browser, from the disk, with the network off."""

import io
import re
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tasks.contracts.text import one_line
from tasks.reports.video_report import write_index, write_report
from tasks.results.exports import export_results, find_result
from tests.reports.test_video_report import HOSTILE
from tests.support.browser import open_chromium
from tests.support.reports import DURATION_S, other_labels, video_record, write_labels, write_objects

PHONE = {"width": 320, "height": 640}
DESKTOP = {"width": 1280, "height": 900}
COLOURS_OF_LABELS = [f"c{number}" for number in range(1, 7)]
ELSEWHERE = "http://127.0.0.1:9/"

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, closed with this module: while it is open, asyncio has a running loop that other tests would meet."""
    with open_chromium("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the folders of a video, a picture, many objects, and a title that means harm; read it only."""
    out = tmp_path_factory.mktemp("out")
    write_labels(out / "belt")
    write_objects(out / "belt")
    write_objects(out / "many", tracks=500)
    write_labels(out / "picture", video_record("picture"))
    write_objects(out / "picture", video_record("picture"))
    write_labels(out / "bare", annotate=False)
    write_labels(out / "several", others=[other_labels("kitchen/1"), other_labels("a-much-longer-name-of-a-model/12")])
    record = video_record(title=HOSTILE + "x" * 200, source="https://example.org/" + "y" * 200)
    write_labels(out / "hostile", record, names=[HOSTILE, "w" * 200])
    write_labels(out / "part", video_record(part={"start_s": 1.0, "end_s": None}))
    write_index(out)
    return out


@pytest.fixture
def opened(browser: Browser, folders: Path) -> Iterator[Opener]:
    """Open a page; at the end, nothing may have been complained of, and nothing asked for beyond the disk."""
    complaints, asked = [], []

    def open_page(name: str = "belt", viewport: dict[str, int] = DESKTOP, mark: str = "", **options: str) -> Page:
        context = browser.new_context(viewport=viewport, offline=True, **options)  # pyright: ignore[reportArgumentType]
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((folders / name / "index.html").as_uri() + mark)
        if page.locator("#player").count():
            until(page, "document.getElementById('player').readyState >= 2")
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith("file:")] == []


def until(page: Page, expression: str, time_limit_s: float = 10) -> None:
    """Wait for an expression to be true; `page.wait_for_function` takes `eval`, which the page forbids."""
    ends_s = time.monotonic() + time_limit_s
    while not page.evaluate(expression):
        assert time.monotonic() < ends_s, f"never true: {expression}"
        page.wait_for_timeout(50)


def player_time(page: Page) -> float:
    return page.evaluate("document.getElementById('player').currentTime")


def cursor_at(page: Page) -> float:
    return float(page.evaluate("document.getElementById('board').style.getPropertyValue('--at')"))


def bar(page: Page, number: int) -> str:
    return f'.bar[aria-label^="bottle {number},"]'


@pytest.mark.parametrize("name", ["belt", "many", "picture", "bare", "several", "hostile", "."])
def test_a_page_opens_from_the_disk_without_complaint_or_network(name: str, opened: Opener) -> None:
    expect(opened(name).get_by_role("heading", level=1)).to_be_visible()


def test_the_video_plays_and_the_cursor_follows(opened: Opener) -> None:
    page = opened()
    page.evaluate("document.getElementById('player').play()")
    until(page, "parseFloat(document.getElementById('board').style.getPropertyValue('--at')) > .05")
    expect(page.locator("#now")).to_contain_text("espresso 0.90")


def test_the_copy_of_a_part_begins_where_the_part_does(opened: Opener) -> None:
    """The axis keeps the video's own time."""
    page = opened("part")
    assert (player_time(page), cursor_at(page)) == (0, pytest.approx(1 / DURATION_S, abs=0.01))
    page.locator("#slider").press("PageUp")  # by a tenth of the video
    assert player_time(page) == pytest.approx(0.6, abs=0.01)
    assert cursor_at(page) == pytest.approx(1.6 / DURATION_S, abs=0.02)
    page.locator("#slider").press("Home")
    assert (player_time(page), cursor_at(page)) == (0, pytest.approx(1 / DURATION_S, abs=0.01))


def test_a_click_on_a_lane_seeks_to_the_time_under_it(opened: Opener) -> None:
    page = opened()
    page.locator(bar(page, 3)).click()  # from 3.0 s to 4.5 s; clicked in its middle
    assert player_time(page) == pytest.approx(3.75, abs=0.1)
    assert cursor_at(page) == pytest.approx(3.75 / DURATION_S, abs=0.02)
    expect(page.locator("#now")).to_contain_text(re.compile(r"^3\.[78] s\s+hotdog 0\.90 · bottle$"))


def test_enter_on_a_lane_seeks_to_its_start_and_the_thumbnail_to_the_best_view(opened: Opener) -> None:
    page = opened()
    page.locator(bar(page, 3)).press("Enter")
    assert player_time(page) == pytest.approx(3.0, abs=0.01)
    page.get_by_role("button", name="bottle 3 0.80, best view at 3.5 s").click()
    assert player_time(page) == pytest.approx(3.5, abs=0.01)


def test_a_click_on_a_curve_seeks(opened: Opener) -> None:
    page = opened()
    plot = page.locator(".score .plot").first
    box = plot.bounding_box()
    assert box
    plot.click(position={"x": box["width"] / 2, "y": 5})
    assert player_time(page) == pytest.approx(DURATION_S / 2, abs=0.05)


def test_the_axis_is_dragged(opened: Opener) -> None:
    page = opened()
    box = page.locator("#slider").bounding_box()
    assert box
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 40, steps=4)
    page.mouse.up()
    assert player_time(page) == pytest.approx(DURATION_S / 3, abs=0.05)


@pytest.mark.parametrize(
    ("keys", "time_s"),
    [
        pytest.param(["ArrowRight"], 0.5, id="a step"),
        pytest.param(["PageUp", "PageUp", "ArrowLeft"], 0.7, id="two large ones and one back"),
        pytest.param(["End"], DURATION_S, id="end"),
        pytest.param(["End", "ArrowRight", "Home"], 0.0, id="home"),
    ],
)
def test_the_axis_obeys_keys(keys: list[str], time_s: float, opened: Opener) -> None:
    page = opened()
    slider = page.get_by_role("slider", name="Time")
    for key in keys:
        slider.press(key)
    assert player_time(page) == pytest.approx(time_s, abs=0.01)
    expect(slider).to_have_attribute("aria-valuetext", re.compile(rf"^{time_s:.1f} s: \w+ 0\.90"))


@pytest.mark.parametrize("is_playing", [True, False], ids=["playing", "paused"])
def test_switching_keeps_the_time_and_goes_on_as_before(is_playing: bool, opened: Opener) -> None:
    page = opened()
    page.locator("#slider").press("ArrowRight")
    page.locator("#slider").press("ArrowRight")
    if is_playing:
        page.evaluate("document.getElementById('player').play()")
    page.locator(".switch").get_by_text("Objects").click()
    until(page, "document.getElementById('player').currentSrc.endsWith('/detected.mp4')")
    until(page, "document.getElementById('player').currentTime >= 1")
    assert 1 <= player_time(page) < 4
    until(page, f"document.getElementById('player').paused === {str(not is_playing).lower()}")
    expect(page.get_by_label("The video with its objects drawn")).to_be_visible()


def test_the_switch_obeys_keys(opened: Opener) -> None:
    page = opened()
    page.get_by_role("radio", name="Labels").focus()
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('player').currentSrc.endsWith('/detected.mp4')")
    expect(page.get_by_role("radio", name="Objects")).to_be_checked()


def test_without_a_player_the_axis_keeps_the_time(opened: Opener) -> None:
    page = opened("bare")
    page.locator("#slider").press("End")
    assert cursor_at(page) == 1
    expect(page.locator("#now")).to_contain_text("6.0 s banana 0.90")


def test_the_focus_shows_what_a_lane_stands_for_until_escape(opened: Opener) -> None:
    page = opened()
    page.get_by_role("button", name="bottle 2 0.80, best view").focus()
    page.keyboard.press("Tab")
    expect(page.locator(bar(page, 2))).to_be_focused()
    card = page.get_by_role("tooltip")
    expect(card).to_contain_text("bottle 2, 2.0 s to 3.5 s, score 0.80")
    expect(card).to_contain_text("17 boxes, best at 2.5 s")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_pointing_at_a_lane_shows_it_too(opened: Opener) -> None:
    page = opened()
    page.locator(bar(page, 4)).hover()
    expect(page.get_by_role("tooltip")).to_contain_text("bottle 4")
    page.get_by_role("heading", level=1).hover()
    expect(page.get_by_role("tooltip")).to_be_hidden()


def test_five_hundred_lanes_unfold_in_two_steps(opened: Opener) -> None:
    page = opened("many")
    lanes = page.locator(".lane").locator("visible=true")
    expect(lanes).to_have_count(0)
    page.get_by_text("313 bottles", exact=True).click()
    expect(lanes).to_have_count(25)
    page.get_by_text("Show 288 more").click()
    expect(lanes).to_have_count(313)
    page.get_by_role("button", name="bottle 499 0.80, best view").click()
    assert player_time(page) == pytest.approx(5.99, abs=0.2)
    expect(page.locator("#player")).to_be_in_viewport()


def test_models_stand_below_one_axis_and_a_label_has_one_colour(opened: Opener) -> None:
    page = opened("several")
    expect(page.get_by_role("list", name="Models").get_by_role("listitem")).to_have_count(3)
    for heading in ("cooking/3", "kitchen/1", "a-much-longer-name-of-a-model/12"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    rows = page.locator(".row.score")
    looks = rows.evaluate_all(
        """rows => rows.map(row => [
            row.querySelector('.name').textContent,
            getComputedStyle(row).getPropertyValue('--c'),
            getComputedStyle(row.querySelector('path')).strokeDasharray,
            row.querySelector('.plot').getBoundingClientRect().left,
        ])"""
    )
    assert [len(looks), len({left for *_, left in looks})] == [9, 1]
    assert len({(name, colour) for name, colour, *_ in looks}) == len({name for name, *_ in looks}) == 3
    assert len({dashes for _, _, dashes, _ in looks}) == 3
    page.locator("#slider").press("End")
    expect(page.locator("#now")).to_contain_text("cooking/3: banana 0.90 · kitchen/1: espresso 0.80 · a-much")
    expect(rows.nth(3).locator(".at")).to_have_text("0.80")
    page.get_by_text("Labels as tables").click()
    held = page.get_by_role("table", name="Where each label holds, by kitchen/1")
    expect(held.get_by_role("row").nth(1)).to_have_text(re.compile(r"0\.0 s\s*1\.0 s\s*banana\s*0\.800"))


def test_a_thing_on_a_picture_is_marked_where_it_is(opened: Opener) -> None:
    page = opened("picture")
    page.get_by_role("button", name="cup 1 0.80, show where").click()
    mark, picture = page.locator("#mark").bounding_box(), page.locator("#picture").bounding_box()
    assert mark
    assert picture
    assert (mark["x"] - picture["x"]) / picture["width"] == pytest.approx(11 / 160, abs=0.03)
    assert mark["height"] / picture["height"] == pytest.approx(60 / 90, abs=0.05)


@pytest.mark.parametrize("name", ["belt", "many", "picture", "several", "hostile", "."])
def test_nothing_is_wider_than_a_phone(name: str, opened: Opener) -> None:
    page = opened(name, PHONE)
    for fold in page.locator("summary").all():
        if fold.is_visible():
            fold.click()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_the_tables_say_what_the_charts_show(opened: Opener) -> None:
    page = opened()
    for name in ("Labels as tables", "Objects as a table"):
        page.get_by_text(name).click()
    held = page.get_by_role("table", name="Where each label holds")
    expect(held.get_by_role("row").nth(2)).to_have_text(re.compile(r"2\.0 s\s*4\.0 s\s*hotdog\s*0\.900"))
    held.get_by_role("button", name="4.0 s").click()
    assert player_time(page) == pytest.approx(4.0, abs=0.01)
    expect(page.get_by_role("table", name="Objects").get_by_role("row")).to_have_count(6)


@pytest.mark.parametrize("name", ["belt", "picture", "several", "."])
def test_a_screen_reader_meets_names_and_landmarks(name: str, opened: Opener) -> None:
    page = opened(name)
    spoken = page.locator("html").aria_snapshot()
    assert [landmark for landmark in ("- banner", "- main", "- contentinfo") if landmark not in spoken] == []
    assert re.findall(r"^\s*- (?:button|link|slider|radio|table|img)(?::.*)?$", spoken, re.MULTILINE) == []
    levels = [int(level) for level in re.findall(r"heading .*\[level=(\d)\]", spoken)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_screen_reader_hears_the_answer_and_each_lane(opened: Opener) -> None:
    spoken = opened().locator("html").aria_snapshot()
    for words in ('heading "A belt with bottles" [level=1]', "4 bottles, from 0.0 s to 5.5 s", 'slider "Time"',
                  'radio "Labels" [checked]', 'button "bottle 2, 2.0 s to 3.5 s, score 0.80"'):  # fmt: skip
        assert words in spoken


def luminance(colour: str) -> float:
    """Relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [each / 255 for each in bytes.fromhex(digits)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_have_the_contrast_that_wcag_aa_asks_for(scheme: str, opened: Opener) -> None:
    page = opened(color_scheme=scheme)
    script = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    names = ["ground", "fill", "raised", "ink", "quiet", "accent", "warn", "warn-ground", *COLOURS_OF_LABELS]
    colours = {name: page.evaluate(script, f"--{name}") for name in names}
    text = [("ink", "ground"), ("ink", "fill"), ("ink", "raised"), ("quiet", "ground"), ("quiet", "fill")]
    text += [("accent", "ground"), ("ground", "accent"), ("accent", "fill"), ("warn", "warn-ground")]
    assert {pair: ratio for pair in text if (ratio := contrast(*(colours[name] for name in pair))) < 4.5} == {}
    assert {
        name: ratio for name in COLOURS_OF_LABELS if (ratio := contrast(colours[name], colours["ground"])) < 3
    } == {}
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb({}, {}, {})".format(*bytes.fromhex(colours["ground"][1:]))
    assert (luminance(colours["ground"]) < 0.2) == (scheme == "dark")


def test_where_motion_is_unwelcome_nothing_glides(opened: Opener) -> None:
    page = opened(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('.bar'), '::before').transitionDuration") == "0s"


def test_on_paper_everything_is_unfolded(opened: Opener) -> None:
    page = opened()
    page.emulate_media(media="print")
    expect(page.get_by_role("table", name="Objects")).to_be_visible()
    expect(page.locator(".switch")).to_be_hidden()


def test_a_hostile_title_is_text_and_the_page_works_on(opened: Opener) -> None:
    page = opened("hostile")
    expect(page.get_by_role("heading", level=1)).to_contain_text("</title></script><script>alert(1)</script><img")
    page.locator("#slider").press("End")
    expect(page.locator("#now")).to_contain_text("6.0 s")
    assert page.evaluate("document.images.length") == 0


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(f"Object.assign(new Image(), {{src: '{ELSEWHERE}'}})", id="picture"),
        pytest.param("append(Object.assign(document.createElement('script'), {text: 'ran = 1'}))", id="script"),
        pytest.param(f"fetch('{ELSEWHERE}').catch(() => {{}})", id="fetch"),
        pytest.param(f"append(Object.assign(document.createElement('iframe'), {{src: '{ELSEWHERE}'}}))", id="frame"),
    ],
)
def test_the_policy_lets_nothing_else_run_or_out(attempt: str, browser: Browser, folders: Path) -> None:
    page = browser.new_page()
    page.goto((folders / "belt" / "index.html").as_uri())
    attempt = attempt.replace("append(", "document.body.append(")
    refused = f"""new Promise(resolve => {{
        document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));
        {attempt}; setTimeout(() => resolve('nothing'), 3000);
    }})"""
    assert page.evaluate(refused) != "nothing"
    assert page.evaluate("typeof ran") == "undefined"
    page.context.close()


def test_a_card_leads_to_its_video(opened: Opener) -> None:
    page = opened(".")
    page.get_by_role("link", name="A belt with bottles").first.click()
    expect(page.get_by_role("slider", name="Time")).to_be_visible()
    assert Path(page.url.removeprefix("file://")).name == "index.html"


def test_the_page_of_one_answer_has_no_switch(browser: Browser, tmp_path: Path) -> None:
    write_objects(tmp_path)
    page = browser.new_page()
    page.goto(write_report(tmp_path).as_uri())
    expect(page.get_by_role("radio")).to_have_count(0)
    expect(page.locator("#player")).to_have_attribute("src", "detected.mp4")
    page.context.close()


def test_an_address_opens_the_page_at_a_second(opened: Opener) -> None:
    page = opened(mark="#t=4.2")
    until(page, "Math.abs(document.getElementById('player').currentTime - 4.2) < .05")
    assert cursor_at(page) == pytest.approx(4.2 / DURATION_S, abs=0.01)
    page.evaluate("location.hash = '#t=1.5'")
    until(page, "Math.abs(document.getElementById('player').currentTime - 1.5) < .05")
    page.evaluate("location.hash = '#t=<b>'")  # no second: the page stays where it is
    bare = opened("bare", mark="#t=2")  # without a player, the axis is there
    assert cursor_at(bare) == pytest.approx(2 / DURATION_S, abs=0.01)


CUES = """(text) => new Promise((done) => {
  const video = document.createElement("video"), track = document.createElement("track");
  track.src = URL.createObjectURL(new Blob([text], {type: "text/vtt"}));
  track.default = true;
  track.onload = () => done([...track.track.cues].map((cue) => [cue.startTime, cue.endTime, cue.id, cue.text,
    cue.getCueAsHTML().textContent]));
  video.append(track);
  document.body.append(video);
})"""


def test_the_text_track_of_a_browser_reads_webvtt(browser: Browser, folders: Path) -> None:
    """Each cue that was written is there, and markup in a name is text."""
    written = io.StringIO()
    export_results([find_result(str(folders / "hostile"), folders)], "webvtt", stdout=written)
    page = browser.new_page()
    cues = page.evaluate(CUES, written.getvalue())
    page.close()
    assert [(start_s, end_s, name) for start_s, end_s, name, *_ in cues] == [
        (0, 2, "label cooking/3"),
        (2, 4, "label cooking/3"),
    ]
    assert [shown for *_, shown in cues] == [one_line(HOSTILE), "w" * 200]
