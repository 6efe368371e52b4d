"""The ``journald`` source's config; reading is the business of ``reader.Reader``."""

import asyncio
import os
import re
from typing import Final, Literal

import msgspec

from shipper.sources.base import Given, Intake, Source
from shipper.sources.journald.reader import Reader

_RETRY: Final = 1.0
_RETRY_MAX: Final = 10.0
"""Seconds until journalctl is started again when it failed; doubled up to the second while nothing can be read."""
_UNIT: Final = re.compile(r"[\w:.@\\-]{1,255}", re.ASCII)
_MATCH: Final = re.compile(r"[A-Z0-9_]{1,64}=.*", re.DOTALL)


class JournaldSource(Source):
    """Follow systemd's journal: every entry once, in the journal's order, through rotation, vacuuming and restarts.

    A record has ``timestamp``, ``message``, ``severity`` and ``facility`` (words), ``hostname``, ``app_name``,
    ``proc_id`` and ``unit``, as far as the entry has them, and the entry's other fields under their own names
    (``_UID``, ``CODE_FILE`` ...). It needs ``journalctl`` and, for the system's journal, the group ``systemd-journal``.
    """

    directory: str = ""
    """A directory with journal files, instead of the journal of this machine. In a container: where the host's
    ``/var/log/journal`` is mounted."""
    units: list[str] = msgspec.field(default_factory=list)
    """Only entries of these units, as ``journalctl --unit`` shows them: ``nginx`` means ``nginx.service``. Default:
    all."""
    matches: list[str] = msgspec.field(default_factory=list)
    """Only entries with these fields, as in ``[_TRANSPORT=kernel]``. Of the same field one is enough, of different
    fields all have to match."""
    priority: Literal["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"] | None = None
    """Only entries of this priority and more urgent ones."""
    start_at: Literal["beginning", "end"] = "beginning"
    """Where to begin at the first start: with the oldest entry, or with those that come."""

    def setup(self) -> None:
        """See ``Source``."""
        for unit in self.units:
            if not _UNIT.fullmatch(unit):
                raise ValueError(f"units: {unit!r} is not the name of a unit, as in nginx or nginx.service")
        for match in self.matches:
            if not _MATCH.fullmatch(match):
                raise ValueError(f"matches: {match!r} is not FIELD=value with the field in capitals")

    def cautions(self) -> list[tuple[str, str]]:
        """See ``Source``."""
        if any(os.access(os.path.join(folder, "journalctl"), os.X_OK) for folder in os.get_exec_path()):
            return []
        return [("type", "journald needs the program journalctl, which is not here: install systemd")]

    @property
    def gives(self) -> tuple[Given, ...]:
        """Records."""
        return ("records",)

    async def run(self, intake: Intake, *, once: bool) -> None:
        """See ``Source``."""
        await self.read(intake, _RETRY, once=once)

    async def read(self, intake: Intake, retry: float, *, once: bool) -> None:
        """``run``, with the seconds after which a failed journalctl is started again."""
        reader = self.__dict__["_reader"] = Reader(intake, self.place, self.selection, self.start_at)
        wait, caught_up = retry, False
        while True:
            before = reader.position
            failure = await (reader.begin() if before is None else reader.run(follow=caught_up))
            if failure is not None:
                reader.complain(failure)
                if once:
                    return
                caught_up = False
                wait = retry if reader.position != before else min(2 * wait, max(retry, _RETRY_MAX))
                await asyncio.sleep(wait)
            elif before is not None:
                if once:
                    return
                caught_up = True

    def problems(self) -> list[str]:
        """See ``Source``."""
        reader: Reader | None = self.__dict__.get("_reader")
        return [] if reader is None else list(reader.problems)

    def describe(self) -> str:
        """See ``Source``."""
        journal = f"the journal in {self.directory}" if self.directory else "the journal"
        text = f"following {journal}" + (f" of {', '.join(self.units)}" if self.units else "")
        reader: Reader | None = self.__dict__.get("_reader")
        if reader is not None and reader.missing.entries:
            text += f"; {reader.missing.entries:,} entries are missing since the start"
        return "; ".join([text, *self.problems()])

    @property
    def place(self) -> str:
        """The directory; empty: the system's journal."""
        return os.path.expanduser(self.directory)

    @property
    def selection(self) -> list[str]:
        """Arguments of journalctl: which entries."""
        priority = [] if self.priority is None else [f"--priority={self.priority}"]
        return [*(f"--unit={unit}" for unit in self.units), *priority, *self.matches]
