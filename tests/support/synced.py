"""What a program makes durable, as its own system calls show."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


class Calls:
    """What was synced, by path below a directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.made: list[tuple[str, str]] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name), root))

    def _recorded(self, name: str, call: Callable[[int], None], root: Path) -> Callable[[int], None]:
        def record(descriptor: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            self.made.append((name, os.path.relpath(path, root)))
            call(descriptor)

        return record


class Power:
    """What a power cut would leave of one folder: the bytes and the names that were synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._folder = folder
        self._bytes: dict[int, bytes] = {}
        """By inode."""
        self._names: dict[str, int] = {}
        sync = os.fsync

        def synced(descriptor: int) -> None:
            sync(descriptor)
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            if path == folder:
                self._names = {file.name: file.stat().st_ino for file in folder.iterdir()}
            else:
                self._bytes[os.fstat(descriptor).st_ino] = path.read_bytes()

        monkeypatch.setattr(os, "fsync", synced)

    def cut(self) -> None:
        """Make the folder what it would be."""
        for file in self._folder.iterdir():
            file.unlink()
        for name, inode in self._names.items():
            (self._folder / name).write_bytes(self._bytes.get(inode, b""))
