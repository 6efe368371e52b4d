"""A real file system that is small: a tmpfs in a mount namespace of its own, so that nothing else sees it."""

import contextlib
import os
import subprocess
from pathlib import Path


class SmallDisk:
    """Mounted until ``close``. Root is not needed where user namespaces are allowed."""

    def __init__(self, path: Path, size: int) -> None:
        path.mkdir()
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        script = f"mount -t tmpfs -o size={size} tmpfs '{path}' && echo mounted && exec sleep infinity"
        self._keeper = subprocess.Popen(
            ["unshare", *user, "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert self._keeper.stdout is not None
        with self._keeper.stdout as said:
            assert said.readline() == "mounted\n", "mount namespaces are needed"
        pid = self._keeper.pid
        self.inside: list[str] = ["nsenter", f"--target={pid}", *user[:1], "--mount"]
        """What a command is to be started with so that it sees the disk."""
        self.path = Path(f"/proc/{pid}/root{path}")
        """The disk from outside."""

    def fill(self, leave: int) -> None:
        """Have somebody take all but about ``leave`` bytes."""
        with (self.path / "somebody").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while (more := self.free - leave) > 0:
                file.write(bytes(min(more, 65536)))

    def clear(self) -> None:
        """Have that somebody free it."""
        (self.path / "somebody").unlink()

    @property
    def free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
