"""Changes of the state in the spool that wait for a batch to carry them."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

_AT_ONCE: Final = 256
"""One batch carries at most so many: an entry of the spool must not grow with the number of files."""


class Changes:
    """By key; None forgets one."""

    def __init__(self) -> None:
        self._waiting: dict[str, bytes | None] = {}
        self.urgent = False
        """They are not to wait for a batch that happens to come."""

    def add(self, changes: Mapping[str, bytes | None], *, urgent: bool = False) -> None:
        """These have to be made durable."""
        self._waiting |= changes
        self.urgent = self.urgent or (urgent and bool(changes))

    def some(self) -> dict[str, bytes | None]:
        """As many as one batch carries, the oldest first."""
        return dict(islice(self._waiting.items(), _AT_ONCE))

    def carried(self, changes: Mapping[str, bytes | None]) -> None:
        """A batch took what ``some`` gave; what was changed again since stays."""
        for key, value in changes.items():
            if key in self._waiting and self._waiting[key] is value:
                del self._waiting[key]
        self.urgent = self.urgent and bool(self._waiting)

    def overtaken(self, keys: Iterable[str]) -> None:
        """A batch carried newer values of these."""
        for key in keys:
            self._waiting.pop(key, None)
