"""Workload 10: an agent starts on a backlog of gigabytes, is killed while it drains, starts again beside a live log.

The backlog is not in the page cache. The collector keeps every frame (``kept.py``); afterwards all of them are compared
with what was there, the live lines with the live log.

With one cursor a sink, and the order of each source kept, a live line waits until the backlog before it is out. What
"fresh" can mean is measured in three figures: the source is read on all the while (bytes unread, the highest value); a
live line waits no longer than the drain lasts (the longest wait); and the first line behind the drain, and all
after it, are at the collector at once.
"""

import bisect
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import kept, verify
from benchmarks.fill import LINES
from benchmarks.fleet import drafts
from benchmarks.idle import lines_of
from benchmarks.lines import Corpus
from benchmarks.paced import start_writer
from benchmarks.processes import BenchError, Child, Cores, need_room
from benchmarks.report import Bar, Row
from benchmarks.rig import Rig, answering, fetch_status
from benchmarks.verify import Verdict
from benchmarks.watch import Sample, watch
from shipper.spool.frame import Frame

_RATE: Final = 10_000
"""Live lines a second."""
_AFTER: Final = 5.0
"""Seconds that the live log goes on behind the drain."""
_SLOWEST: Final = 25_000_000
"""Bytes a second: so slow a drain is still waited for, and has a live log beside it."""
_LINE: Final = 900
"""Bytes on disk for a live line, at most: the corpus, the live log, and both spools."""
_FILL: Final = 900.0
_FIRST: Final = 120.0
_END: Final = 60.0
_POLL: Final = 0.005
_KILLED: Final = 0.1
"""The share of the backlog that is out when the agent is killed."""
_SINK: Final = "central"
_MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class _First:
    """From the start of the agent until its first frame was at the collector."""

    seconds: float
    cpu: float
    """CPU seconds that it took; where they are far fewer, it waited for the disk or for its core."""

    def row(self, what: str, check: Verdict, **details: float) -> Row:
        """It as a figure."""
        beside: dict[str, float | str] = {"agent CPU s until then": self.cpu, **details}
        return Row("10", f"{what}: first frame", self.seconds, "s", Bar(1, at_least=False), None, check, beside)


@dataclass(frozen=True)
class _Drain:
    """What the second life of the agent did."""

    first: _First
    left: int
    """Frames of the backlog that were left then."""
    seconds: float
    """From there until the last frame of the backlog was acknowledged."""
    ended: float
    """When that was, on the monotonic clock."""
    samples: list[Sample]
    """Until the live log had ended too."""


def measure(gigabytes: float, folder: Path, cores: Cores) -> list[Row]:
    """A backlog of so many gigabytes (10⁹ bytes of frames)."""
    size = int(gigabytes * 1e9)
    longest = size / _SLOWEST + _END
    most = int(_RATE * (longest + _AFTER))
    need_room(folder, 2 * size + most * _LINE)
    corpus = Corpus.write("json", most, folder)
    with Rig(folder / "workload-10", cores) as rig:
        frames = _fill(rig, size)
        extra = {"spool": {"max_bytes": kept.ROOM}} | answering(rig.collector_admin_port)
        collector = rig.collector(rig.nowhere, extra, drain=0.0)
        live = rig.folder / "live.log"
        live.touch()
        first, killed_peak = _killed(rig, live, int(_KILLED * frames))
        arrived = _still(rig)
        writer = start_writer(corpus.path, live, _RATE, cores.other, rig.folder / "paced.log")
        try:
            agent, drain = _drained(rig, live, arrived, frames, longest, writer)
        finally:
            writer.kill()
        peak = max(killed_peak, agent.peak_rss())
        agent.stop(_END)
        collector.stop(_END)
        began = float(writer.log.read_text().splitlines()[0])
        sent = Corpus("json", lines_of(live), live)
        check, waits = _judge(rig.folder / "collector", frames, sent, began, drain.samples)
    before = [wait for written, wait in waits if written < drain.ended]
    behind = [wait for written, wait in waits if written >= drain.ended]
    moved: dict[str, float | str] = {
        "MB/s of frames": size * drain.left / frames / 1e6 / drain.seconds,
        "s": drain.seconds,
        "live lines a second": _RATE,
        "live log: unread bytes at most": max(found.unread for found in drain.samples),
        "a live line waited s at most": max(before),
        "one written behind the drain": max(behind),
    }
    what = f"restart on {gigabytes:g} GB"
    return [
        first.row(what, check, frames=frames, records=frames * LINES),
        drain.first.row(f"{what}, killed and restarted", check),
        Row("10", f"{what}: peak RSS", peak / _MIB, "MiB", Bar(80, at_least=False), None, check),
        Row(
            "10", f"{what}: drain", drain.left * LINES / drain.seconds / _RATE, "times live", Bar(5), None, check, moved
        ),
    ]


def _fill(rig: Rig, size: int) -> int:
    """Make the backlog; how many frames it has."""
    arguments = ["-m", "benchmarks.fill", str(rig.folder / "agent"), _SINK, str(size)]
    filler = rig.start("fill", arguments, rig.cores.measured)
    filler.wait(_FILL)
    return int(filler.log.read_text().splitlines()[-1])


def _agent(rig: Rig, live: Path, arrived: int) -> tuple[Child, _First]:
    """Start it, and wait until the collector has more than ``arrived`` frames."""
    extra = {"spool": {"max_bytes": kept.ROOM}} | answering(rig.admin_port)
    agent = rig.agent(live, extra, once=False)
    while _arrived(rig) <= arrived:
        if not agent.alive() or time.monotonic() > agent.started + _FIRST:
            raise BenchError(f"{agent}: no frame arrived\n{agent.tail()}")
        time.sleep(_POLL)
    return agent, _First(time.monotonic() - agent.started, agent.own_cpu())


def _killed(rig: Rig, live: Path, frames: int) -> tuple[_First, int]:
    """The first life: until so many frames are out. Its first frame, and its peak RSS."""
    agent, first = _agent(rig, live, 0)
    watch(agent, rig.admin_port, lambda now: now.acked > frames, _FILL, f"shipped {frames} frames")
    peak = agent.peak_rss()
    agent.kill()
    return first, peak


def _drained(rig: Rig, live: Path, arrived: int, frames: int, longest: float, writer: Child) -> tuple[Child, _Drain]:
    """The second life: the rest of the backlog beside the live log, and the live log alone."""
    agent, first = _agent(rig, live, arrived)
    began, left = time.monotonic(), frames - arrived
    samples = watch(agent, rig.admin_port, lambda now: now.acked > frames, longest, "shipped the backlog")
    ended = samples[-1].at
    samples += watch(agent, rig.admin_port, lambda now: now.at > ended + _AFTER, _END, "went on")
    if not writer.alive():
        raise BenchError("the live log ended before the drain did")
    writer.stop(_END)
    time.sleep(_KILLED)  # a last look at the file comes with the next sample
    samples += watch(
        agent, rig.admin_port, lambda now: now.unread == 0 and now.acked == now.appended, _END, "shipped all"
    )
    return agent, _Drain(first, left, ended - began, ended, samples)


def _arrived(rig: Rig) -> int:
    """Frames that the collector has."""
    number: int = fetch_status(rig.collector_admin_port)["spool"]["next"]
    return number - 1


def _still(rig: Rig) -> int:
    """What the collector has once nothing of a killed agent is on its way any more."""
    before = -1
    while (now := _arrived(rig)) != before:
        before = now
        time.sleep(0.5)
    return now


def _judge(
    data_dir: Path, frames: int, sent: Corpus, began: float, samples: list[Sample]
) -> tuple[Verdict, list[tuple[float, float]]]:
    """Compare what the collector has with the backlog and the live log. Beside it for each frame of the live log: when
    its first line was written, and how long that waited.
    """
    crcs = [made.crc for made in drafts(LINES)]
    backlog = kept.Streams(lambda frame: frame.crc == crcs[frame.seq % len(crcs)])
    acked = [found.acked for found in samples]
    waits: list[tuple[float, float]] = []
    streams: set[bytes] = set()
    lines: list[str] = []

    def visit(frame: Frame) -> None:
        if frame.seq <= frames:
            streams.add(frame.stream)
            backlog.visit(frame)
        elif (payload := frame.payload()) is not None:
            written = began + len(lines) / _RATE
            seen = bisect.bisect_right(acked, frame.seq)
            waits.append((written, samples[min(seen, len(samples) - 1)].at - written))
            lines.extend(line.decode() for line in payload.raw())

    kept.frames(data_dir, visit)
    verdict = backlog.judge((stream, frames, LINES) for stream in streams)
    return verdict + verify.compare(sent, verify.expect_raw, lines), waits
