"""How soon and at what price a file source is woken: the figures of docs/decisions/030-watching.md.

``python -m benchmarks.wakeups``; files go to the system's temporary directory.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.latency import percentile
from shipper.sources.file.globs import Globs
from shipper.sources.file.tail import Tail
from shipper.sources.file.watch import Inotify, Watcher
from shipper.sources.file.watch_fallback import Watchfiles

_WAKES: Final = 300
_EVERY: Final = 0.02
_IDLE: Final = 5.0
_FILES: Final = 1000
_HOT: Final = 4.0
_RATE: Final = 10_000
_LINE: Final = b"x" * 215 + b"\n"
_MS: Final = 1000.0

Make = Callable[[Callable[[Tail], None], str], Watcher]
WAYS: Final[dict[str, Make]] = {
    "inotify": lambda on_file, folder: Inotify(on_file, lambda: None, Globs([f"{folder}/*"])),
    "watchfiles": lambda on_file, folder: Watchfiles(on_file, lambda: None),  # noqa: ARG005 - one signature for both
}


async def main() -> None:
    """Each way, one after the other."""
    print("way | wake-up p50 / p99 ms | % of a core: 1,000 idle files | 10,000 lines a second into one that was read")
    for name, make in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            took, idle, hot = await _measure(make, folder)
        p50, p99 = (_MS * percentile(took, share) for share in (50, 99))
        print(f"{name} | {p50:.2f} / {p99:.2f} | {100 * idle:.3f} | {100 * hot:.2f}")


async def _measure(make: Make, folder: str) -> tuple[list[float], float, float]:
    woken = asyncio.Event()
    watcher = make(lambda _: woken.set(), folder)
    tails = [Tail(os.path.join(folder, f"{number}.log"), {}) for number in range(_FILES)]
    for tail in tails:
        os.close(os.open(tail.path, os.O_CREAT))
    watcher.directories({folder}, ())
    await asyncio.sleep(1.0)
    for tail in tails:
        watcher.arm(tail)
    took = []
    file = os.open(tails[0].path, os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(_WAKES):
            await asyncio.sleep(_EVERY)
            watcher.arm(tails[0])
            woken.clear()
            began = time.monotonic()
            os.write(file, _LINE)
            await asyncio.wait_for(woken.wait(), 5.0)
            took.append(time.monotonic() - began)
        idle = await _share(_IDLE, asyncio.sleep(_IDLE))
        nobody = await _share(_HOT, asyncio.to_thread(_write_hot, os.devnull))
        hot = await _share(_HOT, asyncio.to_thread(_write_hot, tails[1].path))
    finally:
        os.close(file)
        watcher.close()
    return took, idle, max(0.0, hot - nobody)


async def _share(seconds: float, meanwhile: Awaitable[None]) -> float:
    before = time.process_time()
    await meanwhile
    return (time.process_time() - before) / seconds


def _write_hot(path: str) -> None:
    """A hundred writes of one line every ten milliseconds."""
    with open(path, "ab", buffering=0) as file:
        for _ in range(int(_HOT * 100)):
            for _ in range(_RATE // 100):
                file.write(_LINE)
            time.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main())
