"""How far a download is, told to whoever listens, and ended where it grows too large.

In: what yt-dlp tells while it fetches. Out: calls of a `Progress`. Does not know what is fetched.
"""

from typing import Any

from tasks.contracts.progress import Progress
from tasks.video.config import FetchConfig
from tasks.video.offers import too_large


class Meter:
    """Adds up the files of one video; picture and sound may come in two."""

    def __init__(self, progress: Progress, address: str, config: FetchConfig) -> None:
        self._progress, self._address, self._config = progress, address, config
        self._label = f"fetching {address}"
        self._done: dict[str, float] = {}
        self._total: dict[str, float | None] = {}

    def hear(self, state: dict[str, Any]) -> None:
        """Take one report.

        Raises:
            RefusedSourceError: more has come, or is to come, than is allowed.
        """
        name = str(state.get("filename"))
        before = self._done.get(name, 0.0)
        self._done[name] = float(state.get("downloaded_bytes") or before)
        sure = state.get("total_bytes")
        if max(sum(self._done.values()), sure or 0) > self._config.largest_bytes:
            raise too_large(self._address, self._config)
        self._say_total(name, sure or state.get("total_bytes_estimate"))
        if self._done[name] != before:
            self._progress.advance(self._label, self._done[name] - before)

    def _say_total(self, name: str, total: float | None) -> None:
        if name in self._total and self._total[name] == total:
            return
        self._total[name] = total
        known = [each for each in self._total.values() if each is not None]
        self._progress.begin(self._label, sum(known) if len(known) == len(self._total) else None, "B")
