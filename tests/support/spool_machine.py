"""The spool against a disk that loses and tears what was not synced.

Hypothesis appends, reads, acknowledges, rolls, reclaims, closes and crashes, also in the middle of every operation and
of an open, and compares with an oracle after each start:

- everything whose commit returned is there, in order, once for each sink from its durable cursor on;
- of a commit that did not return a whole prefix of its drafts is there: entries, state, marks and dead letters alike;
- no wrong byte, nothing that was never appended, no number missing or given twice;
- on every crash image each durable cursor stands at or after the oldest segment;
- what the sink ``b`` had to give up is one gap in its place, its records counted exactly, and costs ``a`` nothing;
- a sink that left goes on where it stood; one that was forgotten begins at the tail;
- under a new stream id the backlog is the same, stamped anew;
- epochs rise; a full spool takes no more frames and goes on once the sinks have read;
- whatever the disk refuses (writes that are cut short, syncs that lose sectors, no room), all of that holds, and only
  three refusals in a row end the process.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.simdisk import Crash, SimDisk, Survival
from support.spool_model import (
    Oracle,
    check_outcomes,
    frame_of,
    gap_of,
    letter_of,
    letters_on,
    upstream_frame,
)

from shipper.batch import Upstream
from shipper.errors import DiskFull, SpoolFailed
from shipper.spool.body import CursorValue, GapNote, Position
from shipper.spool.cursor import FOLDER
from shipper.spool.draft import EntryDraft
from shipper.spool.files import Damage
from shipper.spool.reader import Reader
from shipper.spool.room import THE_DISK
from shipper.spool.slots import Slots
from shipper.spool.store import DEAD_LETTER_CURSOR, Store

MAX_BYTES = 2 * 1024 * 1024
SINKS = ("a", "b")
UPSTREAMS = (b"upstream-stream1", b"upstream-stream2")


class Cut(NamedTuple):
    """One crash: so many steps from now, and what survives it."""

    after: int
    applied: bool
    kill: bool
    data: Survival
    names: Survival
    seed: int


@dataclass
class SinkModel:
    """A sink: what it read and acknowledged."""

    reader: Reader
    acked: int
    safe: int
    """What of it is durable for certain."""
    unacked: deque[tuple[int, Position, int]] = field(default_factory=deque)
    """Next number, place behind it, records."""


survivals: st.SearchStrategy[Survival] = st.sampled_from(["none", "some", "all"])


def _cuts(after: st.SearchStrategy[int]) -> st.SearchStrategy[Cut]:
    kills = st.sampled_from([False, False, True])
    return st.builds(Cut, after, st.booleans(), kills, survivals, survivals, st.integers(0, 2**32))


cuts = _cuts(st.one_of(st.integers(1, 4), st.integers(1, 40)))
sizes = st.one_of(st.integers(1, 80), st.integers(1, 5000), st.integers(5000, 32000))
BIG = b"a value so large that a snapshot needs a file of its own"
values = st.one_of(st.none(), st.binary(max_size=8), st.binary(max_size=8), st.just(BIG))
states = st.dictionaries(st.sampled_from("kxyz"), values, max_size=2)


class DraftPlan(NamedTuple):
    """A draft to be made once it is known what the spool holds."""

    kind: str
    sizes: list[int]
    state: dict[str, bytes | None]
    letters: int
    stream: bytes
    delta: int
    span: int
    floor: int


faults = st.dictionaries(
    st.sampled_from(["create", "write", "sync", "sync_folder", "truncate"]),
    st.lists(st.sampled_from(["", "", "EIO", "ENOSPC"]), min_size=1, max_size=6),
    min_size=1,
    max_size=2,
)
plans = st.builds(
    DraftPlan,
    st.sampled_from(["data", "data", "data", "upstream", "upstream", "gap", "urgent", "note"]),
    st.one_of(st.lists(sizes, min_size=1, max_size=4), st.just([100_000])),
    states,
    st.sampled_from([0, 0, 0, 1, 3]),
    st.sampled_from(UPSTREAMS),
    st.sampled_from([0, 0, 0, 0, -2, -1, 1]),
    st.integers(0, 3),
    st.sampled_from([0, 0, 0, 2]),
)


class SpoolMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimDisk()
        self.cuts: deque[Cut] = deque()
        self.fixed: Cut | None = None
        """One crash at the step ``after`` of the whole life, in place of planned ones."""
        self.pending: list[EntryDraft] = []
        """Of what is being committed, or found no room on the disk, some first ones may be there after a crash."""
        self.number = 0
        self.crashes = 0
        self.epoch = 0
        self.oracle: Oracle | None = None
        self.names: tuple[str, ...] = SINKS[:1]
        """The sinks of the config; others join."""
        self.safe = {"a": 1}
        self.acked = {"a": 1}
        self.forgetting = False
        self.refused = 0
        """The step at which the disk refused something last."""
        self.damages: list[Damage] = []
        self.patches: list[Any] = []
        self.sinks: dict[str, SinkModel] = {}

    @initialize(
        entries=st.sampled_from([4, 9, 32768]),
        letters=st.sampled_from([200, 8000]),
        cut=st.lists(cuts, max_size=2),
    )
    def begin(self, entries: int, letters: int, cut: list[Cut]) -> None:
        """Small limits, so that segments and files of dead letters end often."""
        self.patches = [
            mock.patch("shipper.spool.log.MAX_ENTRIES", entries),
            mock.patch("shipper.spool.dead_letters._FILE_SIZE", letters),
        ]
        for patch in self.patches:
            patch.start()
        self.cuts.extend(cut)
        self._open()

    def teardown(self) -> None:
        for patch in self.patches:
            patch.stop()

    # What the process does

    @rule(todo=st.lists(plans, min_size=1, max_size=6), cut=st.one_of(st.none(), st.none(), _cuts(st.integers(1, 3))))
    def append(self, todo: list[DraftPlan], cut: Cut | None = None) -> None:
        """One commit; it may be the last thing that happens."""
        if cut is not None and not self.disk.crash_at:
            self.cuts.append(cut)
            self._arm()
        drafts = [draft for plan in todo if (draft := self._draft(plan)) is not None]
        self._run(lambda: self._commit(drafts))

    def _commit(self, drafts: list[EntryDraft]) -> None:
        """What the disk had no room for is first, as in the writer's queue."""
        self.pending = [*self.pending, *drafts]
        outcomes = self.store.commit(self.pending)
        assert self.oracle is not None
        check_outcomes(outcomes, [self.oracle.append(draft) for draft in self.pending[: len(outcomes)]])
        self.pending = self.pending[len(outcomes) :]
        if self.store.log.blocked_by == "max_bytes":
            assert self.pending[0].frames
            assert len(self.store.log.segments) > 2
            self.pending = []
        else:
            assert self.store.log.blocked_by == (THE_DISK if self.pending else None)

    @rule(sink=st.sampled_from(SINKS), steps=st.integers(1, 30))
    def read(self, sink: str, steps: int) -> None:
        while steps and sink in self.sinks and self._step(sink):
            steps -= 1

    @rule(sink=st.sampled_from(SINKS), count=st.integers(1, 30))
    def acknowledge(self, sink: str, count: int) -> None:
        it = self.sinks.get(sink)
        if it is None:
            return
        while it.unacked and count:
            seq, after, records = it.unacked.popleft()
            count -= 1
            it.acked = seq
            self.store.log.cursors[sink].ack(seq, after, 0, records)

    @rule(sink=st.sampled_from(SINKS))
    def rewind(self, sink: str) -> None:
        it = self.sinks.get(sink)
        if it is None:
            return
        value = self.store.log.cursors[sink].value
        it.unacked.clear()
        it.reader.seek(value.position, value.seq, value.lost)

    @rule()
    def sync_cursors(self) -> None:
        self._run(self._sync_cursors)

    @rule()
    def reclaim(self) -> None:
        def reclaim() -> None:
            if self.store.log.reclaim():
                self._all_safe()
                self._check_image(self.disk.power_cut("none", "all", random.Random(0)))

        self._run(reclaim)

    @rule(blocked=st.booleans())
    def give_way(self, blocked: bool) -> None:
        """The sinks that may drop give up what is in the way, as the event loop has them do it."""

        def go() -> None:
            for drop in self.store.retention.make_way(blocked=blocked):
                assert drop.sink == "b"
                if self.store.log.cursors["b"].drop(drop):
                    self.rewind("b")
            self.store.log.reclaim()

        self._run(go)

    @rule()
    def forget(self) -> None:
        """What waits for a sink that left is given up."""

        def go() -> None:
            if "b" in self.store.log.removed:
                self.forgetting = True
                try:
                    self.store.retention.forget("b")
                finally:
                    if "b" not in self.store.log.cursors:
                        self.forgetting = False
                        del self.safe["b"], self.acked["b"]

        self._run(go)

    @rule()
    def take_new_stream(self) -> None:
        def go() -> None:
            assert self.oracle is not None
            self.store.log.take_new_stream()
            self.oracle.rename(self.store.log.stream)

        self._run(go)

    @rule()
    def roll(self) -> None:
        self._run(self.store.log.roll)

    @rule()
    def drain(self) -> None:
        """A full spool goes on once every sink has read everything."""

        def go() -> None:
            for sink in self.sinks:
                while self._step(sink):
                    pass
                self.acknowledge(sink, 1 << 30)
            self._sync_cursors()
            self.store.log.reclaim()
            self._all_safe()
            draft = self._draft(DraftPlan("data", [20_000], {}, 0, UPSTREAMS[0], 0, 0, 0))
            assert draft is not None
            failing = self.disk.failing
            self._commit([draft])
            assert failing or not self.pending, "what the disk refused before is no reason any more"

        self._run(go)

    @rule(plan=faults)
    def refuse(self, plan: dict[str, list[str]]) -> None:
        """The disk refuses some of what follows."""
        self.disk.faults = {kind: list(given) for kind, given in plan.items()}

    @rule()
    def tend(self) -> None:
        self._run(self.store.tend)

    # How it ends

    @precondition(lambda self: not self.disk.crash_at)
    @rule(plan=st.lists(cuts, min_size=1, max_size=3))
    def arm(self, plan: list[Cut]) -> None:
        """Crash somewhere in what follows; the later ones hit the starts after it."""
        self.cuts.extend(plan)
        self._arm()

    @rule(cut=cuts, again=st.lists(cuts, max_size=2))
    def end(self, cut: Cut, again: list[Cut]) -> None:
        self.cuts.clear()
        self.cuts.append(cut)
        self.disk.life += 1
        self.cuts.extend(again)
        self._restart()

    @rule(cut=cuts, again=st.lists(cuts, max_size=1), join=st.sampled_from([None, True, False]))
    def close(self, cut: Cut, again: list[Cut], join: bool | None) -> None:
        """A clean end; another sink may be in the config at the next start, or not any more."""

        def close() -> None:
            try:
                self.store.close()
            except SpoolFailed:
                self._end_by_failure()
                return
            self._all_safe()
            self.cuts.clear()
            self.cuts.extend([cut, *again])
            self.names = self.names if join is None else SINKS if join else SINKS[:1]
            self.disk.life += 1
            self._restart()

        self._run(close)

    # Helpers

    def _sync_cursors(self) -> None:
        self.store.log.sync_cursors()
        self._all_safe()

    def _all_safe(self) -> None:
        for it in self.sinks.values():
            it.safe = it.acked

    def _draft(self, plan: DraftPlan) -> EntryDraft | None:
        self.number += 1
        state = {key: value * 400 if value is not None and value == BIG else value for key, value in plan.state.items()}
        state["number"] = str(self.number).encode()
        dead = [letter_of(self.number * 10 + at, 10 + 3000 * at) for at in range(plan.letters)]
        if plan.kind == "data":
            frames = [frame_of(self.number * 10 + at, size) for at, size in enumerate(plan.sizes)]
            return EntryDraft(frames, state, dead)
        if plan.kind in ("urgent", "note"):
            note = GapNote(bytes(16), 1, 2, -1, "note") if plan.kind == "note" else None
            return EntryDraft((), state, dead, gap=note)
        assert self.oracle is not None
        mark = self.oracle.marks.get(plan.stream)
        seq = max(0, (mark.next if mark else 0) + plan.delta)
        floor = seq + plan.floor - 1 if plan.floor else 0
        upstream = Upstream(plan.stream, seq, 1, bytes(16), self.number, floor)
        if plan.kind == "gap":
            return EntryDraft((), state, dead, upstream, gap_of(upstream, seq + plan.span, self.number))
        frame = upstream_frame(plan.stream, seq, self.number * 10, plan.sizes[0])
        more = [frame_of(self.number * 10 + at, size) for at, size in enumerate(plan.sizes[1:], 1)]
        return EntryDraft([frame, *more], state, dead, upstream)

    def _step(self, sink: str) -> bool:
        """One step of a sink's reader, as a subscription takes it."""
        assert self.oracle is not None
        it = self.sinks[sink]
        expected = it.reader.next
        read = it.reader.step()
        if read is None:
            assert it.reader.next == self.oracle.next_seq
            return False
        if read.item is not None:
            lost = self.store.log.cursors[sink].value.lost
            if lost is not None and read.next == lost.next:
                assert sink == "b"
                self.oracle.check_lost(read.item, expected)
            else:
                self.oracle.check_item(read.item, expected)
            it.unacked.append((read.next, read.after, read.item.body.records))
        elif it.unacked:
            it.unacked[-1] = (it.unacked[-1][0], read.after, it.unacked[-1][2])
        else:
            self.store.log.cursors[sink].ack(it.acked, read.after, 0, 0)
        return True

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Crash:
            self._restart()
        except DiskFull:
            pass  # the writer tries again later
        except SpoolFailed:
            self._end_by_failure()

    def _end_by_failure(self) -> None:
        """The disk refused three times in a row: the process ends, and is started again."""
        self.store.abandon()
        self.disk.faults = {}
        if not self.cuts:
            self.cuts.append(Cut(1, False, True, "all", "all", 0))
        self._restart()

    def _arm(self) -> None:
        """Have the next of the planned crashes happen."""
        self.disk.crash_at = 0
        if self.fixed is not None:
            self.disk.crash_at, self.disk.applied = self.fixed.after, self.fixed.applied
        elif self.cuts:
            self.disk.crash_at, self.disk.applied = self.disk.steps + self.cuts[0].after, self.cuts[0].applied

    def _restart(self) -> None:
        """The process is gone; what the first of the planned cuts leaves is opened again."""
        self.refused = max(self.refused, self.disk.refused)
        if self.fixed is not None and self.disk.steps >= self.fixed.after:
            cut, self.fixed = self.fixed, None
        else:
            cut = self.cuts.popleft()
        if cut.kill:
            self.disk.kill()
        else:
            rng = random.Random(cut.seed)
            for data, names in (("none", "all"), ("some", "all")):
                self._check_image(self.disk.power_cut(data, names, rng))  # type: ignore[arg-type]
            self.disk = self.disk.power_cut(cut.data, cut.names, rng)
            self._check_image(self.disk)
        self.crashes += 1
        if self.sinks:
            self.safe |= {sink: it.safe for sink, it in self.sinks.items()}
            self.acked |= {sink: it.acked for sink, it in self.sinks.items()}
        self.sinks = {}
        self._open()

    def _check_image(self, disk: SimDisk) -> None:
        """On every crash image each durable cursor stands at or after the oldest segment."""
        image = disk.copy()
        oldest = min((int(name[:20]) for name in image.names() if name.endswith(".seg")), default=0)
        for sink in (*SINKS, DEAD_LETTER_CURSOR):
            value = Slots(image, f"{FOLDER}/{sink}", CursorValue).value
            if value is not None and not value.forgotten:
                assert value.position.segment >= oldest, f"cursor {value} of {sink}, but the oldest segment is {oldest}"

    def _open(self) -> None:
        self._arm()
        try:
            limits = dict.fromkeys(self.names[1:], 300_000)
            self.store = Store(self.disk, MAX_BYTES, 1 << 30, self.names, limits=limits)
            given, self.disk.faults = self.disk.faults, {}
            if self.disk.refused:
                self.store.tend()  # what was put off
            self.disk.faults = given
        except Crash:
            self._restart()
            return
        except SpoolFailed:
            assert self.disk.refused, "only what the disk refuses ends a start"
            self.disk.faults = {}
            self.cuts.appendleft(Cut(1, False, True, "all", "all", 0))
            self._restart()
            return
        self.cuts.clear()
        self._arm()
        self._check_opened()

    def _check_opened(self) -> None:
        log = self.store.log
        assert log.epoch > self.epoch
        self.epoch = log.epoch
        assert not [damage for damage in log.damages if damage.acknowledged], "a crash is no corruption"
        if self.oracle is None:
            self.oracle = Oracle(log.stream)
        if log.stream != self.oracle.stream:  # it ended while it took a new one
            assert log.identity.former[-1] == self.oracle.stream
            self.oracle.rename(log.stream)
        self.oracle = self._survivors(self.oracle)
        self.pending = []
        self.sinks = {}
        if self.forgetting:  # it ended in the middle of that
            self.forgetting = False
            if "b" not in log.cursors:
                self.safe.pop("b", None)
                self.acked.pop("b", None)
        for sink in self.names:
            value = log.cursors[sink].value
            tail = self.oracle.next_seq  # where a new one starts
            assert self.safe.get(sink, tail) <= value.seq <= self.acked.get(sink, tail)
            reader = self.store.reader(self._damaged)
            reader.seek(value.position, value.seq, value.lost)
            self.sinks[sink] = SinkModel(reader, value.seq, value.seq)
            while self._step(sink):
                pass
            self.rewind(sink)
        letters = letters_on(self.disk)
        if self.refused or self.disk.refused:  # what a failed sync may have lost was written again
            letters = sorted(set(letters), key=self.oracle.letters.index)
        assert letters == self.oracle.letters

    def _damaged(self, damage: Damage) -> None:
        raise AssertionError(f"a crash is no corruption: {damage}")

    def _survivors(self, oracle: Oracle) -> Oracle:
        """The oracle with those drafts of the last commit that are there: some first ones."""
        log = self.store.log
        state = {key: value for key, value in log.state.items() if not key.startswith(("damage/", "ended/"))}
        for draft in (None, *self.pending):
            if draft is not None:
                oracle = oracle.copy()
                oracle.append(draft)
            if (oracle.next_seq, oracle.state, oracle.marks) == (log.next_seq, state, log.held):
                return oracle
        raise AssertionError(
            f"next {log.next_seq}, state {state}, marks {log.held} are not those after {oracle.next_seq}, "
            f"{oracle.state}, {oracle.marks} or before"
        )

    @invariant()
    def marks_are_durable_ones(self) -> None:
        if self.oracle is not None:
            assert self.store.log.held == self.oracle.marks
