"""Wait for an operation of gRPC's core that is never cancelled itself.

gRPC's Python layer frees what an operation took, some 100 bytes, when the coroutine behind it goes on. One that is
cancelled never does: each sender that went away while its next message was awaited left them behind for good, and each
kept a page from being given back. So a waiting task is cancelled, and the operation runs to its end, which the core
sees to. A task of its own for it (``asyncio.shield``) costs three times as much, with every message.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def uncancelled(operation: "Coroutine[asyncio.Future[Any], None, T]") -> "asyncio.Future[T]":
    """Start an operation now; cancelling the future that is returned leaves it alone."""
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def go_on(_: object = None) -> None:
        try:
            waited = operation.send(None)
        except StopIteration as end:
            if not outcome.done():
                outcome.set_result(end.value)
        except asyncio.CancelledError:
            outcome.cancel()
        except Exception as error:  # noqa: BLE001 - it is whoever waits that it concerns
            if not outcome.done():
                outcome.set_exception(error)
        else:
            waited._asyncio_future_blocking = False  # what a task says to a future that it will wait for
            waited.add_done_callback(go_on)

    go_on()
    return outcome
