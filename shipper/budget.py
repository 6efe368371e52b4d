"""How many bytes a process may hold that are not durable yet."""

import asyncio


class Budget:
    """Bytes that were taken from sources and are not durable yet; shared by all sources of a process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._freed = asyncio.Event()

    async def wait(self) -> None:
        """Wait until less than the limit is used. The batch taken then may pass it: one always goes on."""
        while self._used >= self._limit:
            self._freed.clear()
            await self._freed.wait()

    def add(self, size: int) -> None:
        """Bytes were taken."""
        self._used += size

    def free(self, size: int) -> None:
        """They are durable, or given up."""
        self._used -= size
        self._freed.set()
