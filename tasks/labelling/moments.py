"""How many moments of a video are scored at most, so that the scores of a long one stay within memory.

In: a rate and a duration. Out: nothing, or an error that says which rate would do. Does not read videos.
"""

from pathlib import Path

from tasks.contracts.errors import VideoError

MOST_MOMENTS = 50_000  # nearly 7 a second for two hours; of a thousand labels 200 MB, and as much again smoothed


def check_moments(path: Path, rate_hz: float, length_s: float | None) -> None:
    """See that a video of this length, or what has been read of it, has no more moments than can be held.

    Raises:
        VideoError: it has.
    """
    if length_s is None or length_s * rate_hz <= MOST_MOMENTS:
        return
    raise VideoError(
        f"{path.name} would be scored at over {MOST_MOMENTS:,} moments, {rate_hz:g} a second for {length_s:,.0f} s: "
        f"ask for {MOST_MOMENTS / length_s:.2g} a second or fewer with `--fps`."
    )
