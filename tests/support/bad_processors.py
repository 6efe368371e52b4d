"""Processors that do what a record asks for: harm, mostly. Child processes import them from here."""

import ctypes
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from shipper import OnError, Processor, Record

HARM = {
    "exit": "ended with exit code 3",
    "segfault": "was killed by SIGSEGV",
    "hang": "did not answer within 500ms",
    "allocate": "took more than 256MiB of memory",
    "close": "closed its connection",
    "garbage": "wrote something into its connection that is no answer",
}
"""What a record can ask for, and what is said of it then."""


def _hang() -> None:
    time.sleep(3600)


def _close() -> None:
    os.closerange(3, 1 + max(_descriptors()))
    _hang()


def _write_garbage() -> None:
    for descriptor in _descriptors():
        with suppress(OSError):
            os.write(descriptor, b"garbage!" * 10)


def _descriptors() -> list[int]:
    """The open ones, but for the standard streams: they have the numbers that they have in the agent."""
    return [number for name in os.listdir("/proc/self/fd") if (number := int(name)) > 2]


def _raise(error: BaseException) -> None:
    raise error


_DEEDS: dict[object, Callable[[], object]] = {
    "exit": lambda: os._exit(3),
    "segfault": lambda: ctypes.string_at(0),
    "hang": _hang,
    "allocate": lambda: bytearray(4 << 30),
    "close": _close,
    "garbage": _write_garbage,
    "print": lambda: print("printed by a processor", flush=True),  # noqa: T201 - it is what it is about
    "sys.exit": lambda: _raise(SystemExit(2)),
    "raise": lambda: _raise(KeyError("asked for")),
}


def do(what: object) -> None:
    """What a record asks for, if it is any of these."""
    if what in _DEEDS:
        _DEEDS[what]()


class Obey(Processor):
    """One record at a time."""

    def process(self, record: Record) -> Record | list[Record] | None:
        """Do what the record asks for."""
        do(record["message"])
        match record["message"]:
            case "drop":
                return None
            case "two":
                return [record, {"message": "second"}]
            case "wrong":
                return 5  # type: ignore[return-value]
            case "odd":
                return {"message": object()}
        return record | {"seen": len(record["message"])}


class ObeyAll(Processor):
    """A whole batch at once."""

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Do what each record asks for."""
        for record in records:
            do(record["message"])
        kept = [record for record in records if record["message"] != "drop"]
        for record in kept:
            record["seen"] = len(record["message"])
        return kept[::-1] if any(record["message"] == "reverse" for record in kept) else kept


class Numbered(Processor):
    """Give each record a number, over all batches."""

    bisect: ClassVar[bool] = False

    def setup(self) -> None:
        """Begin with 1."""
        self._last = 0

    def process(self, record: Record) -> Record:
        """Do what the record asks for, then count it."""
        do(record["message"])
        self._last += 1
        return record | {"number": self._last}

    def snapshot(self) -> bytes:
        """The last number."""
        return b"%d" % self._last

    def restore(self, state: bytes) -> None:
        """Go on after it."""
        self._last = int(state)


class Unrepeatable(Processor):
    """One that must not see a record twice."""

    bisect: ClassVar[bool] = False
    default_on_error: ClassVar[OnError] = "keep"

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Do what each record asks for."""
        for record in records:
            do(record["message"])
        return records


class Broken(Processor):
    """One whose state cannot be had when a record asked for that."""

    def setup(self) -> None:
        """All is well."""
        self._broken = False

    def process(self, record: Record) -> Record:
        """Break where asked to."""
        self._broken = self._broken or record["message"] == "break"
        return record

    def snapshot(self) -> bytes:
        """The state, or not."""
        if self._broken:
            raise RuntimeError("no state")
        return b"x"


class Choosy(Processor):
    """One that is never content with its settings where it runs."""

    def setup(self) -> None:
        """Refuse."""
        raise ValueError("nothing is good enough; write something better")

    def process(self, record: Record) -> Record:
        """Never called."""
        return record


class Declared(Processor):
    """One that says which fields it looks at and which it changes."""

    @property
    def reads(self) -> frozenset[str]:
        """One field."""
        return frozenset({"n"})

    @property
    def writes(self) -> frozenset[str]:
        """Another one."""
        return frozenset({"double"})

    def process(self, record: Record) -> Record | None:
        """Change in place; drop what is too large."""
        number = record.get("n")
        if isinstance(number, int):
            if number > 2**70:
                return None
            record["double"] = 2 * number
        return record
