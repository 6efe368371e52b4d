"""The ``file`` source's config; following is the business of ``follow.Follower``."""

import os
from typing import Literal

import msgspec

from shipper.errors import SourceError
from shipper.sources.base import Intake, Source
from shipper.sources.file.discover import Timings
from shipper.sources.file.follow import Follower
from shipper.sources.file.globs import Globs


class FileSource(Source):
    """Follow log files: every line once, in order, through rotation, truncation and restarts.

    Every record gets the label ``file``: the path under which it was read.
    """

    include: list[str]
    """Which files: paths with ``*``, ``?``, ``[...]`` and ``**`` for any number of directories. A relative one
    starts at the working directory of the process, ``~`` is the home directory."""
    exclude: list[str] = msgspec.field(default_factory=list)
    """Which of them not: patterns as in ``include``, or names without a slash, as in ``*.gz``."""
    start_at: Literal["beginning", "end"] = "beginning"
    """Where to begin in files that are there when a pattern is used for the first time. Files that appear later are
    always read from their beginning."""

    def setup(self) -> None:
        """See ``Source``."""
        if not self.include:
            raise ValueError("include must name at least one pattern, as in [/var/log/app/*.log]")
        Globs(self.include, self.exclude)

    def reads(self, path: str) -> bool:
        """See ``Source``."""
        return Globs(self.include, self.exclude).match(path) is not None

    async def run(self, intake: Intake, *, once: bool) -> None:
        """See ``Source``."""
        await self.follow(intake, Timings(), once=once)

    async def follow(self, intake: Intake, timings: Timings, *, once: bool) -> None:
        """``run``, with the times that it waits for by itself."""
        try:
            globs = Globs(self.include, self.exclude)
        except ValueError as error:
            raise SourceError(str(error)) from error
        follower = self._follower = Follower(intake, globs, self.start_at, timings)
        if once:
            await follower.read_once()
        else:
            await follower.follow()

    def problems(self) -> list[str]:
        """See ``Source``."""
        follower: Follower | None = getattr(self, "_follower", None)
        return [] if follower is None else list(follower.discovery.problems.values())

    def describe(self) -> str:
        """See ``Source``."""
        follower: Follower | None = getattr(self, "_follower", None)
        patterns = ", ".join(self.include)
        if follower is None or not follower.scanned:
            return f"looking for {patterns}"
        problems = self.problems()
        tails = [tail for tail in follower.catalog.tails if tail.linked or (tail.unread and tail.descriptor >= 0)]
        if tails:
            count = f"{len(tails)} file" + "s" * (len(tails) != 1)
            text = f"watching {count} ({amount(follower.lags.unread)} unread)"
        elif problems:
            return "; ".join(problems)
        else:
            text = f"no file matches {patterns} yet; watching {', '.join(_tops(follower.discovery.watched))}"
        return "; ".join([text, *problems])


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
