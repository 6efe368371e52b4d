"""The ``kafka`` source's config; reading is the business of ``member.Member``."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

from shipper.errors import SourceError, SourceUnavailable
from shipper.kafka.settings import CLIENT_ID, Access, KafkaTls, Sasl
from shipper.sources.base import Intake, Source
from shipper.sources.kafka import start as starts
from shipper.sources.kafka.client import Client
from shipper.sources.kafka.connect import Limits
from shipper.sources.kafka.member import Member, Patience
from shipper.sources.kafka.records import Maker, Names
from shipper.units import ByteSize, Duration

_MIB = 1024 * 1024
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class KafkaSource(Source):
    """Read records from Kafka topics, as a member of a consumer group.

    A record's value is its `message`, byte for byte; the labels `topic` and `partition` say where it stood. Offsets are
    committed to the group after the records are durable in this shipper's spool, so that none is lost; what a member
    had not committed when it died is read again by the next one.
    """

    other_names: ClassVar[Mapping[str, str]] = {
        "bootstrap_servers": "brokers",
        "hosts": "brokers",
        "group_id": "group",
        "auto_offset_reset": "start",
        "initial_offset": "start",
    }
    brokers: list[str]
    """Addresses of some brokers, as in `[kafka-1:9092, kafka-2:9092]`; the others are found by them."""
    group: str
    """The consumer group. Its members, in whatever processes, share the partitions among them."""
    topics: list[str] = msgspec.field(default_factory=list)
    """The topics to read. One that does not exist yet is read once it does."""
    pattern: str | None = None
    """A regular expression, in place of `topics`: all topics whose whole name it matches, those that come later too."""
    start: str = starts.EARLIEST
    """Where to begin in partitions of which the group has no position: `earliest`, `latest`, or with the first record
    of a time, `2026-05-01T00:00:00Z`. What is added later is read from its begin."""
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    """Whether records of transactions are read that are still open or were aborted."""
    key_field: str | None = "key"
    """The field for a record's key, where it has one; null: none."""
    headers_field: str | None = "headers"
    """The field for a record's headers, where it has some; null: none."""
    timestamp_field: str | None = None
    """The field for the time that Kafka keeps with a record. Default: none."""
    offset_field: str | None = None
    """The field for a record's offset. Default: none; sinks that write identities write it as `_seq` + `_index`."""
    fetch_max_bytes: ByteSize = ByteSize(_MIB)
    """Bytes that one broker sends at once, compressed as they are. A single larger batch of a producer comes whole.
    More helps where brokers are far away, and takes memory."""
    session_timeout: Duration = Duration(30)
    """After so long without a sign of life the group gives a member's partitions to the others."""
    client_id: str = CLIENT_ID
    """How this client is called in the brokers' logs, metrics and quotas."""
    tls: KafkaTls | None = None
    """Encrypt; files that change are read again at the next connection."""
    sasl: Sasl | None = None
    """Name and password for the brokers."""

    patience: ClassVar[Patience] = Patience(handing_over=10.0, stopping=5.0)

    def setup(self) -> None:
        """:raises ValueError: brokers, topics, times or names are none, or TLS files cannot be used."""
        self._access = Access(self.brokers, self.tls, self.sasl, self.client_id)
        self._pattern = self._topics_pattern()
        starts.milliseconds(self.start)
        if not self.group.strip():
            raise ValueError("group must not be empty: its name is where the positions are kept")
        names = [self.key_field, self.headers_field, self.timestamp_field, self.offset_field]
        given = [name for name in names if name is not None]
        if len({*given, "message", ""}) != len(given) + 2:
            raise ValueError("key_field, headers_field, timestamp_field and offset_field must be different names")
        if self.fetch_max_bytes < 64 * 1024 or self.fetch_max_bytes > 64 * _MIB:
            raise ValueError("fetch_max_bytes must be at least 64KiB and at most 64MiB")
        if not 1 <= self.session_timeout <= 1800:
            raise ValueError("session_timeout must be at least 1s and at most 30m")
        self._member: Member | None = None
        self._client: Client | None = None

    def cautions(self) -> list[tuple[str, str]]:
        """See ``Source``."""
        return self._access.cautions()

    async def run(self, intake: Intake, *, once: bool) -> None:
        """See ``Source``. What the brokers refuse is tried again: a password or a right may be mended there, and the
        process has other sources and sinks.

        :raises SourceUnavailable: the brokers are away, or refuse.
        :raises SourceError: with ``once``: they refuse.
        """
        session = float(self.session_timeout)
        limits = Limits(self.fetch_max_bytes, max(64 * 1024, self.fetch_max_bytes // 4), session, max(60.0, session))
        names = Names(self.key_field, self.headers_field, self.timestamp_field, self.offset_field)
        replaced = intake.metrics.counter("shipper_text_replaced_total", source=intake.name)
        self._client = Client(self._access, self.group, limits, self.isolation)
        member = Member(intake, self._client, Maker(names, replaced.add), self.topics, self.start, self.patience)
        self._member = member
        intake.metrics.counter_function(
            "shipper_source_missing_entries_total", lambda: member.missing, source=intake.name
        )
        try:
            await member.run(self._pattern, once=once)
        except SourceError as error:
            if once or error.retriable:
                raise
            raise SourceUnavailable(str(error)) from error

    def problems(self) -> list[str]:
        """See ``Source``."""
        if self._client is None or self._member is None or not self._member.joined:
            return []
        if self.pattern is not None and not any(map(self._pattern.fullmatch, self._client.topics())):
            return [f"no topic matches {self.pattern}"]
        return [f"topic {topic} does not exist, or this user may not see it" for topic in self._member.absent]

    def describe(self) -> str:
        """See ``Source``."""
        text = f"reading {', '.join(self.topics) or self.pattern} as group {self.group}"
        member = self._member
        if member is not None and member.joined:
            text += f" ({len(member.ours)} partitions, {member.behind():,} records unread)"
            if member.missing:
                text += f"; {member.missing:,} records are missing since the start"
        return "; ".join([text, *self.problems()])

    def greeting(self) -> str | None:
        """See ``Source``."""
        return self.describe() if self._member is not None and self._member.joined else None

    def _topics_pattern(self) -> re.Pattern[str]:
        if (self.pattern is None) == (not self.topics):
            raise ValueError("name either topics, as in [app, audit], or a pattern")
        if self.pattern is not None:
            if not self.pattern:
                raise ValueError("pattern is empty, expected a regular expression, as in 'logs-.*'")
            try:
                re.compile(self.pattern)  # as it was written: an error means that
                return re.compile(rf"(?:{self.pattern})\Z")
            except re.error as error:
                raise ValueError(f"pattern: {self.pattern!r} is not a regular expression: {error}") from error
        for topic in self.topics:
            if not _TOPIC.fullmatch(topic):
                raise ValueError(f"topics: {topic!r} is not the name of a topic: letters, digits, '.', '_' and '-'")
            if topic in {".", ".."}:
                raise ValueError(f"topics: {topic!r} is not the name of a topic: Kafka takes neither '.' nor '..'")
        return re.compile(rf"(?:{'|'.join(map(re.escape, self.topics))})\Z")
