"""A storm of copytruncate behind a full spool: what is lost is what gaps, metric and ledger say, to the byte."""

import os
import random
import re
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from faults.fleet import PATIENCE, Fleet
from faults.oracle import Judge, ledger_of
from faults.row import Outcome, Row, Run
from support.ports import lasting_port
from support.processes import Node, wait_for
from support.scraped import metric

FILES: Final = 6
SIZE: Final = 800
LAG: Final = re.compile(r'^shipper_source_lag_bytes{source="app",file="([^"]+)"} (\S+)$', re.MULTILINE)
GAP: Final = re.compile(r": bytes (\d+) to (\d+) of \S+/(\S+)\.log can never be read: truncated$")
LOST: Final = 'shipper_lost_bytes_total{reason="truncated"}'


class Storm:
    """Writes lines to all logs and truncates them, when the agent has seen them. Everything is in bytes of each log."""

    def __init__(self, fleet: Fleet, dice: random.Random, lags: Callable[[], Counter[str]]) -> None:
        self._fleet: Final = fleet
        self._folder: Final = fleet.logs("agent")
        self._names: Final = [f"app{number}" for number in range(FILES)]
        self._dice: Final = dice
        self.lags: Final = lags
        self.written: Counter[str] = Counter()
        self._copies = 0

    def write(self, lines: int, *, half: bool = False) -> Counter[str]:
        """So many lines to each log, the last of which may lack its end. How many bytes that were."""
        sizes: Counter[str] = Counter()
        for name in self._names:
            data = self._fleet.lines(name, lines, SIZE)
            data = data[: -self._dice.randrange(2, 99)] if half else data
            with (self._folder / f"{name}.log").open("ab", buffering=0) as file:
                file.write(data)
            sizes[name] = len(data)
        self.written += sizes
        return sizes

    def write_until_all_is_seen(self) -> None:
        """Until the agent reads no more, and what is unread has grown by exactly what was just written."""
        while True:
            if not all(self.lags()[name] for name in self._names):
                self.write(200)  # it still has room
            before = self.lags()
            sizes = self.write(1)

            def looked(before: Counter[str] = before) -> bool:
                lags = self.lags()
                return all(lags[name] != before[name] or not lags[name] for name in self._names)

            wait_for(looked, "a look at all files", PATIENCE)
            if self.lags() - before == sizes:
                return

    def truncate(self) -> None:
        """Twice, the first time with a copy or without; lines that were written after the copy are in none."""
        if self._dice.random() < 0.5:
            self._copy()
        written = self.written.copy()
        self.write_until_all_is_seen()
        late = self.written - written
        before = self.lags()
        self._empty()
        sizes = self.write(2, half=True)

        def looked() -> bool:
            """What was there before counts as unread until it is known that no copy has it, or what the copy has."""
            lags = self.lags()
            names = self._names
            return all(lags[name] - sizes[name] in (0, before[name], before[name] - late[name]) for name in names)

        wait_for(looked, "a look at what was begun anew", PATIENCE)
        self._empty()
        self.write(1)

    def _copy(self) -> None:
        for name in self._names:
            log = self._folder / f"{name}.log"
            for number in range(self._copies, 0, -1):
                os.rename(f"{log}.{number}", f"{log}.{number + 1}")
            shutil.copyfile(log, f"{log}.1")
        self._copies += 1

    def _empty(self) -> None:
        for name in self._names:
            os.truncate(self._folder / f"{name}.log", 0)


class Said(NamedTuple):
    """What a collector's spool says."""

    messages: list[str]
    arrived: Counter[str]
    """Bytes of each log."""
    lost: Counter[str]


def said_by(target: Node) -> Said:
    """All that has come to a collector whose sink takes nothing."""
    command = [sys.executable, "-m", "shipper", "spool", "cat", str(target.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    said = Said([orjson.loads(one)["message"] for one in done.stdout.splitlines()], Counter(), Counter())
    for message in said.messages:
        said.arrived[message.split(" ", 1)[0]] += len(message) + 1
    for gap in filter(None, map(GAP.search, done.stderr.splitlines())):
        said.lost[gap[3]] += int(gap[2]) - int(gap[1])
    return said


def storm(run: Run) -> Outcome:
    """Each time the agent is killed before the truncation, or while what is lost becomes known to the collector."""
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    away = f"{{away: {fleet.grpc(f'127.0.0.1:{lasting_port()}')}}}"  # so all stays in the collector's spool
    target = fleet.collector("collector", sinks=away, more="spool: {max_bytes: 4GiB}\nshutdown_timeout: 0s\n")
    admin = lasting_port()
    more = f"spool: {{max_bytes: 2MiB, min_free: 0}}\nadmin: {{listen: '127.0.0.1:{admin}'}}\n"
    source = fleet.agent("agent", "collector", more=more)

    def lags() -> Counter[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=PATIENCE) as answer:
            found = LAG.findall(answer.read().decode())
        return Counter({Path(file).stem: int(float(size)) for file, size in found})

    storm = Storm(fleet, run.dice, lags)
    fleet.up(source)
    said = Said([], Counter(), Counter())
    for number in range(run.injections):
        storm.write_until_all_is_seen()
        if before := number % 2 == 0:
            source.kill()
            fleet.up(source)
            wait_for(lambda: lags().total() > 0, "a look at the files", PATIENCE)
            storm.write_until_all_is_seen()
        storm.truncate()
        counted = metric(admin, LOST)
        target.start()
        wait_for(lambda: metric(admin, LOST) > counted, "the first loss", PATIENCE)  # noqa: B023
        if not before:  # what was seen by a process that is killed before it can write anything, the next cannot know
            source.kill()
            fleet.up(source)
        wait_for(lambda: not lags().total(), "all to be read", PATIENCE)
        told = said.lost.total()

        def all_is_told() -> bool:
            nonlocal said
            said = said_by(target)
            return (said.arrived + said.lost).total() >= storm.written.total()

        wait_for(all_is_told, "all to be told", PATIENCE)
        assert said.arrived + said.lost == storm.written, "what arrived and what is said to be lost are not all"
        if before:
            assert metric(admin, LOST) - counted == said.lost.total() - told, "metric and gaps contradict each other"
        outcome.fired += 1
        fleet.stop(target)
    assert source.output().count("bytes of a file can never be read") >= FILES
    fleet.stop(source)
    judge = Judge()
    judge.hear(said.messages)
    outcome.notes.append(f"lost by truncation and said to be: {said.lost.total()} of {storm.written.total()} bytes")
    judge.give(outcome, fleet.written, excused=judge.lost(fleet.written))
    outcome.ledger = ledger_of(fleet.home("agent"), fleet.home("collector"))
    return outcome


ROWS = [
    Row(
        "copytruncate behind a full spool",
        "Six files are truncated twice, with a copy or without, while the spool is full; the agent is killed before, "
        "or while what is lost becomes known (what is said to be lost, to the byte, is not counted here).",
        "once",
        storm,
        short=2,
        long=30,
        every=True,
    ),
]
