"""The Kafka sink's class: its config."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from shipper.errors import SinkUnavailable
from shipper.kafka.batch import Compression
from shipper.kafka.settings import CLIENT_ID, Access, KafkaTls, Sasl
from shipper.kafka.topics import TopicTemplate, unified
from shipper.sinks.base import ByteSize, Claimed, Duration, Item, Outlet, Sink
from shipper.sinks.kafka.books import Books
from shipper.sinks.kafka.destinations import CreateTopics
from shipper.sinks.kafka.exactly_once import ExactlyOnce
from shipper.sinks.kafka.partition import Key
from shipper.sinks.kafka.records import Builder
from shipper.sinks.kafka.session import Plan, Session
from shipper.sinks.worker import Worker

_SMALLEST_LIMIT = 1024
_LONGEST_LINGER = Duration(10)
"""A third of the time for which records may wait before ``/readyz`` goes red and the watchdog ends the process."""
_LONGEST_TRANSACTION = Duration(24 * 86400)
"""In a request it has 31 bits of milliseconds, which are almost 25 days."""


class KafkaSink(Sink):
    """Write records to Kafka topics, one JSON object a message, each at least once, or with `exactly_once` each once.

    At least once: after a crash some records come again; the headers `_stream`, `_seq` and `_index` together name a
    record, so that a reader can drop doubles. Every batch is acknowledged by all in-sync replicas. Records of one key
    stay in order.
    """

    other_names: ClassVar[Mapping[str, str]] = {
        "bootstrap_servers": "brokers",
        "hosts": "brokers",
        "key_field": "key",
        "message_key": "key",
    }
    group_bytes: ClassVar[int] = 1024 * 1024
    request_timeout: ClassVar[float] = 30.0
    """Seconds for a connection to be made and for an answer; a broker waits for its replicas half as long."""

    brokers: list[str]
    """Some of the cluster's brokers as ``host:port``; they name the others."""
    topic: str
    """Where to write. `{label}` is a label of the frame, as in `logs-{source}`."""
    key: str | None = None
    """What decides a record's partition: `label:NAME` or `field:NAME`, as in `label:host` or `field:user.id`. Records
    of one key stay in order. Without a key a batch goes to any partition."""
    compression: Compression = "zstd"
    """How batches are compressed."""
    headers: bool = True
    """Write the record's identity (`_stream`, `_seq`, `_index`) and its labels as headers."""
    read_at: bool = True
    """Write `_read_at`, the time at which the record was read."""
    identity: bool = False
    """Write `_stream`, `_seq` and `_index` into the JSON object too."""
    linger: Duration = Duration(0)
    """How long to wait for more records to fill a batch, at most 10s. Under load batches fill by themselves."""
    max_in_flight: ByteSize = ByteSize(16 * 1024 * 1024)
    """At most so many bytes wait for an acknowledgement, in memory, compressed."""
    max_message_bytes: ByteSize = ByteSize(1024 * 1024)
    """The largest batch and the largest message before compression, in bytes. A larger record goes to the dead letters;
    so does one that the broker finds too large (`message.max.bytes`, of a topic `max.message.bytes`)."""
    create_topics: CreateTopics | None = None
    """Make topics that are not there: `{partitions: 6, replication: 3}`. Without it a missing topic is waited for."""
    tls: KafkaTls | None = None
    """Encrypt, and make sure that these are the right brokers. Files that change are read again at the next connect."""
    sasl: Sasl | None = None
    """Who this is, by name and password."""
    exactly_once: bool = False  # type: ignore[misc]  # here a setting decides what is constant of other sinks
    """Write each record once, whatever crashes: for readers with `isolation.level=read_committed`. Records become
    readable in transactions, which also write into `cursor_topic` how far this shipper is."""
    cursor_topic: str = "shipper-cursors"
    """With `exactly_once`: a compacted topic with one partition, shared by the shippers of a cluster."""
    transaction_timeout: Duration = Duration(60)
    """With `exactly_once`: when the brokers abort a transaction that a dead shipper left open. Readers wait for that;
    no transaction may take longer. No more than the brokers' `transaction.max.timeout.ms` (15 minutes by default)."""
    client_id: str = CLIENT_ID
    """The name under which the brokers list this client."""

    def setup(self) -> None:
        """:raises ValueError: a setting cannot be used."""
        if self.max_message_bytes < _SMALLEST_LIMIT:
            raise ValueError(
                f"max_message_bytes is {self.max_message_bytes}, expected at least {_SMALLEST_LIMIT} bytes"
            )
        if self.max_in_flight < 1:
            raise ValueError(f"max_in_flight is {self.max_in_flight}, expected at least 1 byte")
        if self.linger > _LONGEST_LINGER:
            raise ValueError(
                f"linger is {self.linger}, expected at most {_LONGEST_LINGER}: records that wait for longer look as if "
                "the sink were stuck"
            )
        if not 1 <= self.transaction_timeout <= _LONGEST_TRANSACTION:
            raise ValueError(
                f"transaction_timeout is {self.transaction_timeout}, expected 1s to {_LONGEST_TRANSACTION}, and no "
                "more than transaction.max.timeout.ms of the brokers (15m unless they say otherwise)"
            )
        topic = self._checked_topic()
        self._plan = Plan(
            access=Access(self.brokers, self.tls, self.sasl, self.client_id),
            topic=topic,
            create=self.create_topics,
            cursor_topic=self.cursor_topic,
            transaction_timeout=self.transaction_timeout,
            builder=Builder(
                key=None if self.key is None else Key(self.key),
                headers=self.headers,
                read_at=self.read_at,
                identity=self.identity,
                compression=self.compression,
                max_message_bytes=self.max_message_bytes,
                transactional=self.exactly_once,
            ),
            linger=self.linger,
            max_in_flight=self.max_in_flight,
            request_timeout=self.request_timeout,
        )
        self._worker = Worker("kafka-sink")
        self._began_at = -1
        """The cursor of the session before this one, where the next one begins too if that one got nothing through."""
        self._session: Session | ExactlyOnce | None = None
        self._once: ExactlyOnce | None = None
        self._books: Books | None = None
        self._connected = asyncio.Event()

    def _checked_topic(self) -> TopicTemplate:
        """:raises ValueError: one of the two topics is none, or they get in each other's way."""
        topic = TopicTemplate(self.topic)
        cursors = TopicTemplate(self.cursor_topic, "cursor_topic").constant
        if cursors is None:
            raise ValueError(f"cursor_topic is {self.cursor_topic!r}, expected a name without labels")
        if topic.constant == cursors:
            raise ValueError(f"topic and cursor_topic are both {cursors}: records and cursors need two topics")
        if topic.constant is not None and unified(topic.constant) == unified(cursors):
            raise ValueError(
                f"topic is {topic.constant} and cursor_topic is {cursors}: Kafka makes only one of two topics that "
                "differ in . and _ only"
            )
        return topic

    def cautions(self) -> list[tuple[str, str]]:
        """See ``Sink``."""
        found = self._plan.access.cautions()
        if not self.headers and not self.identity and not self.exactly_once:
            found.append(("headers", "and identity are off: a record that comes twice cannot be recognised"))
        return found

    @property
    def shares_streams(self) -> bool:
        """See ``Sink``: cursors of senders' streams stand where every collector reads them."""
        return self.exactly_once

    async def claim(self, stream: bytes, floor: int) -> Claimed:
        """See ``Sink``."""
        await self._connected.wait()
        if self._once is None:
            raise SinkUnavailable("the connection to Kafka is lost")
        return await self._once.claim(stream, floor)

    def held(self, stream: bytes) -> int:
        """See ``Sink``."""
        return 0 if self._books is None else self._books.ownership.cursor(stream).next

    async def connect(self, outlet: Outlet) -> int:
        """Connect to the brokers; the number to go on from: the cursor in Kafka with ``exactly_once``, else our own,
        and what a crash left unacknowledged comes again.

        :raises SinkUnavailable: the brokers or a topic are not there.
        :raises SinkError: the brokers do not let this user in, or not do that.
        :raises StreamDisowned: the cursor in Kafka is that of another history of the stream.
        """
        await self.close()
        if not self.exactly_once:
            self._session = Session(self._plan, outlet, self._worker, careful=outlet.cursor == self._began_at)
            self._began_at = outlet.cursor
            return await self._session.open()
        if self._books is None:
            self._books = Books(outlet.name)
        self._session = self._once = ExactlyOnce(self._plan, outlet, self._worker, self._books)
        number = await self._session.open()
        self._connected.set()
        return number

    async def send(self, items: Sequence[Item]) -> None:
        """Take items; waits while as many are on their way as may be.

        :raises SinkUnavailable: not connected.
        """
        if self._session is None:
            raise SinkUnavailable("not connected")
        await self._session.send(items)

    async def broken(self) -> None:
        """Wait until the session cannot go on, then raise why."""
        if self._session is None:
            raise SinkUnavailable("not connected")
        await self._session.broken()

    async def close(self) -> None:
        """Close every connection."""
        self._connected.clear()
        session, self._session, self._once = self._session, None, None
        if session is not None:
            await session.close()
        self._worker.stop()

    def held_up(self) -> bool:
        """The brokers have the next move."""
        return self._session is not None and self._session.held_up

    def describe(self) -> str:
        """Topic and brokers."""
        return f"topic {self.topic} at {', '.join(self.brokers)}"
