"""Reads the journal for an intake, one run of journalctl after the other.

First everything that is there is read by one run, to its end; what comes then by another one that follows. Whatever
ends a run, the next one begins at the entry that was read last, and that entry is recognised and passed over: so none
comes twice and none is skipped, also where that entry is gone. (``--after-cursor`` cannot tell: older versions pass
over whatever comes first.) The cursor travels with the batch, in the same write.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Literal

import msgspec

from shipper.batch import Batch, DeadLetter, Payload, Record, SourceRange
from shipper.errors import UNREADABLE, SourceError
from shipper.log import get_logger
from shipper.sources.base import Intake
from shipper.sources.journald.export import Entries, Entry, TooLong, same_entry, take_cursor, to_record
from shipper.sources.journald.journalctl import Journalctl
from shipper.sources.journald.missing import Missing
from shipper.sources.journald.resume import last_left

_KEY: Final = "position"
_STAGE: Final = "source"
_REMIND: Final = 60.0
_PROBLEMS: Final = 20
"""Of what a journalctl complained about the newest are kept: one that follows runs for months."""
_TICK: Final = 0.01
"""While a batch gathers, it is looked so often (seconds) whether it is full: journalctl fills its pipe in less."""
_QUIET: Final = 60.0
"""After so many seconds without output it is looked whether a journalctl hangs."""
_GRACE: Final = 10.0
"""Seconds that a journalctl which follows may be behind another one."""
_SLOW: Final = (
    "journalctl has found nothing for a minute: a large journal, a slow disk, or damage (journalctl --verify)"
)
_MACHINE_ID: Final = Path("/etc/machine-id")
_ANY: Final = "any"
"""As a selection: none by which entries are looked for. What is found so may not be shown."""
log = get_logger("journald")


class _Failed(Exception):
    """A journalctl failed, and in which way."""


class Position(msgspec.Struct, array_like=True, frozen=True):
    """How far the journal was read. On disk: only append fields, with defaults."""

    cursor: str
    """The entry that was read last; empty: none, begin with the first one."""
    generation: bytes
    """16 random bytes, given at the first start."""
    count: int
    """Entries read so far."""
    selection: str = ""
    """The options by which that entry was found; with others it may be there and not be shown."""


class Reader:
    """Reads a journal for an intake."""

    def __init__(
        self, intake: Intake, directory: str, selection: list[str], start_at: Literal["beginning", "end"]
    ) -> None:
        """``directory``: empty for the system's journal; ``selection``: arguments of journalctl.

        :raises SourceError: the position kept in the spool cannot be read.
        """
        self.problems: dict[str, None] = {}
        """What the last journalctl complained about."""
        self._intake = intake
        self._directory = directory
        self._arguments = [f"--directory={directory}"] if directory else []
        self._select = selection
        self._selection = "\n".join(selection)
        self._start_at = start_at
        self._entries = Entries(intake.max_record)
        self._overlooked = ""
        """The entry for which a journalctl that follows was ended."""
        self._resumes = False
        """The next entry may be the one that was read last."""
        self._resumed = False
        """It is known that the journal has what was read, or where it goes on otherwise."""
        self.missing: Final = Missing(intake, self._journal, filtered=bool(selection))
        self.position: Position | None = None
        """None until ``begin`` succeeded."""
        if _KEY in intake.state:
            try:
                self.position = msgspec.msgpack.decode(intake.state[_KEY], type=Position)
            except UNREADABLE as error:
                raise SourceError(f"the position in the journal, kept in the spool, cannot be read: {error}") from error

    async def begin(self) -> str | None:
        """Find out where to begin at the first start, and make it durable. What went wrong.

        :raises SourceError: there is no journalctl.
        """
        last = ""
        if self._start_at == "end":
            try:
                last = await self._last([])
            except _Failed as failed:
                return str(failed)
        self.position = Position(last, os.urandom(16), 0)
        if self._start_at == "end":
            await self._intake.take(lambda: self._batch([], [], []))
        return None

    async def _last(self, arguments: list[str]) -> str:
        """The cursor of the last entry that journalctl shows with these arguments; empty: it shows none.

        :raises _Failed: it is not known.
        """
        last = ""

        def note_last(child: Journalctl) -> Batch | None:
            nonlocal last
            for entry in self._entries.feed(child.read(self._intake.max_bytes)):
                last = _cursor(entry, "")
            return None

        failure = await self._drain([*self._arguments, "--lines=1", *arguments], note_last)
        if failure is not None:
            raise _Failed(failure)
        return last

    async def _resume(self, position: Position) -> Position:
        """The position, or the one before it at which the journal goes on after a power cut.

        :raises _Failed: it is not known.
        """
        cursor = await last_left(position.cursor, self._last)
        if cursor != position.cursor:
            self.missing.cut()
            position = msgspec.structs.replace(position, cursor=cursor, selection=_ANY)
        return position

    async def run(self, *, follow: bool) -> str | None:
        """One journalctl, to its end; what went wrong with it. ``follow``: all that was there is read.

        :raises SourceError: there is no journalctl.
        """
        position = self.position
        assert position is not None  # noqa: S101 - begin comes first
        if not self._resumed:
            try:
                position = self.position = await self._resume(position)
            except _Failed as failed:
                return str(failed)
            self._resumed = True
        arguments = [*self._arguments, *self._select]
        if follow:
            # Without --merge it shows the last boot only, of which it may not know the id (ProcSubset=pid in the unit);
            # with it, what came from other machines too.
            arguments += ["--follow", "--no-tail", "--merge", "--boot=all"]
            arguments += [] if self._directory else await asyncio.to_thread(_this_machine)
        if position.cursor:
            arguments.append(f"--cursor={position.cursor}")
        self._resumes = bool(position.cursor)
        failure = await self._drain(arguments, self._read, follow=follow)
        return "journalctl ended" if failure is None and follow else failure

    def complain(self, line: str) -> None:
        """Something is wrong: what journalctl says, or that it ended."""
        if "Pass -q" in line:  # the end of its hint about permissions
            return
        if "ermission" in line or "Users in" in line or "You are currently not seeing" in line:
            line = f"permission denied: {self._journal}: add the user to group systemd-journal"
        self.problems[line] = None
        if len(self.problems) > _PROBLEMS:
            del self.problems[next(iter(self.problems))]
        log.warning(line, source=self._intake.name, every=_REMIND, key=(self._intake.name, line))

    @property
    def _journal(self) -> str:
        return self._directory or "the system's journal"

    async def _drain(
        self, arguments: list[str], read: Callable[[Journalctl], Batch | None], *, follow: bool = False
    ) -> str | None:
        """Let the intake read what a journalctl writes, to its end. Why it failed."""
        intake = self._intake
        self.problems.clear()
        self._entries = Entries(intake.max_record)
        child = Journalctl(arguments, self.complain)
        try:
            due, window = 0.0, min(intake.max_bytes, child.room // 2)
            while not child.ended:
                if not await self._output(child, follow=follow):
                    return "journalctl hangs: there are entries that it does not write"
                while True:
                    left = due - time.monotonic()
                    if left <= 0 or child.waiting >= window:
                        break
                    await asyncio.sleep(min(left, _TICK))
                await intake.take(partial(read, child))
                due = time.monotonic() + intake.max_delay
            code = await child.wait()
        finally:
            await child.close()
        if code == 0:
            return None
        return f"journalctl ended with exit code {code}" if code > 0 else f"journalctl was ended by signal {-code}"

    async def _output(self, child: Journalctl, *, follow: bool) -> bool:
        """Wait for output; False: it hangs. Only of one that follows this can be known, by asking another one."""
        while not await child.readable(_QUIET):
            if not follow:
                self.complain(_SLOW)
                continue
            newest, position = await self._newest(), self.position
            known = not newest or newest == self._overlooked or (position and same_entry(newest, position.cursor))
            if not known and not await child.readable(_GRACE):
                # Where it comes behind later ones, the next one passes over it too (decision 118): once is enough.
                self._overlooked = newest
                return False
        self.problems.pop(_SLOW, None)
        return True

    async def _newest(self) -> str:
        """The cursor of the newest entry; empty where that cannot be found out."""
        entries, cursor = Entries(self._intake.max_record), ""
        with suppress(SourceError):
            child = Journalctl([*self._arguments, *self._select, "--lines=1"], lambda _: None)
            try:
                while not child.ended:
                    if not await child.readable(_QUIET):
                        self.complain(_SLOW)
                        return ""
                    for entry in entries.feed(await asyncio.to_thread(child.read, self._intake.max_bytes)):
                        cursor = _cursor(entry, cursor)
            finally:
                await child.close()
            self.problems.pop(_SLOW, None)
        return cursor

    def _read(self, child: Journalctl) -> Batch | None:
        """The next batch. On a worker thread."""
        position = self.position
        assert position is not None  # noqa: S101 - begin comes first
        records: list[Record] = []
        too_long: list[tuple[int, TooLong]] = []
        cursors: list[str] = []
        for entry in self._entries.feed(child.read(self._intake.max_bytes)):
            cursor = _cursor(entry, cursors[-1] if cursors else position.cursor)
            if self._resumes:
                self._resumes = False
                if same_entry(cursor, position.cursor):
                    continue
                if position.count and position.selection == self._selection:
                    self.missing.gone(position.cursor, cursor)
            if isinstance(entry, TooLong):
                too_long.append((len(cursors), entry))
            else:
                records.append(to_record(entry.fields))
            cursors.append(cursor)
        if not cursors:
            return None
        if not self.problems:
            self.missing.between(position.cursor, cursors)
        return self._batch(records, too_long, cursors)

    def _batch(self, records: list[Record], too_long: list[tuple[int, TooLong]], cursors: list[str]) -> Batch:
        """A batch of new entries; it moves the position."""
        intake, before = self._intake, self.position
        assert before is not None  # noqa: S101 - for the type checker
        name, labels, now = intake.name, dict(intake.labels), time.time_ns() // 1000
        if not cursors:
            return Batch(name, labels, Payload.lines(b""), [], now, {_KEY: msgspec.msgpack.encode(before)})
        generation, start = before.generation, before.count
        end = start + len(cursors)
        after = self.position = Position(cursors[-1], generation, end, self._selection)
        letters = []
        for index, entry in too_long:
            error = f"an entry of {entry.size} bytes is too long: at most {intake.max_record} bytes fit into a frame"
            head, size = entry.head, entry.size
            letters.append(DeadLetter(head, size, _STAGE, error, labels, name, generation, start, index, now))
        span = SourceRange(name, generation, start, end, read=end - start, kept=len(records), failed=len(letters))
        return Batch(name, labels, records, [span], now, {_KEY: msgspec.msgpack.encode(after)}, letters)


def _this_machine() -> list[str]:
    """What all entries of this machine's own journal match, as an argument; nothing where it has no id."""
    try:
        return [f"_MACHINE_ID={_MACHINE_ID.read_text('ascii').strip()}"]
    except OSError:
        return []


def _cursor(entry: Entry | TooLong, before: str) -> str:
    """The entry's cursor; that of the one before it where it has none."""
    return (entry.cursor if isinstance(entry, TooLong) else take_cursor(entry.fields)) or before
