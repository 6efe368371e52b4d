"""Workload L: what the ledger costs, as a share of all that a frame takes. The cost runs as a process of its own.

``python -m benchmarks.ledger FOLDER PASSES`` prints one JSON object: the microseconds of CPU that the spool's writer
takes for the ledger, for one frame of an agent and one of a collector; what a commit takes in all; and a row of the
collector's database. The ledger's own calls are timed, over and over, the median of the passes: it costs a frame the
same whatever the frame's size, and a difference of two runs of anything larger drowns in that one's noise.

``measure`` puts beside it what the whole way of a frame takes: all CPU time of an agent that reads a file and ships it
(start and stop taken off), and of a collector under a fleet (workload 12), by the frames that they had. The bar is a
share of that. A commit is only the end of the way: it is said, and has no bar.
"""

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final

from benchmarks import fanin, throughput
from benchmarks.fleet import Group
from benchmarks.processes import BenchError, Child, Cores
from benchmarks.report import Bar, Row
from shipper.batch import Batch, Payload, SourceRange, Upstream
from shipper.ledger.book import Book
from shipper.ledger.changes import Changes
from shipper.ledger.keeper import INTERVAL
from shipper.ledger.store import Batch as Rows
from shipper.ledger.store import Database
from shipper.pack import told_by
from shipper.spool.body import Mark
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import FrameDraft, FrameMeta, decode, draft
from shipper.spool.ledger_news import of_draft
from shipper.spool.real_disk import RealDisk
from shipper.spool.store import Store

_TIMEOUT: Final = 600.0
_FILES: Final = 1000
_FRAMES: Final = 5000
"""Of one pass. The first of each file opens its account, which happens once in a file's life, and is not timed."""
_PASSES: Final = 5
_GROUP: Final = 16
"""Drafts of one commit, as they gather while the one before is synced."""
_KINDS: Final = {"256 KiB": (256 * 1024, 256), "200 B": (200, 3200)}
"""Bytes of a frame, and frames that are committed."""
_BATCH: Final = 256 * 1024
"""Bytes that an agent reads for a frame of a file that is there."""
_MB: Final = 1_000_000


def measure(rounds: int, seconds: float, lines: int, folder: Path, cores: Cores) -> list[Row]:
    """``lines`` for the agent's way, ``seconds`` for one of the collector's, of which there are ``rounds``: a machine
    is faster now and slower then, so the cost is measured before and after each, and the median share counts.
    """
    agent = throughput.measure(throughput.raw(lines), folder, cores, 1)[0]
    took, idle, size = (float(agent.details[name]) for name in ("agent CPU s", "of it start and stop", "MB"))
    cost = _cost(folder, cores)
    rows = [_row("an agent, 256 KiB", cost["agent"], "256 KiB", _BATCH * (took - idle) / size / _MB, agent)]
    busy = [Group("busy", 10, fanin.BUSY_LINES, in_flight=4)]
    small = [Group("small", 100, 1, in_flight=16)]
    for what, kind, groups in (("256 KiB", "256 KiB", busy), ("one line", "200 B", small)):
        found = []
        for _ in range(rounds):
            result, before, cost = fanin.fan_in(groups, seconds, folder, cores), cost, _cost(folder, cores)
            near = {name: (us + cost["collector"][name]) / 2 for name, us in before["collector"].items()}
            way = Row("12", "", 0, "", None, None, result.check, {"messages a second": result.frames / result.wall})
            found.append(_row(f"a collector, {what}", near, kind, result.cpu / result.frames, way))
        wrong = [row for row in found if row.verdict == "WRONG"]
        row = (wrong or sorted(found, key=lambda row: row.value))[0 if wrong else rounds // 2]
        row.details["% of each"] = " ".join(f"{row.value:.2f}" for row in found)
        rows.append(row)
    share = 100 * cost["database"]["us a row"] * _FILES / INTERVAL / 1_000_000
    what, bar = f"ledger.db: {_FILES:,} files, all of them growing", Bar(0.5, at_least=False)
    return [*rows, Row("L", what, share, "% of a core", bar, None, None, {**cost["database"]})]


def _cost(folder: Path, cores: Cores) -> dict[str, dict[str, float]]:
    """What this module prints, of the measured core."""
    log, place = folder / "ledger.log", folder / "workload-L"
    Child([sys.executable, "-m", "benchmarks.ledger", str(place), str(_PASSES)], cores.measured, log).wait(_TIMEOUT)
    found: dict[str, dict[str, float]] = json.loads(log.read_text().splitlines()[-1])
    return found


def _row(what: str, cost: dict[str, float], kind: str, way: float, measured: Row) -> Row:
    """``way``: seconds that a frame takes in all; ``measured``: where that comes from."""
    us, commit, whole = cost["us a frame"], cost[kind], 1_000_000 * way
    details: dict[str, float | str] = {
        "us a frame": us,
        "of us in all": whole,
        "a commit us": commit,
        "added to a commit %": 100 * us / (commit - us),
    }
    if "messages a second" in measured.details:
        details["messages a second"] = measured.details["messages a second"]
    bar = Bar(2, at_least=False)
    return Row("L", f"ledger: added to all of {what}", 100 * us / (whole - us), "%", bar, None, measured.check, details)


def _framed(size: int, number: int) -> tuple[FrameDraft, Batch]:
    """A frame of one of the files, which are read in turn, and the batch that it is made of."""
    labels = {"host": "edge-1", "source": "app", "file": f"/var/log/app-{number % _FILES}.log"}
    key = (number % _FILES).to_bytes(16, "little")
    at = number // _FILES * size
    spans = [SourceRange("app", key, at, at + size, 100, 80, {"drop/filtered": 20})]
    batch = Batch("app", labels, Payload.lines(b""), spans, 0)
    return replace(_payload(size), meta=draft(None, FrameMeta(labels, spans), 0).meta), batch


def _own(size: int, number: int) -> EntryDraft:
    made, batch = _framed(size, number)
    return EntryDraft([made], {f"file-{number % _FILES}": bytes(120)}, told=told_by(batch, ()))


@cache
def _payload(size: int) -> FrameDraft:
    """Random bytes do not compress: what is written is what is counted."""
    return draft(Payload.sized([os.urandom(size)]), FrameMeta({}, []), 0)


def _received(size: int, number: int) -> EntryDraft:
    made, _ = _framed(size, number)
    stream = (number % _FILES).to_bytes(16, "big")
    seq = number // _FILES + 1
    frame = decode(made.stamp(stream, seq)[0])
    _ = frame.meta  # decodes it: a collector has read it before the spool sees the frame
    return EntryDraft([frame], upstream=Upstream(stream, seq, 1, b"i" * 16, frame.check, 1))


def _commit(folder: Path, make: Callable[[int, int], EntryDraft], kind: str, _: int) -> float:
    """Microseconds of CPU that a frame takes in a commit, ledger and all."""
    size, frames = _KINDS[kind]
    drafts = [make(size, number) for number in range(frames)]
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(RealDisk(folder), 1 << 30, 1 << 20, ["bench"])
    began = time.process_time()
    for at in range(0, len(drafts), _GROUP):
        store.commit(drafts[at : at + _GROUP])
    cpu = time.process_time() - began
    store.abandon()
    shutil.rmtree(folder)
    return 1_000_000 * cpu / len(drafts)


def _for_agent(_: int) -> float:
    """Microseconds of CPU that a frame of an agent takes for the ledger."""
    batches = [_framed(200, number)[1] for number in range(_FRAMES)]
    drafts = [_own(200, number) for number in range(_FRAMES)]
    book = Book()
    for number in range(_FILES):
        of_draft(drafts[number], number, None).enter(book)
    began = time.process_time()
    for at in range(_FILES, _FRAMES, _GROUP):
        group = []
        for number in range(at, at + _GROUP):
            drafts[number].told = told_by(batches[number], ())
            group.append(of_draft(drafts[number], number, None))
        for news in group:
            news.enter(book)
    return 1_000_000 * (time.process_time() - began) / (_FRAMES - _FILES)


def _for_collector(_: int) -> float:
    """The same for one that came to a collector, whose database wants to know what changed."""
    drafts = [_received(200, number) for number in range(_FRAMES)]
    marks = [Mark(number // _FILES + 1, 1, b"i" * 16, 1) for number in range(_FRAMES)]
    book = Book()
    changes = Changes(book)
    for number in range(_FILES):
        of_draft(drafts[number], number, marks[number]).enter(book, changes.keys)
    began = time.process_time()
    for at in range(_FILES, _FRAMES, _GROUP):
        for news in [of_draft(drafts[number], number, marks[number]) for number in range(at, at + _GROUP)]:
            news.enter(book, changes.keys)
        changes.bound()
    return 1_000_000 * (time.process_time() - began) / (_FRAMES - _FILES)


def _rows(folder: Path, passes: int) -> float:
    """Microseconds of CPU that an account takes to be copied and written into the database."""
    folder.mkdir(parents=True, exist_ok=True)
    database, book, found = Database(folder / "ledger.db", bytes(16)), Book(), []
    changes = Changes(book)
    for at in range(passes + 1):
        for number in range(at * _FILES, (at + 1) * _FILES):
            of_draft(_received(200, number), number, None).enter(book, changes.keys)
        began = time.process_time()
        database.write(Rows(changes.take(_FILES), 1, at, whole=True))
        found.append(time.process_time() - began)
    database.close()
    shutil.rmtree(folder)
    return 1_000_000 * statistics.median(found[1:]) / _FILES  # the first makes the rows


def _median(passes: int, once: Callable[[int], float]) -> float:
    return statistics.median(map(once, range(passes)))


def main() -> None:
    """Measure and print."""
    if len(sys.argv) != 3:
        raise BenchError("usage: python -m benchmarks.ledger FOLDER PASSES")
    folder, passes = Path(sys.argv[1]), int(sys.argv[2])
    found: dict[str, dict[str, float]] = {}
    for name, cost, make in (("agent", _for_agent, _own), ("collector", _for_collector, _received)):
        commits = {kind: _median(passes, partial(_commit, folder, make, kind)) for kind in _KINDS}
        found[name] = {"us a frame": _median(passes, cost), **commits}
    found["database"] = {"us a row": _rows(folder, passes)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
