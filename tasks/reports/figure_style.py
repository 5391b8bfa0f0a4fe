"""How every figure of the reports looks.

In: sizes, titles. Out: matplotlib figures and axes that hold no global state (no pyplot), so that threads
may draw at once. Does not know what is drawn.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.contracts.files import appearing

# Okabe and Ito's colours, told apart with any colour vision: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
INK, MUTED, FAINT = "#1f2430", "#6b7280", "#e5e7eb"
DPI = 144


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")


def dress(axes: Axes, title: str, subtitle: str = "", *, x: str = "", y: str = "") -> Axes:
    """Give the axes a title, a smaller line below it, their labels and the common look."""
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold", pad=22 if subtitle else 8)
    if subtitle:
        above = {"xytext": (0, 8), "textcoords": "offset points", "va": "bottom"}
        axes.annotate(subtitle, (0, 1), xycoords="axes fraction", color=MUTED, fontsize=8.5, **above)
    axes.set_xlabel(x, color=MUTED, fontsize=9)
    axes.set_ylabel(y, color=MUTED, fontsize=9)
    axes.tick_params(colors=MUTED, labelsize=8, length=0)
    axes.grid(visible=True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return axes


def shortened(name: str, length: int = 22) -> str:
    """Return a name that fits beside an axis, with its dollars safe from matplotlib, to which two make a formula."""
    fitting = name if len(name) <= length else f"{name[: length - 1].rstrip()}…"
    return fitting.replace("$", r"\$")


def save_png(figure: Figure, path: Path) -> Path:
    """Write the figure, whole or not at all, and return where."""
    with appearing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
    return path
