"""What a delivery needs of the spool; ``Subscription`` and ``Spool`` have it."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from shipper.sinks.base import Item

if TYPE_CHECKING:
    from shipper.spool.draft import EntryDraft


class Feed(Protocol):
    """One sink's view of the spool."""

    @property
    def cursor(self) -> int:
        """The first sequence number that the sink has not acknowledged."""
        ...

    @property
    def cursor_crc(self) -> int:
        """``Frame.original_check`` of the frame before it, or its check; 0: neither is known."""
        ...

    async def read(self, max_bytes: int) -> list[Item]:
        """The next durable items, at least one, in order."""
        ...

    def rewind(self) -> None:
        """Read again from the cursor."""
        ...

    async def forward(self, seq: int) -> None:
        """Read over everything before ``seq``, and move the cursor behind it. Called right after ``rewind``."""
        ...

    def ack(self, next_seq: int, crc: int) -> None:
        """Move the cursor."""
        ...


class Home(Protocol):
    """What a delivery needs of the spool itself."""

    @property
    def stream(self) -> bytes:
        """Its stream id."""
        ...

    @property
    def home(self) -> bytes:
        """The stream id that its numbers began under."""
        ...

    async def take_new_stream(self, reason: str, disowned: bytes) -> None:
        """Go on under a new stream id, unless ``disowned`` is not the one in force any more."""
        ...

    async def wait_renamed(self, stream: bytes) -> None:
        """Wait until the stream id is another one."""
        ...

    @property
    def epoch(self) -> int:
        """Raised at every open."""
        ...

    @property
    def incarnation(self) -> bytes:
        """The epoch's random companion."""
        ...

    @property
    def next_seq(self) -> int:
        """The number that the next frame will get."""
        ...

    @property
    def state(self) -> Mapping[str, bytes]:
        """The state as recovered."""
        ...

    @property
    def dead_letter_room(self) -> int:
        """Bytes left for dead letters."""
        ...

    def append(self, draft: "EntryDraft", /) -> "asyncio.Future[int]":
        """Resolves once the entry is durable."""
        ...
