"""Sinks that are taken away with a backlog, reject all, or begin new files while they recover."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from faults.fleet import PATIENCE, Fleet
from faults.load import Load
from faults.oracle import Judge, ledger_of, messages, refused
from faults.row import Outcome, Row, Run
from support.ports import lasting_port
from support.processes import wait_for
from support.scraped import metric, settled

from shipper.spool.letter_box import LetterBox

SMALL: Final = "spool: {max_bytes: 2MiB, min_free: 0}\n"
"""1,500 lines of ``LONG`` fill half of it."""
LONG: Final = 1000
METRIC: Final = 'shipper_sink_dropped_records_total{sink="away",reason="sink_removed"}'


def removed_sink(run: Run) -> Outcome:
    """What waits for the sink gives way when the spool needs the room; it comes back and hears of the gap."""
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    far = fleet.collector("far")
    admin = lasting_port()
    more = f"{SMALL}shutdown_timeout: 0s\nadmin: {{listen: '127.0.0.1:{admin}'}}\n"
    live, away = f"live: {fleet.file('live')}", f"away: {fleet.grpc(fleet.address('far'))}"
    given_up = 0
    for _ in range(run.injections):
        agent = fleet.agent("agent", sinks=f"{{{live}, {away}}}", more=more)
        agent.start()
        fleet.write("agent", "app", 400, LONG)
        fleet.wait("live")
        fleet.rest(agent, run.dice)
        agent = fleet.agent("agent", sinks=f"{{{live}}}", more=more)
        agent.start()
        for _ in range(4):
            fleet.write("agent", "app", 1500, LONG)
            fleet.wait("live")
        wait_for(lambda: metric(admin, METRIC) > 0, "room to be made", PATIENCE)
        given_up += round(settled(admin, METRIC))
        outcome.fired += 1
        fleet.rest(agent, run.dice)
        agent = fleet.agent("agent", sinks=f"{{{live}, {away}}}", more=more)
        fleet.up(far, agent)
        fleet.write("agent", "app", 10)
        begin = time.monotonic()
        last = fleet.written["app"] - 1
        wait_for(lambda: ("app", last) not in fleet.heard("far").lost(fleet.written), "the last line", PATIENCE)  # noqa: B023
        outcome.recover.append(time.monotonic() - begin)
        fleet.wait("live")
        fleet.stop(agent, far)
    fleet.judge(outcome, "live", audited=["agent", "far"])
    there = fleet.heard("far")
    missing = len(there.lost(fleet.written))
    outcome.notes.append(
        f"given up for the removed sink: {given_up} lines, as the metric says; {missing} are missing there"
    )
    outcome.lost += abs(missing - given_up)
    outcome.doubled += there.doubled
    outcome.misordered += there.misordered
    outcome.altered += there.altered
    return outcome


def rejecting_sink(run: Run) -> Outcome:
    """One sink is away until the spool is full; the other one rejects every record, and needs room to say so."""
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    collector = fleet.collector("collector")
    picky = f"picky: {{type: file, path: '{run.place}/{{no_such_label}}.ndjson'}}"
    central = f"central: {fleet.grpc(fleet.address('collector'))}"
    agent = fleet.agent("agent", sinks=f"{{{central}, {picky}}}", more=f"{SMALL}shutdown_timeout: 0s\n")
    agent.start()
    for _ in range(run.injections):
        said = agent.output().count("no room: ")
        fleet.write("agent", "app", 6000, LONG)
        wait_for(lambda: agent.output().count("no room: ") > said, "a full spool", PATIENCE)  # noqa: B023
        outcome.fired += 1
        time.sleep(run.dice.uniform(0, 0.5))
        if run.dice.random() < 0.7:
            agent.kill()
            agent.start()
        collector.start()
        begin = time.monotonic()
        fleet.wait("collector")
        outcome.recover.append(time.monotonic() - begin)
        fleet.stop(collector)
    wait_for(lambda: len(list(letters(fleet, "agent"))) >= fleet.written["app"], "all dead letters", PATIENCE)
    fleet.up(collector)
    fleet.stop(agent, collector)
    fleet.judge(outcome, "collector", audited=["agent", "collector"])
    found = Judge()
    found.hear(letters(fleet, "agent"))
    outcome.lost += len(found.lost(fleet.written))
    outcome.doubled += found.doubled
    outcome.altered += found.altered
    outcome.notes.append(f"dead letters: {found.seen}")
    told = refused(fleet.home("agent"), "picky")
    if told != {"dead_lettered": fleet.written["app"]}:
        outcome.ledger = f"of {fleet.written['app']} records that were refused the ledger tells {dict(told)}"
    return outcome


def letters(fleet: Fleet, name: str) -> Iterator[str]:
    """The records among a node's dead letters."""
    for seen in LetterBox(fleet.home(name) / "spool"):
        yield seen.letter.raw.decode()


def rollover(run: Run) -> Outcome:
    """The file sink has a new file every second, and is killed while it goes from one to the next and recovers."""
    outcome = Outcome(run.injections, 0, 0)
    fleet = Fleet(run.place)
    folder = run.place / "by-second"
    sink = f"{{archive: {{type: file, path: '{folder}/{{read:%Y%m%d-%H%M%S}}.ndjson'}}}}"
    collector = fleet.collector("collector", sinks=sink)
    agent = fleet.agent("agent", "collector", more="batch: {max_delay: 20ms}\n")
    fleet.up(collector, agent)
    load = Load(fleet.logs("agent"), run.dice, ["app0", "app1"], rate=500)
    load.start()
    for _ in range(run.injections):
        wait_for(lambda: lines_in(folder) > 0, "lines", PATIENCE)
        time.sleep(run.dice.uniform(0.1, 1.1))
        collector.kill()
        before = files_in(folder)
        begin = time.monotonic()
        collector.start()
        if run.dice.random() < 0.4:
            time.sleep(run.dice.uniform(0, 0.8))
            collector.kill()
            collector.start()
        wait_for(lambda: files_in(folder) > before, "a new file", PATIENCE)  # noqa: B023
        outcome.recover.append(time.monotonic() - begin)
        outcome.fired += 1
    load.finish()
    wait_for(lambda: lines_in(folder) >= load.total, lambda: f"{load.total} lines\n{fleet.trouble()}", PATIENCE)
    fleet.stop(agent, collector)
    judge = Judge()
    judge.hear(messages(*sorted(folder.iterdir())))
    judge.give(outcome, load.written)
    outcome.ledger = ledger_of(fleet.home("agent"), fleet.home("collector"))
    outcome.notes.append(f"{files_in(folder)} files")
    return outcome


def files_in(folder: Path) -> int:
    """How many."""
    return len(list(folder.iterdir())) if folder.exists() else 0


def lines_in(folder: Path) -> int:
    """Of all its files."""
    return sum(path.read_bytes().count(b"\n") for path in folder.iterdir()) if folder.exists() else 0


ROWS = [
    Row(
        "a sink removed with a backlog",
        "A sink that is away is removed from the config; what waits for it gives way to what comes; then it is back.",
        "once",
        removed_sink,
        short=1,
        long=20,
        every=True,
    ),
    Row(
        "a full spool and a rejecting sink",
        "The spool is full, as one sink is away, and another one rejects every record; kill -9 in between.",
        "once",
        rejecting_sink,
        short=2,
        long=30,
        every=True,
    ),
    Row(
        "date rollover while the file sink recovers",
        "The path of the file sink changes every second, and its process is killed while it writes and recovers.",
        "once",
        rollover,
        short=4,
        long=200,
        every=True,
    ),
]
