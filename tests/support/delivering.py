"""A real spool, deliveries from it, and the frames that go into it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from shipper.batch import DeadLetter, Format, Payload, Record, SourceRange, Upstream
from shipper.metrics import Registry
from shipper.sinks.base import Item, Sink
from shipper.sinks.delivery import Delivery
from shipper.spool.body import GapNote
from shipper.spool.dead_letters import letters
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame, FrameDraft, FrameMeta, decode, draft
from shipper.spool.spool import Spool

STREAM: Final = bytes(range(16))
DEADLINE: Final = 60.0
READ_AT: Final = 1_700_000_000_000_000


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until the condition holds; fails after ``DEADLINE`` seconds."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"it never came true: {what or condition}"
        await asyncio.sleep(0.002)


def lines(*texts: str) -> Payload:
    """Raw lines."""
    return Payload.lines("".join(f"{text}\n" for text in texts).encode())


def ndjson(*records: Record) -> Payload:
    """JSON records."""
    return Payload(Format.NDJSON, b"".join(json.dumps(record).encode() + b"\n" for record in records), len(records))


def frame_draft(payload: Payload | None, labels: dict[str, Any] | None = None, read_at: int = READ_AT) -> FrameDraft:
    """A frame as the pipeline drafts it."""
    count = 0 if payload is None else payload.count
    meta = FrameMeta(
        {"host": "edge-1"} if labels is None else labels, [SourceRange("app", b"g" * 16, 0, 9, count, count)]
    )
    return draft(payload, meta, read_at)


def frame_item(seq: int, payload: Payload | None, labels: dict[str, Any] | None = None, read_at: int = READ_AT) -> Item:
    """A frame as a sink gets it."""
    return Item(seq, decode(frame_draft(payload, labels, read_at).stamp(STREAM, seq)[0]))


def unreadable_draft() -> FrameDraft:
    """A frame whose checksums hold and whose payload is not what its header says: five records, of which two came."""
    made = frame_draft(lines("two", "lines"))
    made.records = 5
    return made


class Outpost:
    """A spool with one sink called ``out``; opened anew as often as one likes."""

    def __init__(self, root: Path, dead_letter_bytes: int = 1 << 20) -> None:
        self.root = root
        self._dead_letter_bytes = dead_letter_bytes
        self.metrics = Registry()
        self.spool: Spool

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Spool]:
        """The spool, running."""
        self.spool = Spool(self.root / "data", 64 << 20, self._dead_letter_bytes, ["out"])
        self.subscription = self.spool.subscribe("out")
        self.spool.start()
        try:
            yield self.spool
        finally:
            await self.spool.close()

    async def append(self, *drafts: FrameDraft | Frame) -> None:
        """Durable when this returns."""
        for one in drafts:
            await self.spool.append(EntryDraft(frames=[one]))

    async def append_gap(self, count: int) -> None:
        """A gap in an upstream stream, which takes a number of ours."""
        upstream = Upstream(b"u" * 16, 0, 1, b"i" * 16, 0)
        note = GapNote(b"u" * 16, 0, count - 1, count, "for the test")
        await self.spool.append(EntryDraft(upstream=upstream, gap=note))

    def delivery(self, sink: Sink, **options: Any) -> Delivery:
        """A delivery to the sink, not running yet."""
        return Delivery(
            "out",
            sink,
            self.subscription,
            self.spool,
            labels={},
            state_dir=self.root / "data" / "sinks" / "out",
            metrics=self.metrics,
            once=False,
            **options,
        )

    @asynccontextmanager
    async def delivering(self, sink: Sink, **options: Any) -> AsyncIterator[Delivery]:
        """A delivery, running."""
        delivery = self.delivery(sink, **options)
        task = asyncio.create_task(delivery.run())
        try:
            yield delivery
        finally:
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(result, asyncio.CancelledError), result

    async def deliver_all(self, sink: Sink) -> None:
        """Open, deliver what is there, close: one life of the process."""
        async with self.opened(), self.delivering(sink) as delivery:
            await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)

    def lose_cursor(self) -> None:
        """Damage the cursor's file, as a disk might: the delivery begins with the oldest frame again."""
        path = self.root / "data" / "cursors" / "out"
        path.write_bytes(bytes(len(path.read_bytes())))

    def dead_letters(self) -> list[DeadLetter]:
        """What is in the dead letters (the spool is closed)."""
        files = sorted((self.root / "data" / "dead_letters").glob("*.dlq"))
        return [stored.letter for file in files for stored, _, _ in letters(file.read_bytes())]
