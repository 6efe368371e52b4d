"""The spool with its writer thread, on a real disk."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.spool_model import frame_of, letter_of, upstream_frame
from support.until import until

from shipper.batch import Upstream
from shipper.errors import FutureFormat, ProtocolError, SpoolError, SpoolFailed, SpoolLocked
from shipper.sinks.base import Gap, Item
from shipper.spool.body import GapNote
from shipper.spool.dead_letters import letters
from shipper.spool.draft import EntryDraft
from shipper.spool.facts import Facts
from shipper.spool.files import Damage, segment_name
from shipper.spool.frame import Frame, crc32c
from shipper.spool.spool import Spool
from shipper.spool.subscription import Subscription

MAX_BYTES = 2 * 1024 * 1024
OTHER = b"upstream-stream1"
Open = Callable[..., Awaitable[Spool]]


@pytest.fixture
async def open_spool(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the spool of the test and starts it; the last one is closed at the end."""
    spools: list[Spool] = []

    async def open_it(sinks: Sequence[str] = ("a",), max_bytes: int = MAX_BYTES) -> Spool:
        if spools:
            await close(spools.pop())
        spool = Spool(tmp_path, max_bytes, 1 << 20, sinks)
        spool.start()
        spools.append(spool)
        return spool

    yield open_it
    for spool in spools:
        await close(spool)


async def close(spool: Spool) -> None:
    """Close it, also when the disk failed."""
    try:
        await spool.close()
    except SpoolFailed:
        assert spool.failed is not None


def draft(number: int, size: int = 100) -> EntryDraft:
    """A frame."""
    return EntryDraft([frame_of(number, size)], {"n": str(number).encode()})


def raw_of(spool: Spool, number: int, seq: int, size: int = 100) -> bytes:
    """The bytes of ``draft(number)`` as frame ``seq`` of a spool."""
    return frame_of(number, size).stamp(spool.stream, seq)[0]


async def read_all(feed: Subscription, until_seq: int) -> list[Item]:
    """Items up to a number."""
    items: list[Item] = []
    async with asyncio.timeout(20):
        while not items or items[-1].next < until_seq:
            items += await feed.read(1 << 20)
    return items


class Syncs:
    """Holds ``fdatasync`` back, counts it, makes it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.count = 0
        self.broken = False
        self._real = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._sync)

    def _sync(self, descriptor: int) -> None:
        self.count += 1
        self.gate.wait(20)
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        self._real(descriptor)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    """Control over the real disk's syncs."""
    return Syncs(monkeypatch)


async def test_what_is_appended_is_read_byte_for_byte_in_order(open_spool: Open) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    numbers = await asyncio.gather(*(spool.append(draft(number, 3000)) for number in range(50)))
    assert numbers == list(range(1, 51))
    items = await read_all(feed, 51)
    assert [item.seq for item in items] == numbers
    for number, item in enumerate(items):
        assert isinstance(item.body, Frame)
        assert item.body.raw == raw_of(spool, number, number + 1, 3000)
    assert (feed.backlog_frames, feed.cursor, spool.next_seq) == (50, 1, 51)
    assert feed.backlog_bytes > 50 * 3000
    assert feed.oldest_unacked_seconds >= 0


async def test_what_was_acknowledged_does_not_come_again_after_a_restart(open_spool: Open) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    await asyncio.gather(*(spool.append(draft(number)) for number in range(9)))
    items = await read_all(feed, 10)
    body = items[4].body
    assert isinstance(body, Frame)
    feed.ack(6, body.check)
    assert feed.cursor == 6
    first = spool
    spool = await open_spool()
    assert (spool.stream, spool.epoch) == (first.stream, first.epoch + 1)
    assert spool.incarnation != first.incarnation
    assert spool.state["n"] == b"8"
    feed = spool.subscribe("a")
    assert (feed.cursor, feed.cursor_crc, spool.floor) == (6, body.check, 6)
    assert [item.seq for item in await read_all(feed, 10)] == [6, 7, 8, 9]


async def test_one_sync_covers_all_that_gathered_meanwhile(open_spool: Open, syncs: Syncs) -> None:
    spool = await open_spool()
    syncs.gate.clear()
    before = syncs.count
    first = spool.append(draft(0))
    await until(lambda: syncs.count > before)
    others = [spool.append(draft(number)) for number in range(1, 100)]
    await asyncio.sleep(0)
    assert not any(future.done() for future in (first, *others)), "nothing is acknowledged before its sync"
    syncs.gate.set()
    assert await asyncio.gather(first, *others) == list(range(1, 101))
    assert syncs.count - before < 10


async def test_one_thread_writes_and_syncs(open_spool: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start to the end, whatever readers and sinks do meanwhile."""
    spool = await open_spool()
    feed = spool.subscribe("a")
    threads: dict[str, set[str]] = {}

    def recorded(name: str, call: Callable[..., Any], *args: Any) -> Any:
        threads.setdefault(name, set()).add(threading.current_thread().name)
        return call(*args)

    for name in ("pwrite", "pwritev", "fdatasync", "fsync", "ftruncate", "unlink", "posix_fallocate"):
        monkeypatch.setattr(os, name, partial(recorded, name, getattr(os, name)))
    for number in range(20):
        await spool.append(draft(number, 30_000))
        await spool.append(EntryDraft(dead_letters=[letter_of(number)]))
        for item in await feed.read(1 << 20):
            feed.ack(item.next, 0)
    await spool.close()
    assert threads.keys() == {"pwritev", "fdatasync", "fsync", "ftruncate", "unlink", "posix_fallocate"}
    assert set.union(*threads.values()) == {"spool-writer"}


async def test_nobody_sees_what_is_not_durable(open_spool: Open, syncs: Syncs) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    reading = asyncio.create_task(feed.read(1))
    syncs.gate.clear()
    before = syncs.count
    upstream = Upstream(OTHER, 0, 1, bytes(16), 1)
    future = spool.append(EntryDraft([upstream_frame(OTHER, 0, 1, 10)], upstream=upstream))
    await until(lambda: syncs.count > before)
    assert OTHER not in spool.marks
    assert not reading.done()
    syncs.gate.set()
    assert await future == 1
    assert spool.marks[OTHER].next == 1
    assert (await reading)[0].seq == 1


async def test_a_full_spool_makes_frames_wait_and_lets_dead_letters_pass(open_spool: Open) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    futures = [spool.append(draft(number, 30_000)) for number in range(100)]
    await until(lambda: spool.blocked)
    assert spool.used <= MAX_BYTES
    room = spool.dead_letter_room
    await spool.append(EntryDraft(dead_letters=[letter_of(1)]))
    assert spool.dead_letter_room < room
    assert spool.dead_letter_bytes > 0
    assert not futures[-1].done()
    read = 0
    async with asyncio.timeout(30):
        while read < 100:
            for item in await feed.read(100_000):
                read += 1
                assert isinstance(item.body, Frame)
                assert item.body.raw == raw_of(spool, read - 1, read, 30_000)
                feed.ack(item.next, item.body.check)
        assert await asyncio.gather(*futures) == list(range(1, 101))
    await until(lambda: not spool.blocked)


async def test_segments_that_the_disk_refuses_to_fill_are_not_tried_one_after_the_other(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room for a segment and none for what goes into it: that it is removed again makes no room."""
    interval = 0.1
    monkeypatch.setattr("shipper.spool.queue._RETRY_INTERVAL", interval)
    spool = await open_spool()
    feed = spool.subscribe("a")
    await spool.append(draft(0))
    (item,) = await feed.read(1 << 20)
    assert isinstance(item.body, Frame)
    feed.ack(item.next, item.body.check)
    reading = asyncio.create_task(feed.read(1 << 20))  # its cursor passes the segments that hold nothing
    refused: list[float] = []
    write = os.pwritev

    def refuse(descriptor: int, parts: Sequence[bytes], offset: int) -> int:
        if offset and os.readlink(f"/proc/self/fd/{descriptor}").endswith(".seg"):
            refused.append(time.monotonic())
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, parts, offset)

    monkeypatch.setattr(os, "pwritev", refuse)
    future = spool.append(draft(1))
    await until(lambda: len(refused) > 12)
    assert refused[12] - refused[4] > 7 * interval
    monkeypatch.setattr(os, "pwritev", write)
    assert await future == 2
    assert [item.seq for item in await reading] == [2]


async def test_a_gap_of_an_upstream_does_not_overtake_its_frames(open_spool: Open) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    futures = [spool.append(draft(number, 30_000)) for number in range(60)]
    await until(lambda: spool.blocked)
    for seq in range(3):
        upstream = Upstream(OTHER, seq, 1, bytes(16), seq)
        frame = upstream_frame(OTHER, seq, seq, 30_000)
        futures.append(spool.append(EntryDraft([frame], upstream=upstream)))
    gap = GapNote(OTHER, 3, 4, 5, "disk")
    futures.append(spool.append(EntryDraft(upstream=Upstream(OTHER, 3, 1, bytes(16), 0), gap=gap)))
    for item in await read_all(feed, 2):
        feed.ack(item.next, 0)
    async with asyncio.timeout(20):
        while not futures[-1].done():
            for item in await feed.read(1 << 20):
                feed.ack(item.next, 0)
            await asyncio.sleep(0)
    assert [future.result() for future in futures] == list(range(1, 65))


async def test_duplicates_and_jumps_of_an_upstream_are_told(open_spool: Open) -> None:
    spool = await open_spool()

    def from_upstream(seq: int) -> "asyncio.Future[int]":
        frame = upstream_frame(OTHER, seq, seq, 10)
        return spool.append(EntryDraft([frame], upstream=Upstream(OTHER, seq, 1, bytes(16), seq)))

    outcomes = [from_upstream(0), from_upstream(0), from_upstream(1)]
    assert await asyncio.gather(*outcomes) == [1, 0, 2]
    with pytest.raises(ProtocolError):
        await from_upstream(5)
    assert await from_upstream(2) == 3


async def test_a_batch_that_is_too_large_fails_alone(open_spool: Open) -> None:
    spool = await open_spool()
    huge = spool.append(EntryDraft([frame_of(1, 10)], {"x": bytes(33 << 20)}))
    other = spool.append(draft(2))
    with pytest.raises(SpoolError, match="over the limit"):
        await huge
    assert await other == 1


async def test_rewind_reads_again_from_the_cursor(open_spool: Open) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    await asyncio.gather(*(spool.append(draft(number)) for number in range(5)))
    await read_all(feed, 6)
    feed.ack(3, 0)
    feed.rewind()
    assert [item.seq for item in await read_all(feed, 6)] == [3, 4, 5]
    feed.ack(99, 0)
    assert feed.cursor == 6
    feed.ack(2, 0)
    assert feed.cursor == 6, "a cursor never goes back"
    assert feed.backlog_frames == 0
    assert feed.backlog_bytes == 0
    assert feed.oldest_unacked_seconds == 0


async def test_forward_passes_over_what_the_far_side_has(open_spool: Open) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    await asyncio.gather(*(spool.append(draft(number)) for number in range(5)))
    feed.rewind()
    await feed.forward(4)
    assert feed.cursor == 4
    assert feed.cursor_crc == frame_of(2, 100).stamp(spool.stream, 3)[1]
    assert [item.seq for item in await read_all(feed, 6)] == [4, 5]
    feed.rewind()
    await feed.forward(1000)
    assert feed.cursor == 6, "numbers that were not given are left alone"
    await spool.append(draft(9))
    assert [item.seq for item in await feed.read(1)] == [6]


async def test_forward_does_not_read_whole_segments_that_the_far_side_has(open_spool: Open, tmp_path: Path) -> None:
    spool = await open_spool(max_bytes=4 << 20)  # segments of 256 KiB
    await asyncio.gather(*(spool.append(draft(number, 50_000)) for number in range(30)))
    spool = await open_spool(max_bytes=4 << 20)
    segments = sorted(tmp_path.glob("*.seg"))
    assert len(segments) > 5
    for path in segments[:4]:
        path.write_bytes(path.read_bytes().replace(b"SHPF", b"gone"))
    feed = spool.subscribe("a")
    feed.rewind()
    await feed.forward(29)
    assert (feed.cursor, spool.damages) == (29, [])
    assert feed.cursor_crc == frame_of(27, 50_000).stamp(spool.stream, 28)[1]
    assert [item.seq for item in await read_all(feed, 31)] == [29, 30]


async def test_a_backlog_larger_than_the_memory_for_it_is_read_from_disk(open_spool: Open) -> None:
    spool = await open_spool(max_bytes=64 << 20)
    feed = spool.subscribe("a")
    await asyncio.gather(*(spool.append(draft(number, 200_000)) for number in range(60)))
    assert not spool._store.reader(lambda _: None).in_memory
    items = await read_all(feed, 61)
    for number, item in enumerate(items):
        assert isinstance(item.body, Frame)
        assert item.body.raw == raw_of(spool, number, number + 1, 200_000)


async def test_the_room_of_a_removed_segment_is_free_at_once_also_while_its_reader_waits(
    open_spool: Open, tmp_path: Path
) -> None:
    spool = await open_spool()
    await asyncio.gather(*(spool.append(draft(number, 30_000)) for number in range(20)))
    spool = await open_spool()  # what it finds it must read from disk
    feed = spool.subscribe("a")
    await read_all(feed, 21)
    reading = asyncio.create_task(feed.read(1))
    feed.ack(21, 0)
    await until(lambda: len(list(tmp_path.glob("*.seg"))) == 1)
    held = [os.readlink(link.path) for link in os.scandir("/proc/self/fd") if os.path.lexists(link.path)]
    assert [name for name in held if str(tmp_path) in name and "(deleted)" in name] == []
    await spool.append(draft(20))
    assert [item.seq for item in await reading] == [21]


async def test_each_sink_has_a_cursor_of_its_own(open_spool: Open) -> None:
    spool = await open_spool(["a", "b"])
    a, b = spool.subscribe("a"), spool.subscribe("b")
    await asyncio.gather(*(spool.append(draft(number)) for number in range(5)))
    await read_all(a, 6)
    await read_all(b, 6)
    a.ack(6, 0)
    assert (a.name, a.cursor, b.cursor, spool.floor) == ("a", 6, 1, 1)
    spool = await open_spool(["a", "b", "c"])
    assert [spool.subscribe(name).cursor for name in "abc"] == [6, 1, 6]


async def test_segments_that_hold_nothing_unread_go_also_when_nothing_is_appended(
    open_spool: Open, tmp_path: Path
) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    await spool.append(draft(1))
    await read_all(feed, 2)
    feed.ack(2, 0)
    for _ in range(5):
        spool = await open_spool()
        feed = spool.subscribe("a")
        reading = asyncio.create_task(feed.read(1))
        await until(lambda: len(list(tmp_path.glob("*.seg"))) == 1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        feed.rewind()


async def test_empty_segments_of_many_starts_go_once_the_last_frame_is_acknowledged(
    open_spool: Open, tmp_path: Path
) -> None:
    spool = await open_spool()
    await spool.append(draft(1))
    for _ in range(5):
        spool = await open_spool()
    assert len(list(tmp_path.glob("*.seg"))) == 6
    feed = spool.subscribe("a")
    await read_all(feed, 2)
    reading = asyncio.create_task(feed.read(1))
    await asyncio.sleep(0)
    feed.ack(2, 0)
    await until(lambda: len(list(tmp_path.glob("*.seg"))) == 1)
    await spool.append(draft(2))
    assert [item.seq for item in await reading] == [2]


async def test_close_writes_what_is_queued_and_then_takes_nothing(open_spool: Open) -> None:
    spool = await open_spool()
    futures = [spool.append(draft(number)) for number in range(600)]
    await spool.close()
    assert [await future for future in futures] == list(range(1, 601))
    with pytest.raises(SpoolError, match="closed"):
        await spool.append(draft(1))
    spool = await open_spool()
    assert spool.next_seq == 601
    assert not spool.damages


async def test_what_a_full_spool_kept_waiting_is_given_up_at_close(open_spool: Open) -> None:
    spool = await open_spool()
    futures = [spool.append(draft(number, 30_000)) for number in range(100)]
    await until(lambda: spool.blocked)
    await spool.close()
    written = [future for future in futures if not future.cancelled()]
    assert 0 < len(written) < 100
    assert [future.result() for future in written] == list(range(1, len(written) + 1))
    spool = await open_spool()
    assert spool.next_seq == len(written) + 1


async def test_a_caller_that_gave_up_changes_nothing(open_spool: Open) -> None:
    spool = await open_spool()
    spool.append(draft(0)).cancel()
    assert await spool.append(draft(1)) == 2


async def test_a_failed_sync_fails_everything_and_acknowledges_nothing(
    open_spool: Open, syncs: Syncs, tmp_path: Path
) -> None:
    spool = await open_spool()
    assert await spool.append(draft(0)) == 1
    syncs.gate.clear()
    before = syncs.count
    in_flight = spool.append(draft(1))
    await until(lambda: syncs.count > before)
    queued = [spool.append(draft(2)), spool.append(EntryDraft(dead_letters=[letter_of(1)]))]
    syncs.broken = True
    syncs.gate.set()
    for future in (in_flight, *queued):
        with pytest.raises(SpoolFailed, match="Input/output error"):
            await future
    with pytest.raises(SpoolFailed):
        await spool.append(draft(3))
    assert spool.failed is not None
    with pytest.raises(SpoolFailed):
        await spool.close()
    syncs.broken = False
    spool = await open_spool()
    assert spool.next_seq in (2, 3), "what was acknowledged is there; what was not may be"
    items = await read_all(spool.subscribe("a"), 2)
    body = items[0].body
    assert isinstance(body, Frame)
    assert body.raw == raw_of(spool, 0, 1)


async def test_a_mistake_in_the_writer_after_it_wrote_an_entry_fails_everything_and_readers_hold_nobody_up(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is there for readers, and will never be durable: who waits for it waits, and the process can end."""
    spool = await open_spool()
    reading = asyncio.create_task(spool.subscribe("a").read(1))
    monkeypatch.setattr(Facts, "confirm", lambda self: 1 // 0)
    with pytest.raises(SpoolFailed, match="ZeroDivisionError"):
        await spool.append(draft(0))
    await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()
    assert isinstance(spool.failed, SpoolFailed)


async def test_a_writer_that_ends_for_any_reason_fails_what_waits(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = await open_spool()

    def crash(_drafts: object) -> None:
        raise MemoryError

    monkeypatch.setattr(spool._store, "commit", crash)
    with pytest.raises(SpoolFailed, match="MemoryError"):
        await spool.append(draft(1))


async def test_damage_that_a_sink_meets_is_told_once(open_spool: Open, tmp_path: Path) -> None:
    spool = await open_spool(["a", "b"])
    await asyncio.gather(*(spool.append(draft(number)) for number in range(5)))
    (name,) = [path.name for path in tmp_path.glob("*.seg")]
    spool = await open_spool(["a", "b"])
    data = bytearray((tmp_path / name).read_bytes())
    places = [at for at in range(len(data)) if data[at : at + 4] == b"SHPE"]
    data[places[2] + 60] ^= 1
    (tmp_path / name).write_bytes(data)
    told: list[Damage] = []
    spool.on_damage = told.append
    for sink in "ab":
        items = await read_all(spool.subscribe(sink), 6)
        assert items[1].body == Gap(2, 2, -1, "corrupt")
    await until(lambda: told)
    await spool.append(draft(9))
    assert [(damage.first, damage.last) for damage in told] == [(2, 2)]
    assert spool.damages == told
    assert len(list((tmp_path / "quarantine").iterdir())) == 1


async def test_dead_letters_come_once_across_restarts(open_spool: Open, tmp_path: Path) -> None:
    for run in range(3):
        spool = await open_spool()
        await spool.append(EntryDraft(dead_letters=[letter_of(run)]))
        await spool.append(EntryDraft([frame_of(1, 10)], dead_letters=[letter_of(10 + run)]))
    await open_spool()
    (path,) = (tmp_path / "dead_letters").iterdir()
    assert [stored.letter.error for stored, _, _ in letters(path.read_bytes())] == ["0", "10", "1", "11", "2", "12"]


async def test_a_second_spool_in_the_directory_is_refused(open_spool: Open, tmp_path: Path) -> None:
    await open_spool()
    with pytest.raises(SpoolLocked):
        Spool(tmp_path, MAX_BYTES, 1 << 20, ["a"])


async def test_a_spool_that_could_not_be_opened_lets_go_of_the_directory(open_spool: Open, tmp_path: Path) -> None:
    spool = await open_spool()
    await spool.close()
    path = tmp_path / segment_name(1)
    good = path.read_bytes()
    head = good[:4] + b"\2\0" + good[6:60]
    path.write_bytes(head + crc32c(head).to_bytes(4, "little") + good[64:])
    for _ in range(2):
        with pytest.raises(FutureFormat):
            Spool(tmp_path, MAX_BYTES, 1 << 20, ["a"])
    path.write_bytes(good)
    await open_spool()


async def test_cursors_are_written_about_once_a_second_without_a_restart(open_spool: Open, tmp_path: Path) -> None:
    spool = await open_spool()
    feed = spool.subscribe("a")
    before = (tmp_path / "cursors" / "a").read_bytes()
    await spool.append(draft(1))
    await read_all(feed, 2)
    feed.ack(2, 0)
    await until(lambda: (tmp_path / "cursors" / "a").read_bytes() != before)
