"""The blackhole sink."""

from collections.abc import Sequence

from shipper.sinks.base import Item, Outlet, Sink


class BlackholeSink(Sink):
    """Acknowledge everything and keep nothing. The metrics count what came; good for trying out a config."""

    async def connect(self, outlet: Outlet) -> int:
        """Always there."""
        self._outlet = outlet
        return outlet.cursor

    async def send(self, items: Sequence[Item]) -> None:
        """Acknowledge at once."""
        self._outlet.acked(items[-1].next)

    async def close(self) -> None:
        """Nothing to give back."""

    def describe(self) -> str:
        """One phrase."""
        return "nowhere"
