"""Filling a part from the sources of a file: attempts, and what each kind of fault means for the next one.

In: a `RemoteFile`, an open part, a line. Out: the part, whole and right, or a `DownloadError`. Does not open the
part, nor give it its final name.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from tasks.contracts.errors import AbsentFileError, DownloadError
from tasks.shards.faults import Fault, Stopped, wait_before_retry_s
from tasks.shards.line import Line
from tasks.shards.mirror import Source, shown
from tasks.shards.pace import Pace
from tasks.shards.partfile import PartFile
from tasks.shards.remote import RemoteFile
from tasks.shards.sources import Body, open_path, open_url
from tasks.shards.space import ensure_room


class Filling:
    """Fills a part from the sources of a file."""

    def __init__(self, file: RemoteFile, part: PartFile, line: Line) -> None:
        self.file = file
        self.part = part
        self.line = line
        self.config = line.config
        self.tag: str | None = None  # of the source in use, for If-Range

    def run(self) -> None:
        """Fill the part, from the first source that can."""
        if self.file.digest:
            self.part.resume()
            self.line.meter.keep(self.part.size_bytes)
        if self._is_whole():  # killed between the last byte and the rename
            return
        faults = list[tuple[Source, Fault]]()
        for source in self.line.in_order(self.file.sources):
            try:
                self._fill_from(source)
            except Fault as fault:
                faults.append((source, fault))
            else:
                return
        reasons = "; ".join(f"{shown(source)}: {fault.reason}" for source, fault in faults)
        kind = AbsentFileError if faults and all(fault.is_absent for _, fault in faults) else DownloadError
        raise kind(
            f"Could not fetch {self.file.label}: {reasons or 'no mirror has a place for it'}. What has come "
            "is kept: run the same again, or name another mirror (us, eu, asia, a URL or a folder) with `--mirror`."
        )

    def _fill_from(self, source: Source) -> None:
        """Try one source until it is given up."""
        self.tag = None
        if not self.file.digest:
            self._restart()
        for attempt in range(1, self.config.attempts + 1):
            try:
                self._attempt(source)
            except Fault as fault:
                if self._is_whole():  # all has come, and only the ending was wrong
                    return
                self._recover(source, fault, attempt)
            else:
                self.line.note_success(source)
                return

    def _recover(self, source: Source, fault: Fault, attempt: int) -> None:
        """Make ready for another attempt, or give the source up by raising the fault."""
        if fault.spoils_part or not (self.file.digest or self.tag):
            self._restart()
        if fault.is_final:
            raise fault
        if attempt == self.config.attempts:
            self.line.note_failure(source)
            raise Fault(f"{fault.reason} (attempt {attempt} of {attempt})") from fault
        self.line.meter.retry()
        self.line.pause(wait_before_retry_s(attempt, fault, self.config))

    def _attempt(self, source: Source) -> None:
        with self._open(source) as body:
            self.tag = body.tag
            if body.start != self.part.size_bytes:
                self._restart()  # the source does not heed ranges, or the file has changed
            elif body.start:
                self.line.meter.resume()
            self._take(body)
        self._check(body)

    def _open(self, source: Source) -> AbstractContextManager[Body]:
        offset = self.part.size_bytes
        if isinstance(source, Path):
            return open_path(source, offset)
        return open_url(self.line.client, source, offset, self.tag)

    def _take(self, body: Body) -> None:
        """Append what the body gives, as long as it comes at a pace and within bounds."""
        most_bytes = self.file.size_bytes or self.config.largest_file_bytes
        self._check_size(body.size_bytes or 0, most_bytes)
        if body.size_bytes:
            missing = body.size_bytes - self.part.size_bytes
            ensure_room(self.part.path.parent, missing, self.config.reserve_bytes, self.file.label)
        pace = Pace(self.config)
        for chunk in body.chunks:
            if self.line.stop.is_set():
                raise Stopped
            self._check_size(self.part.size_bytes + len(chunk), most_bytes)
            self.part.append(chunk)
            self.line.meter.receive(len(chunk))
            pace.count(len(chunk))

    def _check_size(self, size_bytes: int, most_bytes: int) -> None:
        if size_bytes > most_bytes:
            bound = "the size promised" if self.file.size_bytes else "`largest_file_bytes`"
            raise Fault(f"sends {size_bytes} bytes or more, over {bound} of {most_bytes}", spoils_part=True)

    def _check(self, body: Body) -> None:
        """Judge what is there now that the body has ended as it should."""
        if self._is_whole():
            return
        size_bytes = self.part.size_bytes
        due_bytes = self.file.size_bytes or body.size_bytes
        if due_bytes is not None and size_bytes < due_bytes:
            raise Fault(f"ends after {size_bytes} of {due_bytes} bytes")
        if self.file.digest:
            found = f"{self.file.algorithm} {self.part.hexdigest} instead of {self.file.digest}"
            raise Fault(f"sends other bytes than promised: {size_bytes} of them with {found}", spoils_part=True)

    def _is_whole(self) -> bool:
        return self.part.hexdigest == self.file.digest

    def _restart(self) -> None:
        self.line.meter.throw_away(self.part.restart())
