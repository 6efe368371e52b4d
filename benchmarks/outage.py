"""Workload 13: the collector is gone for a while and comes back; the agent follows a live log all the time.

Thirty minutes at 10,000 lines a second (``--full``), else fewer minutes at a higher rate: more bytes a minute into the
same spool, nothing else differs. Measured are the agent's memory while nobody takes anything, and the rate at which the
backlog shrinks afterwards while the live log goes on.
"""

import time
from pathlib import Path
from typing import Final

from benchmarks import verify
from benchmarks.idle import lines_of
from benchmarks.lines import Corpus
from benchmarks.paced import start_writer
from benchmarks.processes import BenchError, Cores, need_room
from benchmarks.report import Bar, Row, per
from benchmarks.rig import Rig, answering, settled, wait_until
from benchmarks.verify import Verdict
from benchmarks.watch import Sample, watch

_BEFORE: Final = 3.0
_AFTER: Final = 3.0
_SPARE: Final = 60.0
_FRESH: Final = 0.5
"""Seconds: nothing in the spool waits longer."""
_SHARE: Final = 0.2
"""Of the outage: what memory gets to come to where it stays (a cache fills), and what the drain may take."""
_LINE: Final = 700
"""Bytes on disk for a line, at most: the corpus, the live log, the spool, and what the collector writes."""
_END: Final = 180.0
_FLAT: Final = 2.0
"""MiB that RSS may grow from the first fifth of the outage to the rest of it."""
_MIB: Final = 1024 * 1024


def measure(seconds: float, rate: int, folder: Path, cores: Cores) -> list[Row]:
    """An outage of so many seconds at so many lines a second."""
    most = int(rate * (_BEFORE + seconds * (1 + 2 * _SHARE) + _AFTER + _SPARE))
    need_room(folder, most * _LINE)
    corpus = Corpus.write("json", most, folder)
    with Rig(folder / "workload-13", cores) as rig:
        collector = rig.collector()
        live = rig.folder / "live.log"
        live.touch()
        agent = rig.agent(live, answering(rig.admin_port) | {"spool": {"max_bytes": "16GiB"}}, once=False)
        writer = start_writer(corpus.path, live, rate, cores.other, rig.folder / "paced.log")
        try:
            wait_until(settled(rig.output), agent, "delivered a line")
            time.sleep(_BEFORE)
            collector.stop(_END)
            gone = time.monotonic()
            down = watch(agent, rig.admin_port, lambda now: now.at > gone + seconds, seconds + _END, "waited")
            collector, back = rig.collector(), time.monotonic()
            up = watch(agent, rig.admin_port, lambda now: now.acked > down[-1].acked, _END, "shipped again")
            # The sample before the first acknowledgement: the drain began no earlier.
            drain = [*down, *up][-2:]
            drain += watch(agent, rig.admin_port, lambda now: now.oldest < _FRESH, seconds + _END, "caught up")
            if not writer.alive():
                raise BenchError("the live log ended before the drain did")
            time.sleep(_AFTER)
            behind = watch(agent, rig.admin_port, lambda _: True, _END, "answered")[-1]
            writer.stop(_END)
            lines = lines_of(live)
            wait_until(lambda: lines_of(rig.output) >= lines, collector, "had every line", _END)
        finally:
            writer.kill()
        agent.stop(_END)
        collector.stop(_END)
        check = verify.compare(Corpus("json", lines, live), verify.expect_raw, verify.read_raw(rig.output))
    return _rows(f"outage of {seconds:g} s at {rate:,} lines a second", gone, back, down, drain, behind, check)


def _rows(
    what: str, gone: float, back: float, down: list[Sample], drain: list[Sample], behind: Sample, check: Verdict
) -> list[Row]:
    warm = [one for one in down if one.at >= gone + _SHARE * (down[-1].at - gone)]
    grown = max(one.rss for one in warm) - warm[0].rss
    live = per(warm[-1].backlog - warm[0].backlog, warm[-1].at - warm[0].at)
    took = drain[-1].at - drain[0].at
    shrunk = (drain[0].backlog - drain[-1].backlog) / took
    memory: dict[str, float | str] = {
        "RSS MiB after a fifth": warm[0].rss / _MIB,
        "highest": max(one.rss for one in warm) / _MIB,
        "highest in the drain": max(one.rss for one in drain) / _MIB,
        "backlog MB": down[-1].backlog / 1e6,
    }
    moved: dict[str, float | str] = {
        "live MB/s into the spool": live / 1e6,
        "drained MB/s beyond it": shrunk / 1e6,
        "back until the first acknowledgement s": max(0.0, drain[1].at - back),
        "from there until fresh s": took,
        "live log: unread bytes at most": max(one.unread for one in [*down, *drain]),
        "oldest unacknowledged afterwards s": behind.oldest,
    }
    return [
        Row("13", f"{what}: RSS grows by", grown / _MIB, "MiB", Bar(_FLAT, at_least=False), None, check, memory),
        Row("13", f"{what}: drain", per(shrunk, live), "times live", Bar(5), None, check, moved),
    ]
