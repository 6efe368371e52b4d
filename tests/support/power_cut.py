"""The file sink's disk with crashes in it: stops at any step, and takes back what was not synced.

Files and directories are real; what would survive a power cut is remembered beside them, and ``cut_power`` makes the
disk look like that: unsynced bytes survive or not, each sector by itself, and unsynced names may be gone.
"""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shipper.sinks.file.disk import Disk

_SECTOR = 16
"""Small, so that the small writes of the tests tear."""

Loss = Literal["nothing", "everything", "some"]


class Crash(BaseException):
    """The process is gone."""


@dataclass
class CrashingDisk(Disk):
    """Counts the steps that change something, and crashes at one of them."""

    crash_at: int = 0
    """The step, from 1, that is not done any more (a write: half done); 0: none."""
    skip: frozenset[str] = frozenset()
    """Kinds of steps that are not done at all: to show that the tests notice."""
    steps: int = 0
    durable: dict[int, bytes] = field(default_factory=dict)
    """By inode: what would be there after a power cut."""
    names: set[str] = field(default_factory=set)
    """Made, and not durable yet."""
    paths: set[str] = field(default_factory=set)
    """Every file that was touched."""

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.crash_at:
            raise Crash

    def _touch(self, descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.paths.add(path)
        self.durable.setdefault(os.fstat(descriptor).st_ino, Path(path).read_bytes())

    def make_directory(self, name: str, above: int | None) -> None:
        self._step()
        super().make_directory(name, above)
        self.names.add(name if above is None else os.path.join(os.readlink(f"/proc/self/fd/{above}"), name))

    def create_file(self, name: str, above: int) -> int:
        self._step()
        descriptor = super().create_file(name, above)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.names.add(path)
        self.paths.add(path)
        self.durable[os.fstat(descriptor).st_ino] = b""  # also where an inode's number is used again
        return descriptor

    def append(self, descriptor: int, data: bytes, path: str) -> None:
        self._touch(descriptor)
        self._torn(lambda part: Disk.append(self, descriptor, part, path), data)

    def overwrite(self, descriptor: int, data: bytes, path: str) -> None:
        self._touch(descriptor)
        self._torn(lambda part: Disk.overwrite(self, descriptor, part, path), data)

    def _torn(self, write: Callable[[bytes], None], data: bytes) -> None:
        try:
            self._step()
        except Crash:
            write(data[: len(data) // 2])
            raise
        write(data)

    def cut(self, descriptor: int, size: int, path: str) -> None:
        self._touch(descriptor)
        self._step()
        super().cut(descriptor, size, path)

    def sync(self, descriptor: int, path: str) -> None:
        self._touch(descriptor)
        self._step()
        if (
            "sync" in self.skip
            or ("plan" in self.skip and "group." in path)
            or ("data" in self.skip and "group." not in path)
        ):
            return
        real = os.readlink(f"/proc/self/fd/{descriptor}")
        self.durable[os.fstat(descriptor).st_ino] = Path(real).read_bytes()

    def sync_directory(self, descriptor: int, path: str) -> None:
        self._step()
        if "directory" in self.skip:
            return
        folder = os.readlink(f"/proc/self/fd/{descriptor}")
        self.names = {name for name in self.names if os.path.dirname(name) != folder}

    def cut_power(self, loss: Loss, seed: int = 0) -> None:
        """Make the disk what it would be after a power cut now."""
        dice = random.Random(seed)
        for name in sorted(self.names):
            if loss == "everything" or (loss == "some" and dice.random() < 0.5):
                if os.path.isdir(name):
                    shutil.rmtree(name)
                elif os.path.exists(name):
                    os.unlink(name)
        for path in sorted(self.paths):
            if not os.path.exists(path):
                continue
            old, new = self.durable[os.stat(path).st_ino], Path(path).read_bytes()
            if loss == "everything":
                content = old
            elif loss == "nothing":
                continue
            else:
                content = _mixed(old, new, dice)
            with open(path, "r+b") as file:  # the same inode
                file.write(content)
                file.truncate()
        self.names.clear()


def _mixed(old: bytes, new: bytes, dice: random.Random) -> bytes:
    size = dice.choice([len(old), len(new)])
    parts = []
    for at in range(0, size, _SECTOR):
        source = dice.choice([old, new])
        parts.append(source[at : at + _SECTOR].ljust(_SECTOR, b"\0"))
    # What was durable and is in both stays.
    mixed = bytearray(b"".join(parts)[:size])
    for at in range(min(size, len(old), len(new))):
        if old[at] == new[at]:
            mixed[at] = old[at]
    return bytes(mixed)
