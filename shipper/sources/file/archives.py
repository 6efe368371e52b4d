"""Compressed files that nobody follows: each is looked into, and is a known generation, a new one, or not asked for.

Looking takes a while, so it is done in a task of its own. Archives under a pattern, and those of files that came and
went unseen (``Sighting.line``), are *wanted*: read, if they are no generation that is known. What stands later under
such a path waits until it is known what they are (``holding``), so that order holds.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from shipper.batch import Loss
from shipper.log import get_logger
from shipper.sources.file.candidates import Candidate, version, wanted
from shipper.sources.file.catalog import Catalog
from shipper.sources.file.globs import Sighting
from shipper.sources.file.identity import digest, explain
from shipper.sources.file.likeness import Inspection, Known, of_one_log
from shipper.sources.file.names import root, stem
from shipper.sources.file.packed import Kind, Packed
from shipper.sources.file.tail import Tail
from shipper.sources.file.worker import finished

log = get_logger("file")

_PATIENCE: Final = 0.5
"""Seconds that a scan spends on archives which hold something up; what is left then is done beside it."""
_SMALL: Final = 4 * 1024 * 1024
"""Archives of more bytes are not looked into while a scan waits."""


class Host(Protocol):
    """What discovery does for us."""

    def found(self, tail: Tail) -> None:
        """A tail has a file, or another one."""

    def forget(self, tail: Tail) -> None:
        """Nobody will find its file."""

    def hint(self) -> None:
        """Scan soon."""


class Archives:
    """``lost`` gives the generations whose files are not there, ``positions`` tails as they are between two reads, on
    any thread. What is not complete is awaited for ``forget`` seconds, and holds something up for ``settle`` seconds.
    """

    def __init__(
        self,
        catalog: Catalog,
        host: Host,
        lost: Callable[[], list[Tail]],
        positions: Callable[[Iterable[Tail]], list[Known]],
        *,
        settle: float,
        forget: float,
    ) -> None:
        self.problems: dict[str, str] = {}
        """Those that cannot be read, and why."""
        self._catalog = catalog
        self._host = host
        self._lost = lost
        self._positions = positions
        self._settle, self._forget = settle, forget
        self._archives: dict[tuple[int, int], Candidate] = {}
        self._queue: deque[Candidate] = deque()
        self._work = asyncio.Event()

    def offer(self, sighting: Sighting, lost: list[Tail]) -> None:
        """An archive that is not followed was seen; it is queued if there is reason to look into it."""
        before = self._archives.get(sighting.file)
        asked = wanted(sighting) and (before is None or not before.wanted)
        if before is not None:
            sighting = before.seen_again(sighting)
        archive = before
        if archive is None or archive.version != version(sighting):
            archive = self._archives[sighting.file] = Candidate(sighting, self._catalog.begins_at_end(sighting))
        archive.sighting = sighting
        if not archive.due(lost, self._forget, asked=asked):
            return
        archive.status = "queued"
        self._queue.append(archive)
        self._work.set()

    def keep(self, files: set[tuple[int, int]], *, once: bool) -> None:
        """Only these (by device and inode) are still there. ``once``: what is not complete will not be waited for."""
        self._archives = {file: archive for file, archive in self._archives.items() if file in files}
        paths = {archive.sighting.path for archive in self._archives.values()}
        self.problems = {path: text for path, text in self.problems.items() if path in paths}
        for archive in self._archives.values():
            path = archive.sighting.path
            if once and archive.status == "growing" and archive.sighting.pattern:
                self.problems[path] = f"{path} is not complete: left alone"
        if self._queue:
            self._work.set()  # some may have waited for what is not there any more

    def is_plain(self, sighting: Sighting) -> bool:
        """Whether a file is not compressed, whatever it is called."""
        archive = self._archives.get(sighting.file)
        return archive is not None and archive.status == "plain"

    def awaits(self, tail: Tail) -> bool:
        """Whether an archive may turn out to be a lost generation, so that it must not be forgotten now."""
        of = root(tail.where)
        return any(
            archive.status not in ("nobody", "plain") and root(archive.sighting.where) == of
            for archive in self._archives.values()
        )

    def looks_for(self, tail: Tail) -> bool:
        """Whether an archive that is looked into next may be a lost generation."""
        return any(archive.status == "queued" and archive.may_be(tail) for archive in self._archives.values())

    def holding(self) -> set[str]:
        """The paths where something waits until it is known what stood there earlier."""
        return set(self._holding())

    async def run(self) -> None:
        """Look into archives, one after the other, until cancelled."""
        while True:
            await self.all()
            self._work.clear()
            await self._work.wait()

    async def all(self) -> None:
        """Look into those that are queued."""
        while (archive := self._next()) is not None:
            await self._inspect(archive)

    async def some(self) -> None:
        """Look into those that hold something up, if that is done in a moment."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and (archive := self._next(small=True)) is not None:
            await self._inspect(archive)

    def _holding(self) -> dict[str, tuple[int, int, str]]:
        """By path: the age of the first archive that something waits for."""
        first: dict[str, tuple[int, int, str]] = {}
        now = time.monotonic()
        for archive in self._archives.values():
            line = archive.sighting.line
            if line and (
                archive.status == "queued" or (archive.status == "growing" and now - archive.since < self._settle)
            ):
                first[line] = min(first.get(line, archive.age), archive.age)
        return first

    def _next(self, *, small: bool = False) -> Candidate | None:
        """Take an archive from the queue; one that waits for another one stays. ``small``: it holds something up."""
        first = self._holding()
        for archive in self._queue:
            sighting = archive.sighting
            if small and (not sighting.line or sighting.info.st_size > _SMALL):
                continue
            if sighting.line not in first or archive.age <= first[sighting.line]:
                self._queue.remove(archive)
                return archive
        return None

    async def _inspect(self, archive: Candidate) -> None:
        sighting = archive.sighting
        lost = [tail for tail in self._lost() if archive.may_be(tail)]
        live = self._live(archive)
        inspection = Inspection(sighting.where, self._positions([*lost, *live]), apart=not sighting.pattern)
        kept = False
        try:
            while not await finished(asyncio.ensure_future(asyncio.to_thread(inspection.step))):
                pass
            archive.compared |= {tail.generation for tail in lost}
            kept = self._inspected(archive, inspection, {*lost, *live})
        except OSError as error:
            archive.status = "nobody"
            if archive.wanted and not isinstance(error, FileNotFoundError):
                self.problems[sighting.path] = explain(sighting.where, error)
        finally:
            if not kept:
                inspection.close()
            if sighting.line:
                self._host.hint()

    def _live(self, archive: Candidate) -> list[Tail]:
        """The generations that are followed and that the archive may be made of."""
        return [
            tail
            for tail in self._catalog.tails
            if tail.missing is None and not tail.packed and of_one_log(archive.sighting.where, tail)
        ]

    def _inspected(self, archive: Candidate, seen: Inspection, compared: set[Tail]) -> bool:
        """Judge an archive that was looked into. Whether its descriptor was taken over."""
        reader, info, kind, sighting = seen.reader, seen.info, seen.kind, archive.sighting
        if reader is None or info is None or kind is None:
            archive.status = "plain"
            self._host.hint()
            return False
        if (info.st_dev, info.st_ino) != sighting.file:  # another one stands there by now: the next scan sees it
            self._archives.pop(sighting.file, None)
            self._host.hint()
            return False
        if seen.original:
            archive.status = "original"
            return False
        if (seen.moving or reader.end == "growing") and time.monotonic() - archive.since < self._forget:
            archive.status = "growing"
            return False
        if self._catalog.known(sighting):
            archive.status = "nobody"
            return False
        since = {tail for tail in self._lost() if archive.may_be(tail) and tail.generation not in archive.compared}
        if since or not compared.issuperset(self._live(archive)):
            archive.status = "queued"  # there are generations that it was not compared with
            self._queue.appendleft(archive)
            return False
        archive.status = "nobody"
        matches = [tail for tail in seen.matches if tail in self._catalog.tails]
        where = stem(sighting.where)
        # What was read further is the better proof; the same proof: the name.
        tail = max(matches, key=lambda tail: (tail.offset, tail.where == where), default=None)
        if tail is None and not archive.wanted:
            return False
        if tail is not None and tail not in self._lost():
            return False  # it is read from the file that is still open; once that is done we are asked again
        self._embody(tail, archive, seen, reader, kind, info)
        return True

    def _embody(
        self,
        tail: Tail | None,
        archive: Candidate,
        seen: Inspection,
        reader: Packed,
        kind: Kind,
        info: os.stat_result,
    ) -> None:
        """A generation, or a new one, goes on in an archive."""
        sighting = archive.sighting
        before = 0 if tail is None else tail.size
        fresh = tail is None
        tail = tail or self._catalog.fresh(sighting)
        tail.pack(kind, seen.seal, reader.length)
        tail.prefix_size, tail.prefix = len(seen.head), digest(seen.head)
        if fresh and archive.at_end:
            tail.offset, tail.searched, tail.tail = reader.length, reader.length, seen.last
        self._catalog.embody(tail, sighting, info, seen.descriptor)
        if before > reader.length:
            reason = "truncated" if tail.overwritten else "vanished"
            tail.losses.append(Loss(tail.label, tail.generation, reader.length, before, reason))
        if reader.end != "complete":
            _damaged(tail, reader.reason or "it ends too early", reader.rest(info.st_size))
        self._archives.pop(sighting.file, None)
        self._host.found(tail)


def _damaged(tail: Tail, reason: str, rest: int) -> None:
    """What follows in an archive cannot be decompressed. Its length is known in compressed bytes only."""
    tail.losses.append(Loss(tail.label, tail.generation, tail.size, tail.size + rest, "corrupt"))
    log.warning(
        "a compressed file is damaged: what stands before that is read",
        file=tail.label,
        error=reason,
        readable_bytes=tail.size,
        compressed_bytes_lost=rest,
    )
