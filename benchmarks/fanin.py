"""Workload 12: one collector on one core, and up to a thousand agents, simulated on the other (``fleet.py``).

Busy agents, whose frames hold 256 KiB of lines; agents of 100 lines a second, which are ten frames; a mix of 990 at one
line a second and ten at 1,000; and frames of one line as fast as they go. The collector keeps every frame in its spool,
which is compared with what was sent after it has ended. Records per CPU second count from the moment when all agents
are connected until the last acknowledgement. An acknowledgement's time runs from the call that writes a frame to the
``Ack`` that covers it, both in the simulator: its own delays count against the collector.

The simulator must not be what is measured: beside each figure stands which share of its core it used, and which the
collector.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks import kept
from benchmarks.fleet import VARIANTS, Group, Plan, drafts
from benchmarks.latency import percentile
from benchmarks.processes import Child, Cores, need_room
from benchmarks.report import Bar, Row, per
from benchmarks.rig import Rig, wait_until
from benchmarks.verify import Verdict
from shipper.spool.frame import Frame

_PROCESSES: Final = 4
BUSY_LINES: Final = 1226
"""Lines of 213 B: 256 KiB."""
_START: Final = 120.0
_END: Final = 300.0
_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_SETTLE: Final = 1.0


@dataclass
class Result:
    """What one fleet and its collector did."""

    wall: float
    cpu: float
    """Of the collector, seconds."""
    fleet: float
    """Of the simulator."""
    grown: float
    """Bytes that the collector's RSS is higher than before the first agent came: the highest value."""
    connected: float
    """The same while all are connected and none has sent anything."""
    peak: int
    took: dict[str, list[float]] = field(default_factory=dict)
    """Milliseconds to each acknowledgement, by group."""
    frames: int = 0
    check: Verdict = field(default_factory=Verdict)

    @property
    def all_took(self) -> list[float]:
        """Of all groups."""
        return [value for values in self.took.values() for value in values]

    def details(self, agents: int) -> dict[str, float | str]:
        """What stands beside a figure."""
        return {
            "agents": agents,
            "collector cores": self.cpu / self.wall,
            "simulator cores": self.fleet / self.wall,
            "messages a second": self.frames / self.wall,
            "p50 ack ms": percentile(self.all_took, 50),
            "p99 ack ms": percentile(self.all_took, 99),
            "RSS an agent KiB": self.grown / agents / _KIB,
            "connected only KiB": self.connected / agents / _KIB,
            "peak RSS MiB": self.peak / _MIB,
        }


def measure(
    seconds: float,
    mixed: float,
    folder: Path,
    cores: Cores,
    scale: int = 1000,
    counts: tuple[int, ...] = (1, 10, 100, 1000),
) -> list[Row]:
    """``seconds`` for each part, ``mixed`` for the mix of ``scale`` agents; ``counts`` of busy ones."""
    need_room(folder, int(seconds * 400_000_000))

    def run(groups: list[Group], lasts: float) -> Result:
        return fan_in(groups, lasts, folder, cores)

    rows = []
    for agents in counts:
        busy = run([Group("busy", agents, BUSY_LINES, in_flight=4)], seconds)
        rate, what = per(busy.check.received, busy.cpu), f"fan-in, busy agents of 256 KiB: {agents:,}"
        rows.append(Row("12", what, rate, "records per CPU s", Bar(500_000), None, busy.check, busy.details(agents)))
    hundreds = [Group("100 lines a second", scale // 10, 10, every=0.1)]
    steady = run(hundreds, seconds)
    what = f"fan-in, {scale // 10:,} agents at 100 lines a second"
    rate, beside = per(steady.check.received, steady.cpu), steady.details(scale // 10)
    rows.append(Row("12", what, rate, "records per CPU s", None, None, steady.check, beside))
    quiet, loud = Group("quiet", scale - scale // 100, 1, every=1.0), Group("loud", scale // 100, 100, every=0.1)
    rows += _mix(run([quiet, loud], mixed), scale)
    most = run([Group("small", scale // 10, 1, in_flight=16)], seconds)
    what, rate = "fan-in, frames of one line, one a message", most.frames / most.wall
    beside = most.details(scale // 10) | {"messages per CPU s": per(most.frames, most.cpu)}
    return [*rows, Row("12", what, rate, "messages a second", None, None, most.check, beside)]


def _mix(mix: Result, agents: int) -> list[Row]:
    """990 quiet and ten loud ones."""
    what = f"fan-in, {agents - agents // 100:,} agents at 1 line a second, {agents // 100} at 1,000"
    beside, p99, grown = mix.details(agents), percentile(mix.all_took, 99), mix.grown / agents / _KIB
    for name, took in mix.took.items():
        beside |= {f"p99 ack ms, {name}": percentile(took, 99), f"longest, {name}": max(took)}
    return [
        Row("12", f"{what}: p99 ack", p99, "ms", Bar(100, at_least=False), None, mix.check, beside),
        Row("12", f"{what}: RSS an agent", grown, "KiB", Bar(256, at_least=False), None, mix.check),
        Row("12", f"{what}: collector", mix.cpu / mix.wall, "cores", None, None, mix.check),
    ]


def fan_in(groups: list[Group], seconds: float, folder: Path, cores: Cores) -> Result:
    """One collector and one fleet."""
    with Rig(folder / "workload-12", cores) as rig:
        extra = {"spool": {"max_bytes": kept.ROOM}}
        collector = rig.collector(rig.nowhere, extra, core=cores.measured, drain=0.0)
        before = _settled_rss(collector)
        go = rig.folder / "go"
        plans = [Plan(rig.port, seconds, str(go), _share(groups, part)) for part in range(_PROCESSES)]
        fleet = [_start(rig, part, plan) for part, plan in enumerate(plans)]
        try:
            for child in fleet:
                wait_until(lambda child=child: b"connected" in child.log.read_bytes(), child, "connected", _START)  # type: ignore[misc]
            connected = _settled_rss(collector) - before
            began, cpu = time.monotonic(), collector.cpu()
            go.touch()
            grown = 0.0
            while any(child.alive() for child in fleet) and time.monotonic() < began + seconds + _END:
                time.sleep(0.5)
                grown = max(grown, collector.memory().rss - before)
            for child in fleet:
                child.wait(_END)
        finally:
            for child in fleet:
                child.kill()
        result = Result(time.monotonic() - began, collector.cpu() - cpu, 0.0, grown, connected, collector.peak_rss())
        collector.stop(_END)
        parts = [part for child in fleet for part in json.loads(child.log.read_text().splitlines()[-1])]
        _judge(parts, rig.folder / "collector", result)
    return result


def _share(groups: list[Group], part: int) -> list[Group]:
    """What one of the processes takes of each group; early ones take what does not divide."""
    shared = []
    for group in groups:
        agents = group.agents // _PROCESSES + (part < group.agents % _PROCESSES)
        shared.append(msgspec.structs.replace(group, agents=agents))
    return shared


def _start(rig: Rig, part: int, plan: Plan) -> Child:
    path = rig.folder / f"plan-{part}.json"
    path.write_bytes(msgspec.json.encode(plan))
    return rig.start(f"fleet-{part}", ["-m", "benchmarks.fleet", str(path)], rig.cores.other)


def _settled_rss(collector: Child) -> int:
    time.sleep(_SETTLE)
    return collector.memory().rss


def _judge(parts: list[dict[str, Any]], data_dir: Path, result: Result) -> None:
    """Put together what the simulators tell, and compare it with what the collector has."""
    by_lines = {lines: [made.crc for made in drafts(lines)] for lines in {part["lines"] for part in parts}}

    def sent() -> Iterator[tuple[bytes, int, int]]:
        for part in parts:
            for stream, count in part["streams"].items():
                yield bytes.fromhex(stream), count, part["lines"]

    def holds(frame: Frame) -> bool:
        return by_lines.get(frame.records, [0] * VARIANTS)[frame.seq % VARIANTS] == frame.crc

    streams = kept.Streams(holds)
    kept.frames(data_dir, streams.visit)
    result.check = streams.judge(sent())
    result.frames = sum(count for _, count, _ in sent())
    for part in parts:
        result.fleet += part["cpu"]
        result.took.setdefault(part["name"], []).extend(part["took"])
