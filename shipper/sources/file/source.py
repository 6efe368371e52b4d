"""The ``file`` source's config; following is the business of ``follow.Follower``."""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import msgspec

from shipper.errors import PatternTimeout, SourceError
from shipper.log import get_logger
from shipper.sources.base import Given, Intake, Source
from shipper.sources.file.follow import Follower
from shipper.sources.file.globs import Globs
from shipper.sources.file.limits import Timings
from shipper.sources.file.multiline import MultilineConfig, PresetName
from shipper.sources.file.reading import Rules
from shipper.sources.file.text import UTF_8, Encoding
from shipper.units import ByteSize, Duration

if TYPE_CHECKING:
    from shipper.sources.file.join import Joining
    from shipper.sources.file.own_patterns import Late

log = get_logger("file")

_SHORTEST: Final = ByteSize(64)
_LONGEST: Final = ByteSize(1024 * 1024)
_NOT_ZERO: Final = {
    "flush_partial_after": "have half lines wait for their newlines",
    "ignore_older": "read all files",
    "close_deleted_after": "hold deleted files until they are read",
}
"""Durations that others write 0 for to say never."""


class FileSource(Source):
    """Follow log files: every line once, in order, through rotation, truncation and restarts.

    Every record gets the label ``file``: the path under which it was read.
    """

    other_names: ClassVar[Mapping[str, str]] = {"paths": "include", "path": "include"}
    include: list[str]
    """Which files: paths with ``*``, ``?``, ``[...]`` and ``**`` for any number of directories. A relative one
    starts at the working directory of the process, ``~`` is the home directory."""
    exclude: list[str] = msgspec.field(default_factory=list)
    """Which of them not: patterns as in ``include``, or names without a slash, as in ``*.gz``, and paths below any
    directory, as in ``**/private/*.log``."""
    start_at: Literal["beginning", "end"] = "beginning"
    """Where to begin in files that are there when a pattern is used for the first time. Files that appear later are
    always read from their beginning."""
    encoding: str = "utf-8"
    """What the bytes of the files mean: ``utf-8``, ``auto`` (by the byte order mark, else UTF-8), ``utf-16-le``,
    ``latin-1``, ``gbk``, any other text encoding of Python, or ``binary`` (nothing is looked at but newlines)."""
    max_line_bytes: ByteSize = ByteSize(1024 * 1024)
    """The longest line that goes on whole, in bytes of the file. What a frame holds is the upper limit: 1008 KiB, a
    third of it in encodings of one byte a character, two thirds in UTF-16."""
    long_lines: Literal["truncate", "split"] = "truncate"
    """What becomes of a longer one: its beginning goes on, with the label ``truncated``, or all of it in several
    records (not with ``multiline`` or ``container``)."""
    flush_partial_after: Duration | None = None
    """After how long half a line that stays as it is goes on as a record, and what follows as another one. Null: it
    waits for its newline, as it does with ``multiline`` and ``container``."""
    watch: Literal["auto", "poll"] = "auto"
    """How new lines are noticed. ``auto``: by the system's events; in directories of file systems that tell nothing of
    what other machines write (NFS, SMB, FUSE and others) all files are looked at every second as well. ``poll``: by
    looking at all files every second, without events."""

    multiline: PresetName | MultilineConfig | None = None
    """Joins lines to records: a preset for the stack traces of a language, or settings of its own."""
    container: Literal["cri", "docker", "auto"] | None = None
    """The lines are those of a container runtime: CRI's, or Docker's ``json-file``; ``auto``: each line shows which.
    Records get ``message``, ``stream`` and ``timestamp``, and labels from the path."""

    ignore_older: Duration | None = None
    """Leave files alone that were never seen and that nobody has written to for so long, by the wall clock, until
    they change; then they are read from their beginning. Files that are known are always gone on with."""
    close_deleted_after: Duration | None = None
    """How long a deleted file that is not read to its end is held open, and takes up space. What is unread then is
    lost, and counted. Without it: until it is read."""

    def setup(self) -> None:
        """See ``Source``."""
        if not self.include:
            raise ValueError("include must name at least one pattern, as in [/var/log/app/*.log]")
        Globs(self.include, self.exclude)
        if not _SHORTEST <= self.max_line_bytes <= _LONGEST:
            reason = "what is longer does not fit into a frame; long_lines: split ships it in several records"
            if self.max_line_bytes < _SHORTEST:
                reason = "of so short a beginning, nothing useful can be read"
            raise ValueError(f"max_line_bytes must be {_SHORTEST} to {_LONGEST}, found {self.max_line_bytes}: {reason}")
        for name, otherwise in _NOT_ZERO.items():
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must be more than 0; leave it out to {otherwise}")
        self._check_joining()
        encoding = self._rules().encoding
        if self.container is not None and encoding.text is not UTF_8:
            raise ValueError(f"container needs encoding utf-8, which runtimes write; found {self.encoding}")

    def _check_joining(self) -> None:
        """Parts of a line are no lines: joined as such they would get newlines that nobody wrote."""
        joins = "multiline" if self.multiline is not None else "container"
        if getattr(self, joins) is None:
            return
        if self.long_lines == "split":
            raise ValueError(
                f"long_lines: split cannot go with {joins}: each piece would count as a line of its own; leave it out, "
                "and lines longer than max_line_bytes are truncated"
            )
        if self.flush_partial_after is not None:
            instead = "; multiline's flush_after sends the whole lines before it" if joins == "multiline" else ""
            raise ValueError(
                f"flush_partial_after cannot go with {joins}: half a line would count as a line of its own; leave it "
                f"out, and it waits for its newline{instead}"
            )

    def _rules(self, intake: Intake | None = None) -> Rules:
        wait = math.inf if self.flush_partial_after is None else float(self.flush_partial_after)
        return Rules(Encoding(self.encoding), int(self.max_line_bytes), self.long_lines, wait, self._joining(intake))

    def _joining(self, intake: Intake | None) -> "Joining | None":
        if self.multiline is None and self.container is None:
            return None
        from shipper.sources.file.join import Joining  # what not every source needs

        multiline = self.multiline
        multiline = MultilineConfig(preset=multiline) if isinstance(multiline, str) else multiline
        if multiline is not None:
            multiline.check()
            if intake is not None and multiline.preset is None:
                multiline.report(_late(intake))
        return Joining(self.container, multiline)

    @property
    def gives(self) -> tuple[Given, ...]:
        """Lines; those of a container runtime are taken apart."""
        return ("raw lines",) if self.container is None else ("JSON objects",)

    def reads(self, path: str) -> bool:
        """See ``Source``."""
        return Globs(self.include, self.exclude).match(path) is not None

    async def run(self, intake: Intake, *, once: bool) -> None:
        """See ``Source``."""
        await self.follow(intake, Timings(), once=once)

    async def follow(self, intake: Intake, timings: Timings, *, once: bool) -> None:
        """``run``, with the times that it waits for by itself."""
        try:
            globs, rules = Globs(self.include, self.exclude), self._rules(intake)
        except ValueError as error:
            raise SourceError(str(error)) from error
        timings = timings._replace(ignore_older=self.ignore_older, close_deleted_after=self.close_deleted_after)
        follower = self._follower = Follower(intake, globs, self.start_at, timings, rules, self.watch)
        if once:
            await follower.read_once()
        else:
            await follower.follow()

    def problems(self) -> list[str]:
        """See ``Source``."""
        follower: Follower | None = getattr(self, "_follower", None)
        return [] if follower is None else list(follower.discovery.problems.values())

    def greeting(self) -> str | None:
        """See ``Source``: with what was unread when the files were found, however fast it is read then."""
        follower: Follower | None = getattr(self, "_follower", None)
        return None if follower is None or follower.backlog is None else self._sees(follower, follower.backlog)

    def describe(self) -> str:
        """See ``Source``."""
        follower: Follower | None = getattr(self, "_follower", None)
        if follower is None or follower.backlog is None:
            return f"looking for {', '.join(self.include)}"
        return self._sees(follower, follower.lags.unread)

    def _sees(self, follower: Follower, unread: int) -> str:
        problems = self.problems()
        tails = [tail for tail in follower.catalog.tails if tail.linked or (tail.unread and tail.descriptor >= 0)]
        if tails:
            count = f"{len(tails)} file" + "s" * (len(tails) != 1)
            text = f"watching {count} ({amount(unread)} unread)"
        elif problems:
            return "; ".join(problems)
        else:
            tops = ", ".join(_tops(follower.discovery.watched))
            text = f"no file matches {', '.join(self.include)} yet; watching {tops}"
        return "; ".join([text, *problems])


def _late(intake: Intake) -> "Late":
    """What tells of lines that a pattern of ``multiline`` was not done with in time."""
    counter = intake.metrics.counter("shipper_multiline_timeouts_total", source=intake.name)

    def tell(option: str, error: PatternTimeout) -> None:
        counter.add(1)
        log.warning(
            "a line counts as one without a pattern of multiline that took too long to look for",
            source=intake.name,
            option=f"multiline.{option}",
            why=str(error),
            every=math.inf,
            key=("multiline", intake.name, option),
        )

    return tell


def amount(size: int) -> str:
    """A number of bytes for people: ``12 MiB``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def _tops(directories: set[str]) -> list[str]:
    """Directories without those below them."""
    ordered = sorted(directories)
    return [d for d in ordered if not any(d != top and d.startswith(os.path.join(top, "")) for top in ordered)]
