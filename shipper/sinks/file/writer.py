"""How the file sink writes, exactly once. Blocking; one call at a time.

A group goes: open its files (new ones are made and synced empty) -> plan, synced -> append -> sync -> acknowledged.
So whatever crashes, and whatever of the unsynced is lost, the plan in force tells what to do:

- The cursor is at or past the plan's end: the group was acknowledged, so it was synced. Nothing to do.
- All its files are as they should be after it, lengths and checksums: the group is whole. It is synced, and counts as
  acknowledged, however far behind the cursor is, and even if the spool has forgotten the group.
- Else its files are cut back to the lengths that the plan gives, and the group comes again. The groups before it do
  not: a plan is written only once the group before it was synced.

A file is cut back only if it is *as listed*: the same file (inode and generation) under the same name, no shorter than
before the group and no longer than after it. Any other was rotated away or edited: it is left alone, for good, with an
alarm; what was written to it since the plan may then be there twice, in it and in the file that is begun in its place.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from shipper.errors import SinkError
from shipper.sinks.file.disk import Disk, Identity, OpenFile
from shipper.sinks.file.path_template import successor
from shipper.sinks.file.state import LeftAlone, Plan, PlannedFile, PlanStore
from shipper.spool.frame import crc32c

MAX_OPEN: Final = 256
"""Files held open between groups, and files in one group."""
_MAX_LEFT_ALONE: Final = 1000
_MAX_SUCCESSORS: Final = 1000

Components: TypeAlias = tuple[str, ...]
"""A path below the root."""
Alarm: TypeAlias = Callable[[str, str, str], None]
"""Kind, message, path."""


class GroupWriter:
    """Writes groups of lines to files below a root."""

    def __init__(self, root: str, state_dir: Path, alarm: Alarm, disk: Disk) -> None:
        """Read the plan in force.

        :raises FutureFormat: a newer shipper wrote it.
        :raises SinkUnavailable: the state cannot be read.
        """
        self._root = root
        self._stream = b""
        self._alarm = alarm
        self._disk = disk
        self._store = PlanStore(state_dir, disk)
        self._open: OrderedDict[Components, tuple[Components, OpenFile]] = OrderedDict()
        """By the path rendered: the path really written and its file; ``size`` is the length that it should have."""
        if self._store.plan is None and self._store.damaged > 1:
            self._alarm("state_damaged", "both plans are damaged: a half group may stay in the files", str(state_dir))
        self._failed = False
        """A write or a sync failed: the page cache may show what the disk does not have."""
        self._left_alone = list(self._store.plan.left_alone) if self._store.plan is not None else []

    def recover(self, stream: bytes, cursor: int) -> int:
        """Undo what was not acknowledged; the sequence number to go on with. May be called again at any time.

        :raises SinkUnavailable: the disk does not let us; call again.
        """
        self.close()
        self._stream = stream
        self._disk.make_root(self._root)
        plan = self._store.plan
        if plan is None:
            return cursor
        if plan.stream != self._stream:
            if not self._is_whole(plan):
                self._alarm("other_stream", "the spool is a new one: the last group of the old one is torn", plan.root)
            return cursor
        if plan.next <= cursor:
            return cursor
        if not self._failed and self._is_whole(plan):
            return plan.next
        for file in plan.files:
            self._cut_back(plan.root, file)
        self._failed = False
        return plan.first

    def _is_whole(self, plan: Plan) -> bool:
        """All that the plan promised is there, and durable."""
        for file in plan.files:
            whole = "/".join((plan.root, *file.path))
            found = self._disk.find(plan.root, file.path)
            if found is None:
                return False
            try:
                if (*found.identity, found.size) != (file.inode, file.generation, file.end):
                    return False
                if self._disk.checksum(found.descriptor, file.start, file.end, whole) != file.crc:
                    return False
                self._disk.sync(found.descriptor, whole)
            finally:
                self._disk.close(found.descriptor)
        return True

    def _cut_back(self, root: str, file: PlannedFile) -> None:
        whole = "/".join((root, *file.path))
        found = self._disk.find(root, file.path)
        if found is None:
            self._alarm("file_gone", "a file was moved or deleted while a group was written to it", whole)
            return
        try:
            if found.identity == (file.inode, file.generation) and file.start <= found.size <= file.end:
                if found.size > file.start:
                    self._disk.cut(found.descriptor, file.start, whole)
                self._disk.sync(found.descriptor, whole)  # also when cut before: that one's sync may have failed
            elif found.identity == (file.inode, file.generation) or found.size:
                self._leave_alone(root, file.path, found.identity)
            else:
                self._alarm("file_replaced", "a file was replaced while a group was written to it", whole)
        finally:
            self._disk.close(found.descriptor)

    def _leave_alone(self, root: str, path: Components, identity: Identity) -> None:
        whole = "/".join((root, *path))
        self._alarm("file_changed", "a file was changed by somebody else; it is left alone and a new one begun", whole)
        self._left_alone.append(LeftAlone(root, path, *identity))
        del self._left_alone[:-_MAX_LEFT_ALONE]

    def write(self, first: int, next_seq: int, contents: dict[Components, list[bytes]]) -> None:
        """Append to at most ``MAX_OPEN`` files, durably, or to none.

        :raises SinkUnavailable: nothing was written, or what was is cut back by now or by the next ``recover``.
        :raises SinkError: something that is no file stands in the way of one.
        """
        idle = [key for key in self._open if key not in contents]
        for key in idle[: max(0, len(idle) + len(contents) - MAX_OPEN)]:
            self._forget(key)
        files = [self._ready(key) for key in contents]
        data = [b"".join(parts) for parts in contents.values()]
        planned = [
            PlannedFile(path, *file.identity, file.size, file.size + len(more), crc32c(more))
            for (path, file), more in zip(files, data, strict=True)
        ]
        self._store.write(Plan(self._stream, first, next_seq, self._root, planned, self._left_alone))
        try:
            for (path, file), more in zip(files, data, strict=True):
                self._disk.append(file.descriptor, more, self._whole(path))
            for path, file in files:
                self._disk.sync(file.descriptor, self._whole(path))
        except SinkError:
            self._failed = True
            self.close()
            with suppress(SinkError):  # the next recover tries again; the failure to tell is the first one
                for listed in planned:
                    self._cut_back(self._root, listed)
            raise
        for key, (path, file), listed in zip(contents, files, planned, strict=True):
            self._open[key] = (path, file._replace(size=listed.end))

    def _ready(self, key: Components) -> tuple[Components, OpenFile]:
        """The file for a rendered path, open, with the length that it should have."""
        known = self._open.get(key)
        if known is not None:
            path, file = known
            if self._disk.is_named(file.descriptor, self._whole(path)):
                size = self._disk.size(file.descriptor)
                if size == file.size:
                    self._open.move_to_end(key)
                    return known
                if size:  # an empty one was truncated by a rotation, between groups: nothing of ours is at stake
                    self._leave_alone(self._root, path, file.identity)
            self._forget(key)  # else renamed away by a rotation: its name is free, or somebody made a new one
        for number in range(1, _MAX_SUCCESSORS):
            path = key if number == 1 else successor(key, number)
            opened = self._disk.open(self._root, path)
            if LeftAlone(self._root, path, *opened.identity) not in self._left_alone:
                if self._disk.ends_line(opened):
                    self._open[key] = (path, opened)
                    return path, opened
                self._leave_alone(self._root, path, opened.identity)
            self._disk.close(opened.descriptor)
        raise SinkError(f"{self._whole(key)} and {_MAX_SUCCESSORS} others in its place were changed; clean up there")

    def _whole(self, path: Components) -> str:
        return "/".join((self._root, *path))

    def _forget(self, key: Components) -> None:
        _, file = self._open.pop(key)
        self._disk.close(file.descriptor)

    def close(self) -> None:
        """Close the files; never raises."""
        while self._open:
            self._forget(next(iter(self._open)))
