"""Processors of somebody's own, for the tests of the planner: each says something else of itself."""

import re
from typing import ClassVar

import msgspec

from shipper.batch import Record
from shipper.processor import OnError, Processor
from shipper_processors.dedupe import Dedupe
from shipper_processors.throttle import Throttle


class StillDedupe(Dedupe):
    """For which no time goes by."""

    @staticmethod
    def seconds() -> float:
        """Always now."""
        return 0.0


class StillThrottle(Throttle):
    """For which no time goes by."""

    @staticmethod
    def seconds() -> float:
        """Always now."""
        return 0.0


class Undeclared(Processor):
    """Says nothing about what it reads; does what the level asks for."""

    def process(self, record: Record) -> Record | list[Record] | None:
        """One at a time."""
        match record.get("level"):
            case "debug":
                return None
            case "error":
                raise RuntimeError("asked for")
            case "fatal":
                return [record | {"part": 1}, record | {"part": 2}]
        return record | {"seen": len(record)}


class Declared(Processor):
    """Reads the level and ``n``, writes ``n``, ``alert`` and the object ``http`` in place; may make two of one."""

    @property
    def reads(self) -> frozenset[str] | None:
        """What it looks at."""
        return frozenset(("level", "n", "http"))

    @property
    def writes(self) -> frozenset[str] | None:
        """What it changes."""
        return frozenset(("n", "alert", "http"))

    def process(self, record: Record) -> Record | list[Record] | None:
        """Change some fields, of some records."""
        if record.get("level") == "fatal":
            raise ValueError("fatal")
        if isinstance(record.get("http"), dict):
            record["http"]["status"] = 599
        if record.get("level") == "error":
            record["alert"] = float("nan")
        elif record.get("level") == "warn":
            return [record, {**record, "alert": {1, 2}}]
        elif record.get("n") == 1:
            record.pop("n")
        elif record.get("n") == 2:
            record["n"] = 2.0
        return record


class Takes(Processor):
    """Only takes records out, says so, and says nothing about what it reads; fails where the level asks for it."""

    @property
    def writes(self) -> frozenset[str] | None:
        """Nothing."""
        return frozenset()

    def process(self, record: Record) -> Record | None:
        """One at a time."""
        if record.get("level") == "fatal":
            raise ValueError("fatal")
        return None if record.get("level") == "debug" or "secret" in str(record.get("message")) else {**record}


class TakesSome(Takes):
    """The same, and says what it reads."""

    @property
    def reads(self) -> frozenset[str] | None:
        """What it looks at."""
        return frozenset(("level", "message"))

    def process_batch(self, records: list[Record]) -> list[Record]:
        """All at once."""
        return [record for record in records if self.process(record)]


class Unwritable(Processor):
    """Leaves behind what cannot be written as JSON."""

    @property
    def reads(self) -> frozenset[str] | None:
        """What it looks at."""
        return frozenset(("n",))

    @property
    def writes(self) -> frozenset[str] | None:
        """What it changes."""
        return frozenset(("alert",))

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Now and then."""
        for record in records:
            if record.get("n") in (0, 3):
                record["alert"] = object() if record["n"] else "\ud800"
        return records[:-1] if records and records[-1].get("n") == 3 else records


class Uncomparable(Processor):
    """Leaves behind what cannot be compared."""

    @property
    def reads(self) -> frozenset[str] | None:
        """What it looks at."""
        return frozenset(("n",))

    @property
    def writes(self) -> frozenset[str] | None:
        """What it changes."""
        return frozenset(("alert",))

    def process(self, record: Record) -> Record:
        """Now and then."""
        return {**record, "alert": _Touchy()} if record.get("n") == 1 else record


class _Touchy:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not touch")

    __hash__ = None  # type: ignore[assignment]


class Numbers(Processor):
    """Numbers the records that it sees, over batches."""

    default_on_error: ClassVar[OnError] = "keep"
    bisect: ClassVar[bool] = False

    def setup(self) -> None:
        """Begin."""
        self.next = 0

    @property
    def reads(self) -> frozenset[str] | None:
        """It needs no field."""
        return frozenset()

    @property
    def writes(self) -> frozenset[str] | None:
        """The number, where none is there."""
        return frozenset(("n",))

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Count."""
        for record in records:
            record.setdefault("n", self.next)
            self.next += 1
        return records

    def snapshot(self) -> bytes:
        """The next number."""
        return b"%d" % self.next

    def restore(self, state: bytes) -> None:
        """Go on."""
        self.next = int(state)


class Masks(Processor):
    """Changes records in which ``secret`` stands, wherever; it knows which they may be."""

    def suspects(self, data: bytes) -> list[int] | None:
        """Where the word stands."""
        return [match.start() for match in re.finditer(b"secret", data)]

    def process(self, record: Record) -> Record | None:
        """Say so."""
        text = repr(record)
        if "secret drop" in text:
            return None
        if "secret raise" in text:
            raise ValueError("there is a secret")
        return {**record, "level": "masked"} if "secret" in text else record


class Pairs(Processor):
    """Parses ``a=b`` and writes JSON."""

    default_on_error: ClassVar[OnError] = "keep"
    error_field: ClassVar[str] = "parse_error"

    def process(self, record: Record) -> Record:
        """Of a record."""
        text = record.get("message")
        if not isinstance(text, str) or "=" not in text:
            raise ValueError("no pair")
        name, _, value = text.partition("=")
        return {key: kept for key, kept in record.items() if key != "message"} | {name: value}

    def process_lines(self, lines: list[bytes]) -> list[Record | Exception] | None:
        """Of lines."""
        return [self._parsed(line) for line in lines]

    def json_lines(self, lines: list[bytes]) -> list[bytes | Exception] | None:
        """The same as text."""
        parsed = map(self._parsed, lines)
        return [msgspec.json.encode(found) if isinstance(found, dict) else found for found in parsed]

    def _parsed(self, line: bytes) -> Record | Exception:
        try:
            return self.process({"message": line.decode("utf-8", "replace")})
        except ValueError as error:
            return error
