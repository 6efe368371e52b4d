"""Who wakes the file source: inotify, read by the event loop itself (docs/decisions/030-watching.md).

Events are hints, never the truth: they coalesce, overflow and come late. Every hint leads to a look at the file or the
directories; the rescan finds what no hint told. Two kinds of watch:

- A file is watched only while its tail is idle, and for one event (``IN_ONESHOT``): a hot file costs no event a write.
  The watch is set through ``/proc/self/fd``, so it is on the open file, whatever its path names by now.
- A directory is watched for names that come and go, not for writes.

Renames of files that the globs mean are remembered (``moves``) until a scan has dealt with them.
"""

import asyncio
import ctypes
import errno
import functools
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, Final

from shipper.log import get_logger
from shipper.sources.file import filesystems
from shipper.sources.file.globs import Globs
from shipper.sources.file.moves import Moves
from shipper.sources.file.tail import Tail

POLL: Final = 1.0
"""Seconds between looks at files that give no hints."""
log = get_logger("file")

_MODIFY: Final = 0x2
_MOVED_FROM: Final = 0x40
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800
_Q_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x01000000
_ISDIR: Final = 0x40000000
_ONESHOT: Final = 0x80000000
_FILE: Final = _MODIFY | _ONESHOT
_DIRECTORY: Final = _CREATE | _MOVED_FROM | _MOVED_TO | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_EVENT: Final = struct.Struct("iIII")
_BUFFER: Final = 64 * 1024
_LIMITS: Final = (errno.ENOSPC, errno.ENOMEM)
_REMIND: Final = 600.0


class CannotWatch(Exception):
    """The system gives no queue of events; the message says why."""


class NoInotify(CannotWatch):
    """It has none at all."""


class Watcher(ABC):
    """Where hints come from. Callbacks run on the loop, from ``drain`` or by themselves."""

    deaf = False
    """It gives no hints: the files have to be looked at."""

    def __init__(self, on_file: Callable[[Tail], None], on_tree: Callable[[], None]) -> None:
        self.on_file = on_file
        self.on_tree = on_tree
        self.moves = Moves()
        self._silent: dict[str, str] = {}
        self._unwatched: set[str | Tail] = set()

    @property
    def rescan(self) -> float | None:
        """Seconds between rescans that this way needs, where that is less than usual."""
        return POLL if self.deaf or self._silent or self._unwatched else None

    def _judge(self, new: Collection[str], watched: Collection[str]) -> None:
        """Of the directories that are ``watched`` now some are ``new``: can hints be had for all that happens there?"""
        silent = {path: name for path in new if (name := filesystems.silent(path)) is not None}
        for path, name in silent.items():
            if path not in self._silent:
                log.info(
                    "no file events for what other machines write: looking at the files every second as well",
                    directory=path,
                    filesystem=name,
                )
        self._silent = {path: name for path, name in (self._silent | silent).items() if path in watched}

    @abstractmethod
    def directories(self, wanted: Collection[str], strange: Collection[str]) -> bool:
        """Watch these directories and no others; in the ``strange`` ones every name matters. Whether there were new
        ones: what happened in them before is then still to be found.

        Never raises: what cannot be watched is looked at (``rescan``).
        """

    @abstractmethod
    def arm(self, tail: Tail) -> None:
        """Give one hint when the tail's file changes. Called on a worker thread; look at the file afterwards.

        Never raises: what cannot be watched is looked at (``rescan``).
        """

    @abstractmethod
    def disarm(self, tail: Tail) -> None:
        """The tail is not followed any more."""

    def hears(self, tail: Tail) -> bool:  # noqa: ARG002 - for those that override it
        """Whether the next change of the tail's file is certain to give a hint."""
        return False

    def drain(self) -> None:  # noqa: B027 - not every way has a queue
        """Deal with all hints that are there now."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""


@functools.cache
def _libc() -> Any:
    library = ctypes.CDLL(None, use_errno=True)
    library.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
    return library


class Inotify(Watcher):
    """Linux inotify.

    Where its watches run out the log says so, and the files are looked at every second until there are enough again.

    :raises CannotWatch: there is none, or no queue is left.
    """

    def __init__(self, on_file: Callable[[Tail], None], on_tree: Callable[[], None], globs: Globs) -> None:
        super().__init__(on_file, on_tree)
        self._globs = globs
        self._files: dict[int, Tail] = {}
        self._armed: dict[Tail, int] = {}
        self._watched: dict[str, int] = {}
        self._paths: dict[int, str] = {}
        self._strange: frozenset[str] = frozenset()
        self._loop = asyncio.get_running_loop()
        try:
            self._queue = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (AttributeError, OSError) as error:
            raise NoInotify("this system has no inotify") from error
        if self._queue < 0:
            raise CannotWatch(f"{os.strerror(ctypes.get_errno())}: raise fs.inotify.max_user_instances with sysctl")
        self._loop.add_reader(self._queue, self.drain)

    def directories(self, wanted: Collection[str], strange: Collection[str]) -> bool:
        """See ``Watcher``. Adding a watch that is there costs a system call; it also finds directories replaced."""
        self._strange = frozenset(strange)
        new = []
        before = set(self._paths)
        self._unwatched = {what for what in self._unwatched if isinstance(what, Tail)}
        watched: dict[str, int] = {}
        for path in {*wanted, *strange}:
            try:
                watch = self._add(os.fsencode(path), _DIRECTORY)
            except OSError as error:
                self._missed(path, error)
                continue  # it is gone, or may not be read: the rescan looks again
            watched[path] = watch
            if watch not in before:
                new.append(path)
        for watch in before - set(watched.values()):
            _libc().inotify_rm_watch(self._queue, watch)
        self._watched = watched
        self._paths = {watch: path for path, watch in watched.items()}
        self._judge(new, watched)
        return bool(new)

    def arm(self, tail: Tail) -> None:
        """See ``Watcher``."""
        self._unwatched.discard(tail)
        places = [os.fsencode(tail.where)]
        if tail.descriptor >= 0:
            places.insert(0, b"/proc/self/fd/%d" % tail.descriptor)
        for place in places:
            try:
                watch = self._add(place, _FILE)
                break
            except OSError as error:  # no /proc; the file is gone; its filesystem cannot be watched
                self._missed(tail, error)
        else:
            return  # the rescan looks at it
        self._files.pop(self._armed.get(tail, -1), None)
        self._armed[tail] = watch
        self._files[watch] = tail

    def disarm(self, tail: Tail) -> None:
        """See ``Watcher``."""
        self._unwatched.discard(tail)
        watch = self._armed.pop(tail, None)
        if watch is not None and self._files.pop(watch, None) is not None:
            _libc().inotify_rm_watch(self._queue, watch)

    def hears(self, tail: Tail) -> bool:
        """See ``Watcher``."""
        return self._files.get(self._armed.get(tail, -1)) is tail

    def close(self) -> None:
        """See ``Watcher``."""
        if self._queue >= 0:
            self._loop.remove_reader(self._queue)
            os.close(self._queue)
            self._queue = -1

    def _add(self, path: bytes, mask: int) -> int:
        watch: int = _libc().inotify_add_watch(self._queue, path, mask)
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return watch

    def _missed(self, what: "str | Tail", error: OSError) -> None:
        """A directory or a file is not watched. On any thread."""
        if error.errno in _LIMITS:
            if not self._unwatched:
                self._loop.call_soon_threadsafe(self.on_tree)  # every second from now on
            self._unwatched.add(what)
            log.warning(
                "too few file events: looking at the files every second as well",
                why=f"{error.strerror}: raise fs.inotify.max_user_watches (one for each file) with sysctl",
                every=_REMIND,
            )

    def drain(self) -> None:
        """Read the queue to its end."""
        tree = False
        while self._queue >= 0:
            try:
                data = os.read(self._queue, _BUFFER)
            except BlockingIOError:
                break
            at = 0
            while at < len(data):
                watch, mask, cookie, size = _EVENT.unpack_from(data, at)
                at += _EVENT.size + size
                tail = self._files.pop(watch, None)
                if tail is not None:
                    self.on_file(tail)
                elif watch in self._paths or mask & _Q_OVERFLOW:
                    name = os.fsdecode(data[at - size : at].rstrip(b"\0"))
                    tree = self._named(watch, mask, cookie, name) or tree
        if tree:
            self.on_tree()

    def _named(self, watch: int, mask: int, cookie: int, name: str) -> bool:
        """An event in a directory. Whether it may concern the globs."""
        if mask & (_Q_OVERFLOW | _DELETE_SELF | _MOVE_SELF | _IGNORED):
            if mask & _IGNORED:
                self._watched.pop(self._paths.pop(watch), None)
            return True
        directory = self._paths[watch]
        path = os.path.join(directory, name)
        if mask & _MOVED_FROM:
            self.moves.leaves(path, cookie, followed=not mask & _ISDIR and self._globs.match(path) is not None)
        elif mask & _MOVED_TO:
            self.moves.arrives(path, cookie)
        elif mask & _DELETE:
            self.moves.deleted(path)
        if mask & _ISDIR and self._globs.deep:
            return True
        return directory in self._strange or self._globs.matters(name)
