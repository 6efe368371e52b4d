"""The delivery, from a real spool to sinks that misbehave."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.delivering import (
    DEADLINE,
    Outpost,
    frame_draft,
    lines,
    ndjson,
    unreadable_draft,
    until,
)

from shipper import log
from shipper.errors import FrameError, ProtocolError, SinkError, SinkUnavailable, SpoolFailed
from shipper.sinks.base import Backoff, Breaker, Frame, Gap, Item, Outlet, Sink
from shipper.sinks.delivery import Delivery
from shipper.sinks.flat import Refusal, each_record, lines_of, refuse
from shipper.spool.frame import crc32c, decode
from shipper.units import Duration

QUICK = Backoff(min=Duration(0.001), max=Duration(0.002))
NEVER_OPEN = Breaker(window=1000, failure_ratio=1.0)


class ScriptedSink(Sink):
    """Takes everything; tests replace its steps."""

    def setup(self) -> None:
        self.given: list[Item] = []
        self.connects = 0
        self.closes = 0
        self.gone: asyncio.Future[None] | None = None
        self.on_connect: Callable[[Outlet], int] = lambda outlet: outlet.cursor
        self.on_send: Callable[[Sequence[Item]], None] = lambda items: self.outlet.acked(items[-1].next)

    async def connect(self, outlet: Outlet) -> int:
        self.outlet = outlet
        self.connects += 1
        self.gone = asyncio.get_running_loop().create_future()
        return self.on_connect(outlet)

    async def send(self, items: Sequence[Item]) -> None:
        self.given += items
        self.on_send(items)

    async def broken(self) -> None:
        assert self.gone is not None
        await asyncio.shield(self.gone)

    async def close(self) -> None:
        self.closes += 1

    def seqs(self) -> list[int]:
        """Numbers of what was sent."""
        return [item.seq for item in self.given]


def scripted(**options: Any) -> ScriptedSink:
    sink = ScriptedSink(**({"backoff": QUICK, "breaker": NEVER_OPEN} | options))
    sink.setup()
    return sink


@dataclass
class Failures:
    """A step that fails some times, then works."""

    times: int
    error: Exception | type[BaseException]
    then: Callable[[Any], Any]

    def __call__(self, argument: Any) -> Any:
        if self.times:
            self.times -= 1
            raise self.error
        return self.then(argument)


@pytest.fixture
def outpost(tmp_path: Path) -> Outpost:
    return Outpost(tmp_path)


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    """What another test said is not held back here."""
    log.configure()


async def caught_up(delivery: Delivery) -> None:
    await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)


def acked(outpost: Outpost) -> float:
    seen = outpost.metrics.value("shipper_delivery_latency_seconds", sink="out")
    counted = outpost.metrics.value("shipper_sink_acked_total", sink="out")
    assert seen == counted
    return counted


def connections(said: str) -> list[dict[str, Any]]:
    """What the log tells of connections."""
    events = [json.loads(line) for line in said.splitlines()]
    return [event for event in events if event["msg"] == "connected"]


def retries(outpost: Outpost, reason: str) -> float:
    return outpost.metrics.value("shipper_sink_retries_total", sink="out", reason=reason)


# The way through


async def test_what_is_appended_is_sent_and_the_cursor_follows_the_acknowledgements(outpost: Outpost) -> None:
    sink = scripted()
    async with outpost.opened() as spool:
        begin = spool.next_seq
        async with outpost.delivering(sink) as delivery:
            await outpost.append(frame_draft(lines("a", "b")), frame_draft(lines("c")))
            await caught_up(delivery)
            assert delivery.cursor == begin + 2
            assert delivery.up
            assert delivery.state == "connected"
            assert delivery.last_ack_monotonic is not None
            last = sink.given[-1].body
            assert isinstance(last, Frame)
            assert delivery.cursor_crc == last.check
        assert not delivery.up
        assert sink.closes == 1
    assert sink.seqs() == [begin, begin + 1]
    assert outpost.metrics.value("shipper_sink_acked_total", sink="out") == 3
    assert outpost.metrics.value("shipper_sink_up", sink="out") == 0


async def test_nothing_more_is_read_while_the_sink_does_not_take_it(outpost: Outpost) -> None:
    """A slow sink's backlog waits on disk."""
    sink = scripted()
    accept = asyncio.Event()

    class Slow(ScriptedSink):
        async def send(self, items: Sequence[Item]) -> None:
            self.given += items
            await accept.wait()
            self.outlet.acked(items[-1].next)

    sink = Slow(backoff=QUICK)
    sink.setup()
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("first")))
        await until(lambda: sink.given)
        await outpost.append(*(frame_draft(lines(str(number))) for number in range(20)))
        assert len(sink.given) == 1
        accept.set()
        await caught_up(delivery)
        assert len(sink.given) == 21


async def test_acknowledgements_may_come_late_and_in_lumps(outpost: Outpost) -> None:
    sink = scripted()
    sink.on_send = lambda _: None
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(*(frame_draft(lines(str(number))) for number in range(6)))
        await until(lambda: len(sink.given) == 6)
        first = sink.seqs()[0]
        delivery.acked(first + 2)
        assert delivery.cursor == first + 2
        delivery.acked(first + 1)
        assert delivery.cursor == first + 2
        assert outpost.metrics.value("shipper_sink_acked_total", sink="out") == 2
        delivery.acked(first + 6)
        assert delivery.caught_up


async def test_an_acknowledgement_of_what_was_not_given_moves_the_cursor_no_further(outpost: Outpost) -> None:
    sink = scripted()
    sink.on_send = lambda items: sink.outlet.acked(items[-1].next + 100)
    async with outpost.opened() as spool, outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a")))
        await caught_up(delivery)
        assert delivery.cursor == spool.next_seq


async def test_a_gap_travels_in_place_of_its_frames(outpost: Outpost) -> None:
    sink = scripted()
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append_gap(3)
        await outpost.append(frame_draft(lines("after")))
        await caught_up(delivery)
    assert [type(item.body) for item in sink.given] == [Gap, Frame]


# Failures


async def test_after_a_failed_send_everything_unacknowledged_comes_again_in_order(outpost: Outpost) -> None:
    sink = scripted()
    sink.on_send = Failures(3, SinkUnavailable("away"), sink.on_send)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a")), frame_draft(lines("b")))
        await caught_up(delivery)
    assert sink.connects == 4
    assert sink.closes == 4
    assert sink.seqs()[-2:] == sorted(set(sink.seqs()))
    assert retries(outpost, "unavailable") == 3
    assert outpost.metrics.value("shipper_sink_acked_total", sink="out") == 2


async def test_a_sink_that_cannot_connect_is_tried_until_it_can(outpost: Outpost) -> None:
    sink = scripted()
    sink.on_connect = Failures(5, SinkUnavailable("nobody there"), lambda outlet: outlet.cursor)
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a")))
        async with outpost.delivering(sink) as delivery:
            await caught_up(delivery)
    assert sink.connects == 6


async def test_the_state_tells_why_it_does_not_deliver(outpost: Outpost) -> None:
    sink = scripted(backoff=Backoff(min=Duration(60), max=Duration(60)))
    sink.on_connect = Failures(1, SinkUnavailable("nobody there"), lambda outlet: outlet.cursor)
    async with outpost.opened(), outpost.delivering(sink, uniform=lambda _, most: most) as delivery:
        await until(lambda: delivery.state == "retrying: nobody there")


async def test_the_log_says_connected_again_only_when_something_gets_through(
    outpost: Outpost, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file sink connects, and finds the file locked when it writes."""
    now = 100.0

    def take(items: Sequence[Item]) -> None:
        sink.outlet.acked(items[0].next)
        sink.outlet.acked(items[-1].next)

    script = Failures(5, SinkUnavailable("locked"), take)

    def send(items: Sequence[Item]) -> None:
        nonlocal now
        now += 2.0
        log.configure()  # what was said before holds nothing back
        script(items)

    sink = scripted()
    sink.on_send = send
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a")), frame_draft(lines("b")))
        async with outpost.delivering(sink, clock=lambda: now) as delivery:
            await caught_up(delivery)
    said = connections(capsys.readouterr().err)
    assert [(event.get("after"), event.get("frames")) for event in said] == [(None, None), ("10.0s", 1)]


async def test_the_log_says_connected_again_when_nothing_waits(
    outpost: Outpost, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = scripted()
    sink.on_connect = Failures(1, SinkUnavailable("away"), lambda outlet: outlet.cursor)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await until(lambda: delivery.up)
    (said,) = connections(capsys.readouterr().err)
    assert said["after"].endswith("s")
    assert said["frames"] == 0


def connected(sink: ScriptedSink, delivery: Delivery, times: int) -> bool:
    return sink.connects == times and delivery.up


async def test_an_idle_connection_that_breaks_is_made_anew(outpost: Outpost) -> None:
    sink = scripted()
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        for number in range(1, 4):
            await until(partial(connected, sink, delivery, number))
            assert sink.gone is not None
            sink.gone.set_exception(SinkUnavailable("reset"))
        await until(lambda: sink.connects == 4)
        await outpost.append(frame_draft(lines("a")))
        await caught_up(delivery)


async def test_a_break_is_noticed_while_a_send_waits(outpost: Outpost) -> None:
    class Stuck(ScriptedSink):
        async def send(self, items: Sequence[Item]) -> None:
            self.given += items
            if self.connects == 1:
                await asyncio.Event().wait()
            self.outlet.acked(items[-1].next)

    sink = Stuck(backoff=QUICK)
    sink.setup()
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a")))
        await until(lambda: sink.given)
        assert sink.gone is not None
        sink.gone.set_exception(SinkUnavailable("reset"))
        await caught_up(delivery)
    assert sink.connects == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(SinkError("refused"), "refused", id="refused"),
        pytest.param(ProtocolError("nonsense"), "refused", id="protocol"),
        pytest.param(ZeroDivisionError("a bug"), "crashed", id="bug"),
        pytest.param(asyncio.CancelledError, "refused", id="cancelled inside"),
    ],
)
async def test_a_failure_that_retrying_does_not_mend_opens_the_breaker_and_is_tried_rarely(
    outpost: Outpost, error: Exception | type[BaseException], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = scripted(breaker=Breaker(open_for=Duration(3600)))
    sink.on_send = Failures(1, error, sink.on_send)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a")))
        await until(lambda: delivery.state.startswith("open: "))
        assert sink.connects == 1
        assert outpost.metrics.value("shipper_sink_breaker_state", sink="out") == 2
        assert not delivery.up
        assert retries(outpost, reason) == 1
    said = capsys.readouterr().err
    assert '"level":"error"' in said
    if isinstance(error, ZeroDivisionError):
        assert "the sink crashed: a bug" in said
        assert "Traceback" in said


async def test_the_breaker_opens_after_failures_and_lets_one_attempt_through_when_it_is_time(outpost: Outpost) -> None:
    sink = scripted(breaker=Breaker(window=3, failure_ratio=1.0, open_for=Duration(0.05)))
    sink.on_connect = Failures(5, SinkUnavailable("away"), lambda outlet: outlet.cursor)
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a")))
        async with outpost.delivering(sink) as delivery:
            await until(lambda: delivery.state == "open: away")
            await caught_up(delivery)
            assert outpost.metrics.value("shipper_sink_breaker_state", sink="out") == 0
    assert sink.connects == 6


async def test_a_sink_that_raises_when_closing_harms_nothing(outpost: Outpost) -> None:
    class Rude(ScriptedSink):
        async def close(self) -> None:
            raise ZeroDivisionError

    sink = Rude(backoff=QUICK)
    sink.setup()
    sink.on_send = Failures(1, SinkUnavailable("away"), sink.on_send)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a")))
        await caught_up(delivery)


async def test_a_failed_spool_ends_the_delivery(outpost: Outpost, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = scripted()

    async def read(_: int) -> list[Item]:
        raise SpoolFailed("the disk is gone")

    async with outpost.opened():
        monkeypatch.setattr(outpost.subscription, "read", read)
        with pytest.raises(SpoolFailed):
            await asyncio.wait_for(outpost.delivery(sink).run(), DEADLINE)
    assert sink.closes == 1


# What the far side expects


async def test_it_goes_on_from_what_the_far_side_has(outpost: Outpost) -> None:
    sink = scripted()
    sink.on_connect = lambda outlet: outlet.cursor + 3
    async with outpost.opened() as spool:
        begin = spool.next_seq
        await outpost.append(*(frame_draft(lines(str(number))) for number in range(5)))
        async with outpost.delivering(sink) as delivery:
            await caught_up(delivery)
    assert sink.seqs() == [begin + 3, begin + 4]


async def test_it_never_goes_back_before_the_cursor(outpost: Outpost) -> None:
    sink = scripted()
    sink.on_connect = lambda _: 0
    async with outpost.opened():
        for _ in range(2):
            await outpost.append(frame_draft(lines("a")))
            async with outpost.delivering(sink) as delivery:
                await caught_up(delivery)
    assert len(sink.given) == 2


async def test_a_far_side_that_has_more_than_was_ever_written_is_an_error(outpost: Outpost) -> None:
    """A data directory was put back: going on would number new records as the far side's old ones."""
    sink = scripted()
    sink.on_connect = lambda outlet: outlet.next_seq + 5
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a")))
        async with outpost.delivering(sink) as delivery:
            await until(lambda: "older data directory" in delivery.state)
    assert sink.given == []


# where


async def test_without_a_where_a_payload_is_not_decoded(outpost: Outpost) -> None:
    """One that nobody can decompress goes on as it is: its checksums hold."""
    made = frame_draft(lines(*(f"line {number}" for number in range(200))))
    middle = len(made.payload) // 2
    made.payload = made.payload[:middle] + bytes(16) + made.payload[middle + 16 :]
    made.crc = made.original_crc = crc32c(made.payload)
    sink = scripted()
    async with outpost.opened() as spool:
        await outpost.append(made)
        async with outpost.delivering(sink) as delivery:
            await caught_up(delivery)
        (frame,) = [item.body for item in sink.given]
        assert isinstance(frame, Frame)
        assert frame.raw == made.stamp(spool.stream, 1)[0]
    with pytest.raises(FrameError, match="cannot be decompressed"):
        frame.payload()
    assert outpost.dead_letters() == []


async def test_where_thins_frames_and_sends_empty_ones_too(outpost: Outpost) -> None:
    sink = scripted(where="level == 'error'")
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(
            frame_draft(ndjson({"n": 0, "level": "info"}, {"n": 1, "level": "error"}, {"n": 2, "level": "error"})),
            frame_draft(ndjson({"n": 3, "level": "info"})),
            frame_draft(ndjson({"n": 4, "level": "error"})),
        )
        await caught_up(delivery)
    frames = [item.body for item in sink.given]
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.records for frame in frames if isinstance(frame, Frame)] == [2, 0, 1]
    assert outpost.metrics.value("shipper_sink_acked_total", sink="out") == 3


async def test_a_thinned_frame_keeps_number_identity_bytes_and_the_whole_ones_checksum(outpost: Outpost) -> None:
    sink, whole = scripted(where="message == 'b' or message == 'd'"), scripted()
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a", "b", "c", "d")))
        item = (await outpost.subscription.read(1 << 20))[0]
        async with outpost.delivering(sink) as delivery:
            await caught_up(delivery)
            cursor_crc = delivery.cursor_crc
    before, after = item.body, sink.given[0].body
    assert isinstance(before, Frame)
    assert isinstance(after, Frame)
    assert cursor_crc == after.original_check == before.check != after.check
    decode(after.raw).verify()
    payload = after.payload()
    assert payload is not None
    assert payload.raw() == [b"b", b"d"]
    assert after.identities() == (before.stream, before.seq, [1, 3])
    assert (after.seq, after.labels, after.meta.ranges) == (before.seq, before.labels, before.meta.ranges)
    assert after.original_crc == before.crc != after.crc
    assert whole.given == []


async def test_a_frame_whose_records_all_meet_where_stays_as_it_is(outpost: Outpost) -> None:
    sink = scripted(where="host == 'edge-1'")
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a")))
        raw = [item.body.raw for item in await outpost.subscription.read(1 << 20) if isinstance(item.body, Frame)]
        async with outpost.delivering(sink) as delivery:
            await caught_up(delivery)
    assert [item.body.raw for item in sink.given if isinstance(item.body, Frame)] == raw


async def test_a_frame_that_where_cannot_read_goes_to_the_dead_letters(outpost: Outpost) -> None:
    sink = scripted(where="level == 'error'")
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(unreadable_draft())
        await caught_up(delivery)
    assert [letter.raw for letter in outpost.dead_letters()] == [b"two\nlines\n"]
    assert [item.body.records for item in sink.given if isinstance(item.body, Frame)] == [0]
    assert acked(outpost) == 0


# Refused records


class Picky(ScriptedSink):
    """Refuses the second record of every frame."""

    async def send(self, items: Sequence[Item]) -> None:
        for item in items:
            assert isinstance(item.body, Frame)
            payload = item.body.payload()
            if payload is None:
                continue
            await self.outlet.refuse(item, 1, payload.raw()[1], "too blue")
        await super().send(items)


def picky(where: str | None = None) -> Picky:
    sink = Picky(backoff=QUICK, breaker=NEVER_OPEN, where=where)
    sink.setup()
    return sink


async def test_a_refused_record_is_a_dead_letter_with_its_reason_and_place(outpost: Outpost) -> None:
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a", "b")))
    await outpost.deliver_all(picky())
    (letter,) = outpost.dead_letters()
    assert (letter.raw, letter.size, letter.processor, letter.error) == (b"b", 1, "sink/out", "too blue")
    assert (letter.labels, letter.source, letter.generation, letter.index) == ({"host": "edge-1"}, "app", b"g" * 16, 1)
    assert outpost.metrics.value("shipper_dead_letters_total", processor="sink/out") == 1
    assert acked(outpost) == 1


async def test_a_sink_goes_on_from_a_refused_record_only_when_its_dead_letter_is_durable(
    outpost: Outpost, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go_on, sync = threading.Event(), threading.Event(), os.fdatasync

    def slow_sync(descriptor: int) -> None:
        syncing.set()
        go_on.wait(DEADLINE)
        sync(descriptor)

    async with outpost.opened():
        await outpost.append(frame_draft(lines("a", "b")))
        (item,) = await outpost.subscription.read(1 << 20)
        monkeypatch.setattr(os, "fdatasync", slow_sync)
        refusing = asyncio.ensure_future(outpost.delivery(picky()).refuse(item, 1, b"b", "too blue"))
        await until(syncing.is_set, "the letter is written")
        ended = refusing.done()
        go_on.set()
        await refusing
        assert not ended


async def test_a_frame_that_where_cannot_read_takes_no_dead_letter_from_the_frames_before_it(outpost: Outpost) -> None:
    sink = picky(where="host == 'edge-1'")
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a", "b")), unreadable_draft(), frame_draft(lines("c", "d")))
    await outpost.deliver_all(sink)
    assert [letter.raw for letter in outpost.dead_letters()] == [b"b", b"two\nlines\n", b"d"]
    assert acked(outpost) == 2


async def test_a_record_refused_again_is_not_written_again(outpost: Outpost) -> None:
    """After a failure of the same process, and after a restart with a lost cursor."""
    sink = picky()
    sink.on_send = Failures(2, SinkUnavailable("away"), sink.on_send)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a", "b")), frame_draft(lines("c", "d")))
        await caught_up(delivery)
    assert acked(outpost) == 2
    outpost.lose_cursor()
    await outpost.deliver_all(picky())
    assert acked(outpost) == 4
    assert [letter.raw for letter in outpost.dead_letters()] == [b"b", b"d"]


async def test_when_the_dead_letters_are_full_the_loss_is_counted_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outpost = Outpost(tmp_path, dead_letter_bytes=400)
    async with outpost.opened():
        await outpost.append(*(frame_draft(lines("a", "refused" * 10)) for _ in range(4)))
    await outpost.deliver_all(picky())
    assert len(outpost.dead_letters()) == 1
    labels = {"processor": "sink/out", "reason": "dead_letters_full"}
    assert outpost.metrics.value("shipper_records_dropped_total", **labels) == 3
    assert outpost.metrics.value("shipper_lost_bytes_total", reason="dead_letters_full") == 3 * 70
    assert acked(outpost) == 4
    assert "the dead letters are full" in capsys.readouterr().err


async def test_many_refusals_at_once_do_not_overfill_the_dead_letters(tmp_path: Path) -> None:
    class AllAtOnce(ScriptedSink):
        async def send(self, items: Sequence[Item]) -> None:
            for item in items:
                assert isinstance(item.body, Frame)
                await refuse(self.outlet, each_record(item, item.body, "no"))
            await super().send(items)

    sink = AllAtOnce(backoff=QUICK)
    sink.setup()
    outpost = Outpost(tmp_path, dead_letter_bytes=2000)
    async with outpost.opened():
        await outpost.append(frame_draft(lines(*map(str, range(300)))))
    await outpost.deliver_all(sink)
    kept = [letter.index for letter in outpost.dead_letters()]
    assert kept == sorted(set(kept))
    assert outpost.spool.dead_letter_bytes <= 2000
    labels = {"processor": "sink/out", "reason": "dead_letters_full"}
    assert outpost.metrics.value("shipper_records_dropped_total", **labels) == 300 - len(kept)
    assert acked(outpost) == 0


async def test_a_frame_that_a_sink_refuses_as_a_whole_counts_no_record_as_acknowledged(outpost: Outpost) -> None:
    class Reading(ScriptedSink):
        async def send(self, items: Sequence[Item]) -> None:
            refusals: list[Refusal] = []
            for item in items:
                lines_of(item, identity=False, read_at=False, refusals=refusals)
            await refuse(self.outlet, refusals)
            await super().send(items)

    sink = Reading(backoff=QUICK)
    sink.setup()
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a", "b")), unreadable_draft(), frame_draft(lines("c")))
        await caught_up(delivery)
    assert acked(outpost) == 3


# Metrics


@pytest.mark.parametrize(
    ("read_at", "at_least", "below"),
    [(0, 0, 60), (None, 3000, 4000), (2**60, 0, 60)],
    ids=["long ago is not believed", "an hour ago is", "the future is not"],
)
async def test_latency_counts_from_the_read_when_that_is_plausible(
    outpost: Outpost, read_at: int | None, at_least: float, below: float
) -> None:
    import time

    sink = scripted()
    when = int((time.time() - 3500) * 1e6) if read_at is None else read_at
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("a", "b"), read_at=when))
        await caught_up(delivery)
    text = outpost.metrics.render()
    assert 'shipper_delivery_latency_seconds_count{sink="out"} 2' in text
    total = next(line for line in text.splitlines() if line.startswith("shipper_delivery_latency_seconds_sum"))
    assert at_least <= float(total.split()[-1]) / 2 < below


async def test_an_alarm_is_logged_and_counted(outpost: Outpost, capsys: pytest.CaptureFixture[str]) -> None:
    async with outpost.opened():
        outpost.delivery(scripted()).alarm("file_changed", "somebody wrote to it", path="/x")
    assert outpost.metrics.value("shipper_sink_alarms_total", sink="out", kind="file_changed") == 1
    assert '"path":"/x"' in capsys.readouterr().err
