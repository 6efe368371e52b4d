"""Steps that run at the same time, and end together."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
    """What the steps return. Where one fails, or the caller is cancelled, none goes on once this is told.

    ``asyncio.gather`` lets the others go on: on a connection that is given up for the failure.
    """
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
