"""Every error that shipper raises on purpose: one tree.

A class says with ``retriable`` whether the same attempt may succeed later without anybody changing anything; the
engine steers by that and by nothing else. A message says what happened, to what, and what to do.
Foreign exceptions (OSError, grpc, msgspec ...) are translated in the file that calls the library.
"""

from typing import ClassVar, Final, Literal


class ShipperError(Exception):
    """The root of the tree."""

    retriable: ClassVar[bool] = False


class ConfigError(ShipperError):
    """The configuration cannot be used. ``problems`` holds every finding, one printable line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SourceError(ShipperError):
    """A source cannot go on with what it was given."""


class SourceUnavailable(SourceError):
    """What a source reads from is not there now."""

    retriable = True


class SinkError(ShipperError):
    """A sink cannot go on, and trying again does not help."""


class SinkUnavailable(SinkError):
    """What a sink writes to is not reachable now; the delivery tries again with backoff."""

    retriable = True


class StreamDisowned(SinkError):
    """A collector knows another history of this spool's stream; the spool goes on under a new stream id.

    ``kind``: ``diverged`` (the same number with other contents, or numbers that this spool never gave: a restored
    backup), ``cloned`` (a copy of the data directory runs under the same epoch), ``fenced`` (a newer opening of the
    stream was seen: this is the old copy).
    """

    def __init__(self, kind: Literal["diverged", "cloned", "fenced"], message: str) -> None:
        super().__init__(message)
        self.kind: Final = kind


class ProtocolError(ShipperError):
    """The other side of a connection broke the wire contract."""


class FrameError(ShipperError):
    """Bytes that should be a frame are not one: damaged, cut short, or of an unknown format."""


class FrameTooLarge(FrameError):
    """A batch does not fit into one frame."""


class FutureFormat(ShipperError):
    """Something on disk or on the wire was written by a newer shipper. Upgrade this one."""


class SpoolError(ShipperError):
    """The spool cannot be used."""


class SpoolLocked(SpoolError):
    """Another process has the data directory open."""


class SpoolFailed(SpoolError):
    """The disk refused a write or a sync; nothing after it may be acknowledged."""


class DiskFull(SpoolFailed):
    """There is no room on the disk now. What was asked for was not done; it can be once there is room."""

    retriable = True


class SpoolDenied(ShipperError):
    """The user who asks may not read the spool."""


class LedgerFailed(ShipperError):
    """The collector's database of its ledger cannot be read or written now."""

    retriable = True


class LedgerDamaged(LedgerFailed):
    """The database is not one that can be gone on with: it is damaged, or belongs to another spool."""

    retriable = False


class PatternTimeout(ShipperError, ValueError):
    """A text was not matched within the deadline: whether the regular expression matches it is not known."""


class AdminError(ShipperError):
    """The admin port cannot be opened."""


class DemoError(ShipperError):
    """The demo cannot be shown."""


class ControlError(ShipperError):
    """The process that has a data directory open cannot be asked, or refused."""


class NotRunning(ControlError):
    """No process has the data directory open."""


UNREADABLE: Final = (ValueError, RecursionError)
"""What msgspec raises for bytes that it cannot decode: its own errors and that of text which is not UTF-8, all of them
ValueErrors, and RecursionError for what is nested too deep.
"""
