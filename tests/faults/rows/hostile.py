"""Peers that mean no good, and an honest agent beside them, which must not notice."""

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from faults.fleet import PATIENCE, Fleet
from faults.load import Load
from faults.row import Outcome, Row, Run
from support.certificates import Authority
from support.half import HalfSender
from support.intruders import HTTP, PREFACE, random_peer, talk
from support.processes import Node, wait_for

MOST_MIB: Final = 200
"""What a collector may take, whoever connects (tests/e2e/test_hostile.py, and `reliability/promises.md`)."""
AT_ONCE: Final = 16
STORM: Final = 200
MIB: Final = 1024 * 1024


class Scene:
    """A collector, an honest agent, and its lines, which go on all the while."""

    def __init__(self, run: Run, edge: str = "", honest: str = "") -> None:
        """``edge``: more settings of the collector's source. ``honest``: of the agent's sink."""
        self.outcome: Final = Outcome(run.injections, 0, 0)
        self._fleet: Final = Fleet(run.place)
        self.collector: Final = self._fleet.collector("collector", edge=edge)
        self.port: Final = self._fleet.ports["collector"]
        sink = self._fleet.grpc(self._fleet.address("collector"), more=honest)
        self._agent: Final = self._fleet.agent("agent", sinks=f"{{central: {sink}}}", more="batch: {max_delay: 20ms}\n")
        self._load: Final = Load(self._fleet.logs("agent"), run.dice, ["app0", "app1"], rate=300)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """The agent ships; memory is noted, and bounded."""
        self._fleet.up(self.collector, self._agent)
        self._load.start()
        self.unharmed()
        before = memory(self.collector, "VmRSS")
        yield
        self.unharmed()
        most = memory(self.collector, "VmHWM")
        after = memory(self.collector, "VmRSS")
        self.outcome.notes.append(f"memory of the collector: {before} MiB before, at most {most}, {after} after")
        assert most <= MOST_MIB, self.outcome.notes
        self._load.finish()
        self._fleet.written.update(self._load.written)
        self._fleet.wait("collector")
        self._fleet.stop(self._agent, self.collector)
        self._fleet.judge(self.outcome, "collector", audited=["agent", "collector"])

    def unharmed(self) -> None:
        """Wait until more of the agent's lines have arrived; how long that took is noted."""
        begin, out = time.monotonic(), self._fleet.out("collector")
        before = out.stat().st_size if out.exists() else 0
        wait_for(lambda: out.exists() and out.stat().st_size > before, "lines of the agent", PATIENCE)
        self.outcome.recover.append(time.monotonic() - begin)

    def attack(self, count: int, peer: Callable[[], Awaitable[bool]]) -> None:
        """So many peers, a few at a time; those that are turned away count."""

        async def all_of_them() -> int:
            places = asyncio.Semaphore(AT_ONCE)

            async def one() -> bool:
                async with places:
                    return await peer()

            return sum(await asyncio.gather(*(one() for _ in range(count))))

        self.outcome.fired += asyncio.run(all_of_them())


def memory(node: Node, field: str) -> int:
    """A figure of /proc/PID/status in MiB."""
    lines = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))


def rubbish(run: Run) -> Outcome:
    """Random bytes, bombs, oversized and damaged frames, numbers that cannot be."""
    scene = Scene(run)
    with scene.going_on():
        for done in range(0, run.injections, STORM):
            scene.attack(min(STORM, run.injections - done), lambda: random_peer(scene.port, run.dice))
            scene.unharmed()
    assert "a connection was refused" in scene.collector.output()
    return scene.outcome


def strangers(run: Run) -> Outcome:
    """At a port that asks for certificates: none, another authority's, an old one, and no TLS at all."""
    place = run.place / "elsewhere"
    place.mkdir()
    ours, others = Authority(run.place), Authority(place, "other")
    cert, key = ours.issue("server")
    own, own_key = ours.issue("agent")
    scene = Scene(
        run,
        f"tls: {{cert: '{cert}', key: '{key}', client_ca: '{ours.cert}'}}",
        f"tls: {{ca: '{ours.cert}', cert: '{own}', key: '{own_key}'}}",
    )
    contexts = [None, trusting(), trusting(others.issue("wrong")), trusting(ours.issue("old", expired=True))]
    with scene.going_on():
        scene.attack(run.injections, lambda: talk(scene.port, HTTP, run.dice.choice(contexts)))
    for why in (
        "it speaks HTTP without TLS",
        "it showed no certificate",
        "an authority that is not trusted",
        "expired",
    ):
        assert why in scene.collector.output(), f"the collector says: {why}"
    return scene.outcome


def trusting(certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client that asks nothing of the collector, and shows this."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def slow(run: Run) -> Outcome:
    """Messages that are begun and go on by a byte now and then; every tenth sender has sent almost all of one."""
    scene = Scene(run)
    with scene.going_on(), ExitStack() as peers:
        senders = []
        for number in range(run.injections):
            sender = peers.enter_context(HalfSender(scene.port))
            with suppress(OSError):  # the collector has cut it, as it holds too much
                sender.hello()
                sender.begin(4 * MIB, 4 * MIB - 4096 if number % 10 == 9 else run.dice.randrange(4096))
                senders.append(sender)
        scene.outcome.fired += len(senders)
        for _ in range(4):
            scene.unharmed()
            for sender in senders:
                with suppress(OSError):
                    sender.send(b"\0")
    return scene.outcome


def idle(run: Run) -> Outcome:
    """Connections that say nothing, or that they speak HTTP/2 and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    scene = Scene(run)
    try:
        with scene.going_on(), ExitStack() as peers:
            for _ in range(min(run.injections, hard - 500)):
                peer = peers.enter_context(socket.create_connection(("127.0.0.1", scene.port), timeout=60))
                scene.outcome.fired += 1
                with suppress(OSError):  # beyond max_connections they are closed
                    peer.sendall(run.dice.choice([b"", PREFACE]))
            for _ in range(4):
                scene.unharmed()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return scene.outcome


ROWS = [
    Row(
        "hostile: rubbish and bombs",
        "Peers send random bytes, frames that decode to gigabytes, are too large, damaged or none, and numbers that "
        "cannot be.",
        "once",
        rubbish,
        short=60,
        long=20_000,
        every=True,
    ),
    Row(
        "hostile: wrong certificates",
        "Peers without a certificate, with that of another authority, with an old one, and without TLS.",
        "once",
        strangers,
        short=400,
        long=5_000,
        every=True,
    ),
    Row(
        "hostile: slow streams",
        "Senders that begin messages and go on by a byte now and then, or hold back the end.",
        "once",
        slow,
        short=40,
        long=400,
    ),
    Row(
        "hostile: idle connections",
        "Connections that say nothing, or no more than that they speak HTTP/2.",
        "once",
        idle,
        short=500,
        long=10_000,
        every=True,
    ),
]
