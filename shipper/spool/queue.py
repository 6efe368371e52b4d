"""The drafts that wait for the writer, and what those wait for that found no room.

While the log is full, drafts with frames wait, those without (dead letters, notes) go on; on a full disk all wait, and
once a second it is tried again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from shipper.log import get_logger
from shipper.spool.draft import EntryDraft

_GROUP: Final = 256
"""Drafts with frames at most in one commit."""
_RETRY_INTERVAL: Final = 1.0
log = get_logger("spool")

Queued = tuple[EntryDraft, "asyncio.Future[int]"]


def _is_ordered(draft: EntryDraft) -> bool:
    """The draft takes a number; what does not may overtake those that do."""
    return bool(draft.frames) or draft.upstream is not None or draft.lowered is not None


class Queue:
    """That of one spool. Whoever calls holds the writer's lock, but for reading ``blocked_by``."""

    def __init__(self, where: Callable[[], dict[str, Any]]) -> None:
        """``where``: what people want to know when there is no room."""
        self._where = where
        self._ordered: deque[Queued] = deque()
        self._notes: deque[Queued] = deque()
        self._writing: list[Queued] = []
        """What was taken and is not answered yet."""
        self.blocked_by: str | None = None
        """What there is no room for, in words."""
        self.waiting = False
        """Nothing is taken but notes, until there is room."""
        self._notes_wait = False
        """Not even those."""
        self.retry_at: float | None = None
        """When it is looked whether the disk has room again; monotonic."""

    def put(self, draft: EntryDraft, future: "asyncio.Future[int]") -> None:
        """Queue a draft."""
        (self._ordered if _is_ordered(draft) else self._notes).append((draft, future))

    @property
    def ready(self) -> bool:
        """There is something to take."""
        return bool(self._notes and not self._notes_wait) or bool(self._ordered and not self.waiting)

    def take(self) -> list[Queued]:
        """The next group. What becomes of it is said with ``answer``."""
        group: list[Queued] = []
        if not self._notes_wait:
            group += self._notes
            self._notes.clear()
        while self._ordered and not self.waiting and len(group) < _GROUP:
            group.append(self._ordered.popleft())
        self._writing = group
        return group

    def answer(self, rest: Sequence[Queued], reason: str | None) -> None:
        """All of the group was written but ``rest``, which goes back to the head and waits.

        ``reason``: what there is no room for; None: nothing to talk about, as sinks are about to give way.
        """
        self._writing = []
        notes = [queued for queued in rest if not _is_ordered(queued[0])]
        self._notes.extendleft(reversed(notes))
        self._ordered.extendleft(queued for queued in reversed(rest) if _is_ordered(queued[0]))
        before = self.blocked_by
        if rest:
            self.waiting = True
            self._notes_wait = bool(notes)
            self.retry_at = None if reason == "max_bytes" else time.monotonic() + _RETRY_INTERVAL
        if not rest and (self.waiting or not before):
            return  # a note that passes the queue says nothing about it
        self.blocked_by = reason
        if reason is not None and reason != before:
            text = "no room: the sources stop reading, delivery goes on; all resumes by itself"
            log.warning(text, reason=reason, **self._where())
        elif before is not None and reason is None:
            log.info("there is room again: the sources read on", reason=before)

    def retry_later(self) -> None:
        """Something else found no room."""
        self.retry_at = time.monotonic() + _RETRY_INTERVAL

    def retry(self) -> bool:
        """Let all be tried again if it is time to."""
        if self.retry_at is None or time.monotonic() < self.retry_at:
            return False
        self.retry_at = None
        self.admit()
        return True

    def admit(self) -> None:
        """There may be room."""
        self.waiting = self._notes_wait = False

    @property
    def futures(self) -> "list[asyncio.Future[int]]":
        """Of everything that was put in and not answered."""
        return [future for _, future in (*self._writing, *self._notes, *self._ordered)]
