"""How much of a video is done, told as its time passes.

In: times within a video. Out: calls to a listener that add up to the video's length. Does not know the work.
"""

from tasks.contracts.progress import Progress


class VideoClock:
    """One pass over one video."""

    def __init__(self, progress: Progress, what: str, length_s: float | None) -> None:
        """Say that it begins."""
        progress.begin(what, length_s, "s")
        self._progress, self._what, self._length_s = progress, what, length_s
        self._reached_s = 0.0

    def reach(self, time_s: float) -> None:
        """Say that all before `time_s` is done; never more than there is."""
        until_s = time_s if self._length_s is None else min(time_s, self._length_s)
        if until_s > self._reached_s:
            self._progress.advance(self._what, until_s - self._reached_s)
            self._reached_s = until_s

    def finish(self) -> None:
        """Say that the whole video is done."""
        if self._length_s is not None:
            self.reach(self._length_s)
