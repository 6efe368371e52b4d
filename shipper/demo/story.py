"""Directs the demo: what happens when, what is watched meanwhile, and what is counted in the end."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from shipper.demo.lines import KINDS
from shipper.demo.nodes import Node, delivered, free_port, prepare
from shipper.demo.proxy import Proxy
from shipper.demo.verify import Counter, verify
from shipper.demo.view import GREEN, RED, YELLOW, Numbers, View
from shipper.demo.writer import Writer
from shipper.errors import DemoError

_RATE: Final = sum(kind.rate for kind in KINDS)
_KEEP_SHARE: Final = 0.05
"""Of the full rate, once the faults are over and the demo stays up: a disk must not fill overnight."""
_START: Final = 30.0
_CATCH_UP: Final = 60.0
_LOOK: Final = 0.2

CUT, ROTATED, MENDED, KILLED, RESTARTED = 0.25, 0.35, 0.45, 0.62, 0.72
"""When things happen, as shares of the time in which lines are written."""


class Story:
    """One showing, in ``folder``, which is empty. With ``keep`` it goes on after the faults until ``leave`` is set.
    Then writing stops, everything is delivered and counted.
    """

    def __init__(self, folder: Path, seconds: float, view: View, leave: asyncio.Event, *, keep: bool) -> None:
        self._folder = folder
        self._seconds = seconds
        self._view = view
        self._keep = keep
        self._leave = leave
        self._port = free_port()
        self._proxy = Proxy(self._port)
        self._writer = Writer(folder / "logs")
        self._counters = {name: Counter(path) for name, path in delivered(folder).items()}
        self._tasks: list[asyncio.Task[Any]] = []
        self._running: set[Node] = set()
        """The nodes that must be there now."""
        self._survived: list[str] = []
        """The faults that were shown."""
        self._numbers = Numbers(int(_RATE * seconds), 0, 0, 0, 0, 0.0, link_cut=False, collector_up=False)

    async def run(self) -> bool:
        """Show it; True when every line arrived once, unaltered and in order.

        :raises DemoError: a node does not start, dies, or does not stop.
        """
        self._agent, self._collector = prepare(self._folder, await self._proxy.start(), self._port)
        try:
            await self._start()
            self._tasks = [asyncio.ensure_future(self._writer.run()), asyncio.ensure_future(self._watch())]
            await self._faults_until_left()
            if self._keep:
                await self._stay()
            await self._finish()
            return self._judge()
        finally:
            await self._end_tasks()
            for node in (self._agent, self._collector):
                node.kill()
            await self._proxy.close()

    async def _start(self) -> None:
        for node in (self._collector, self._agent):
            node.start()
            self._running.add(node)
        for node in (self._collector, self._agent):
            if not await self._until_answer(node):
                raise DemoError(f"the {node.name} does not get ready; the end of its log:\n{node.tail()}")
        if self._keep:
            self._say_where()
        self._view.begin()
        self._view.event("agent and collector run; the application starts to write", GREEN)

    async def _until_answer(self, node: Node) -> bool:
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            self._check()
            if await node.ask("/readyz") is not None:
                return True
            await asyncio.sleep(0.05)
        return False

    async def _faults_until_left(self) -> None:
        faults = asyncio.ensure_future(self._faults())
        left = asyncio.ensure_future(self._leave.wait())
        try:
            await asyncio.wait({faults, left}, return_when=asyncio.FIRST_COMPLETED)
            if faults.done():
                faults.result()
        finally:
            for task in (faults, left):
                task.cancel()
            await asyncio.gather(faults, left, return_exceptions=True)
        self._proxy.mend()
        if self._collector not in self._running:
            self._restart()

    async def _faults(self) -> None:
        view, proxy = self._view, self._proxy
        await self._at(CUT)
        if not proxy.cut():
            raise DemoError(f"agent and collector were not connected; the agent's log ends:\n{self._agent.tail()}")
        view.event("the connection is cut: the agent keeps what it reads in its spool", RED)
        await self._at(ROTATED)
        view.event(f"app.log is rotated: it is {self._writer.rotate('app')} now, and a new one begins", YELLOW)
        await self._at(MENDED)
        proxy.mend()
        self._survived.append(f"{(MENDED - CUT) * self._seconds:.0f} s without a connection, a rotation")
        view.event(f"the connection is back; {self._lag():,} lines wait", GREEN)
        await self._say_caught_up(KILLED)
        await self._at(KILLED)
        self._running.discard(self._collector)
        self._collector.kill()
        view.event("the collector is killed (kill -9)", RED)
        await self._at(RESTARTED)
        self._restart()
        self._survived.append("a kill -9 of the collector")
        view.event(f"the collector is started again; {self._lag():,} lines wait", GREEN)
        await self._say_caught_up(1.0)
        await self._at(1.0)

    def _restart(self) -> None:
        self._collector.start()
        self._running.add(self._collector)
        for counter in self._counters.values():
            counter.again()  # the file sink may cut its files back before it goes on

    async def _say_caught_up(self, until: float) -> None:
        began = self._view.elapsed
        if await self._until(lambda: self._lag() < _RATE / 4, until * self._seconds - began):
            self._view.event(f"caught up after {self._view.elapsed - began:.1f} s", GREEN)

    async def _stay(self) -> None:
        self._writer.share = _KEEP_SHARE
        if not self._leave.is_set():
            self._view.event(f"stays up, with {_RATE * _KEEP_SHARE:.0f} lines a second; Ctrl-C ends it", GREEN)
        while not self._leave.is_set():
            await self._until(self._leave.is_set, 60)

    async def _finish(self) -> None:
        """Stop writing, wait until everything is there, stop the nodes in order."""
        writing = self._tasks.pop(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        self._view.event(f"writing stops after {self._writer.total:,} lines; waiting for the last ones")
        if not await self._until(lambda: self._count() >= self._writer.total, _CATCH_UP):
            self._view.event(f"{self._lag():,} lines did not arrive within {_CATCH_UP:.0f} s", RED)
        await self._end_tasks()
        self._running.clear()
        await self._agent.stop()
        await self._collector.stop()
        self._view.event("agent and collector have stopped; every record is compared")

    def _judge(self) -> bool:
        view = self._view
        paths = delivered(self._folder)
        tallies = [verify(paths[kind.name], kind, self._writer.written[kind.name]) for kind in KINDS]
        view.say()
        view.table(tallies)
        view.say()
        well = all(tally.well and tally.written for tally in tallies)
        if well:
            view.say(view.paint("  Every line arrived exactly once, unaltered and in order.", GREEN))
            if self._survived:
                view.say(f"  In between: {', '.join(self._survived)}.")
        else:
            view.say(view.paint("  This is not well.", RED) + f" Everything is kept for a look: {self._folder}")
        return well

    async def _watch(self) -> None:
        """Ask the nodes and the files, and show it."""
        while True:
            status, health = await asyncio.gather(self._agent.ask("/status"), self._collector.ask("/healthz"))
            numbers = self._numbers
            if status is not None:
                _take_status(numbers, status)
            numbers.collector_up = health is not None
            numbers.link_cut = self._proxy.is_cut
            numbers.written = self._writer.total
            numbers.delivered = self._count()
            numbers.read = max(numbers.read, numbers.delivered)
            self._view.show(numbers)
            await asyncio.sleep(_LOOK)

    def _count(self) -> int:
        return sum(counter.look() for counter in self._counters.values())

    def _lag(self) -> int:
        return max(0, self._writer.total - self._count())

    async def _at(self, share: float) -> None:
        """Wait until that share of the time is over."""
        await self._until(lambda: self._view.elapsed >= share * self._seconds, self._seconds + 1)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition; False when the time is over first.

        :raises DemoError: a node died.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self._check()
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def _check(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
        for node in self._running:
            if not node.running:
                raise DemoError(f"the {node.name} died; the end of its log:\n{node.tail()}")

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _say_where(self) -> None:
        view = self._view
        rows = [
            ("logs", f"{self._folder}/logs"),
            ("delivered", f"{self._folder}/central"),
            ("configs", f"{self._agent.config}, {self._collector.config}"),
            ("agent", f"http://127.0.0.1:{self._agent.admin}/status (/metrics, /readyz)"),
            ("collector", f"http://127.0.0.1:{self._collector.admin}/status (/metrics, /readyz)"),
            ("stop", "Ctrl-C: writing ends, everything is delivered and counted"),
        ]
        for name, text in rows:
            view.say(f"  {name:<11}{text}")
        view.say()


def _take_status(numbers: Numbers, status: dict[str, Any]) -> None:
    """What the agent says on ``/status``."""
    numbers.read = sum(int(source["records"]["read"]) for source in status["sources"].values())
    central = status["sinks"]["central"]
    numbers.queued_bytes = int(central["backlog_bytes"])
    numbers.waiting_seconds = float(central["oldest_unacked_seconds"])
