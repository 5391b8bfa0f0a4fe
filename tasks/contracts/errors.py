"""Every error that a user can cause or meet, in one tree.

    ReelsiftError
    ├── ConfigError                a setting that is unknown or out of its bounds
    ├── VocabularyError            the vocabulary's file is not one, or has no such vertical
    │   └── UnknownLabelError      no label of that name, index or knowledge-graph id
    ├── DiskSpaceError             what was asked for does not fit
    ├── OutputError                a result cannot be written where it was to go
    ├── MirrorError                a mirror cannot be used as it was named
    │   ├── PlanError              the download plan is missing, or is not one
    │   └── DownloadError          files that could not be fetched, whatever was tried
    │       └── WithheldFileError  no mirror gives the file, and none will the next time
    ├── DamagedShardError          a shard is damaged and `strict` was asked for
    ├── DatasetError               a dataset version cannot be made or used
    │   ├── UnknownDatasetError    no dataset version of that id
    │   └── DamagedDatasetError    a part is missing or differs from its digest
    ├── TrainingError              a training that cannot start or go on
    │   └── NonFiniteLossError     the loss became NaN or infinite
    ├── TrackingError              MLflow's store cannot be used as it was named
    │   └── TrackingAwayError      it does not answer for now
    ├── ModelError                 a model that cannot be loaded, compared or promoted
    │   ├── UnknownModelError      no model of that name, version or alias
    │   └── FeatureSpaceError      a model is given features of another space
    ├── SourceError                a source could not be resolved
    │   ├── RefusedSourceError     its address or its size is one that is not fetched
    │   ├── WithdrawnVideoError    YouTube-8M or its host no longer has it
    │   ├── RestrictedVideoError   its host gives it to some, and not to us as we asked
    │   ├── RateLimitedError       its host has given us as much as it gives in an hour
    │   └── FetchError             it could not be fetched, whatever was tried
    ├── VideosFailedError          none of a run's videos could be worked on
    ├── VideoError                 a file is no video or picture, is broken, or is out of bounds
    ├── WeightsError               a file of weights is not what it should be
    │   └── MissingWeightsError    a file of weights is not there, and where to get it
    ├── StorageError               the object store cannot be used as it was named
    │   └── DamagedStorageError    what lies in it differs from its digest
    ├── DetectorError              a detector is not available or cannot be used so
    ├── ReportError                a folder holds nothing to report on
    ├── ExportError                a result does not hold what a format needs
    ├── BatchError                 a batch of videos cannot be read, or handed to a pool
    ├── ServerError                no Prefect server can be started or reached
    └── StackError                 the local stack cannot be started, or a part of it has failed
        ├── AccessError            it would answer others than this machine without a password
        └── DeployError            the flows cannot be deployed to a Prefect server

A message names the thing, the value, the choices there are, and the next command. Errors of libraries
are translated once, at the edge, with `from`. The command line prints the message alone and exits 1.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from tasks.contracts.text import shown

SUGGESTIONS = 3


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'a' or 'b'?` with what is spelt like `wanted`, whatever its case; else nothing."""
    by_folded = {name.casefold(): name for name in known}
    near = [repr(by_folded[key]) for key in get_close_matches(wanted.casefold(), by_folded, n=SUGGESTIONS)]
    return f" Did you mean {' or '.join(filter(None, [', '.join(near[:-1]), near[-1]]))}?" if near else ""


class ReelsiftError(Exception):
    """Base of all errors that are the input's fault or the world's, not the program's.

    The message quotes file names, answers of servers and addresses, and is printed, logged and stored: what a terminal
    would obey and what must stay secret is taken out here, once.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shown(message))


class ConfigError(ReelsiftError):
    """A setting is unknown or out of its bounds."""


class VocabularyError(ReelsiftError):
    """The vocabulary's file is not one, or it has no vertical of the name that was asked for."""


class UnknownLabelError(VocabularyError):
    """No label has the name, index or knowledge-graph id that was asked for."""


class DiskSpaceError(ReelsiftError):
    """What was asked for does not fit on the disk."""


class OutputError(ReelsiftError):
    """A result cannot be written where it was to go."""


class MirrorError(ReelsiftError):
    """A mirror cannot be used as it was named."""


class PlanError(MirrorError):
    """A download plan is missing, or what came is not one."""


class DownloadError(MirrorError):
    """Files could not be fetched, whatever was tried."""


class WithheldFileError(DownloadError):
    """No mirror gives the file: each one answers, and has none, refuses it, or sends something else.

    `is_absent` says whether each one has none.
    """

    def __init__(self, message: str, *, is_absent: bool = False) -> None:
        super().__init__(message)
        self.is_absent = is_absent


class DamagedShardError(ReelsiftError):
    """A shard is damaged, and `strict` asked for that to be fatal."""


class DatasetError(ReelsiftError):
    """A dataset version cannot be made or used."""


class UnknownDatasetError(DatasetError):
    """No dataset version has that id."""


class DamagedDatasetError(DatasetError):
    """A part of a dataset version is missing or differs from its digest."""


class TrainingError(ReelsiftError):
    """A training cannot start, or cannot go on."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class TrackingError(ReelsiftError):
    """MLflow's store cannot be used as it was named."""


class TrackingAwayError(TrackingError):
    """MLflow does not answer, or cannot for now: the same may succeed in a moment."""


class ModelError(ReelsiftError):
    """A model cannot be loaded, compared or promoted."""


class UnknownModelError(ModelError):
    """No model has that name, version or alias."""


class FeatureSpaceError(ModelError):
    """A model was given features of another space than the one that it was trained on."""


class SourceError(ReelsiftError):
    """A source could not be resolved."""


class RefusedSourceError(SourceError):
    """A source whose address or size is one that is not fetched."""


class WithdrawnVideoError(SourceError):
    """YouTube-8M, or the host, no longer has the video."""


class RestrictedVideoError(SourceError):
    """The host gives the video to some people, in some countries or after a sign-in, and not to us as we asked."""


class RateLimitedError(SourceError):
    """The host has given us as many videos as it gives in a while, and asks for patience."""


class FetchError(SourceError):
    """A video could not be fetched, whatever was tried."""


class VideosFailedError(ReelsiftError):
    """None of a run's videos could be worked on; `made` is what the run would have answered."""

    def __init__(self, message: str = "", made: Any = None) -> None:  # noqa: ANN401 - each flow has its own answer
        super().__init__(message)
        self.made = made


class VideoError(ReelsiftError):
    """A file is no video or picture, is broken, or is out of bounds."""


class WeightsError(ReelsiftError):
    """A file of weights is not what it should be."""


class MissingWeightsError(WeightsError):
    """A file of weights is not there; the message says where to get it and where to put it."""


class StorageError(ReelsiftError):
    """The object store cannot be used as it was named."""


class DamagedStorageError(StorageError):
    """What lies in the object store is missing in part, or differs from its digest."""


class DetectorError(ReelsiftError):
    """A detector is not available, or cannot be used as requested."""


class ReportError(ReelsiftError):
    """A folder holds nothing to report on."""


class ExportError(ReelsiftError):
    """A result does not hold what the format needs that it is to be exported to."""


class BatchError(ReelsiftError):
    """A batch of videos cannot be read, or handed to a pool."""


class ServerError(ReelsiftError):
    """No Prefect server can be started or reached, or it does not let us in."""


class StackError(ReelsiftError):
    """The local stack cannot be started, or a part of it has failed."""


class AccessError(StackError):
    """The local stack would answer others than this machine, and has no password."""


class DeployError(StackError):
    """The flows cannot be deployed to a Prefect server."""
