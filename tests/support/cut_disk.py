"""Disks whose power can be cut: ext4 on loop devices. What was not synced is gone after the cut, as it is in a node.

They are mounted in a mount namespace that ends with this process, however it ends: nothing is left behind.

Who writes there has to stand still (``freeze``) before the cut, as a machine without power does: a sync that is on its
way while ext4 is shut down may say that it succeeded (Linux 6.18), and nobody may act on that.
"""

import array
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.processes import wait_for

_SIZE: Final = 256 << 20
_EXT4_IOC_SHUTDOWN: Final = 0x8004587D
_NO_LOG_FLUSH: Final = 2
"""Not even the journal is written out."""
_UNSYNCED: Final = "unsynced"
_STILL: Final = "TDZX"
"""States of threads: stopped, in a system call that it does not return from before it is stopped, or gone."""


def freeze(process: int) -> None:
    """Stop a process for good. What it has begun in the kernel goes on there, and nobody hears what comes of it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGSTOP)
    wait_for(lambda: all(state in _STILL for state in _states(process)), "the process to stand still")


def _states(process: int) -> Iterator[str]:
    """Of its threads."""
    for thread in Path(f"/proc/{process}/task").glob("*"):
        with contextlib.suppress(OSError):
            yield (thread / "stat").read_text().rpartition(") ")[2][0]


class CutDisks:
    """Several disks, mounted until ``close``; as root. :raises OSError: they cannot be made, it says why."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.paths: dict[str, Path] = {name: folder / name for name in names}
        """Where they are for a process that was started ``inside``."""
        self._images = {name: folder / f"{name}.img" for name in names}
        for name, path in self.paths.items():
            path.mkdir()
            with self._images[name].open("wb") as image:
                image.truncate(_SIZE)
            _call("mkfs.ext4", "-q", "-F", str(self._images[name]))
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", "echo ready; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._keeper.stdout is not None
        self._keeper.stdout.readline()
        self.inside: Final = ["nsenter", f"--target={self._keeper.pid}", "--mount"]
        """What a command is to be started with so that it sees the disks."""
        try:
            for name in names:
                self.mount(name)
        except BaseException:
            self.close()
            raise

    def seen(self, path: Path) -> Path:
        """A path on a disk as it is to be opened from here."""
        return Path(f"/proc/{self._keeper.pid}/root{path}")

    def cut(self, name: str) -> None:
        """From now on nothing is written any more, and every call that would says EIO."""
        folder = self.seen(self.paths[name])
        (folder / _UNSYNCED).write_bytes(b"x" * 8192)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, array.array("I", [_NO_LOG_FLUSH]))
        finally:
            os.close(descriptor)

    def restore(self, name: str) -> bool:
        """The power is back; nobody may have files open there. Whether what was not synced at the cut is gone."""
        _call(*self.inside, "umount", str(self.paths[name]))
        self.mount(name)
        unsynced = self.seen(self.paths[name]) / _UNSYNCED
        gone = not unsynced.exists() or not unsynced.read_bytes().strip(b"\0")
        unsynced.unlink(missing_ok=True)
        return gone

    def mount(self, name: str) -> None:
        """As it is after a start of the machine: the file system repairs itself."""
        _call(*self.inside, "mount", "-o", "loop", str(self._images[name]), str(self.paths[name]))

    def close(self) -> None:
        """Unmount them all, also where somebody has files open there still."""
        for path in self.paths.values():
            with contextlib.suppress(OSError):
                _call(*self.inside, "umount", "--lazy", str(path))
        self._keeper.communicate()


@contextlib.contextmanager
def cut_disks(folder: Path, *names: str) -> Iterator[CutDisks]:
    """Disks that are there for as long as this lasts."""
    disks = CutDisks(folder, *names)
    try:
        yield disks
    finally:
        disks.close()


def missing() -> str | None:
    """Why this machine cannot have such disks; None: it can."""
    if os.geteuid() != 0:
        return "only root may mount disks"
    if lacks := [name for name in ("mkfs.ext4", "unshare", "nsenter") if shutil.which(name) is None]:
        return f"there is no {' and no '.join(lacks)}"
    with tempfile.TemporaryDirectory() as place:
        try:
            with cut_disks(Path(place), "probe") as disks:
                disks.cut("probe")
                return None if disks.restore("probe") else "what is not synced does not go in a power cut"
        except OSError as error:
            return f"no ext4 on a loop device: {error}"


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
