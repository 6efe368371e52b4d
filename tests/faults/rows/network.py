"""The network between an agent and its collector fails: in a real network of our own, and in a proxy on the way."""

import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from faults.row import Outcome, Row, Run
from faults.site import PATIENCE, Site
from support.network import ADDRESSES, Cable, Side
from support.processes import free_port, wait_for
from support.proxied import Proxied
from support.proxy import Way

_DEADLINE: Final = 15.0
"""Seconds without an acknowledgement after which an agent gives a connection up."""
_LONG_FROM: Final = 25
"""Injections from which on a run has the time for real deadlines; below that they are a tenth of that."""
_BACKLOG: Final = 600
"""Lines that show that a link is too narrow."""
_FAST: Final = 3_000
"""Lines a second, each of ``_WIDE`` bytes, for a sink that is slower than that."""
_WIDE: Final = 1_000
_FLAT: Final = 16 << 20
"""Bytes by which the memory of an agent may grow while twice as much waits for its sink."""


def _outage(run: Run) -> float:
    """Seconds: shorter than the deadline, or longer, so that the connection was given up."""
    deadline = _DEADLINE if run.injections >= _LONG_FROM else _DEADLINE / 10
    return deadline * run.dice.choice([run.dice.uniform(0.1, 0.6), run.dice.uniform(1.1, 1.5)])


# In a network of two hosts


def _no_network() -> str | None:
    for program in ("ip", "tc", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"{program} is missing"
    made = subprocess.run(["unshare", "--map-root-user", "--net", "true"], capture_output=True, text=True, check=False)
    return None if made.returncode == 0 else f"no network namespace can be made: {made.stderr.strip()}"


def _unplug(cable: Cable, site: Site, run: Run) -> bool:
    cable.unplug()
    silent = _nothing_arrives(site, _outage(run))
    cable.plug()
    return silent


def _swallow(cable: Cable, site: Site, run: Run) -> bool:
    """What the agent sends, or the collector too; then what the collector sends alone: lines may arrive meanwhile."""
    sides: tuple[Side, ...] = run.dice.choice([("agent",), ("agent", "collector")])
    cable.swallow(*sides)
    silent = _nothing_arrives(site, _outage(run))
    cable.let_through(*sides)
    site.resumed()
    cable.swallow("collector")
    time.sleep(_outage(run))
    cable.let_through("collector")
    return silent


def _nothing_arrives(site: Site, seconds: float) -> bool:
    """Whether none of the lines that are written in the next ``seconds`` arrive."""
    before = site.load.counted()
    time.sleep(seconds)
    return site.arrived <= before < site.load.total


def _narrow(cable: Cable, site: Site, run: Run) -> bool:
    """To about a third of what comes, until a backlog has grown; acknowledgements still come."""
    cable.narrow(f"{run.dice.randint(48, 96)}kbit")
    wait_for(lambda: site.load.total - site.arrived > _BACKLOG, "a backlog", PATIENCE)
    site.resumed()
    cable.widen()
    return "cannot deliver" not in site.said("agent")


def _on_a_cable(fault: Callable[[Cable, Site, Run], bool], run: Run) -> Outcome:
    outcome = Outcome(run.injections, 0, 0)
    with (
        Cable() as cable,
        Site(
            run,
            inside={side: cable.inside(side) for side in ADDRESSES},
            listen=ADDRESSES["collector"],
            port=7420,
            # On a narrow link acknowledgements must come in time, also on a busy machine.
            quick=run.injections < _LONG_FROM and fault is not _narrow,
            backoff="",
            rate=400,
        ) as site,
    ):
        site.begin()
        for _ in range(run.injections):
            outcome.fired += fault(cable, site, run)
            outcome.recover.append(site.resumed())
        return site.finish(outcome)


# With a proxy on the way


def _delay(proxy: Proxied, site: Site, run: Run) -> bool:
    seconds = run.dice.uniform(0.1, 0.5)
    proxy.slow(seconds)
    took = site.resumed()
    proxy.slow(0)
    return took > seconds


def _half_open(proxy: Proxied, _site: Site, run: Run) -> bool:
    ways: tuple[Way, ...] = run.dice.choice([("up",), ("down",), ("up", "down")])
    half = _outage(run) / 2
    proxy.stall(*ways)
    time.sleep(half)
    before = [proxy.forwarded(way) for way in ways]
    time.sleep(half)
    silent = before == [proxy.forwarded(way) for way in ways]
    proxy.resume()
    return silent


def _reset(proxy: Proxied, _site: Site, run: Run) -> bool:
    """Mostly at once; now and then nobody answers for a while."""
    known = proxy.connections
    away = run.dice.random() < 0.3
    if away:
        proxy.close_door()
    proxy.cut()
    if away:
        time.sleep(run.dice.uniform(0.1, 1.0))
        proxy.open_door()
    wait_for(lambda: proxy.connections > known, "another connection", PATIENCE)
    return True


def _drop_answers(proxy: Proxied, site: Site, _run: Run) -> bool:
    """Lines go on to arrive; what the collector says of them is lost together with the connection."""
    proxy.stall("down")
    known, before = proxy.connections, site.arrived
    wait_for(lambda: site.arrived > before, lambda: f"lines without answers\n{site.trouble()}", PATIENCE)
    proxy.cut()
    proxy.resume()
    wait_for(lambda: proxy.connections > known, "another connection", PATIENCE)
    return True


def _through_a_proxy(fault: Callable[[Proxied, Site, Run], bool], run: Run) -> Outcome:
    outcome, port = Outcome(run.injections, 0, 0), free_port()
    with (
        Proxied(port) as proxy,
        Site(
            run,
            port=port,
            address=f"127.0.0.1:{proxy.port}",
            # Elsewhere nothing waits for a deadline, and on a busy machine an acknowledgement may take a second.
            quick=run.injections < _LONG_FROM and fault is _half_open,
            backoff="",
            rate=400,
        ) as site,
    ):
        site.begin()
        for _ in range(run.injections):
            outcome.fired += fault(proxy, site, run)
            outcome.recover.append(site.resumed())
        return site.finish(outcome)


# A sink that is slower than what comes


def _slow_sink(run: Run) -> Outcome:
    """Each round a backlog grows behind a slow network; then it is gone, and the backlog drains."""
    outcome, port = Outcome(run.injections, 0, 0), free_port()
    with (
        Proxied(port) as proxy,
        Site(run, port=port, address=f"127.0.0.1:{proxy.port}", rate=_FAST, size=_WIDE) as site,
    ):
        site.begin()
        site.resumed()
        before = most = _memory(site)
        for _ in range(run.injections):
            begin, written = time.monotonic(), site.load.total
            proxy.slow(1.0)
            wait_for(lambda: (site.load.total - site.arrived) * _WIDE > 2 * _FLAT, "a backlog", PATIENCE)
            live = (site.load.total - written) / (time.monotonic() - begin)
            most = max(most, _memory(site))
            outcome.fired += 1
            proxy.slow(0)
            arrived = site.arrived
            outcome.recover.append(site.resumed())
            most = max(most, _memory(site))
            outcome.drained.append((site.arrived - arrived) / outcome.recover[-1] / live)
        told = f"the agent's memory: {before >> 20} MiB before, {most >> 20} MiB at most"
        assert most - before < _FLAT, told
        outcome.notes.append(f"{told}; the backlog was of more than {2 * _FLAT >> 20} MiB")
        return site.finish(outcome)


def _memory(site: Site) -> int:
    """What the agent holds, in bytes."""
    with open(f"/proc/{site.nodes['agent'].process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) * 1024


def _cable_row(name: str, fault: str, do: Callable[[Cable, Site, Run], bool], short: int, long: int) -> Row:
    run = partial(_on_a_cable, do)
    return Row(name, fault, "once", run, short, long, needs=_no_network, every=True, soon=True)


def _proxy_row(name: str, fault: str, do: Callable[[Proxied, Site, Run], bool], short: int, long: int) -> Row:
    return Row(name, fault, "once", partial(_through_a_proxy, do), short, long, every=True, soon=True)


ROWS: Final = [
    _cable_row(
        "network: link down",
        "The cable between agent and collector is unplugged, for less and for more than the deadline.",
        _unplug,
        short=4,
        long=60,
    ),
    _cable_row(
        "network: blackhole routes",
        "What the agent or both send, then what the collector sends, is swallowed by a route, and nobody is told.",
        _swallow,
        short=2,
        long=60,
    ),
    _cable_row(
        "network: narrow link",
        "A token bucket (tbf) lets a third of what comes through, until a backlog has grown.",
        _narrow,
        short=1,
        long=25,
    ),
    _proxy_row(
        "network: delay",
        "A TCP proxy delays every chunk by 0.1 to 0.5 s, both ways.",
        _delay,
        short=4,
        long=200,
    ),
    _proxy_row(
        "network: half-open connections",
        "A TCP proxy goes on to hold its connections but forwards nothing, one way or both.",
        _half_open,
        short=5,
        long=60,
    ),
    _proxy_row(
        "network: resets",
        "A TCP proxy resets the connection; in three of ten it also refuses new ones for up to a second.",
        _reset,
        short=10,
        long=1_000,
    ),
    _proxy_row(
        "network: acknowledgements dropped",
        "A TCP proxy loses what the collector says, and then the connection with it.",
        _drop_answers,
        short=8,
        long=500,
    ),
    Row(
        "slow sink",
        "The collector is slower than what comes (every 64 KiB wait for a second) until a backlog has grown.",
        "once",
        _slow_sink,
        short=1,
        long=10,
        every=True,
        drains=True,
    ),
]
