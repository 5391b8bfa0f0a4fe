"""The tables and figures of `docs/study.md`, put in the place of those before."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from tasks.classifier.config import ModelKind
from tasks.reports.figures import BLUE, FAINT, GREEN, INK, MUTED, ORANGE, PALETTE, dress, new_figure, save_png
from tests.benchmarks.study.clips import Interval, Quality
from tests.benchmarks.study.cost import Cost
from tests.benchmarks.study.delay import Found, Joined
from tests.benchmarks.study.frames import Said
from tests.benchmarks.study.order import USES_ORDER, Order

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "study.md"
COLOURS = 64  # of a figure
LANE = 0.72  # height of a lane, of the distance between two


def write_table(name: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Put a table into the page, in the place of the one of that name."""
    table = "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *lines))
    between = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    text = PAGE.read_text(encoding="utf-8")
    filled, count = between.subn(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", text)
    assert count == 1, f"the page has {count} places for {name}"
    PAGE.write_text(filled, encoding="utf-8")


def write_quality(orders: Sequence[Order], qualities: Sequence[Quality]) -> None:
    """Write the tables of order and of clips, and the figure of both."""
    heads = ("model", "clips: GAP", "over `mean`", "top 1", "over `mean`")
    lines = [
        (f"`{each.kind}`", f"{each.gap:.3f}", shown(each.gap_over_mean), f"{each.top1:.3f}", shown(each.top1_over_mean))
        for each in qualities
    ]
    write_table("clips", heads, lines)
    write_table(
        "order",
        ("model", "right", "must be"),
        [
            (f"`{each.kind}`", f"{each.accuracy:.1%}", "over 95 %" if each.kind in USES_ORDER else "50 %")
            for each in orders
        ],
    )
    figure = new_figure(9.6, 3.8)
    left, right = figure.subplots(1, 2)
    dress(left, "Order alone", "share of videos whose direction is right; 50 % is chance")
    names = [str(each.kind) for each in orders][::-1]
    colours = [BLUE if each.kind in USES_ORDER else MUTED for each in orders][::-1]
    left.barh(names, [each.accuracy for each in orders][::-1], color=colours, height=0.6)
    left.axvline(0.5, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    left.set_xlim(0, 1)
    dress(right, "100 real clips", "gain in GAP over the mean of the frames; 95 % intervals")
    draw_gains(right, [each for each in qualities if each.kind != ModelKind.MEAN])
    save_small(figure, DOCS / "study-quality.png")


def save_small(figure: Figure, path: Path) -> None:
    """Write a figure in 64 colours, a third of the bytes."""
    save_png(figure, path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS)
    small.save(path, optimize=True)


def shown(found: Interval, unit: str = "") -> str:
    """Show a gain with its interval."""
    return f"{found.value:+.3f}{unit} [{found.low:+.3f}, {found.high:+.3f}]"


def draw_gains(axes: Axes, qualities: Sequence[Quality]) -> None:
    """Draw each model's gain with its interval."""
    for row, each in enumerate(reversed(qualities)):
        gain = each.gap_over_mean
        colour = MUTED if gain.low <= 0 <= gain.high else GREEN if gain.value > 0 else ORANGE
        axes.plot((gain.low, gain.high), (row, row), color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot(gain.value, row, marker="o", color=colour, markersize=6)
    axes.axvline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_yticks(range(len(qualities)), [str(each.kind) for each in reversed(qualities)])


def write_delay(name: str, found: Sequence[tuple[str, Found]]) -> None:
    """Write the table of ways that look ahead, or of those that do not."""
    heads = ("way", "best label right", "edges late by", "edges off by", "a right label holds", "a wrong one")
    write_table(
        name,
        heads,
        [
            (
                way,
                f"{np.mean(each.best_is_right):.0%}",
                seconds(each.late_s(), "+"),
                seconds(each.off_s()),
                f"{np.mean(each.right):.0%}",
                f"{np.mean(each.wrong):.0%}",
            )
            for way, each in found
        ],
    )


def seconds(found: Interval, sign: str = "") -> str:
    """Show seconds with their interval."""
    return f"{found.value:{sign}.1f} s [{found.low:{sign}.1f}, {found.high:{sign}.1f}]"


def draw_delay(video: Joined, lanes: Sequence[tuple[str, np.ndarray]]) -> None:
    """Draw what is shown, and below it the best label of each moment (T,), as an index of `video.names`."""
    figure = new_figure(9.6, 1.4 + 0.36 * (len(lanes) + 1))
    axes = dress(figure.subplots(), "The best label of each second", "clips joined end to end", x="seconds")
    colours = dict(zip(video.names, PALETTE, strict=False))
    top = len(lanes)
    for stretch in video.stretches:
        width = stretch.end_s - stretch.start_s
        axes.barh(top, width, left=stretch.start_s, height=LANE, color=colours[stretch.name])
    for before, after in pairwise(video.stretches):
        assert before.end_s == after.start_s
        axes.axvline(after.start_s, color=INK, linewidth=0.6, linestyle=(0, (4, 3)), zorder=3)
    edges_s = np.append(video.times_s, video.end_s)
    for row, (_, best) in enumerate(lanes):
        y = top - 1 - row
        axes.barh(
            np.full(len(best), y),
            np.diff(edges_s),
            left=edges_s[:-1],
            height=LANE,
            color=[colours[video.names[n]] for n in best],
        )
    axes.set_yticks(range(top + 1), ["what is shown", *(name for name, _ in lanes)][::-1])
    axes.grid(visible=False)
    axes.set_xlim(0, video.end_s)
    handles = [axes.bar(0, 0, color=colour) for colour in colours.values()]
    axes.legend(
        handles, colours, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=len(colours), frameon=False, fontsize=8
    )
    save_small(figure, DOCS / "study-delay.png")


def write_frames(said: Sequence[Said], whole: Sequence[tuple[ModelKind, int, float]]) -> None:
    """Write the tables of the real frame-level video, and draw its score over time."""
    write_table(
        "frames",
        ("way", "`Food` holds", "segments of all labels", "best label changes", "score comes later by"),
        [
            (each.name, f"{each.held_s:.0f} s", str(each.segments), f"{each.changes} times", f"{each.lag_s} s")
            for each in said
        ],
    )
    write_table(
        "whole",
        ("model", "place of `Food`", "score"),
        [(f"`{kind}`", str(place), f"{score:.3f}") for kind, place, score in whole],
    )
    figure = new_figure(9.6, 3.6)
    axes = dress(figure.subplots(), "Food, second by second", "video SjJ3 of YouTube-8M", x="seconds", y="score")
    drawn = (
        ("no mean (K = 1)", FAINT, 3.0),
        ("mean, K = 5", BLUE, 1.8),
        ("mean, K = 15, causal", ORANGE, 1.8),
        ("attention, 5 s", GREEN, 1.8),
    )
    curves = {each.name: each.food for each in said}
    for name, colour, width in drawn:
        axes.plot(curves[name], color="#c3c8d1" if colour == FAINT else colour, linewidth=width, label=name)
    axes.set(ylim=(0, 1.02), xlim=(0, len(said[0].food) - 1))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, labelcolor=INK)
    save_small(figure, DOCS / "study-frames.png")


def write_costs(found: Sequence[Cost]) -> None:
    """Write what each model costs."""
    write_table(
        "cost",
        ("model", "weights", "learns from", "peak memory", "60 clips learnt in", "a moment, live"),
        [
            (
                f"`{each.kind}`",
                f"{each.parameters / 1e6:.2f} M",
                f"{each.videos_per_s:,.0f} videos/s",
                f"{each.peak_mb:,.0f} MB",
                f"{each.clips_s:.1f} s",
                f"{each.moment_ms:.2f} ms",
            )
            for each in found
        ],
    )
