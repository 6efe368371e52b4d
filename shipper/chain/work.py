"""One batch on its way through a chain: its records and labels, and what becomes of records that fail."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from shipper.batch import DEAD_LETTER_RAW, Batch, DeadLetter, Format, Origin, Payload, Record
from shipper.chain.decode import is_text, raw_record
from shipper.chain.encode import encode_json, encode_records
from shipper.chain.isolate import Outcome
from shipper.chain.lineage import Lineage
from shipper.chain.rows import Rows
from shipper.chain.tally import FAILED, Tally
from shipper.chain.words import brief, described
from shipper.errors import FrameError

if TYPE_CHECKING:
    from shipper.processor import OnError
    from shipper.spool.frame import Frame

_ENCODE: Final = "encode"
"""Who is named where a record cannot be written as JSON."""
_STORED: Final = 64
"""What a dead letter takes on disk beside its own bytes, at most."""
_letter_bytes: Final = msgspec.msgpack.Encoder(enc_hook=str).encode


class Work:
    """One batch in the making."""

    def __init__(self, batch: Batch, room: Callable[[], int]) -> None:
        """:raises FrameError: the batch is a frame that cannot be taken apart."""
        self._batch = batch
        self._room_now = room
        self._room: int | None = None
        payload = batch.payload
        self._records: list[Record] | None = None
        self._raw: list[bytes] | None = None
        self._payload: Payload | None = None
        self.rows: Rows | None = None
        """The records as bytes, until somebody asks for all of them in full."""
        if isinstance(payload, list):
            self._records, self._raw, count = payload, [], len(payload)
        else:
            self._payload = payload if isinstance(payload, Payload) else _opened(payload)
            self.rows = Rows(self._payload)
            count = self._payload.count
        self.labels = batch.labels
        self.changed = self._payload is None
        """A record may differ from its bytes."""
        self._lineage = Lineage()
        self._tally = Tally(batch, count)
        self._letters: list[DeadLetter] = []
        self.kept_errors: Counter[str] = Counter()
        """Records that failed and go on with the error in a field, by the processor."""
        self.kept_reasons: dict[str, str] = {}
        """Why the first of them did."""

    @property
    def raw(self) -> list[bytes]:
        """The bytes of each record as they came; empty where it never had bytes."""
        if self._raw is None:
            self._raw = self._payload.raw() if self._payload else []
        return self._raw

    @property
    def lines(self) -> list[bytes] | None:
        """The raw records, as long as nobody made records of JSON of them. Joined ones hold newlines."""
        return None if self.rows is None else self.rows.raw

    @property
    def records(self) -> list[Record]:
        """The records as they are now, in full."""
        if self.rows is not None:
            self.changed = self.changed or self.rows.changed
            self._records, self.rows = self.rows.unpack(), None
        return self._records or []

    def parsed(self, outcome: Outcome, name: str, before: int) -> None:
        """A parser made records of the raw lines directly."""
        self.changed, self.rows = True, None
        self.take(outcome, name, before)

    def take(self, outcome: Outcome, name: str, before: int) -> None:
        """A step is done, which got ``before`` records."""
        self.account(outcome, name, before)
        self._records = outcome.records

    def account(self, outcome: Outcome, name: str, before: int) -> None:
        """Count what a step took out, and remember which record is which."""
        if outcome.filtered and (self._tally.one_range or outcome.sources is None):
            self._tally.filtered(outcome.filtered, f"{name}/filtered")
        elif outcome.filtered and outcome.sources is not None:
            there = set(outcome.sources())
            gone = [self._lineage.index(at) for at in range(before) if at not in there]
            for index in gone:
                if not self._tally.has_gone(index):
                    self._tally.gone(index, f"{name}/filtered")
        if outcome.sources is not None:
            self._lineage.step(outcome.sources)

    def fail(
        self, at: int, record: Record, error: Exception, name: str, on_error: "OnError", field: str, place: str = ""
    ) -> Record | None:
        """A record failed: what goes on in its place (see ``isolate.Fail``). It or its dead letter names ``place``."""
        text = described(error)
        index = self._lineage.index(at)
        if on_error == "drop":
            self._tally.gone(index, f"{name}/error")
            return None
        if on_error == "dead_letter":
            raw = self.raw[index] if self.raw else _best(record)
            if self._set_aside(index, raw, name, f"{place}: {text}" if place else text):
                self._tally.gone(index, FAILED)
                return None
        self.changed = True
        self.kept_errors[name] += 1
        self.kept_reasons.setdefault(name, text)
        record.setdefault(field, f"{name}: {brief(place)}: {text}" if place else f"{name}: {text}")
        return record

    def finish(self, changing: Callable[[], str]) -> tuple[Batch, int]:
        """The batch as it goes on, and how many records held invalid UTF-8 that was replaced. ``changing``: who may
        have left a record that cannot be written as JSON.
        """
        batch = self._batch
        if self.rows is not None:
            payload = self._packed(self.rows, changing)
        else:
            payload = self._encoded(changing) if self.changed else self._left()
        if payload is self._payload and self.labels == batch.labels:
            return batch, 0
        origin, indices, subs = self._identities()
        sources = None if self._tally.one_range else self._lineage.indices()
        done = Batch(
            batch.source,
            self.labels,
            payload,
            self._tally.ranges(range(payload.count) if sources is None else sources),
            batch.read_at,
            state=batch.state,
            dead_letters=[*batch.dead_letters, *self._letters],
            upstream=batch.upstream,
            came=batch.came,
            origin=origin,
            indices=indices,
            subs=subs,
            losses=batch.losses,
        )
        return done, self._replaced(payload)

    def _set_aside(self, index: int, raw: bytes, name: str, text: str) -> bool:
        """Make a dead letter; False when there is no room for it."""
        span, at = self._tally.place(index)
        batch = self._batch
        place = (span.generation, span.start, at)
        if batch.letters is not None:  # a replay
            place = (batch.letters[index].generation, batch.letters[index].start, batch.letters[index].index)
        kind = Format.NDJSON if self._payload is None or self._payload.format is Format.NDJSON else Format.LINES
        cut = raw[:DEAD_LETTER_RAW]
        letter = DeadLetter(
            cut, len(raw), name, text, batch.labels, batch.source, *place, read_at=batch.read_at, format=kind
        )
        if self._room is None:
            self._room = self._room_now()
        size = len(_letter_bytes(letter)) + _STORED
        if size > self._room:
            return False
        self._room -= size
        self._letters.append(letter)
        return True

    def _encoded(self, changing: Callable[[], str]) -> Payload:
        """The records as NDJSON. One that cannot be written is set aside, or goes on as it came."""
        records = self.records
        payload, failures = encode_records(records)
        if not failures:
            return payload
        results: list[Record | None] = list(records)
        for at, error in failures:
            raw = self.raw[self._lineage.index(at)] if self.raw else _best(records[at])
            results[at] = self._unwritable(at, raw, error, changing)
        kept = [record for record in results if record is not None]
        self._lineage.step(lambda: [at for at, record in enumerate(results) if record is not None])
        return encode_records(kept)[0]

    def _packed(self, rows: Rows, changing: Callable[[], str]) -> Payload:
        """The rows as they are; those that are whole are encoded, as above."""
        payload, lines = rows.pack()
        if payload is not None:
            return payload
        places = rows.wholes
        written, failures = encode_records([rows.records[at] for at in places])
        failed = dict(failures)
        texts = iter(written.raw())
        for number, at in enumerate(places):
            if number not in failed:
                lines[at] = next(texts)
                continue
            raw = self.raw[self._lineage.index(at)]
            left = self._unwritable(at, raw, failed[number], changing)
            lines[at] = None if left is None else encode_json(left)
        kept = [line for line in lines if line is not None]
        if len(kept) < len(lines):
            self._lineage.step(lambda: [at for at, line in enumerate(lines) if line is not None])
        return Payload(Format.NDJSON, b"\n".join([*kept, b""]), len(kept))

    def _unwritable(self, at: int, raw: bytes, error: Exception, changing: Callable[[], str]) -> Record | None:
        """A record cannot be written as JSON: what goes on in its place."""
        return self.fail(at, raw_record(raw), error, _ENCODE, "dead_letter", "processor_error", place=changing())

    def _replaced(self, payload: Payload) -> int:
        """How many raw records that were not UTF-8 go on as JSON, with U+FFFD for what was wrong."""
        was = self._payload
        if was is None or was.format is Format.NDJSON or payload.format is not Format.NDJSON:
            return 0
        if was.format is Format.LINES and is_text(was.data):
            return 0
        indices = self._lineage.indices()
        left = range(len(self.raw)) if indices is None else set(indices)
        return sum(not is_text(self.raw[index]) for index in left)

    def _left(self) -> Payload:
        """The payload without the records that were taken out of it; the others keep their bytes."""
        assert self._payload is not None  # noqa: S101 - for the type checker: without one, ``changed`` is set
        indices = self._lineage.indices()
        if indices is None:
            return self._payload
        left = [self.raw[index] for index in indices]
        if self._payload.format is Format.SIZED:
            return Payload.sized(left)
        return Payload(self._payload.format, b"".join([line + b"\n" for line in left]), len(left))

    def _identities(self) -> tuple[Origin | None, list[int] | None, list[int] | None]:
        """Origin, indices and sub-indices: a record that was framed before keeps the identity it got then."""
        batch = self._batch
        origin, base, subs = batch.origin, batch.indices, batch.subs
        if origin is None and not isinstance(batch.payload, (Payload, list)):
            meta = batch.payload.meta
            origin = meta.origin or Origin(batch.payload.stream, batch.payload.seq)
            base, subs = meta.indices, meta.subs
        sources = None if origin is None else self._lineage.indices()
        if sources is None:
            return origin, base, subs
        indices = sources if base is None else [base[source] for source in sources]
        if len(set(sources)) == len(sources):
            return origin, indices, None if subs is None else [subs[source] for source in sources]
        seen: Counter[int] = Counter()
        numbered = []
        for index in indices:
            numbered.append(seen[index])
            seen[index] += 1
        return origin, indices, numbered


def unreadable(batch: Batch, frame: "Frame", error: FrameError, room: int) -> Batch:
    """The batch for a frame that cannot be taken apart: empty, its bytes set aside. It goes on as it is where there is
    no room for that: then whoever reads it next has to cope.
    """
    text = f"the frame cannot be taken apart: {described(error)}"
    tally = Tally(batch, frame.records)
    span, _ = tally.place(0)
    raw = frame.raw[:DEAD_LETTER_RAW]
    letter = DeadLetter(
        raw, len(frame.raw), "frame", text, batch.labels, batch.source, span.generation, span.start, 0, batch.read_at
    )
    if len(_letter_bytes(letter)) + _STORED > room:
        return batch
    tally.filtered(frame.records, FAILED)
    return Batch(
        batch.source,
        batch.labels,
        Payload.lines(b""),
        tally.ranges(()),
        batch.read_at,
        state=batch.state,
        dead_letters=[*batch.dead_letters, letter],
        upstream=batch.upstream,
        came=batch.came,
    )


def _opened(frame: "Frame") -> Payload:
    """:raises FrameError: the frame cannot be taken apart."""
    payload = frame.payload()
    meta = frame.meta
    numbers = [numbers for numbers in (meta.indices, meta.subs) if numbers is not None]
    count = len(payload.raw()) if payload and payload.format is Format.SIZED else frame.records
    if payload is None or count != frame.records or any(len(known) != frame.records for known in numbers):
        raise FrameError(f"frame {frame.seq}: {frame.records} records were promised, others came out")
    return payload


def _best(record: Record) -> bytes:
    """What can be said of a record that never had bytes of its own."""
    try:
        return encode_json(record)
    except ValueError:
        return b"{}"
