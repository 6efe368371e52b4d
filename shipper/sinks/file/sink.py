"""The file sink's class: its config, and what of it runs on the event loop."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar

from shipper.sinks.base import Frame, Item, Outlet, Sink
from shipper.sinks.file.disk import Disk
from shipper.sinks.file.path_template import CannotRender, PathTemplate
from shipper.sinks.file.writer import MAX_OPEN, GroupWriter
from shipper.sinks.flat import Refusal, each_record, lines_of, refuse
from shipper.sinks.worker import Worker

T = TypeVar("T")


class _Group(NamedTuple):
    first: int
    next: int
    contents: dict[tuple[str, ...], list[bytes]]


class FileSink(Sink):
    """Write records to files, one JSON object a line, each record exactly once.

    The path may hold labels and the time read, as in `/var/log/central/{host}/{source}-{read:%Y-%m-%d}.ndjson`;
    missing directories are made. Records whose labels give no path go to the dead letters.
    """

    exactly_once: ClassVar[bool] = True
    # Frames are about a tenth of the lines that they become: a group of 1 MiB takes some 10 MiB of memory.
    group_bytes: ClassVar[int] = 1024 * 1024
    disk: ClassVar[Disk] = Disk()

    path: str
    """Where to write. `{label}` is a label of the frame, `{read:%Y-%m-%d}` the time (UTC) at which it was read. `~` at
    its start is the home directory."""
    read_at: bool = True
    """Write `_read_at`, the time at which the record was read."""
    identity: bool = False
    """Write `_stream`, `_seq` and `_index`, which together name a record. Not needed here: no record comes twice."""

    def setup(self) -> None:
        """:raises ValueError: the path cannot be used."""
        self._template = PathTemplate(os.path.expanduser(self.path))
        self._worker = Worker("file-sink")
        self._writer: GroupWriter | None = None
        self._alarms: list[tuple[str, str, str]] = []

    def claims(self) -> list[str]:
        """Two sinks would undo each other's writes after a crash."""
        return [f"the path {self.path}"]

    def writes(self, labels: Mapping[str, Any]) -> str | None:
        """See ``Sink``."""
        return self._template.example(labels)

    async def connect(self, outlet: Outlet) -> int:
        """Undo what a crash left half done; the sequence number up to which the files are complete."""
        self._outlet = outlet
        if self._writer is None:
            self._writer = await self._run(
                lambda: GroupWriter(self._template.root, outlet.state_dir, self._alarm, self.disk)
            )
        return await self._run(partial(self._writer.recover, outlet.home, outlet.cursor))

    async def send(self, items: Sequence[Item]) -> None:
        """Write, sync, acknowledge: when this returns, all is on disk."""
        refusals: list[Refusal] = []
        groups = await self._run(lambda: self._groups(items, refusals))
        await refuse(self._outlet, refusals)
        for group in groups:
            if group.contents and self._writer is not None:
                await self._run(partial(self._writer.write, group.first, group.next, group.contents))
            self._outlet.acked(group.next)

    async def close(self) -> None:
        """Close the files, after what is being written now."""
        if self._writer is not None:
            await self._run(self._writer.close)
        self._worker.stop()

    def describe(self) -> str:
        """The path."""
        return self.path

    def _groups(self, items: Sequence[Item], refusals: list[Refusal]) -> list[_Group]:
        """Split where a group would hold too many files; usually all is one."""
        groups: list[_Group] = []
        first = items[0].seq
        contents: dict[tuple[str, ...], list[bytes]] = {}
        for item in items:
            frame = item.body
            if not isinstance(frame, Frame) or not frame.records:
                continue
            try:
                path = self._template.render(frame.labels, frame.read_at)
            except CannotRender as error:
                refusals += each_record(item, frame, str(error))
                continue
            lines = lines_of(item, identity=self.identity, read_at=self.read_at, refusals=refusals)
            if not lines:
                continue
            if path not in contents and len(contents) == MAX_OPEN:
                groups.append(_Group(first, item.seq, contents))
                first, contents = item.seq, {}
            contents.setdefault(path, []).append(b"".join(lines))
        groups.append(_Group(first, items[-1].next, contents))
        return groups

    def _alarm(self, kind: str, message: str, path: str) -> None:
        self._alarms.append((kind, message, path))

    async def _run(self, step: Callable[[], T]) -> T:
        """On the worker; the alarms that the step raised are told here, for the outlet belongs to the event loop."""
        try:
            return await self._worker.run(step)
        finally:
            while self._alarms:
                kind, message, path = self._alarms.pop(0)
                self._outlet.alarm(kind, message, path=path)
