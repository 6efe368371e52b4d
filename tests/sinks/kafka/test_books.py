"""What is noted of a large cursor topic, without a broker."""

import asyncio
from collections.abc import Iterable

from support.kafka_once import exactly_once_sink

from shipper.kafka.cluster import Cluster
from shipper.sinks.kafka.books import Books
from shipper.sinks.kafka.cursor_topic import CursorTopic
from shipper.sinks.kafka.cursors import Cursor, Key, encode_value
from shipper.sinks.kafka.transcript import LogRecord

STREAMS = [number.to_bytes(16, "big") for number in range(2500)]


class Log(CursorTopic):
    """A topic in memory, with a cursor of each stream."""

    def __init__(self) -> None:
        access = exactly_once_sink(["127.0.0.1:9"], "logs", "cursors")._plan.access
        super().__init__(Cluster(access, request_timeout=1), "cursors")
        self._records = [
            LogRecord(at, Key("cursor", "out", stream).encode(), encode_value(Cursor(next=at)))
            for at, stream in enumerate(STREAMS)
        ]

    async def read(self) -> list[LogRecord]:
        """See ``CursorTopic``."""
        start, self._at = self._at or 0, len(self._records)
        return self._records[start:]


async def test_others_run_while_a_large_topic_is_noted() -> None:
    seen: list[Cursor | None] = []

    class Watched(Books):
        def read(self, records: Iterable[LogRecord]) -> None:
            super().read(records)
            asyncio.get_running_loop().call_soon(lambda: seen.append(self.cursor(STREAMS[-1])))

    books = Watched("out")
    await books.catch_up(Log(), everybody=True)
    await asyncio.sleep(0)
    assert seen == [None, None, Cursor(next=len(STREAMS) - 1)]


async def test_who_reads_while_somebody_else_does_finds_all_of_it_noted() -> None:
    books, log = Books("out"), Log()
    first = asyncio.ensure_future(books.catch_up(log, everybody=True))
    await asyncio.sleep(0)
    await books.catch_up(log)
    assert [books.cursor(stream) for stream in STREAMS] == [Cursor(next=at) for at in range(len(STREAMS))]
    await first


async def test_of_other_streams_only_a_sink_knows_that_is_asked_to_claim() -> None:
    books, log = Books("out"), Log()
    books.own = STREAMS[7]
    await books.catch_up(log)
    assert [books.cursor(stream) for stream in STREAMS[6:9]] == [None, Cursor(next=7), None]
    assert [books.ownership.cursor(stream).next for stream in STREAMS[6:9]] == [0, 7, 0]
    await books.catch_up(log, everybody=True)
    assert [books.ownership.cursor(stream).next for stream in STREAMS] == [*range(len(STREAMS))]
