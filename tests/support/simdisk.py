"""A disk in memory that loses and tears what was not synced: the spool's ``Disk`` with crashes in it.

What a power cut leaves behind:

- of a file's unsynced writes any subset of 512-byte sectors (often the first ones, the last ones, or all but one), each
  as any of the writes to it left it;
- any of the sizes that the file had since it was synced (allocation and truncation are size changes);
- of a folder's unsynced operations (create, rename, unlink, make a folder) any prefix. A rename between two folders
  happens in both or in none.

A killed process loses nothing, and what it had not synced stays unsynced: a power cut that follows may still take it.
Every operation that changes something is a step; ``crash_at`` stops the process before or in the middle of one.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shipper.errors import DiskFull, SpoolFailed
from shipper.spool.disk import Space

SECTOR = 512
PAGE = 4096
_UNLIMITED = 1 << 50

Survival = Literal["none", "all", "some"]


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Inode:
    """A file's content: as the process sees it, as the platter holds it, and what happened in between."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    sectors: dict[int, list[bytes]] = field(default_factory=dict)
    """By unsynced sector: how each write since the sync left it."""
    sizes: list[int] = field(default_factory=list)
    """The sizes since the sync."""

    def write(self, data: bytes, offset: int) -> None:
        """Change the content, unsynced."""
        end = offset + len(data)
        if end > len(self.seen):
            self.resize(end)
        self.seen[offset:end] = data
        for sector in range(offset // SECTOR, -(-end // SECTOR)):
            self.sectors.setdefault(sector, []).append(bytes(self.seen[sector * SECTOR : (sector + 1) * SECTOR]))

    def resize(self, size: int) -> None:
        """Change the length, unsynced; new room is all zero."""
        if size < len(self.seen):
            del self.seen[size:]
        else:
            self.seen.extend(bytes(size - len(self.seen)))
        self.sizes.append(size)

    def sync(self) -> None:
        """Make it durable."""
        self._settle(set(self.sectors))

    def lose(self, rng: random.Random) -> None:
        """A sync that failed: some sectors are durable, and the others count as written all the same."""
        self._settle(_survivors(sorted(self.sectors), rng))

    def _settle(self, sectors: set[int]) -> None:
        if self.sizes:
            del self.synced[len(self.seen) :]
            self.synced.extend(bytes(len(self.seen) - len(self.synced)))
        for sector in sectors:
            start = sector * SECTOR
            part = self.seen[start : start + SECTOR]
            self.synced[start : start + len(part)] = part
        self.sectors.clear()
        self.sizes.clear()

    def cut(self, survival: Survival, rng: random.Random) -> "Inode":
        """The file after a power cut."""
        data = bytearray(self.synced)
        size = len(data)
        if self.sizes and survival != "none":
            size = self.sizes[-1] if survival == "all" else rng.choice([size, *self.sizes])
        data.extend(bytes(max(0, size - len(data))))
        survives = _survivors(sorted(self.sectors), rng) if survival == "some" else set(self.sectors)
        for sector, versions in self.sectors.items():
            kept = 0 if survival == "none" or sector not in survives else len(versions)
            if kept > 1 and survival == "some":
                kept = rng.randint(1, kept)
            if kept:
                start = sector * SECTOR
                version = versions[kept - 1]
                data[start : start + len(version)] = version
        del data[size:]
        data.extend(bytes(size - len(data)))
        return Inode(bytearray(data), data)


def _survivors(sectors: list[int], rng: random.Random) -> set[int]:
    """Some of the sectors: any, the first ones, the last ones, or all but one."""
    at = rng.randint(0, len(sectors))
    how = rng.randrange(4)
    if how == 0:
        return {sector for sector in sectors if rng.random() < 0.5}
    if how == 1:
        return set(sectors[:at])
    if how == 2:
        return set(sectors[at:])
    return set(sectors[:at] + sectors[at + 1 :])


@dataclass
class Folder:
    """A folder's names, as seen and as durable."""

    seen: dict[str, Inode] = field(default_factory=dict)
    synced: dict[str, Inode] = field(default_factory=dict)
    pending: list[tuple[str, Inode | None, int]] = field(default_factory=list)
    """Unsynced changes: a name, what it now stands for, and the number of the operation that did it."""


class SimFile:
    """An open file of a ``SimDisk``."""

    def __init__(self, disk: "SimDisk", inode: Inode, name: str) -> None:
        self._disk = disk
        self._inode = inode
        self._life = disk.life
        self.name = name
        self._failed = False
        """A sync failed: nobody may sync it again."""

    def write(self, parts: Sequence[bytes], offset: int) -> None:
        """See ``File``."""
        data = b"".join(parts)
        grown = max(0, offset + len(data) - len(self._inode.seen))
        self._disk.take(f"write to {self.name}", grown)
        fault = self._disk.fault("write")
        if fault:  # a short write, and then nothing
            self._inode.write(data[: len(data) // 2], offset)
            raise self._disk.refusal("write", self.name, fault)
        self._disk.step("write", self.name, self._life, lambda: self._inode.write(data, offset))

    def read(self, size: int, offset: int) -> bytes:
        """See ``File``."""
        self._disk.before()
        self._disk.check(self._life)
        pages = self._disk.bad_pages.get(self.name, ())
        if offset + size > self._disk.unreadable.get(self.name, offset + size) or any(
            offset < (page + 1) * PAGE and page * PAGE < offset + size for page in pages
        ):
            raise SpoolFailed(f"cannot read {self.name} at {offset}: Input/output error; check the disk")
        if fault := self._disk.fault("read"):
            raise self._disk.refusal("read", self.name, fault)
        data = bytes(self._inode.seen[offset : offset + size])
        self._disk.counts["read"] += 1
        self._disk.bytes_read += len(data)
        return data

    def sync(self) -> None:
        """See ``File``."""
        assert not self._failed, f"{self.name}: its sync failed, what it held is gone; nobody may sync it again"
        fault = self._disk.fault("sync")
        if fault:
            self._failed = True
            self._inode.lose(self._disk.dice)
            raise self._disk.refusal("sync", self.name, "EIO")  # for want of room, too
        self._disk.step("sync", self.name, self._life, self._inode.sync)

    def truncate(self, size: int) -> None:
        """See ``File``."""
        if fault := self._disk.fault("truncate"):
            raise self._disk.refusal("truncate", self.name, fault)
        self._disk.step("truncate", self.name, self._life, lambda: self._inode.resize(size))

    def close(self) -> None:
        """See ``File``."""


class SimDisk:
    """A directory of files, in memory."""

    def __init__(self) -> None:
        self.folders: dict[str, Folder] = {"": Folder()}
        self._made: set[str] = set()
        """Folders whose names are durable."""
        self.life = 0
        """Counts the crashes: a file opened in an earlier life is dead."""
        self.steps = 0
        """Counted over all lives."""
        self.crash_at = 0
        """Stop at this step, counted from 1; 0: never."""
        self.applied = False
        """The step that crashed happens all the same, unsynced; a sync never does."""
        self.fail_at = 0
        """From this step on everything fails; 0: never."""
        self.faults: dict[str, list[str]] = {}
        """By kind of operation (create, write, read, sync, truncate, sync_folder): what the next ones give: "EIO",
        "ENOSPC", or "" for nothing."""
        self.refused = 0
        """The step that was refused last."""
        self.dice = random.Random(0)
        self.capacity = _UNLIMITED
        """Bytes that the disk holds."""
        self.unreadable: dict[str, int] = {}
        """Files that give EIO, and from which offset on."""
        self.bad_pages: dict[str, tuple[int, ...]] = {}
        """Pages of files that give EIO."""
        self.counts: Counter[str] = Counter()
        self.bytes_read = 0
        self.trace: list[tuple[str, str]] = []
        """Kind and name of every step."""
        self.before: Callable[[], object] = lambda: None
        """Called before every step and read: others may get on meanwhile."""
        self.root = "simulated"
        """The directory, for people."""

    def lock(self) -> None:
        """See ``OwnDisk``."""

    def unlock(self) -> None:
        """See ``OwnDisk``."""

    def names(self, folder: str = "") -> list[str]:
        """See ``Disk``."""
        return sorted(self.folders[folder].seen) if folder in self.folders else []

    def create(self, name: str, size: int) -> SimFile:
        """See ``Disk``."""
        folder, base = self._find(name)
        if base in folder.seen:
            raise SpoolFailed(f"cannot make {name} of {size} bytes: File exists")
        self.take(f"make {name}", size)
        if fault := self.fault("create"):
            raise self.refusal("create", name, fault)
        inode = Inode()
        life = self.life

        def make() -> None:
            self._change(folder, base, inode)

        def allocate() -> None:
            inode.resize(size)
            inode.sync()

        self.step("create", name, life, make)
        self.step("sync", name, life, allocate)
        return SimFile(self, inode, name)

    def open(self, name: str, *, write: bool = False) -> SimFile:
        """See ``Disk``."""
        folder, base = self._find(name)
        self.counts["open"] += 1
        if base not in folder.seen:
            raise FileNotFoundError(name)
        return SimFile(self, folder.seen[base], name)

    def size(self, name: str) -> int:
        """See ``Disk``."""
        folder, base = self._find(name)
        if base not in folder.seen:
            raise FileNotFoundError(name)
        return len(folder.seen[base].seen)

    def rename(self, old: str, new: str) -> None:
        """See ``Disk``."""
        source, before = self._find(old)
        target, after = self._find(new)
        if before not in source.seen:
            raise FileNotFoundError(old)

        def move() -> None:
            inode = source.seen[before]
            self._change(source, before, None)
            self._change(target, after, inode)

        self.step("rename", old, self.life, move)

    def unlink(self, name: str) -> None:
        """See ``Disk``."""
        folder, base = self._find(name)
        if base in folder.seen:
            self.step("unlink", name, self.life, lambda: self._change(folder, base, None))

    def make_folder(self, folder: str) -> None:
        """See ``Disk``."""
        if folder in self.folders:
            return
        self.step("mkdir", folder, self.life, lambda: self.folders.setdefault(folder, Folder()))
        self.sync_folder()

    def sync_folder(self, folder: str = "") -> None:
        """See ``Disk``."""

        def sync() -> None:
            it = self.folders[folder]
            it.synced, it.pending = dict(it.seen), []
            if not folder:
                self._made = set(self.folders)

        if fault := self.fault("sync_folder"):
            raise self.refusal("sync_folder", folder, fault)
        self.step("sync_folder", folder, self.life, sync)

    def space(self) -> Space:
        """See ``Disk``."""
        return Space(self.capacity, max(0, self.capacity - self.used))

    @property
    def used(self) -> int:
        """Bytes that the files take."""
        return sum(len(inode.seen) for folder in self.folders.values() for inode in folder.seen.values())

    def take(self, doing: str, size: int) -> None:
        """:raises DiskFull: so much more does not fit."""
        if self.capacity < _UNLIMITED and size > self.capacity - self.used:
            raise DiskFull(f"cannot {doing}: No space left on device")

    def fault(self, kind: str) -> str:
        """What the next operation of a kind is to give; "" for what it should."""
        planned = self.faults.get(kind)
        found = planned.pop(0) if planned else ""
        if found:
            self.counts[f"{kind} {found}"] += 1
            self.refused = self.steps + 1
        return found

    @property
    def failing(self) -> bool:
        """Some operation to come will be refused."""
        return any(fault for plan in self.faults.values() for fault in plan)

    def refusal(self, kind: str, name: str, fault: str) -> SpoolFailed:
        """The error of a fault."""
        if fault == "ENOSPC":
            return DiskFull(f"cannot {kind} {name}: No space left on device")
        return SpoolFailed(f"cannot {kind} {name}: Input/output error; check the disk")

    # What happens to it

    def step(self, kind: str, name: str, life: int, effect: Callable[[], object]) -> None:
        """One operation, or the crash in its place."""
        self.before()
        self.check(life)
        self.steps += 1
        self.counts[kind] += 1
        self.trace.append((kind, name))
        if self.fail_at and self.steps >= self.fail_at:
            raise SpoolFailed(f"cannot {kind} {name}: Input/output error; check the disk")
        if self.steps == self.crash_at:
            if self.applied and "sync" not in kind:
                effect()
            self.life += 1
            raise Crash
        effect()

    def check(self, life: int) -> None:
        """A dead process does nothing any more."""
        if life != self.life:
            raise Crash

    def kill(self) -> None:
        """End the process; the next one sees all that it did."""
        self.life += 1
        self.crash_at = 0

    def power_cut(self, data: Survival, names: Survival, rng: random.Random) -> "SimDisk":
        """The disk after a power cut, as a new one; this one stays as it is."""
        after = SimDisk()
        after.capacity = self.capacity
        cuts = self._cuts(names, rng)
        inodes: dict[int, Inode] = {}
        for path, folder in self.folders.items():
            if path and path not in self._made and cuts[path] is None:
                continue
            kept = dict(folder.synced)
            for name, inode, _ in folder.pending[: cuts[path] or 0]:
                if inode is None:
                    kept.pop(name, None)
                else:
                    kept[name] = inode
            it = Folder()
            for name, inode in kept.items():
                if id(inode) not in inodes:
                    inodes[id(inode)] = inode.cut(data, rng)
                it.seen[name] = inodes[id(inode)]
            it.synced = dict(it.seen)
            after.folders[path] = it
        after._made = set(after.folders)
        after.life = self.life + 1
        after.steps = self.steps
        return after

    def _cuts(self, names: Survival, rng: random.Random) -> dict[str, int | None]:
        """How many of each folder's unsynced changes survive; None: the folder itself does not."""
        cuts: dict[str, int | None] = {}
        for path, folder in self.folders.items():
            if path and path not in self._made and (names == "none" or (names == "some" and rng.random() < 0.5)):
                cuts[path] = None
                continue
            most = len(folder.pending)
            cuts[path] = most if names == "all" else 0 if names == "none" else rng.randint(0, most)
        settled = False
        while not settled:  # a rename that happened in one folder happened in the other
            settled = True
            done = {change[2] for path, folder in self.folders.items() for change in folder.pending[: cuts[path] or 0]}
            for path, folder in self.folders.items():
                for at, change in enumerate(folder.pending):
                    if change[2] in done and at >= (cuts[path] or 0):
                        cuts[path] = at + 1
                        settled = False
        return cuts

    def copy(self) -> "SimDisk":
        """The same files on a disk of their own, all durable."""
        return self.power_cut("all", "all", random.Random(0))

    def contents(self, name: str) -> bytes:
        """A file's bytes."""
        folder, base = self._find(name)
        return bytes(folder.seen[base].seen)

    def put(self, name: str, data: bytes) -> None:
        """A durable file with these bytes."""
        folder, base = self._find(name)
        folder.seen[base] = folder.synced[base] = Inode(bytearray(data), bytearray(data))

    def remove(self, name: str) -> None:
        """A file deleted by hand, durably."""
        folder, base = self._find(name)
        del folder.seen[base]
        folder.synced.pop(base, None)

    def _find(self, name: str) -> tuple[Folder, str]:
        folder, _, base = name.rpartition("/")
        if folder not in self.folders:
            raise FileNotFoundError(name)
        return self.folders[folder], base

    def _change(self, folder: Folder, name: str, inode: Inode | None) -> None:
        if inode is None:
            folder.seen.pop(name, None)
        else:
            folder.seen[name] = inode
        folder.pending.append((name, inode, self.steps))
