"""Which record of a batch does a process not survive? Sans-IO."""

from collections.abc import Awaitable, Callable


async def blame(size: int, dies: Callable[[int, int], Awaitable[bool]]) -> tuple[int, bool]:
    """A record to blame, and whether it alone is enough. ``dies`` tries the records from a first one to before another.

    Where no half is to blame by itself it is one of the last: somebody else ended the process, or several records are
    to blame together.
    """
    first, end = 0, size
    while end - first > 1:
        middle = (first + end) // 2
        if await dies(first, middle):
            end = middle
        else:
            first = middle
    return first, await dies(first, end)
