"""The sinks of this process that share their senders' streams with other collectors, seen as one."""

import asyncio
from collections.abc import Iterable
from typing import Final

from shipper.sinks.base import Claimed, Sink


class Sharing:
    """They are asked together: what one of them does not have must come again for all."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        """All sinks of the config; ``setup`` of each was called."""
        every = list(sinks)
        self._sinks: Final = [sink for sink in every if sink.shares_streams]
        self.complete: Final = len(self._sinks) == len(every)
        """No sink is left that needs what the others have."""

    def __bool__(self) -> bool:
        """There is one."""
        return bool(self._sinks)

    async def claim(self, stream: bytes, floor: int) -> Claimed:
        """See ``Sink.claim``."""
        answers = await asyncio.gather(*(sink.claim(stream, floor) for sink in self._sinks))
        least = min(answers, key=lambda claimed: claimed.mark.next)
        return Claimed(least.mark, any(claimed.fresh for claimed in answers))

    def held(self, stream: bytes) -> int:
        """See ``Sink.held``."""
        return min(sink.held(stream) for sink in self._sinks)


NOBODY: Final = Sharing([])
