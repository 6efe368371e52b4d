"""Streams that several collectors share, in a world in memory: each number stands in the topic once and in order.

Whatever crashes, roams, is fenced, or loses its disk. ``OWNERSHIP_EXAMPLES`` and ``OWNERSHIP_STEPS`` make it longer.
"""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.shared_world import Collector, Sender, Topic

_LONG = "OWNERSHIP_EXAMPLES" in os.environ
_SENDERS = st.integers(0, 1)
_COLLECTORS = st.integers(0, 2)
_FEW = st.integers(1, 6)


class SharedStreams(RuleBasedStateMachine):
    """Two senders, three collectors."""

    @initialize(files=st.booleans())
    def begin(self, files: bool) -> None:
        self.files: set[tuple[bytes, int]] | None = set() if files else None
        self.topic = Topic()
        self.senders = [Sender(bytes([number]) * 16) for number in range(2)]
        self.collectors = [Collector(f"c{number}", self.topic, self.files) for number in range(3)]

    # Senders

    @rule(which=_SENDERS, widths=st.lists(st.sampled_from([1, 1, 1, 3]), min_size=1, max_size=4))
    def produce(self, which: int, widths: list[int]) -> None:
        for width in widths:
            self.senders[which].produce(width)

    @rule(which=_SENDERS, to=_COLLECTORS)
    def roam(self, which: int, to: int) -> None:
        if self.collectors[to].alive:
            self.collectors[to].hello(self.senders[which])

    @rule(which=_SENDERS)
    def lose_the_connection(self, which: int) -> None:
        self.senders[which].session = None

    @rule(which=_SENDERS, parts=st.lists(st.integers(1, 3), min_size=1, max_size=5))
    def send(self, which: int, parts: list[int]) -> None:
        for count in parts:
            self._send(self.senders[which], count)

    def _send(self, sender: Sender, parts: int) -> None:
        session = sender.session
        if session is not None and session.collector.alive:
            sender.send(parts)

    @rule(which=_SENDERS)
    def hear(self, which: int) -> None:
        self.senders[which].hear()

    # Collectors

    @rule(which=_COLLECTORS)
    def connect(self, which: int) -> None:
        collector = self.collectors[which]
        if collector.alive:
            collector.connect()

    @rule(which=_SENDERS, steps=_FEW)
    def claim(self, which: int, steps: int) -> None:
        for _ in range(steps):
            self._claim(self.senders[which])

    def _claim(self, sender: Sender) -> None:
        session = sender.session
        if session is not None and session.stage != "open" and not session.ended:
            collector = session.collector
            if collector.alive and collector.connected:
                collector.guarded(lambda: collector.claim(session))

    @rule(which=_SENDERS, to=_COLLECTORS, until=st.integers(1, 5))
    def go_on(self, which: int, to: int, until: int) -> None:
        """What happens most of the time: some steps in a row in which nothing fails."""
        sender, collector = self.senders[which], self.collectors[to]
        if not collector.alive:
            return
        if sender.session is None or sender.session.collector is not collector:
            collector.hello(sender)
        if not collector.connected:
            collector.connect()
        for _ in range(4):
            self._claim(sender)
        if until > 1:
            sender.produce(1)
            self._send(sender, until % 2 + 1)
        if until > 2 and collector.connected:
            collector.guarded(lambda: collector.pump(until))
        if until > 3 and collector.connected:
            collector.guarded(collector.commit)
        if until > 4:
            sender.hear()

    @rule(which=_COLLECTORS, count=_FEW)
    def pump(self, which: int, count: int) -> None:
        collector = self.collectors[which]
        if collector.alive and collector.connected:
            collector.guarded(lambda: collector.pump(count))

    @rule(which=_COLLECTORS, answered=st.sampled_from([True, True, True, False]))
    def commit(self, which: int, answered: bool) -> None:
        collector = self.collectors[which]
        if collector.alive and collector.connected:
            collector.guarded(lambda: collector.commit(answered=answered))

    @precondition(lambda self: self.files is not None)
    @rule(which=_COLLECTORS, count=_FEW)
    def file(self, which: int, count: int) -> None:
        if self.collectors[which].alive:
            self.collectors[which].file(count)

    @rule(which=_COLLECTORS)
    def sync(self, which: int) -> None:
        self.collectors[which].sync()

    # Faults

    @rule(which=_COLLECTORS)
    def kill(self, which: int) -> None:
        self.collectors[which].kill()

    @rule(which=_COLLECTORS, wiped=st.sampled_from([False, False, False, True]))
    def restart(self, which: int, wiped: bool) -> None:
        collector = self.collectors[which]
        if not collector.alive:
            if wiped:
                collector.wipe()
            collector.start()

    @precondition(lambda self: self.files is None)  # what a sink that shares nothing misses is a counted loss
    @rule(which=_COLLECTORS, back=_FEW)
    def damage(self, which: int, back: int) -> None:
        collector = self.collectors[which]
        if len(collector.spool) - back >= collector.at:
            collector.damage(len(collector.spool) - back)

    # What must hold

    @invariant()
    def each_number_once_and_in_order(self) -> None:
        for sender in getattr(self, "senders", ()):
            wanted = self._wanted(sender, self.topic.written(sender.stream))
            assert sender.acked <= wanted, "acknowledged, and not there"
            if self.files is not None:
                assert all((sender.stream, number) in self.files for number in range(sender.acked))

    def _wanted(self, sender: Sender, written: list[tuple[int, int, bool]]) -> int:
        """The number up to which everything is there, once and in order."""
        entries = iter(sender.entries)
        after, parts = 0, 0
        for number, part, last in written:
            if part == 0:
                assert parts == 0, f"{number} came while a part of {after - 1} was missing"
                first, after = next(entries)
                assert first <= number < after, f"{number} came where {first} was expected"
            assert part == parts
            parts = 0 if last else parts + 1
        assert parts == 0
        return after

    def teardown(self) -> None:
        """Once nothing fails any more all of it arrives."""
        if not hasattr(self, "senders"):
            return
        for collector in self.collectors:
            if not collector.alive:
                collector.start()
        for _ in range(40):
            self._settle()
            self.each_number_once_and_in_order()
            if all(sender.acked == sender.produced for sender in self.senders):
                return
        raise AssertionError("it stands still")

    def _settle(self) -> None:
        for number, sender in enumerate(self.senders):
            if sender.session is None:
                self.collectors[number].hello(sender)
        for collector in self.collectors:
            if not collector.connected:
                collector.connect()
        for sender in self.senders:
            for _ in range(10):
                self._claim(sender)
            for _ in range(len(sender.entries)):
                self._send(sender, 2)
        for collector in self.collectors:
            collector.guarded(collector.deliver_all)
        for sender in self.senders:
            sender.hear()


TestSharedStreams = SharedStreams.TestCase
TestSharedStreams.settings = settings(
    max_examples=int(os.environ.get("OWNERSHIP_EXAMPLES", "150")),
    stateful_step_count=int(os.environ.get("OWNERSHIP_STEPS", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate] + ([] if _LONG else [Phase.shrink]),
)
