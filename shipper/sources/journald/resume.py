"""Where to go on in a journal that has lost entries which were read.

journald syncs its files every five minutes, the spool after every batch: after a power cut the journal may end before
the entry that was read last. What journald writes then gets the numbers of what is gone (from systemd 253 on), and
journalctl, which looks for a cursor by its number first, would pass over as many new entries as were lost.

The boot tells: journald writes the entries of one boot in the order of its monotonic clock. So where the last entry of
that boot is older than the one that was read last, all behind it is new.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

_NUMBER: Final = re.compile(r"s=[0-9a-f]{32};i=[0-9a-f]{1,16};")
_BOOT: Final = re.compile(r"(?:^|;)b=([0-9a-f]{32});m=([0-9a-f]{1,16});")


async def last_left(cursor: str, newest: Callable[[list[str]], Awaitable[str]]) -> str:
    """The cursor of the last entry that was read and is in the journal; ``cursor``, where nothing is lost behind it.

    ``newest`` gives the cursor of the last entry that journalctl shows with these arguments, empty: it shows none.
    """
    read = _BOOT.search(cursor)
    if read is None:
        return cursor
    left = _BOOT.search(last := await newest([f"_BOOT_ID={read[1]}"]))
    if left is not None:
        return last if int(left[2], 16) < int(read[2], 16) else cursor
    if await newest(["--reverse", f"--cursor={cursor}"]):
        return _NUMBER.sub("", cursor)  # all of the boot is gone, and not with what is older: the time has to do
    return cursor
