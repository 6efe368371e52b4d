"""Changes of the state in the spool that wait for a batch to carry them, and the losses that go with them."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final, NamedTuple

from shipper.batch import Loss

_AT_ONCE: Final = 256
"""One batch carries at most so many: an entry of the spool must not grow with the number of files."""


class Carried(NamedTuple):
    """What one batch carries beside its own; both are empty where there is nothing."""

    state: dict[str, bytes | None]
    losses: list[Loss]


NOTHING: Final = Carried({}, [])


class Changes:
    """By key; None forgets one. A loss goes with the change of its generation, in one entry: so it is counted once."""

    def __init__(self) -> None:
        self._waiting: dict[str, bytes | None] = {}
        self._losses: list[Loss] = []
        self.urgent = False
        """They are not to wait for a batch that happens to come."""

    def add(self, changes: Mapping[str, bytes | None], losses: Iterable[Loss] = (), *, urgent: bool = False) -> None:
        """These have to be made durable; losses soon, so that they show."""
        self._waiting |= changes
        self._losses += losses
        self.urgent = self.urgent or bool(self._losses) or (urgent and bool(changes))

    @property
    def waiting(self) -> bool:
        """There is something to carry."""
        return bool(self._waiting or self._losses)

    def some(self) -> Carried:
        """As many as one batch carries, the oldest first."""
        state = dict(islice(self._waiting.items(), _AT_ONCE))
        keys = self._waiting.keys() - state.keys()
        return Carried(state, [loss for loss in self._losses if loss.generation.hex() not in keys])

    def carried(self, carried: Carried) -> None:
        """A batch took what ``some`` gave; what was changed again since stays."""
        for key, value in carried.state.items():
            if key in self._waiting and self._waiting[key] is value:
                del self._waiting[key]
        taken = set(map(id, carried.losses))
        self._losses = [loss for loss in self._losses if id(loss) not in taken]
        self.urgent = self.urgent and self.waiting

    def overtaken(self, keys: Iterable[str]) -> None:
        """A batch carried newer values of these."""
        for key in keys:
            self._waiting.pop(key, None)
