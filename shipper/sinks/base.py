"""What every sink is, and what its delivery gives it.

A sink is one class: annotated attributes are its config, the docstring is its documentation. Its delivery connects it,
hands it items in the order of their sequence numbers, and starts again from the cursor when anything raised. A sink
acknowledges cumulatively with ``Outlet.acked`` and may do so long after ``send`` returned (a window), or before (a
file).
"""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from shipper.batch import Labels
from shipper.errors import SinkUnavailable
from shipper.sinks.items import Claimed, Gap, Item, Sent
from shipper.spool.frame import Frame
from shipper.units import ByteSize, Duration


class Outlet(Protocol):
    """The delivery's side of a sink."""

    @property
    def name(self) -> str:
        """The sink's name in the config."""
        ...

    @property
    def stream(self) -> bytes:
        """The stream id of this hop, 16 bytes."""
        ...

    @property
    def epoch(self) -> int:
        """Which run of the spool it is."""
        ...

    @property
    def incarnation(self) -> bytes:
        """Random, new with each epoch."""
        ...

    @property
    def home(self) -> bytes:
        """The stream id that this spool began with: its numbers are unique under it, whatever ``stream`` becomes."""
        ...

    @property
    def labels(self) -> Labels:
        """Global labels."""
        ...

    @property
    def state_dir(self) -> Path:
        """A directory of this sink's own inside the data directory; the sink creates it."""
        ...

    @property
    def cursor(self) -> int:
        """The first sequence number that the sink has not acknowledged."""
        ...

    @property
    def cursor_crc(self) -> int:
        """``Frame.original_check`` of frame ``cursor - 1``, or its check; 0 where neither is known."""
        ...

    @property
    def next_seq(self) -> int:
        """The sequence number that the spool will give to its next frame."""
        ...

    @property
    def once(self) -> bool:
        """The run ends when all is delivered."""
        ...

    def acked(self, next_seq: int) -> None:
        """Everything before ``next_seq`` is safe at the far side: the cursor moves (never backwards)."""
        ...

    async def refuse(self, item: Item, index: int, raw: bytes, reason: str) -> None:
        """Put one record that the sink will never take to the dead letters; returns when that is durable.

        Exactly once in effect: a record refused again after a restart is not written again.
        Refuse in the order of the stream.
        """
        ...

    def alarm(self, kind: str, message: str, **fields: Any) -> None:
        """Something is wrong at the far side that somebody should look at: an error in the log, and counted by kind."""
        ...


class Backoff(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How long to wait after a failure: a random time up to ``min`` doubled a failure, never more than ``max``."""

    min: Duration = Duration(0.1)
    max: Duration = Duration(4)

    def __post_init__(self) -> None:
        """:raises ValueError: the times make no sense."""
        if not self.min > 0:
            raise ValueError(f"min is {self.min}, expected more than 0")
        if not self.max >= self.min:
            raise ValueError(f"max is {self.max}, expected at least min, which is {self.min}")


class Breaker(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The circuit breaker: after too many failures the sink is left alone for a while, then tried once."""

    window: int = 10
    """How many of the last attempts count."""
    failure_ratio: float = 0.5
    """Opens when at least this share of a full window failed."""
    open_for: Duration = Duration(4)
    """How long it stays open before one attempt (half-open) is let through."""

    def __post_init__(self) -> None:
        """:raises ValueError: such a breaker would never open, or never close."""
        if self.window < 1:
            raise ValueError(f"window is {self.window}, expected at least 1")
        if not 0 < self.failure_ratio <= 1:
            raise ValueError(f"failure_ratio is {self.failure_ratio}, expected more than 0 and at most 1")
        if not self.open_for > 0:
            raise ValueError(f"open_for is {self.open_for}, expected more than 0")


class Sink(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The base of every sink. The attributes here are read by the delivery."""

    exactly_once: ClassVar[bool] = False
    """The sink takes part in exactly once: it never shows a record twice, whatever crashed."""
    group_bytes: ClassVar[int] = 4 * 1024 * 1024
    """Hand at most so many frame bytes to one ``send``."""

    where: str | None = None
    """Only records that meet this condition."""
    backoff: Backoff = msgspec.field(default_factory=Backoff)
    breaker: Breaker = msgspec.field(default_factory=Breaker)
    when_full: Literal["block", "drop_oldest"] = "block"
    """What this sink does to the others when the spool is full and it has not taken its oldest records: hold all up
    until there is room again, or give up its own oldest records, which are counted and lost to this sink alone."""
    max_backlog: ByteSize | None = None
    """With ``when_full: drop_oldest``: at most so many bytes of the spool may wait for this sink, also while there is
    room; without it as many as fit."""

    def __post_init__(self) -> None:
        """:raises ValueError: the settings contradict each other."""
        if self.max_backlog is None:
            return
        if self.when_full == "block":
            raise ValueError(
                "max_backlog bounds what this sink may hold back, so records beyond it must go somewhere: add "
                "'when_full: drop_oldest' to lose the oldest ones, or remove max_backlog to lose none"
            )
        if self.max_backlog < 1:
            raise ValueError(f"max_backlog is {self.max_backlog}, expected at least 1 byte")

    def setup(self) -> None:
        """Check the config beyond its types. A ValueError here is a config error at the sink's line."""

    def claims(self) -> list[str]:
        """What only one sink of a process can have, in words: ``the path /log/all.ndjson``. Asked after ``setup``."""
        return []

    def cautions(self) -> list[tuple[str, str]]:
        """What is allowed and should be looked at, as (setting, sentence). ``shipper check`` and every start show it;
        asked after ``setup``.
        """
        return []

    def writes(self, labels: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - for those that override it
        """The path (absolute) of a file that records with such labels go to, for the warning about sources that read
        it; None: to no file. Asked after ``setup``.
        """
        return None

    @property
    def shares_streams(self) -> bool:
        """Several collectors deliver the same senders' streams through sinks like this one, and each number arrives
        once: items with ``upstream`` are delivered only while the stream is claimed here, each in its turn; others are
        passed over. Asked after ``setup``.
        """
        return False

    async def claim(self, stream: bytes, floor: int) -> Claimed:  # noqa: ARG002 - for those that share streams
        """Take a sender's stream over: when this returns nobody else can deliver it any more. Waits while the sink is
        not connected. ``floor``: everything before it needs no delivery.

        :raises SinkUnavailable: it cannot be had now, or somebody else took it at the same time.
        """
        raise SinkUnavailable("this sink shares no streams")

    def held(self, stream: bytes) -> int:  # noqa: ARG002 - as above
        """The first number of a claimed stream that is not known to be at the far side. It moves before ``acked`` is
        called for the items that moved it.
        """
        return 0

    @abstractmethod
    async def connect(self, outlet: Outlet) -> int:
        """Get ready to send; return the sequence number that the far side expects next (``outlet.cursor`` where it
        has no opinion). The delivery goes on from the larger of that and its cursor.

        :raises SinkUnavailable: try again later.
        :raises SinkError: trying again is of no use; the delivery says so loudly and tries rarely.
        """

    @abstractmethod
    async def send(self, items: Sequence[Item]) -> None:
        """Take items in order. Waits while the far side's window is full.

        :raises SinkUnavailable: the connection is gone; what was not acknowledged comes again after ``connect``.
        """

    async def broken(self) -> None:
        """Wait until the connection is gone, then raise what ``send`` would raise; never returns.

        The delivery watches this while it has nothing to send, so that an idle sink reconnects too. A sink without a
        connection keeps this default, which waits for ever. Valid between ``connect`` and ``close``.

        :raises SinkUnavailable: the connection is gone; connect again.
        :raises SinkError: the far side refused for good.
        """
        await asyncio.get_running_loop().create_future()

    @abstractmethod
    async def close(self) -> None:
        """Give everything back; ``connect`` may follow. Never raises."""

    def held_up(self) -> bool:
        """Somebody outside has the next move: an answer is awaited, or the far side asked to wait. Asked while
        connected.

        A connected sink that has items, is not held up and does not get on for the time that the service manager's
        watchdog allows is taken for a hang: the process is restarted. So override this where ``send`` may wait for
        somebody else for minutes.
        """
        return False

    def describe(self) -> str:
        """One phrase for the start-up line: ``collector:7420``."""
        return ""


__all__ = ["Backoff", "Breaker", "ByteSize", "Claimed", "Duration", "Frame", "Gap", "Item", "Outlet", "Sent", "Sink"]
