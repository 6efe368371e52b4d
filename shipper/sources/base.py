"""What every source is, and what the engine gives it.

A source is one class: annotated attributes are its config, the docstring is its documentation. ``run`` reads until it
is cancelled (or, with ``once``, until what was there at the start is read) and hands everything to the intake, batch
by batch. Nothing may be acknowledged upstream before the receipt of its batch resolved.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias

import msgspec

from shipper.batch import Batch, Labels

if TYPE_CHECKING:
    from shipper.metrics import Registry

Given: TypeAlias = Literal["raw lines", "JSON objects", "records"]
"""What batches hold: the first two are bytes, a plan may leave them as they are; records are decoded already."""


class Receipt(Protocol):
    """What became of one batch."""

    durable: "asyncio.Future[int]"
    """Resolves with the batch's sequence number after the ``fdatasync`` of the entry that holds it; a duplicate's
    resolves once its original is durable. Fails with the SpoolError that prevented it."""
    numbers: int
    """How many sequence numbers the batch took, from that one on."""


class Intake(Protocol):
    """The engine's side of a source: where batches go, and what was durable at the start."""

    name: str
    """The source's name in the config."""
    labels: Labels
    """Global and source labels; a source adds what it discovers (``file``)."""
    max_bytes: int
    """Read at most so many bytes for one batch."""
    max_delay: float
    """Seconds: after the first batch following a quiet spell, at most one batch per so many seconds and tail until
    ``max_bytes`` are there."""
    max_record: int
    """A raw record longer than this does not fit into a frame."""
    state: Mapping[str, bytes]
    """This source's recovered state, by the keys it wrote in ``Batch.state``."""

    async def take(self, read: Callable[[], Batch | None], most: int = 1) -> Receipt | None:
        """Run ``read`` on a worker thread, then the chain and the encoding of its batch, and append it to the spool.

        ``most``: so many times, until it gives None; the batches are appended together, in order, which costs little
        more than one. Returns the receipt of the last one, None when there is none. Calls of one source never overlap
        and keep their order; returns as soon as the batches are queued in the spool, and waits before it begins while
        the spool is full or the memory budget is used up.
        """
        ...

    @property
    def metrics(self) -> "Registry":
        """Where a source's own numbers go."""
        ...

    def lag(self, file: str, unread: int | None) -> None:
        """Report the unread bytes of a file (a metric); None forgets the file."""
        ...


class Source(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The base of every source. ``processors`` and ``labels`` are read by the engine."""

    labels: dict[str, Any] = {}
    """Labels on every record of this source."""
    processors: list[Any] = []
    """This source's own processors; they run before the shared ones."""

    collects: ClassVar[bool] = False
    """What comes in are the frames of other shippers, with what those read."""

    def setup(self) -> None:
        """Check the config beyond its types. A ValueError here is a config error at the source's line."""

    def claims(self) -> list[str]:
        """What only one source of a process can have, in words: ``standard input``. Asked after ``setup``."""
        return []

    def cautions(self) -> list[tuple[str, str]]:
        """What is allowed and should be looked at, as (setting, sentence). ``shipper check`` and every start show it;
        asked after ``setup``.
        """
        return []

    @property
    def gives(self) -> tuple[Given, ...]:
        """What its batches may hold. Asked after ``setup``."""
        return "raw lines", "JSON objects", "records"

    def reads(self, path: str) -> bool:  # noqa: ARG002 - for those that override it
        """Whether it would read a file of this path (absolute): ``shipper check`` warns where shipper itself writes
        one. Asked after ``setup``.
        """
        return False

    @abstractmethod
    async def run(self, intake: Intake, *, once: bool) -> None:
        """Read until cancelled; with ``once`` return when all that was there at the start was taken.

        :raises SourceError: the source cannot go on; ``retriable`` says whether the engine starts it again.
        """

    def problems(self) -> list[str]:
        """What cannot be read now although the config asks for it, one sentence each: files without permission. They
        show as a metric, and ``run --once`` ends with them. Called once ``run`` has begun.
        """
        return []

    def describe(self) -> str:
        """One phrase for ``/status``: ``watching 3 files (12 MiB unread)``. Called once ``run`` has begun."""
        return ""

    def greeting(self) -> str | None:
        """The same for the start-up line, with what was there at the start; None until that is known (the line waits
        for two seconds).
        """
        return self.describe()
