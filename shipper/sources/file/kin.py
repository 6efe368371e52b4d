"""Known content in new files: copies that ``copytruncate`` makes, and compressed rotations.

A generation whose file is gone (*lost*: truncated, deleted, or missing since the last run) may stand in another one: in
a copy, or compressed in an archive. Both are recognised by content, names only narrow the search (``names``):

- a plain copy: of a generation that was truncated in place; its first bytes and the bytes before the position are the
  ones that were read, and it is as long as what was read;
- an archive (``.gz``, ``.zst``): the same in decompressed bytes, of any generation that is lost. It is read once from
  end to end before it is judged: so it is known to be complete.

The generation goes on in the file that was found, where it stopped. What nobody is found for is a new file; when in
doubt it is read. A file that may become a copy (it is, as far as it goes, equal to a followed one) waits until it does,
or until ``Timings.settle`` has passed.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from shipper.batch import Loss
from shipper.sources.file.archives import Archives, Host
from shipper.sources.file.catalog import Catalog
from shipper.sources.file.globs import Globs, Sighting
from shipper.sources.file.likeness import Known, Look, beside, compare
from shipper.sources.file.names import root, stem
from shipper.sources.file.packed import SUFFIXES
from shipper.sources.file.rotated import by_age
from shipper.sources.file.schedule import AWAY
from shipper.sources.file.tail import Tail
from shipper.sources.file.worker import whole

_KEPT: Final = 1024
"""At most so many generations are kept that were read to their ends and whose files were deleted: each archive that
comes is compared with all of them.
"""


class Kin:
    """Finds the files in which lost generations go on. ``positions`` gives tails as they are between two reads, on any
    thread.
    """

    def __init__(
        self,
        catalog: Catalog,
        globs: Globs,
        host: Host,
        positions: Callable[[Iterable[Tail]], list[Known]],
        *,
        settle: float,
        forget: float,
    ) -> None:
        self.archives = Archives(catalog, host, self._lost, positions, settle=settle, forget=forget)
        self._catalog = catalog
        self._host = host
        self._positions = positions
        self._settle = settle
        self._keeps = any(map(globs.may_match, SUFFIXES))
        self._waiting: dict[tuple[int, int], tuple[tuple[int, int], float]] = {}
        self._round: set[Tail] = set()
        self._deleted: set[Tail] = set()
        """Of the lost ones those that were read to their ends and are deleted, not only out of reach."""

    def truncated(self, tail: Tail) -> None:
        """A generation lost its file, which begins anew as another one."""
        tail.missing = time.monotonic()
        self._catalog.bury(tail)
        self._host.hint()

    def keep(self, tail: Tail) -> bool:
        """Whether a generation that was read to its end, and whose file was deleted, is kept, as it may go on in an
        archive: where patterns mean archives, for a while; else, as an archive beside it is made before its original is
        deleted, until the next scan has looked for one. Of too many the oldest are forgotten.
        """
        if not tail.prefix_size:
            return False
        tail.missing = time.monotonic()
        self._catalog.bury(tail)
        self._deleted.add(tail)
        self.deleted(())
        self._host.hint()
        return True

    def deleted(self, tails: Iterable[Tail]) -> None:
        """The files of lost generations are not in their directories any more. Archives that were read to their ends
        and that no pattern means go on nowhere, unlike logs, which may be in archives: of too many the oldest are
        forgotten.
        """
        ended = {tail for tail in tails if tail.packed and not self._keeps}
        lost = (self._deleted | ended).intersection(self._lost())
        kept = sorted(
            (tail for tail in lost if not tail.unread and not tail.overwritten), key=lambda tail: tail.missing or 0.0
        )
        surplus = max(0, len(kept) - _KEPT)
        self._deleted = set(kept[surplus:])
        for tail in kept[:surplus]:
            self._host.forget(tail)

    @property
    def unsettled(self) -> bool:
        """Whether generations lost their files that no scan has looked for."""
        return any(tail.overwritten and tail not in self._round for tail in self._lost())

    def looks_for(self, tail: Tail | None) -> bool:
        """Whether a copy of a generation may be found in a moment."""
        if tail is None or tail.missing is None:
            return False
        if tail.overwritten and time.monotonic() - tail.missing < self._settle:
            return True
        return self.archives.looks_for(tail)

    def begin(self) -> None:
        """A scan begins: what is lost by now, it has to find."""
        self._round = {tail for tail in self._lost() if tail.overwritten or not (self._keeps or tail.links)}

    def part(self, sightings: list[Sighting]) -> tuple[list[Sighting], list[Sighting]]:
        """Sightings of files that nobody follows: those that are certainly new, and those for ``judge``."""
        if not sightings:  # as in nearly all scans
            return [], []
        roots = {root(tail.path) for tail in self._catalog.tails}
        kindred = [s for s in sightings if is_archive(s) or (root(s.where) in roots and root(s.where) != _name(s))]
        if not kindred:
            return sightings, []
        ids = set(map(id, kindred))
        return [s for s in sightings if id(s) not in ids], kindred

    async def judge(self, kindred: list[Sighting], *, once: bool) -> list[Sighting]:
        """Find out which of these files are copies, and look for copies that no pattern means. Returns what is new."""
        lost = self._lost()
        new = [sighting for sighting in kindred if self.archives.is_plain(sighting)]
        kindred = [sighting for sighting in kindred if not self._catalog.known(sighting) and sighting not in new]
        known = self._catalog.files() | {sighting.file for sighting in kindred}
        others = await asyncio.to_thread(beside, lost, known) if lost else []
        waits = await self._compare(by_age(kindred), others, lost, new, once=once)
        here = {sighting.file for sighting in [*kindred, *others]}
        self._waiting = {file: waiting for file, waiting in self._waiting.items() if file in here}
        self.archives.keep(here, once=False)
        await (self.archives.all() if once else self.archives.some())
        self.archives.keep(here, once=once)
        for tail in self._round.intersection(self._lost()):
            if root(tail.where) not in waits and not self.archives.awaits(tail):
                self._host.forget(tail)
        return new

    async def _compare(
        self, kindred: list[Sighting], others: list[Sighting], lost: list[Tail], new: list[Sighting], *, once: bool
    ) -> set[str]:
        """Look at files, put those that are ``new`` there, and give the roots of the names of those that wait."""
        waits: set[str] = set()
        wanted, was, now = set(map(id, kindred)), set(lost), time.monotonic()

        def deal(look: Look) -> None:
            sighting = look.sighting
            if look.verdict == "copy" and look.tail is not None and look.info is not None:
                self._copied(look, look.tail, look.info)
            elif look.verdict == "archive":
                self.archives.offer(sighting, lost)
            elif look.verdict == "wait" and not once and (look.firm or self._waits(sighting, now)):
                waits.add(root(sighting.where))
            elif id(sighting) in wanted:
                late = set(self._lost()) - was
                if any(tail.overwritten and root(tail.path) == root(sighting.where) for tail in late):
                    self._host.hint()  # its original was truncated while it was compared
                else:
                    new.append(sighting)

        if kindred or others:
            overwritten = self._positions(tail for tail in lost if tail.overwritten)
            work = partial(compare, [*kindred, *others], self._catalog.strays(), overwritten, self._live)
            await whole(work, deal)
        return waits

    def _lost(self) -> list[Tail]:
        """The generations whose files are not there."""
        tails = self._catalog.tails
        return [tail for tail in tails if tail.missing is not None and tail.descriptor < 0 and tail.stage != AWAY]

    def _live(self) -> list[Known]:
        """Those whose files are there, with what these were a moment ago. On a worker thread. A log that was
        renamed away is not truncated in place, and of those there may be a thousand.
        """
        known = list(self._catalog.tails)  # in one step: the loop adds to them and takes from them
        there = [tail for tail in known if not tail.packed and tail.missing is None]
        tails = [tail for tail in there if tail.linked or not self._catalog.claimed(tail)]
        return self._positions([*tails, *(left for tail in there for left in tail.left)])

    def _waits(self, sighting: Sighting, now: float) -> bool:
        """Whether a file that may become a copy has not been the same for long enough."""
        version = sighting.info.st_size, sighting.info.st_mtime_ns
        before, since = self._waiting.get(sighting.file, (version, now))
        if before != version:
            since = now
        self._waiting[sighting.file] = version, since
        return now - since < self._settle

    def _copied(self, look: Look, tail: Tail, info: os.stat_result) -> None:
        """A lost generation goes on in a copy."""
        if tail not in self._lost():
            os.close(look.descriptor)
            self._host.hint()
            return
        before = tail.size
        self._catalog.embody(tail, look.sighting, info, look.descriptor)
        if before > tail.size:
            tail.losses.append(Loss(tail.label, tail.generation, tail.size, before, "truncated"))
        self._host.found(tail)


def is_archive(sighting: Sighting) -> bool:
    """Whether a file is called like one that is compressed."""
    return any(stem(path) != path for path in (sighting.path, sighting.where))


def _name(sighting: Sighting) -> str:
    return os.path.basename(sighting.where)
