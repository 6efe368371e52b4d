"""What processors have in common that remember: a clock, the keys by which records are told apart, and saved state.

The clock stands still while the program is down, and no step of the machine's clock moves it: a window that was half
over is half over after a restart, however long that took.

Saved state begins with a byte that says its format. Numbers are little-endian.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from shipper import Duration, Processor, Record
from shipper_processors import _digest, _paths

KEY_SIZE: Final = 8
"""Bytes of a key: among a thousand, two of different records are equal once in 10^13 times."""
_FORMAT: Final = 1


class Clock:
    """Milliseconds since the processor ran for the first time."""

    def __init__(self, read: Callable[[], float]) -> None:
        """``read``: a monotonic clock in seconds."""
        self._read = read
        self._zero = read()

    def now(self) -> int:
        """The time now."""
        return int((self._read() - self._zero) * 1000)

    def go_on(self, then: int) -> None:
        """Let it be ``then`` now."""
        self._zero = self._read() - then / 1000


class Keys:
    """Tells records apart by the values of some fields."""

    def __init__(self, names: list[str]) -> None:
        """:raises ValueError: one is no field's name."""
        self.paths = [_paths.parse(name) for name in names]
        self.outermost = frozenset(path[0] for path in self.paths)

    def of(self, record: Record, labels: Mapping[str, Any]) -> bytes:
        """The key of a record: the same where all these fields (or labels, where it has no such field) are equal. One
        that is missing counts as null.
        """
        values = []
        for path in self.paths:
            value = _paths.get(record, path)
            if value is _paths.ABSENT and path[0] not in record:
                value = _paths.get(dict(labels), path)
            values.append(None if value is _paths.ABSENT else value)
        return _digest.digest(_digest.canonical(values), KEY_SIZE)


class ByKeys(Processor, kw_only=True):
    """The base of filters that tell records apart by the values of some fields, ``by``. They see a record once."""

    by: list[str] = []  # noqa: RUF012 - each instance gets a copy
    """Fields whose values tell records apart; nested ones as in a condition. A label (``file``) counts where a record
    has no such field, and what is missing counts as null."""

    bisect: ClassVar[bool] = False

    @property
    def reads(self) -> frozenset[str] | None:
        """These fields."""
        return Keys(self.by).outermost

    @property
    def writes(self) -> frozenset[str] | None:
        """Nothing: it only takes records out."""
        return frozenset()


def span(milliseconds: float) -> str:
    """A span of time for people."""
    return str(Duration(round(milliseconds / 1000, 0 if milliseconds >= 1000 else 3)))


def saved(body: bytes) -> bytes:
    """The state as it is stored."""
    return bytes([_FORMAT]) + body


def opened(state: bytes, head: int, row: int = 0) -> bytes:
    """The body of a stored state, which is ``head`` bytes and any number of rows; of no size: none.

    :raises ValueError: it is none of this version's.
    """
    if not state or state[0] != _FORMAT:
        raise ValueError(f"its format is {state[:1].hex() or 'missing'}; this version reads {_FORMAT:02x}")
    body = state[1:]
    rest = len(body) - head
    if rest < 0 or (rest % row if row else rest):
        raise ValueError(f"it is {len(state)} bytes long, which is no length that it can have")
    return body
