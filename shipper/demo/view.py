"""What the demo shows: events one under the other, and below them a block of numbers that is drawn again and again.

On a terminal the block is drawn in place with plain ANSI; elsewhere, and where it would not fit, it is one line every
two seconds.
"""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from shipper.demo.verify import Tally

_LEAST_COLUMNS: Final = 72
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_PLAIN_EVERY: Final = 2.0
GREEN, RED, YELLOW, BLUE, BOLD, DIM = "32", "31", "33", "36", "1", "2"


@dataclass(slots=True)
class Numbers:
    """The state at one moment. Lines are of all kinds together."""

    expected: int
    """Lines that make a full bar."""
    written: int
    read: int
    queued_bytes: int
    delivered: int
    waiting_seconds: float
    """Age of the oldest frame that the agent holds."""
    link_cut: bool
    collector_up: bool

    @property
    def queued(self) -> int:
        """Lines that the agent has read and the collector has not written yet."""
        return max(0, self.read - self.delivered)

    @property
    def lag(self) -> int:
        """Lines that the application has written and the collector has not."""
        return max(0, self.written - self.delivered)


class View:
    """Writes to one stream; ``tty`` says whether a terminal is behind it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.tty = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self.tty and not os.environ.get("NO_COLOR")
        self._height = 0
        self._began = time.monotonic()
        self._progress = _PLAIN_EVERY
        if self.tty:
            self._put("\x1b[?25l")  # no cursor while lines jump

    @property
    def elapsed(self) -> float:
        """Seconds since ``begin``."""
        return time.monotonic() - self._began

    def begin(self) -> None:
        """The clock of the events starts now."""
        self._began = time.monotonic()
        self._progress = _PLAIN_EVERY

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._put(f"{self._erase()}{text}\n")

    def event(self, text: str, colour: str = "") -> None:
        """Something happened: a line that stays, with its time."""
        self.say(f"  {self.paint(f'{self.elapsed:5.1f} s', DIM)}  {self.paint(text, colour)}")

    def show(self, numbers: Numbers) -> None:
        """The numbers as they are now."""
        columns = shutil.get_terminal_size().columns
        if self.tty and columns >= _LEAST_COLUMNS:
            lines = ["", *self._block(numbers, columns)]
            self._put(self._erase() + "".join(f"{line}\n" for line in lines))
            self._height = len(lines)
        elif self.elapsed >= self._progress:
            self._progress = self.elapsed + _PLAIN_EVERY
            self.event(
                f"written {numbers.written:,} · read {numbers.read:,} · queued {numbers.queued:,}"
                f" ({size(numbers.queued_bytes)}) · delivered {numbers.delivered:,} · lag {numbers.lag:,} lines"
            )

    def table(self, tallies: Sequence[Tally]) -> None:
        """The count at the end."""
        heads = ("", "written", "delivered", "lost", "doubled", "altered", "in order")
        self.say("  " + self.paint("".join(f"{head:<8}" if not head else f"{head:>11}" for head in heads), BOLD))
        for tally in tallies:
            numbers = f"{tally.kind:<8}{tally.written:>11,}{tally.delivered:>11,}"
            faults = "".join(
                self.paint(f"{count:>11,}", RED if count else GREEN)
                for count in (tally.lost, tally.doubled, tally.altered)
            )
            order = self.paint(f"{'yes' if tally.in_order else 'NO':>11}", GREEN if tally.in_order else RED)
            self.say(f"  {numbers}{faults}{order}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._put(self._erase() + ("\x1b[?25h" if self.tty else ""))

    def paint(self, text: str, colour: str) -> str:
        """Text in a colour, where colours are wanted."""
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self._colours else text

    def _block(self, n: Numbers, columns: int) -> list[str]:
        bar = 30 if columns >= 100 else 16
        room = columns - 26 - bar
        full = max(n.expected, n.written, 1)
        oldest = f", oldest {n.waiting_seconds:.1f} s" if n.waiting_seconds >= 0.5 and n.queued else ""
        rows = [
            ("written", n.written, BLUE, "by the application"),
            ("read", n.read, BLUE, "by the agent"),
            ("queued", n.queued, YELLOW, f"{size(n.queued_bytes)} in the spool{oldest}"),
            ("delivered", n.delivered, GREEN, f"in the collector's files, {n.lag:,} behind"),
        ]
        lines = [
            f"  {name:<10}{count:>9,}  {self.paint(_bar(count / full, bar), colour)} {self.paint(text[:room], DIM)}"
            for name, count, colour, text in rows
        ]
        link = self.paint("━━━━━╸    ╺━━━━━ cut", RED) if n.link_cut else self.paint("━━━━━━━━━━━━━━━━", GREEN)
        collector = self.paint("collector", GREEN) if n.collector_up else self.paint("collector (not there)", RED)
        return [*lines, f"  {'link':<10}{'agent':>9}  {link} {collector}"]

    def _erase(self) -> str:
        height, self._height = self._height, 0
        return f"\x1b[{height}A\r\x1b[J" if height else ""

    def _put(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def size(count: float) -> str:
    """Bytes for people: ``1.2 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _bar(share: float, width: int) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)
