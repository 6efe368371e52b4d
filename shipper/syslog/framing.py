"""Where messages end on a TCP connection (RFC 6587): octet counting and newlines, told apart each time. Sans-IO.

    frame     = counted | line
    counted   = count SP message            count: the length of the message in bytes
    line      = message LF                  or NUL

A frame is counted where it begins with a count, a space and a priority (``<13>``); behind a counted frame, a count and
a space are enough. A line that begins with a number ("15 apples") is a line, unless it follows a counted frame.
CR, LF and NUL before a frame and at the end of a message belong to neither: senders write them behind counted messages
too, inside the count or after it. A message without anything else is none.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

_COUNT: Final = re.compile(rb"([1-9][0-9]{0,6}) ")
"""A count of 10 MB and more is none: whatever it is, all that comes would be swallowed for it."""
_COUNT_PRI: Final = re.compile(rb"([1-9][0-9]{0,6}) (?=<[0-9]{1,3}>)")
_MAYBE_COUNT: Final = re.compile(rb"[0-9]{1,7}")
_MAYBE_COUNT_PRI: Final = re.compile(rb"[0-9]{1,7}(?: (?:<[0-9]{0,3})?)?")
_END: Final = re.compile(rb"[\n\0]")
_TRAILERS: Final = b"\r\n\0"
_LESS: Final = ord("<")


class Message(NamedTuple):
    """A message without its frame."""

    data: bytes
    whole: bool = True
    """False: the connection ended inside it, or it is longer than the limit."""
    skipped: int = 0
    """Bytes of it beyond the limit."""


class _Within(Enum):
    NOTHING = auto()
    COUNTED = auto()
    LINE = auto()


class SyslogFramer:
    """Takes the bytes of one connection, gives messages. Of one that is longer than ``limit`` bytes it gives the
    beginning and skips the rest.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._within = _Within.NOTHING
        self._kept = bytearray()
        """The message so far; of a frame that did not begin yet, what may become its count."""
        self._skipped = 0
        self._left = 0
        """Bytes of the counted message that did not come yet."""
        self._counts = False
        """The last frame was counted."""

    @property
    def held(self) -> int:
        """Bytes in memory that are not a message yet."""
        return len(self._kept)

    @property
    def unfinished(self) -> bool:
        """A message has begun and not ended."""
        return self._within is not _Within.NOTHING or bool(self._kept)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that end in these bytes."""
        if self._within is _Within.NOTHING and self._kept:
            data = bytes(self._kept) + data
            self._kept.clear()
        nul = b"\0" in data  # looked for once: a search from each line to the end of all would be quadratic
        found: list[Message] = []
        at, size = 0, len(data)
        while at < size:
            if self._within is _Within.NOTHING:
                at = self._easy(found, data, at, nul=nul)
                if at == size:
                    break
                behind = self._begin(data, at)
                if behind is None:
                    self._kept += data[at:]
                    break
                at = behind
            if self._within is _Within.COUNTED:
                end = min(size, at + self._left)
                self._left -= end - at
                over, behind = self._left == 0, end
            else:
                end = self._line_end(data, at, nul=nul)
                over, behind = end >= 0, end + 1
                if not over:
                    end = behind = size
            if over:
                self._end(found, data, at, end)
            else:
                self._keep(data, at, end)
            at = behind
        return found

    def finish(self, *, broken: bool = False) -> list[Message]:
        """The connection is over: what is left. ``broken``: it did not end as it should; otherwise a line needs no
        newline at the end of all.
        """
        found: list[Message] = []
        if self.unfinished:
            whole = self._within is not _Within.COUNTED and not broken
            self._end(found, b"", 0, 0, whole=whole)
            self._left, self._counts = 0, False
        return found

    def _easy(self, found: list[Message], data: bytes, at: int, *, nul: bool) -> int:
        """Between frames: pass over what belongs to nobody, and take whole lines that begin with their priority, which
        is most of what comes. Returns where that ends.
        """
        size, limit = len(data), self._limit
        while at < size:
            if data[at] == _LESS and not nul:
                end = data.find(b"\n", at)
                if not at < end <= at + limit:
                    break
                found.append(Message(data[at:end].rstrip(_TRAILERS)))
                self._counts = False
                at = end + 1
            elif data[at] in _TRAILERS:
                at += 1
            else:
                break
        return at

    def _begin(self, data: bytes, at: int) -> int | None:
        """Which kind of frame begins, and where its message does; None where more must come before that is known."""
        if data[at : at + 1].isdigit():
            count, maybe = (_COUNT, _MAYBE_COUNT) if self._counts else (_COUNT_PRI, _MAYBE_COUNT_PRI)
            match = count.match(data, at)
            if match is not None:
                self._within, self._left, self._counts = _Within.COUNTED, int(match[1]), True
                return match.end()
            if maybe.fullmatch(data, at):
                return None
        self._within, self._counts = _Within.LINE, False
        return at

    @staticmethod
    def _line_end(data: bytes, at: int, *, nul: bool) -> int:
        if not nul:
            return data.find(b"\n", at)
        match = _END.search(data, at)
        return -1 if match is None else match.start()

    def _keep(self, data: bytes, start: int, end: int) -> None:
        room = max(0, self._limit - len(self._kept))
        self._kept += data[start : min(end, start + room)]
        self._skipped += max(0, end - start - room)

    def _end(self, found: list[Message], data: bytes, start: int, end: int, *, whole: bool = True) -> None:
        """The message ends with these bytes."""
        if not self._kept and end - start <= self._limit:  # nearly all of them
            message = Message(data[start:end].rstrip(_TRAILERS), whole)
        else:
            self._keep(data, start, end)
            message = Message(bytes(self._kept).rstrip(_TRAILERS), whole and not self._skipped, self._skipped)
            self._kept.clear()
        self._within, self._skipped = _Within.NOTHING, 0
        if message.data:
            found.append(message)
