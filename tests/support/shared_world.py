"""Senders, collectors and a topic in memory: what streams that several collectors share go through.

Who delivers what is decided by the real code (``Ownership``, ``Delivered``); around it stands as little as possible of
the spool, of the wire and of a broker: transactions, fencing, and a log that is read to its end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, cast

from shipper.sinks.base import Claimed, Gap, Item, Sent
from shipper.sinks.kafka.cursors import Claim, Cursor
from shipper.sinks.kafka.ownership import Ownership
from shipper.sinks.sharing import Sharing
from shipper.spool.body import Mark
from shipper.wire.delivered import Delivered, Progress


class Fenced(Exception):
    """Another producer has the transactional id now."""


@dataclass(slots=True)
class Record:
    """One record of the log: a part of a sender's number, a cursor or a claim."""

    writer: str
    stream: bytes
    value: "tuple[int, int, bool] | Cursor | Claim"
    """Of data: the number, the part, and whether it is the number's last one."""
    state: Literal["open", "committed", "aborted"] = "open"


class Topic:
    """A broker with one log: transactions, and a transactional id that belongs to whoever asked for it last."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._epochs: dict[str, int] = {}

    def init(self, writer: str) -> int:
        """A new producer: the old one's transaction ends, and it can do nothing more."""
        self._end(writer, "aborted")
        self._epochs[writer] = self._epochs.get(writer, 0) + 1
        return self._epochs[writer]

    def append(self, epoch: int, record: Record) -> None:
        """Add to the producer's transaction."""
        self._check(record.writer, epoch)
        self.records.append(record)

    def commit(self, writer: str, epoch: int) -> None:
        """End the transaction."""
        self._check(writer, epoch)
        self._end(writer, "committed")

    def _check(self, writer: str, epoch: int) -> None:
        if self._epochs[writer] != epoch:
            raise Fenced(writer)

    def _end(self, writer: str, state: Literal["committed", "aborted"]) -> None:
        for record in self.records:
            if record.writer == writer and record.state == "open":
                record.state = state

    def written(self, stream: bytes) -> "list[tuple[int, int, bool]]":
        """The parts of a stream that readers see."""
        found = [one for one in self.records if one.stream == stream and one.state == "committed"]
        return [one.value for one in found if isinstance(one.value, tuple)]


class Reader:
    """Tells an ``Ownership`` what the log says."""

    def __init__(self, topic: Topic, ownership: Ownership) -> None:
        self._topic = topic
        self._ownership = ownership
        self._at = 0
        self._open: list[Record] = []

    def read(self) -> None:
        """Everything up to the end."""
        new, self._at = self._topic.records[self._at :], len(self._topic.records)
        still = []
        for record in [*self._open, *new]:
            if record.state == "open":
                still.append(record)
            elif record.state == "committed" and isinstance(record.value, Cursor):
                self._ownership.cursor_read(record.stream, record.value)
            elif record.state == "committed" and isinstance(record.value, Claim):
                self._ownership.claim_read(record.stream, record.writer, record.value)
        self._open = still

    def undecided(self, stream: bytes) -> list[str]:
        """Who may have claimed a stream."""
        return [one.writer for one in self._open if one.stream == stream and isinstance(one.value, Claim)]


@dataclass(slots=True)
class Sender:
    """An agent: numbers in order, some of them in one gap, kept until they are acknowledged."""

    stream: bytes
    entries: list[tuple[int, int]] = field(default_factory=list)
    """(first number, number after)."""
    acked: int = 0
    session: "Session | None" = None
    next: int = 0
    """Of the session: what is sent next."""

    @property
    def produced(self) -> int:
        """The number that the next entry gets."""
        return self.entries[-1][1] if self.entries else 0

    def produce(self, width: int) -> None:
        """Write one more entry."""
        self.entries.append((self.produced, self.produced + width))

    def send(self, parts: int) -> None:
        """Send the next entry; the collector makes so many frames of it."""
        session = self.session
        if session is not None and session.open and self.next < self.produced:
            first, after = next(entry for entry in self.entries if entry[1] > self.next)
            session.collector.receive(session, first, after, parts)
            self.next = after

    def hear(self) -> None:
        """Take the collector's acknowledgement, or the news that it ends the session."""
        session = self.session
        if session is None:
            return
        if session.ended:
            self.session = None
        elif session.open:
            assert session.acknowledged <= self.next, "acknowledged what was not sent"
            self.acked = max(self.acked, session.acknowledged)


@dataclass(slots=True, eq=False)
class Session:
    """A collector's side of one connection, from Hello on."""

    collector: "Collector"
    sender: Sender
    floor: int
    stage: Literal["hello", "begun", "claimed", "fencing", "open"] = "hello"
    fence: list[str] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    expected: int = 0
    ended: bool = False

    @property
    def open(self) -> bool:
        """The sender was welcomed, and nothing ended it."""
        return self.stage == "open" and not self.ended

    @property
    def acknowledged(self) -> int:
        """What the sender may forget."""
        return min(self.expected, self.progress.safe)

    def woken(self) -> None:
        """The sinks got on."""
        if self.open and self.progress.passed_over:
            self.ended = True


class Collector:
    """A spool, a sink that shares streams, and perhaps one that does not (``files``)."""

    def __init__(self, name: str, topic: Topic, files: set[tuple[bytes, int]] | None) -> None:
        self._name = name
        self._topic = topic
        self._files = files
        self._lives = 0
        self.alive = False
        self.sessions: dict[bytes, Session] = {}
        self.wipe()
        self.start()

    # What a crash leaves

    def wipe(self) -> None:
        """A new disk."""
        assert not self.alive
        self._lives += 1
        self.stream = f"{self._name}-{self._lives}".encode()
        self.writer = f"shipper-{self._name}-{self._lives}"
        self.spool: list[Item] = []
        self.marks: dict[bytes, int] = {}
        self.filed = self.delivered_to = self.synced = 0

    def start(self) -> None:
        """The process begins."""
        self.alive = True
        self.connected = False
        self.delivered_to = self.synced
        self.at = self.synced
        self.ownership = Ownership()
        self.reader = Reader(self._topic, self.ownership)
        self.delivered = Delivered(self, cast(Sharing, self))
        self.sessions = {}

    def kill(self) -> None:
        """The process ends, and with it its connections."""
        self.alive = False
        for session in self.sessions.values():
            session.ended = True

    def sync(self) -> None:
        """The cursor of the sink becomes durable."""
        self.synced = self.delivered_to

    def damage(self, at: int) -> None:
        """An item cannot be read any more."""
        self.spool[at] = Item(at, Gap(at, at, -1, "corrupt"))

    # The spool (Hop)

    @property
    def floor(self) -> int:
        """All sinks are past it."""
        return self.delivered_to if self._files is None else min(self.delivered_to, self.filed)

    @property
    def next_number(self) -> int:
        """The number of the next item."""
        return len(self.spool)

    # The sinks (Sharing)

    @property
    def complete(self) -> bool:
        """No sink needs what the others have."""
        return self._files is None

    def held(self, stream: bytes) -> int:
        """What of a stream is in the topic."""
        return self.ownership.cursor(stream).next

    def connect(self) -> None:
        """Get a producer, read the topic, go on where the topic says."""
        self._lose()
        self._epoch = self._topic.init(self.writer)
        self.reader.read()
        self.at = max(self.delivered_to, self.ownership.cursor(self.stream).next)
        self.ownership.begin_again(self.writer, self.stream, Cursor(next=self.at))
        self.connected = True

    def pump(self, count: int) -> None:
        """Hand some items to the sink."""
        for item in self.spool[self.at : self.at + count]:
            for part in self.ownership.take(item):
                if (sent := part.upstream) is not None:
                    self._write(sent.stream, (sent.first, sent.part, sent.mark is not None))
            self.at = item.next

    def commit(self, *, answered: bool = True) -> None:
        """End the transaction; what was passed over needs none."""
        moves = self.ownership.moves()
        for stream, cursor in moves.items():
            self._write(stream, cursor)
        for stream, claim in self.ownership.settled().items() if moves else ():
            self._write(stream, claim)
        self._topic.commit(self.writer, self._epoch)
        if not answered:
            return self._lose()
        self.ownership.committed()
        self.delivered_to = self.ownership.reached
        return self.delivered.advance()

    def file(self, count: int) -> None:
        """The other sink takes some items."""
        assert self._files is not None
        for item in self.spool[self.filed : self.filed + count]:
            if item.upstream is not None and item.upstream.mark is not None:
                self._files.update((item.upstream.stream, n) for n in range(item.upstream.first, item.upstream.next))
            self.filed = item.next
        self.delivered.advance()

    def deliver_all(self) -> None:
        """All sinks get on as far as they can."""
        if self._files is not None:
            self.file(len(self.spool))
        if self.connected:
            self.pump(len(self.spool))
            self.commit()

    def guarded(self, work: Callable[[], object]) -> None:
        """Do something with the sink, which may find that it was fenced."""
        try:
            work()
        except Fenced:
            self._lose()

    def _write(self, stream: bytes, value: "tuple[int, int, bool] | Cursor | Claim") -> None:
        self._topic.append(self._epoch, Record(self.writer, stream, value))

    def _lose(self) -> None:
        self.connected = False
        for session in self.sessions.values():
            if session.stage != "open":
                session.ended = True

    # The wire

    def hello(self, sender: Sender) -> None:
        """A sender connects, instead of an older connection."""
        old = self.sessions.get(sender.stream)
        if old is not None:
            old.ended = True
        sender.session = self.sessions[sender.stream] = Session(self, sender, sender.acked)

    def claim(self, session: Session) -> None:
        """The next step towards Welcome."""
        stream, ownership = session.sender.stream, self.ownership
        if session.stage == "hello" and ownership.owns(stream):
            fresh = not ownership.has_all(stream)
            ownership.goes_on(stream, session.floor)
            self._welcome(session, fresh=fresh)
        elif session.stage == "hello":
            self.reader.read()
            self._write(stream, ownership.begin(stream))
            session.stage = "begun"
        elif session.stage == "begun":
            self.commit()
            session.stage = "claimed"
        elif session.stage == "claimed":
            self.reader.read()
            session.fence = sorted(ownership.to_fence(stream, self.reader.undecided(stream)))
            session.stage = "fencing"
        elif session.fence:
            self._topic.init(session.fence.pop())
        else:
            self.reader.read()
            if ownership.settle(stream, session.floor):
                self._welcome(session, fresh=True)
            else:
                session.ended = True

    def _welcome(self, session: Session, *, fresh: bool) -> None:
        stream = session.sender.stream
        here, there = self.marks.get(stream, 0), self.held(stream)
        fresh = fresh or self.delivered.passed_over(stream, here, there)
        if fresh and here > there:
            self.marks[stream] = here = there
        claimed = Claimed(Mark(there, 1, bytes(16), 0), fresh)
        session.progress = self.delivered.follow(stream, here, session.floor, session.woken, claimed)
        session.expected = session.floor = session.progress.next
        session.stage = "open"
        assert session.sender.acked <= session.expected <= session.sender.produced
        session.sender.next = session.sender.acked = session.expected

    def receive(self, session: Session, first: int, after: int, parts: int) -> None:
        """Take an entry, as the spool's writer judges it."""
        stream = session.sender.stream
        assert first <= session.expected, "a hole"
        expected = max(self.marks.get(stream, 0), session.floor)
        if after > session.expected:
            session.expected = after
            if after <= expected:
                return
            assert first <= expected, "the writer refuses a hole"
            for part in range(parts):
                at = len(self.spool)
                mark = Mark(after, 1, bytes(16), 0) if part == parts - 1 else None
                sent = Sent(stream, max(first, expected) if after > first + 1 else first, mark, part)
                self.spool.append(Item(at, Gap(at, at, 0, "model"), sent))
            self.marks[stream] = after
            self.delivered.keep(session.progress, after, len(self.spool))
