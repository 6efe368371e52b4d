"""Which file is read before which: what stood under a path earlier comes first, so order holds across rotations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shipper.sources.file.schedule import Schedule
from shipper.sources.file.tail import Tail


@dataclass(slots=True)
class _Older:
    """A file that was renamed away, and how much of it there was when the newer one had its first turn."""

    tail: Tail
    end: int = -1


class Order:
    """The older file of each new one, until it is read to its end."""

    def __init__(self) -> None:
        self._latest: dict[str, Tail] = {}
        """The tail that was followed under a path last; it may have been renamed since."""
        self._older: dict[Tail, _Older] = {}

    def known(self, tail: Tail) -> None:
        """A tail goes on from a restart."""
        self._latest[tail.path] = tail

    def linked(self, tail: Tail, *, new: bool) -> None:
        """A tail was found under its path; ``new``: nobody followed it before."""
        before = self._latest.get(tail.path)
        if before is not None and before is not tail and new:
            self._older[tail] = _Older(before)
        self._latest[tail.path] = tail

    def dropped(self, tail: Tail) -> None:
        """A tail is not followed any more."""
        self._older.pop(tail, None)
        if self._latest.get(tail.path) is tail:
            del self._latest[tail.path]

    def waits(self, tail: Tail) -> bool:
        """An older file may have to be read first."""
        return tail in self._older

    async def older_is_read(
        self,
        tail: Tail,
        claimed: Callable[[Tail], bool],
        schedule: Schedule,
        turn: Callable[[Tail], Awaitable[bool]],
    ) -> bool:
        """Spend a turn of a tail on its older file; True once that has nothing more to read.

        The newer one has bytes by now, so whoever writes has left the older one: what it holds at this moment is all
        that has to come first.
        """
        older = self._older.get(tail)
        if older is None:
            return True
        if claimed(older.tail):
            if not await self.older_is_read(older.tail, claimed, schedule, turn):
                return False
            schedule.remove(older.tail)
            more = await turn(older.tail)
            if older.end < 0:
                older.end = older.tail.size
            if older.tail.descriptor >= 0:
                schedule.rest(older.tail, 0.0)
                more = more or older.tail.waiting
            if more and older.tail.offset < older.end:
                return False
        self._older.pop(tail, None)
        return True
