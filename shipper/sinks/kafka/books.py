"""What a sink of this process knows from the cursor topic, and what it writes there. It outlives connections."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from shipper.kafka.batch import VARINT, Draft, headers
from shipper.sinks.kafka.cursor_topic import CursorTopic
from shipper.sinks.kafka.cursors import Claim, Cursor, Key, decode_key, decode_value, encode_value
from shipper.sinks.kafka.opening import Opening
from shipper.sinks.kafka.ownership import Ownership
from shipper.sinks.kafka.records import Batch, now
from shipper.sinks.kafka.transcript import LogRecord

_SLICE: Final = 1000
"""Records that are noted at a time, in some ten milliseconds: with a large fleet the first reading takes seconds."""


class Books:
    """Of one sink, by its name in the config. Of a fleet's streams only a sink that is asked to claim knows the others:
    a node that writes to Kafka itself needs none but its own.
    """

    def __init__(self, sink: str) -> None:
        self.ownership: Final = Ownership()
        self._sink = sink
        self._cursors: dict[bytes, Cursor] = {}
        self._wrote: set[tuple[bytes, int, bytes]] = set()
        self._everybody = False
        self._reading = asyncio.Lock()
        self.own = b""
        """The stream of this process."""

    def cursor(self, stream: bytes) -> Cursor | None:
        """The stream's cursor as it was written last."""
        return self._cursors.get(stream)

    async def catch_up(self, topic: CursorTopic, *, everybody: bool = False) -> None:
        """Take note of what was committed since the topic was read last, up to its end; others run meanwhile.

        ``everybody``: from now on also of other streams than the own, for which it is read from its begin once.

        :raises SinkError: it cannot be read now, or one of the records cannot.
        """
        async with self._reading:  # what is read later is noted later
            if everybody and not self._everybody:
                self._everybody = True
                topic.begin_again()
            records = await topic.read()
            for start in range(0, len(records), _SLICE):
                if start:
                    await asyncio.sleep(0)
                self.read(records[start : start + _SLICE])

    def read(self, records: Iterable[LogRecord]) -> None:
        """Take note of committed records, in the order of the topic.

        :raises FutureFormat: a newer shipper wrote one of them.
        :raises SinkError: something else did.
        """
        for record in records:
            key = decode_key(record.key)
            if key is None or key.sink != self._sink or record.value is None:
                continue
            value = decode_value(key, record.value)
            if not self._everybody and key.stream != self.own:
                continue
            if isinstance(value, Claim):
                self.ownership.claim_read(key.stream, key.owner, value)
            else:
                self._cursors[key.stream] = value
                self.ownership.cursor_read(key.stream, value)

    def claimants(self, stream: bytes, pending: Iterable[LogRecord]) -> set[str]:
        """Whose claims of the stream are among records that are not decided."""
        keys = (decode_key(record.key) for record in pending)
        return {key.owner for key in keys if key and (key.kind, key.sink, key.stream) == ("claim", self._sink, stream)}

    def wrote(self, opening: Opening) -> bool:
        """Whether the opening has written its cursor before."""
        return (opening.stream, opening.epoch, opening.incarnation) in self._wrote

    def writes(self, opening: Opening) -> None:
        """Remember that the opening has written its cursor."""
        self._wrote.add((opening.stream, opening.epoch, opening.incarnation))

    def batch(self, topic: str, cursors: Mapping[bytes, Cursor], claims: Mapping[bytes, Claim], owner: str) -> Batch:
        """The records that write these cursors and the owner's claims."""
        records: list[tuple[Key, Cursor | Claim]] = [
            *((Key("cursor", self._sink, stream), cursor) for stream, cursor in cursors.items()),
            *((Key("claim", self._sink, stream, owner), claim) for stream, claim in claims.items()),
        ]
        keys = [key.encode() for key, _ in records]
        values = [encode_value(value) for _, value in records]
        draft = Draft(now())
        draft.add(draft.first_time, [VARINT[len(key)] + key for key in keys], values, headers([]), [])
        return Batch(topic, 0, draft.build("none", transactional=True), draft.count, draft.size, [])
