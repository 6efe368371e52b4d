"""One batch on its way through a chain: its records and labels, and what becomes of records that fail."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from shipper.batch import DEAD_LETTER_RAW, Batch, DeadLetter, Format, Origin, Payload, Record
from shipper.chain.decode import count_invalid, decode_text, objects, raw_record, valid_text
from shipper.chain.encode import encode_json, encode_records
from shipper.chain.isolate import Outcome
from shipper.chain.lineage import Lineage
from shipper.chain.tally import FAILED, Tally
from shipper.errors import FrameError

if TYPE_CHECKING:
    from shipper.processor import OnError
    from shipper.spool.frame import Frame

_ENCODE: Final = "encode"
"""Who is named where a record cannot be written as JSON."""
_ERROR_LENGTH: Final = 500
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
        if isinstance(payload, list):
            self._records, self._raw, count = payload, [], len(payload)
        else:
            self._payload = payload if isinstance(payload, Payload) else _opened(payload)
            count = self._payload.count
        self.labels = batch.labels
        self.changed = self._payload is None
        """A record may differ from its bytes."""
        self._lineage = Lineage()
        self._tally = Tally(batch, count)
        self._invalid = 0
        self._letters: list[DeadLetter] = []
        self.kept_errors: Counter[str] = Counter()
        """Records that failed and go on with the error in a field, by the processor."""

    @property
    def raw(self) -> list[bytes]:
        """The bytes of each record as they came; empty where it never had bytes."""
        if self._raw is None:
            self._raw = self._payload.raw() if self._payload else []
        return self._raw

    @property
    def lines(self) -> list[bytes] | None:
        """The raw lines, as long as nobody made records of them."""
        raw_lines = self._payload is not None and self._payload.format is Format.LINES
        return self.raw if raw_lines and self._records is None else None

    @property
    def records(self) -> list[Record]:
        """The records as they are now."""
        if self._records is None:
            if self._payload and self._payload.format is Format.NDJSON:
                self._records = objects(self.raw)
            else:
                texts, self._invalid = decode_text(self.raw)
                self._records = [{"message": text} for text in texts]
        return self._records

    def parsed(self, outcome: Outcome, name: str) -> None:
        """A parser made records of the raw lines directly."""
        if self._payload:
            self._invalid = count_invalid(self._payload.data, self.raw)
        self.changed = True
        self.take(outcome, name, len(self.raw))

    def take(self, outcome: Outcome, name: str, before: int) -> None:
        """A step is done, which got ``before`` records."""
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
        self._records = outcome.records

    def fail(
        self, at: int, record: Record, error: Exception, name: str, on_error: "OnError", field: str
    ) -> Record | None:
        """A record failed: what goes on in its place (see ``isolate.Fail``)."""
        text = _described(error)
        index = self._lineage.index(at)
        if on_error == "drop":
            self._tally.gone(index, f"{name}/error")
            return None
        if on_error == "dead_letter":
            raw = self.raw[index] if self.raw else _best(record)
            if self._set_aside(index, raw, name, text):
                self._tally.gone(index, FAILED)
                return None
        self.changed = True
        self.kept_errors[name] += 1
        record.setdefault(field, f"{name}: {text}")
        return record

    def finish(self) -> tuple[Batch, int]:
        """The batch as it goes on, and how many records held invalid UTF-8 that was replaced."""
        batch = self._batch
        payload = self._encoded() if self.changed else self._left()
        if payload is self._payload and self.labels == batch.labels:
            return batch, 0
        origin, indices, subs = self._identities()
        sources = self._lineage.indices()
        done = Batch(
            batch.source,
            self.labels,
            payload,
            self._tally.ranges(range(payload.count) if sources is None else sources),
            batch.read_at,
            state=batch.state,
            dead_letters=[*batch.dead_letters, *self._letters],
            upstream=batch.upstream,
            origin=origin,
            indices=indices,
            subs=subs,
        )
        return done, self._invalid if self.changed else 0

    def _set_aside(self, index: int, raw: bytes, name: str, text: str) -> bool:
        """Make a dead letter; False when there is no room for it."""
        span, at = self._tally.place(index)
        batch = self._batch
        letter = DeadLetter(
            raw[:DEAD_LETTER_RAW],
            len(raw),
            name,
            text,
            batch.labels,
            batch.source,
            span.generation,
            span.start,
            at,
            batch.read_at,
        )
        if self._room is None:
            self._room = self._room_now()
        size = len(_letter_bytes(letter)) + _STORED
        if size > self._room:
            return False
        self._room -= size
        self._letters.append(letter)
        return True

    def _encoded(self) -> Payload:
        """The records as NDJSON. One that cannot be written is set aside, or goes on as it came."""
        records = self.records
        payload, failures = encode_records(records)
        if not failures:
            return payload
        results: list[Record | None] = list(records)
        for at, error in failures:
            raw = self.raw[self._lineage.index(at)] if self.raw else _best(records[at])
            results[at] = self.fail(at, raw_record(raw), error, _ENCODE, "dead_letter", "processor_error")
        kept = [record for record in results if record is not None]
        self._lineage.step(lambda: [at for at, record in enumerate(results) if record is not None])
        return encode_records(kept)[0]

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
        sources = self._lineage.indices()
        if origin is None or sources is None:
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
    text = f"the frame cannot be taken apart: {_described(error)}"
    tally = Tally(batch, frame.records)
    span, _ = tally.place(0)
    raw = frame.raw[:DEAD_LETTER_RAW]
    letter = DeadLetter(
        raw, len(frame.raw), "frame", text, batch.labels, batch.source, span.generation, span.start, 0, batch.read_at
    )
    if len(_letter_bytes(letter)) + _STORED > room:
        return batch
    for index in range(frame.records):
        tally.gone(index, FAILED)
    return Batch(
        batch.source,
        batch.labels,
        Payload.lines(b""),
        tally.ranges(()),
        batch.read_at,
        state=batch.state,
        dead_letters=[*batch.dead_letters, letter],
        upstream=batch.upstream,
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


def _described(error: Exception) -> str:
    """The error as one bounded text, without the surrogates that no codec takes."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - code of others
        text = ""
    named = text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")
    return valid_text(named[:_ERROR_LENGTH])


def _best(record: Record) -> bytes:
    """What can be said of a record that never had bytes of its own."""
    try:
        return encode_json(record)
    except ValueError:
        return b"{}"
