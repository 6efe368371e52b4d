"""Collectors that take each other's senders over, at a real broker: each number is written once."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from support.delivering import DEADLINE, frame_draft, lines
from support.kafka_client import Kafka
from support.kafka_once import BEGIN, COMMIT, exactly_once_sink, hooked
from support.kafka_sinks import texts
from support.wire import MemoryOutlet

from shipper.errors import SinkUnavailable
from shipper.sinks.base import Claimed, Item, Sent
from shipper.sinks.kafka.exactly_once import ExactlyOnce
from shipper.spool.body import Mark
from shipper.spool.frame import decode

SENDER = b"sender.........!"
EPOCH, INCARNATION = 5, b"incarnation....!"


class Collector:
    """The sink of one collector, and what its spool would hand to it."""

    def __init__(self, kafka: Kafka, topic: str, cursors: str) -> None:
        self.sink = exactly_once_sink(kafka, topic, cursors)
        self.outlet = MemoryOutlet(name="out", stream=os.urandom(16))
        self._seq = 0

    async def connect(self) -> None:
        """As its delivery does at the start, and after every failure: until it works."""
        async with asyncio.timeout(DEADLINE):
            while True:
                with suppress(SinkUnavailable):
                    self.outlet.cursor = max(self.outlet.cursor, await self.sink.connect(self.outlet))
                    self._seq = self.outlet.cursor - 1
                    return
                await asyncio.sleep(0.02)

    async def claim(self, stream: bytes = SENDER, floor: int = 1) -> Claimed:
        return await self.sink.claim(stream, floor)

    async def deliver(self, *numbers: int, stream: bytes = SENDER) -> None:
        """Frames of a sender, each with one record that says which it is; returns when they are acknowledged."""
        for number in numbers:
            self._seq += 1
            frame = decode(frame_draft(lines(f"{stream[0]} {number}")).stamp(stream, number)[0])
            mark = Mark(number + 1, EPOCH, INCARNATION, frame.check, frame.check)
            await self.sink.send([Item(self._seq, frame, Sent(stream, number, mark))])
        ways = [asyncio.ensure_future(self.sink.broken()), asyncio.ensure_future(self.outlet.reach(self._seq + 1))]
        ended, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for one in others:
            one.cancel()
        for one in ended:
            one.result()


Start = Callable[[], Awaitable[Collector]]


@pytest.fixture
async def topic(kafka: Kafka) -> str:
    return await kafka.create()


@pytest.fixture
async def start(kafka: Kafka, topic: str) -> Any:
    cursors = await kafka.create(settings={"cleanup.policy": "compact"})
    async with AsyncExitStack() as stack:

        async def started() -> Collector:
            collector = Collector(kafka, topic, cursors)
            stack.push_async_callback(collector.sink.close)
            await collector.connect()
            return collector

        yield started


async def test_a_stream_that_nobody_had_begins_where_its_sender_does(kafka: Kafka, topic: str, start: Start) -> None:
    collector = await start()
    claimed = await collector.claim(floor=7)
    assert (claimed.mark.next, claimed.fresh) == (7, True)
    await collector.deliver(7, 8)
    assert collector.sink.held(SENDER) == 9
    assert texts(await kafka.read(topic)) == [f"{SENDER[0]} 7", f"{SENDER[0]} 8"]


async def test_what_is_not_claimed_is_passed_over(kafka: Kafka, topic: str, start: Start) -> None:
    collector = await start()
    await collector.deliver(1, 2)
    assert collector.outlet.cursor == 3
    assert await kafka.read(topic) == []


async def test_the_next_collector_goes_on_where_the_last_one_was(kafka: Kafka, topic: str, start: Start) -> None:
    """It learns which frame that is, and the last one finds itself shut out, and passes over what it still holds."""
    first, second = await start(), await start()
    await first.claim()
    await first.deliver(1, 2)
    claimed = await second.claim()
    assert claimed.mark.next == 3
    assert (claimed.mark.epoch, claimed.mark.incarnation) == (EPOCH, INCARNATION)
    assert claimed.mark.crc
    with pytest.raises(SinkUnavailable):
        await first.deliver(3)
    await first.connect()
    await first.deliver(3)
    await second.deliver(1, 2, 3, 4)
    assert texts(await kafka.read(topic)) == [f"{SENDER[0]} {number}" for number in (1, 2, 3, 4)]


async def test_nobody_is_shut_out_before_the_claim_can_be_seen(start: Start) -> None:
    """The coordinator answers a commit before the topic shows it; here long before."""
    steps: list[str] = []
    commits: list[Callable[[], Awaitable[Any]]] = []
    looks = 0

    async def answered_early(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal looks
        if request == COMMIT and steps and not commits:
            commits.append(send)
            return SimpleNamespace(error_code=0)
        looks += request == "OffsetRequest" and bool(commits)
        if looks == 3 and "seen" not in steps:
            steps.append("seen")
            await commits[0]()
        if request == "InitProducerIdRequest" and steps:
            steps.append("shut out")
        return await send()

    first = await start()
    await first.claim()
    with hooked(answered_early):
        second = await start()
    steps.append("claim")
    await second.claim()
    assert list(dict.fromkeys(steps)) == ["claim", "seen", "shut out"]


async def test_who_begins_anew_after_a_takeover_learns_of_it(
    kafka: Kafka, topic: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To begin anew undoes that it was shut out: its numbers were used up, at that moment."""
    monkeypatch.setattr(ExactlyOnce, "renew_after", 0)
    first, second = await start(), await start()
    await first.claim()
    await first.deliver(1, 2)
    assert (await second.claim()).mark.next == 3
    await first.deliver(3)
    await second.deliver(3, 4)
    assert texts(await kafka.read(topic)) == [f"{SENDER[0]} {number}" for number in (1, 2, 3, 4)]


async def test_a_stream_that_is_claimed_here_is_not_claimed_again(start: Start) -> None:
    commits = 0

    async def counted(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal commits
        commits += request == COMMIT
        return await send()

    with hooked(counted):
        collector = await start()
    await collector.claim()
    before = commits
    claimed = await collector.claim()
    assert (claimed.mark.next, claimed.fresh, commits) == (1, False, before)


async def test_claims_that_come_together_share_a_transaction(start: Start) -> None:
    commits = 0

    async def counted(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal commits
        commits += request == COMMIT
        return await send()

    with hooked(counted):
        first, second = await start(), await start()
    streams = [bytes([number]) * 16 for number in range(100)]
    await asyncio.gather(*(first.claim(stream) for stream in streams))
    before = commits
    await asyncio.gather(*(second.claim(stream) for stream in streams))
    assert commits - before <= 2
    await second.deliver(1, stream=streams[50])
    assert second.sink.held(streams[50]) == 2


async def test_claims_of_one_who_was_shut_out_fail_and_hold_nothing_up(start: Start) -> None:
    """One of them comes while another one is being written, and fails with it."""
    late: list[asyncio.Future[Claimed]] = []
    shut_out = False

    async def claim_meanwhile(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        if request == BEGIN and shut_out:
            late.append(asyncio.ensure_future(first.claim(b"another sender..")))
            await asyncio.sleep(0)
        return await send()

    with hooked(claim_meanwhile):
        first = await start()
    second = await start()
    await first.claim()
    await second.claim()
    shut_out = True
    with pytest.raises(SinkUnavailable):
        await first.claim()
    with pytest.raises(SinkUnavailable):
        await late[0]
    await first.connect()
    assert (await first.claim()).fresh


async def test_two_who_claim_at_once_never_both_deliver(kafka: Kafka, topic: str, start: Start) -> None:
    collectors = [await start(), await start(), await start()]

    async def roam(collector: Collector) -> None:
        """Claim, and deliver the next numbers, until a claim says that all is there."""
        at = 0
        while at <= 30:
            with suppress(SinkUnavailable):
                if at == 0:
                    await collector.connect()
                at = 0
                at = (await collector.claim()).mark.next
                await collector.deliver(at, at + 1)

    async with asyncio.timeout(180):
        await asyncio.gather(*map(roam, collectors))
    assert texts(await kafka.read(topic))[:30] == [f"{SENDER[0]} {number}" for number in range(1, 31)]


async def test_who_claims_while_the_sink_is_away_waits_for_it(start: Start) -> None:
    collector = await start()
    await collector.sink.close()
    claim = asyncio.ensure_future(collector.claim())
    await asyncio.sleep(0)
    assert not claim.done()
    await collector.connect()
    assert (await claim).mark.next == 1


async def test_a_claim_fails_with_the_connection(start: Start) -> None:
    collector = await start()
    claim = asyncio.ensure_future(collector.claim())
    await asyncio.sleep(0)
    await collector.sink.close()
    with pytest.raises(SinkUnavailable):
        await claim
