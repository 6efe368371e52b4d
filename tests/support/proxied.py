"""The proxy that misbehaves, for tests that have no event loop: it runs on one of its own, in a thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

from support.proxy import Proxy, Way


class Proxied:
    """See ``Proxy``: forwards to 127.0.0.1:``target`` until it is left."""

    def __init__(self, target: int) -> None:
        self._proxy: Final = Proxy(target)
        self._loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._proxy.open_door())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._proxy.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def port(self) -> int:
        return self._proxy.port

    @property
    def connections(self) -> int:
        """How many were made so far."""
        return self._proxy.connections

    def forwarded(self, way: Way) -> int:
        """Bytes that went through."""
        return self._proxy.forwarded[way]

    def slow(self, seconds: float) -> None:
        """Every chunk (64 KiB at most) waits so long from now on."""
        self._proxy.delay = seconds

    def stall(self, *ways: Way) -> None:
        """See ``Proxy``."""
        self._do(_now(lambda: self._proxy.stall(*ways)))

    def resume(self) -> None:
        """See ``Proxy``."""
        self._do(_now(self._proxy.resume))

    def cut(self) -> None:
        """See ``Proxy``."""
        self._do(_now(self._proxy.cut))

    def close_door(self) -> None:
        """See ``Proxy``."""
        self._do(self._proxy.close_door())

    def open_door(self) -> None:
        """See ``Proxy``."""
        self._do(self._proxy.open_door())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result()


async def _now(what: Callable[[], None]) -> None:
    what()
