"""Workload 11: 256 KiB entries into the spool, each synced, and read back. Run as a process of its own.

``python -m benchmarks.append FOLDER MEGABYTES`` prints one JSON object. Two ways: one append at a time (that gives the
latency), and four under way, as a busy agent has them (while one group is synced the next one gathers). Afterwards all
is read back and compared.
"""

import asyncio
import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.latency import percentile
from benchmarks.processes import BenchError, Child, Cores, need_room
from benchmarks.report import Bar, Row
from benchmarks.verify import Verdict
from shipper.batch import Payload
from shipper.sinks.base import Item
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import Frame, FrameMeta, draft
from shipper.spool.spool import Spool

_ENTRY: Final = 256 * 1024
_SINK: Final = "bench"
_IN_FLIGHT: Final = 4
_TIMEOUT: Final = 300.0
_MB: Final = 1_000_000
_VARIANTS: Final = 16


def measure(megabytes: int, folder: Path, cores: Cores) -> list[Row]:
    """Run it on the measured core."""
    need_room(folder, megabytes * _MB)
    log = folder / "append.log"
    command = [sys.executable, "-m", "benchmarks.append", str(folder / "workload-11"), str(megabytes)]
    Child(command, cores.measured, log).wait(_TIMEOUT)
    rows = []
    for found in json.loads(log.read_text().splitlines()[-1]):
        in_flight = found.pop("in flight")
        check = Verdict(**found.pop("check"))
        value, p99, back = (found.pop(name) for name in ("MB/s", "p99 ms", "read back MB/s"))
        what = f"spool: append 256 KiB, synced, {in_flight} in flight"
        rows.append(Row("11", what, value, "MB/s", Bar(300), None, check, {**found, "p99 ms": p99}))
        if in_flight == 1:
            rows.append(Row("11", "spool: append p99", p99, "ms", Bar(10, at_least=False), None, check))
            rows.append(Row("11", "spool: read back", back, "MB/s", Bar(300), None, check))
    return rows


async def _append(folder: Path, megabytes: int, in_flight: int) -> dict[str, Any]:
    count = megabytes * _MB // _ENTRY
    spool = Spool(folder, 2 * megabytes * _MB + (256 << 20), 1 << 20, [_SINK])
    # Random bytes do not compress: what is written is what is counted. A few different ones, to tell them apart.
    payloads = [Payload.sized([os.urandom(_ENTRY - 4)]) for _ in range(_VARIANTS)]
    drafts = [draft(payload, FrameMeta({}, []), 0) for payload in payloads]
    spool.start()
    first = spool.next_seq
    took: list[float] = []
    under_way: deque[tuple[float, asyncio.Future[int]]] = deque()
    began, cpu = time.monotonic(), time.process_time()

    async def finish() -> None:
        start, future = under_way.popleft()
        await future
        took.append(1000 * (time.monotonic() - start))

    for number in range(count):
        if len(under_way) == in_flight:
            await finish()
        under_way.append((time.monotonic(), spool.append(EntryDraft([drafts[number % _VARIANTS]]))))
    while under_way:
        await finish()
    wall, cpu = time.monotonic() - began, time.process_time() - cpu
    began = time.monotonic()
    check = await _read_back(spool, payloads, first, count)
    back = time.monotonic() - began
    await spool.close()
    size = count * _ENTRY / _MB
    return {
        "in flight": in_flight,
        "MB/s": size / wall,
        "p50 ms": percentile(took, 50),
        "p99 ms": percentile(took, 99),
        "entries": count,
        "MB per CPU s": size / cpu,
        "read back MB/s": size / back,
        "check": {name: getattr(check, name) for name in ("expected", "received", "lost", "doubled", "altered")},
    }


async def _read_back(spool: Spool, payloads: list[Payload], first: int, count: int) -> Verdict:
    """Read every entry, from disk where memory does not hold it any more, and compare."""
    verdict = Verdict(expected=count)
    feed = spool.subscribe(_SINK)
    seen: set[int] = set()
    following = first
    while following < first + count:
        items: list[Item] = await feed.read(4 << 20)
        for item in items:
            following = item.next
            payload = item.body.payload() if isinstance(item.body, Frame) else None
            if payload is None:
                continue  # a gap: its numbers were not seen
            verdict.received += 1
            verdict.doubled += item.seq in seen
            seen.add(item.seq)
            verdict.altered += payload.data != payloads[(item.seq - first) % _VARIANTS].data
    verdict.lost = count - len(seen)
    return verdict


def _both(folder: Path, megabytes: int) -> Iterator[dict[str, Any]]:
    # The first pass is not counted: in a virtual machine memory that the page cache uses for the first time is slow.
    for counted, in_flight in ((False, _IN_FLIGHT), (True, 1), (True, _IN_FLIGHT)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = asyncio.run(_append(folder, megabytes, in_flight))
        shutil.rmtree(folder)
        if counted:
            yield found


def main() -> None:
    """Measure and print."""
    if len(sys.argv) != 3:
        raise BenchError("usage: python -m benchmarks.append FOLDER MEGABYTES")
    print(json.dumps(list(_both(Path(sys.argv[1]), int(sys.argv[2])))))


if __name__ == "__main__":
    main()
