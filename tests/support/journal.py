"""A real journal in a directory, written by systemd-journal-remote from the export format."""

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.processes import wait_for

REMOTE = Path("/lib/systemd/systemd-journal-remote")
BEGIN = 1_430_122_062_217_528
"""Microseconds since 1970 of the first entry; each is a millisecond after the one before."""
BOOT = "7f272978644b4ee1bf5d375ff2bdda57"
FIELDS = {"_HOSTNAME": "edge-1", "_SYSTEMD_UNIT": "nginx.service", "PRIORITY": "6"}
Value = bytes | str | list[bytes]


def sized(name: str, value: bytes) -> bytes:
    """A field in the form that holds any bytes."""
    return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"


class Journal:
    """Writes entries, to one file after the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.written = 0
        self._files = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        """The file that is written now."""
        return self.directory / f"system{self._files}.journal"

    def write(self, *messages: bytes, **fields: Value) -> None:
        """Append entries with these messages and these fields beside ``FIELDS``."""
        for message in messages:
            self.entry({"MESSAGE": message, **FIELDS, **fields})

    def entry(self, fields: dict[str, Value], boot: str = BOOT) -> None:
        """Append one entry; it can be read when this returns."""
        self._send([self._encoded(fields, boot)])

    def many(self, messages: Sequence[bytes], **fields: Value) -> None:
        """``write``, waiting for the last one only."""
        self._send([self._encoded({"MESSAGE": message, **FIELDS, **fields}, BOOT) for message in messages])

    def _encoded(self, fields: dict[str, Value], boot: str) -> bytes:
        stamp = BEGIN + self.written * 1000
        self.written += 1
        head = f"__REALTIME_TIMESTAMP={stamp}\n__MONOTONIC_TIMESTAMP={stamp - BEGIN + 10**6}\n_BOOT_ID={boot}\n"
        parts = [head.encode()]
        for name, value in fields.items():
            values = value if isinstance(value, list) else [value.encode() if isinstance(value, str) else value]
            parts += [sized(name, each) for each in values]
        return b"".join(parts) + b"\n"

    def _send(self, entries: list[bytes]) -> None:
        if not entries:
            return
        if self._process is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            command = [str(REMOTE), "--output", str(self.file), "-"]
            quiet = subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet)
        assert self._process.stdin is not None
        self._process.stdin.write(b"".join(entries))
        self._process.stdin.flush()
        last = BEGIN + (self.written - 1) * 1000
        wait_for(lambda: self.file.exists() and tail_time(self.file) == last, "an entry in the journal")

    def rotate(self) -> None:
        """What comes goes to another file."""
        self.close()
        self._files += 1

    def synced(self) -> bytes:
        """The file as a power cut would leave it that came now."""
        self.close()
        return self.file.read_bytes()

    def power_cut(self, synced: bytes) -> None:
        """What was written since ``synced`` is gone; what comes gets its numbers, as from systemd 253 on."""
        self.close()
        self.file.write_bytes(synced)

    def close(self) -> None:
        """End the writer; its file is complete and closed."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def tail_time(file: Path) -> int:
    """When the newest entry of a journal file was written, by its header."""
    with file.open("rb") as opened:
        head = opened.read(200)
    return int.from_bytes(head[192:200], "little") if len(head) == 200 else 0


def damage_entry(file: Path, number: int) -> None:
    """Break one entry (0: that of ``BEGIN``): an entry object holds its times one after the other."""
    data = bytearray(file.read_bytes())
    stamp = BEGIN + number * 1000
    at = data.index(struct.pack("<QQ", stamp, stamp - BEGIN + 10**6)) - 24
    assert data[at] == 3, "not an entry object"
    data[at] = 0xFF
    file.write_bytes(data)


def copy(journal: Path, to: Path) -> Path:
    """The journal as it is now."""
    return Path(shutil.copytree(journal, to))
