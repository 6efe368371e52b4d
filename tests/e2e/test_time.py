"""Clocks that jump by years and processes that stand still under load: every line once, in order, and it goes on."""

import json
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Node, free_port, records, wait_for

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("libfaketime is not installed"))
"""Debian: faketime."""
QUICK = """
from shipper.sinks.grpc import GrpcSink
from shipper.sources.grpc import GrpcSource


class QuickSource(GrpcSource):
    ack_interval = 0.5


class QuickSink(GrpcSink):
    ack_deadline = 1.5
"""
"""Both ends of the wire, with a tenth of their times."""
STANDSTILL = 2.5
"""Seconds: longer than the deadline."""


class Writer(threading.Thread):
    """Appends numbered lines, 200 a second, until told to stop."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._over = threading.Event()
        self.lines = 0

    def run(self) -> None:
        with self._path.open("ab", buffering=0) as log:
            while not self._over.wait(0.05):
                log.write(b"".join(b"%d\n" % number for number in range(self.lines, self.lines + 10)))
                self.lines += 10

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self.lines


class Clocked:
    """An agent and a collector under a clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clock = folder / "clock"
        self.jump("+0")
        (folder / "logs").mkdir()
        (folder / "quick.py").write_text(QUICK)
        self.admin = free_port()
        self._environment = [
            f"LD_PRELOAD={LIBRARY}",
            f"FAKETIME_TIMESTAMP_FILE={self._clock}",
            "FAKETIME_NO_CACHE=1",
        ]
        self.writer = Writer(folder / "logs" / "a.log")

    def build(self, *, monotonic: bool) -> None:
        """``monotonic``: the clock that should not jump jumps too."""
        port = free_port()
        inside = ["env", *self._environment, f"FAKETIME_DONT_FAKE_MONOTONIC={int(not monotonic)}"]
        self.collector = Node(
            self._folder,
            "collector",
            f"data_dir: {self._folder}/collector\n"
            f"sources: {{edge: {{type: './quick.py:QuickSource', listen: '127.0.0.1:{port}'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{self._folder}/out/{{source}}.ndjson'}}}}\n",
            inside,
        )
        self.agent = Node(
            self._folder,
            "agent",
            f"data_dir: {self._folder}/agent\n"
            f"sources: {{app: {{type: file, include: ['{self._folder}/logs/*.log']}}}}\n"
            f"sinks: {{central: {{type: './quick.py:QuickSink', addresses: ['127.0.0.1:{port}'],"
            " backoff: {max: 1s}}}\n"
            f"admin: {{listen: '127.0.0.1:{self.admin}'}}\n",
            inside,
        )
        self.collector.start()
        self.agent.start()
        self.writer.start()
        self.goes_on()

    def jump(self, offset: str) -> None:
        """As libfaketime has it: ``+10y``, ``-10y``, ``+3600``. Replaced as a whole: nobody reads half of it."""
        new = self._clock.with_suffix(".new")
        new.write_text(offset + "\n")
        new.replace(self._clock)

    @property
    def arrived(self) -> int:
        out = self._folder / "out" / "app.ndjson"
        return out.read_bytes().count(b"\n") if out.exists() else 0

    def goes_on(self) -> None:
        """What is written from now on arrives."""
        target = self.writer.lines + 100
        wait_for(lambda: self.arrived >= target, f"line {target}\n{self.agent.output()}\n{self.collector.output()}", 60)

    def finish(self) -> None:
        """Every line once, in order; no traceback anywhere."""
        lines = self.writer.stop()
        wait_for(lambda: self.arrived >= lines, f"{lines} lines, {self.arrived} came")
        for node in (self.agent, self.collector):
            assert node.stop() == 0, node.output()
            assert "Traceback" not in node.output()
        assert [int(str(record["message"])) for record in records(self._folder / "out" / "app.ndjson")] == list(
            range(lines)
        )

    def page(self, name: str) -> str:
        """A page of the agent's admin port."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{name}", timeout=10) as page:
            return str(page.read().decode())

    def metric(self, name: str) -> float:
        """The value of the agent's only sample of that name."""
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", self.page("metrics"), re.MULTILINE)
        assert len(found) == 1, found
        return float(found[0])

    def years(self) -> set[int]:
        """The years that the agent's log lines bear."""
        return {int(json.loads(line)["time"][:4]) for line in self.agent.output().splitlines() if line.startswith("{")}


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[Clocked]:
    made = Clocked(tmp_path)
    try:
        yield made
    finally:
        if made.writer.is_alive():
            made.writer.stop()
        for node in (made.agent, made.collector):
            if node.running:
                node.kill()


def test_the_wall_clock_may_jump_by_ten_years_and_back_under_load(clocked: Clocked) -> None:
    """Acks, backoff and ages go on as if nothing had happened; the numbers stay sane."""
    clocked.build(monotonic=False)
    year = time.gmtime().tm_year
    clocked.jump("+3650d")
    clocked.goes_on()
    clocked.collector.kill()  # an outage with the clock in the future: backoff begins there ...
    wait_for(lambda: "cannot deliver" in clocked.agent.output(), "the outage")
    clocked.jump("-3650d")  # ... and ends twenty years earlier
    assert clocked.metric("shipper_sink_oldest_unacked_seconds") < 60
    clocked.collector.start()
    clocked.goes_on()
    clocked.agent.kill()
    clocked.agent.start()  # positions, cursors and epochs know no time either
    clocked.goes_on()
    clocked.jump("+0")
    clocked.goes_on()
    for name in (
        "shipper_sink_oldest_unacked_seconds",
        "shipper_sink_drained_in_seconds",
        "shipper_delivery_latency_seconds_sum",
        "shipper_event_loop_lag_seconds",
    ):
        assert 0 <= clocked.metric(name) < 60 * clocked.writer.lines, name
    clocked.finish()
    assert {year - 10, year + 10} & clocked.years(), "the clock of the process did not jump: is libfaketime at work?"


def test_a_machine_that_sleeps_for_hours_goes_on_when_it_wakes(clocked: Clocked) -> None:
    """The monotonic clock jumps, as where it counts sleep: every timer is over at once."""
    clocked.build(monotonic=True)
    for hours in (1, 100):
        clocked.jump(f"+{hours}h")
        clocked.goes_on()
        assert json.loads(clocked.page("status"))["uptime_seconds"] > hours * 3600
    clocked.finish()


@pytest.mark.parametrize("who", ["agent", "collector", "both"])
def test_processes_that_stand_still_longer_than_the_deadline_go_on(clocked: Clocked, who: str) -> None:
    """SIGSTOP is what a suspended machine looks like from the other side."""
    clocked.build(monotonic=False)
    nodes = {"agent": [clocked.agent], "collector": [clocked.collector], "both": [clocked.agent, clocked.collector]}
    for node in nodes[who]:
        node.signal(signal.SIGSTOP)
    time.sleep(STANDSTILL)
    for node in nodes[who]:
        node.signal(signal.SIGCONT)
    clocked.goes_on()
    assert "acknowledged nothing for 1.5 s" in clocked.agent.output() or who != "collector"
    clocked.finish()
