"""What a sink refuses: in the dead letters, and in the ledger, of which file it was."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.delivering import DEADLINE, Outpost, lines, unreadable_draft
from support.ledgers import FILE, LABELS, OTHER, received, span

from shipper.cli.audit_listing import text
from shipper.ledger.audit import Audit, audit
from shipper.ledger.book import DEAD_LETTERED, DEAD_LETTERS_FULL, Told
from shipper.sinks.base import Frame, Item, Outlet, Sink
from shipper.sinks.flat import Refusal, each_record, lines_of, refuse
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import FrameMeta, draft
from shipper.spool.inspect import LookingDisk, look


class Strict(Sink):
    """Refuses the records at some places of every frame; a frame that it cannot read as a whole."""

    def setup(self) -> None:
        self.at: tuple[int, ...] = ()

    async def connect(self, outlet: Outlet) -> int:
        self.outlet = outlet
        return outlet.cursor

    async def send(self, items: Sequence[Item]) -> None:
        for item in items:
            assert isinstance(item.body, Frame)
            whole: list[Refusal] = []
            lines_of(item, identity=False, read_at=False, refusals=whole)
            await refuse(self.outlet, whole or [each_record(item, item.body, "too blue")[at] for at in self.at])
        self.outlet.acked(items[-1].next)

    async def broken(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Nothing is open."""


def strict(*at: int) -> Strict:
    sink = Strict()
    sink.setup()
    sink.at = at
    return sink


def of_two_files(at: int = 0) -> EntryDraft:
    """A frame of three records of one file and two of another."""
    ranges = [span(30 * at, 30 * at + 30, FILE, read=3), span(20 * at, 20 * at + 20, OTHER, read=2)]
    made = draft(lines(*"abcde"), FrameMeta(LABELS, ranges), 0)
    return EntryDraft([made], told=[Told(LABELS, ranges)])


async def deliver(outpost: Outpost, sink: Sink) -> None:
    """In a spool that is open."""
    async with outpost.delivering(sink) as delivery:
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)


def audit_of(outpost: Outpost) -> Audit:
    disk = LookingDisk(outpost.root / "data")
    return audit(disk, look(disk), "/data")


def refused(outpost: Outpost) -> dict[str, dict[str, int]]:
    """By generation, what the ledger says that the sink refused."""
    found = audit_of(outpost)
    assert found.balanced
    return {one.generation: one.sinks["out"].refused for one in found.accounts}


async def test_the_ledger_tells_what_a_sink_refused_of_which_file(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened() as spool:
        await spool.append(of_two_files())
        await deliver(outpost, strict(1, 3, 4))
    told = {FILE.hex(): {DEAD_LETTERED: 1}, OTHER.hex(): {DEAD_LETTERED: 2}}
    assert refused(outpost) == told
    assert [letter.raw for letter in outpost.dead_letters()] == [b"b", b"d", b"e"]
    outpost.lose_cursor()
    await outpost.deliver_all(strict(1, 3, 4))  # replayed from its entries, and not counted again
    assert refused(outpost) == told
    assert "2 of the kept refused by out: dead-lettered" in text(audit_of(outpost))


async def test_the_ledger_tells_what_was_lost_because_the_dead_letters_were_full(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path, dead_letter_bytes=400)
    async with outpost.opened() as spool:
        for at in range(4):
            await spool.append(of_two_files(at))
        await deliver(outpost, strict(0))
    told = {FILE.hex(): {DEAD_LETTERED: 2, DEAD_LETTERS_FULL: 2}, OTHER.hex(): {}}
    assert refused(outpost) == told
    assert len(outpost.dead_letters()) == 2
    outpost.lose_cursor()
    await outpost.deliver_all(strict(0))
    assert refused(outpost) == told
    assert "2 of the kept refused by out: lost, the dead letters were full" in text(audit_of(outpost))
    labels = {"processor": "sink/out", "reason": "dead_letters_full"}
    assert outpost.metrics.value("shipper_records_dropped_total", **labels) == 2


async def test_all_records_of_a_frame_that_is_refused_as_a_whole_are_told(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened() as spool:
        ranges = [span(0, 50, b"g" * 16, read=5)]
        await spool.append(EntryDraft([unreadable_draft()], told=[Told(LABELS, ranges)]))
    await outpost.deliver_all(strict())
    assert refused(outpost) == {(b"g" * 16).hex(): {DEAD_LETTERED: 5}}


async def test_what_came_from_another_node_counts_for_the_account_that_its_stream_has(tmp_path: Path) -> None:
    """A source without files is known by its name in its stream."""
    outpost = Outpost(tmp_path)
    async with outpost.opened() as spool:
        await spool.append(received(1, span(0, 2, b"")))
    await outpost.deliver_all(strict(0))
    assert list(refused(outpost).values()) == [{DEAD_LETTERED: 1}]


@pytest.mark.parametrize("at", [0, 4])
async def test_a_sink_that_refuses_a_record_has_not_lost_the_others(tmp_path: Path, at: int) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened() as spool:
        await spool.append(of_two_files())
    await outpost.deliver_all(strict(at))
    assert sum(sum(counts.values()) for counts in refused(outpost).values()) == 1
