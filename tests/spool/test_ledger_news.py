"""The ledger of a spool is what its entries say: after any crash, under any upstream, in every form of a frame."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ledgers import FILE, LABELS, OTHER, STREAM, read_draft, received, sent, span
from support.simdisk import SimDisk

from shipper.batch import ELSEWHERE, SourceRange, Upstream
from shipper.ledger.book import Book, Told
from shipper.spool.body import GapNote
from shipper.spool.draft import EntryDraft
from shipper.spool.frame import FrameMeta
from shipper.spool.inspect import look
from shipper.spool.store import Store

MAX_BYTES = 2 * 1024 * 1024


def opened(disk: SimDisk) -> Store:
    return Store(disk, MAX_BYTES, 1 << 20, ["a"])


def ledger(disk: SimDisk) -> Book:
    return look(disk).ledger


def same(one: Book, other: Book) -> bool:
    return bool(msgspec.to_builtins(one) == msgspec.to_builtins(other))


def taken_apart(seq: int, *spans: SourceRange, kept: int) -> EntryDraft:
    """The frame of an upstream, framed anew because the chain wants its records."""
    frame = sent(seq, *spans)
    own = SourceRange("edge", STREAM, seq, seq + 1, frame.records, kept, {"drop/filtered": frame.records - kept})
    draft = read_draft(own)
    draft.upstream = Upstream(STREAM, seq, 1, b"i" * 16, frame.check, 1)
    draft.came = frame.meta
    return draft


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_after_every_kind_of_end_the_ledger_is_that_of_what_is_durable(seed: int) -> None:
    """Entries of every kind over several lives, through small segments: those that look from outside see it too."""
    dice = random.Random(seed)
    disk = SimDisk()
    at, seq = 0, 1
    for _ in range(4):
        store = opened(disk)
        for _ in range(dice.randrange(12)):
            size = dice.choice([1, 300, 60_000])
            step = dice.randrange(1, 50)
            match dice.randrange(5):
                case 0:
                    draft = read_draft(span(at, at + step), span(0, step, OTHER), size=size)
                    at += step
                case 1:
                    draft = received(seq, span(at, at + step, b"of-an-agent-0000"))
                    seq += 1
                    at += step
                case 2:
                    draft = taken_apart(seq, span(at, at + step, b"of-an-agent-0000"), kept=dice.randrange(2))
                    seq += 1
                    at += step
                case 3:
                    note = GapNote(STREAM, seq, seq + step, step, "corrupt")
                    draft = EntryDraft(upstream=Upstream(STREAM, seq, 1, b"i" * 16, 0, 1), gap=note)
                    seq += step + 1
                case _:
                    seq += step
                    draft = received(seq, span(at, at + step, b"of-an-agent-0000"), floor=seq)
                    seq += 1
                    at += step
            assert len(store.commit([draft])) == 1
            assert same(ledger(disk), store.log.facts.ledger), "from outside"
        kept = msgspec.msgpack.encode(store.log.facts.ledger)
        if dice.random() < 0.5:
            store.close()
        elif dice.random() < 0.5:
            disk.kill()
        else:
            disk = disk.power_cut("some", "some", dice)
        assert msgspec.msgpack.encode(opened(disk).log.facts.ledger) == kept
        disk.kill()


def test_a_frame_that_passes_on_and_one_that_is_taken_apart_tell_the_same_of_the_agents_files() -> None:
    passed, apart = opened(SimDisk()), opened(SimDisk())
    passed.commit([received(1, span(0, 10)), received(2, span(10, 30))])
    apart.commit([taken_apart(1, span(0, 10), kept=1), taken_apart(2, span(10, 30), kept=0)])
    account = apart.log.facts.ledger.accounts[FILE]
    assert (account.kept, account.dropped, account.dropped_here) == (2, {}, {"drop/filtered": 1})
    account.dropped_here = {}
    assert msgspec.to_builtins(passed.log.facts.ledger.accounts) == msgspec.to_builtins(apart.log.facts.ledger.accounts)


def test_a_duplicate_tells_nothing() -> None:
    store = opened(SimDisk())
    store.commit([received(1, span(0, 10)), received(1, span(0, 10)), received(2, span(10, 20))])
    account = store.log.facts.ledger.accounts[FILE]
    assert (account.covered, account.read, account.twice.bytes) == ([(0, 20)], 2, 0)


def test_a_new_collector_knows_that_what_came_before_is_elsewhere() -> None:
    store = opened(SimDisk())
    store.commit([received(5, span(100, 110), floor=5), received(9, span(300, 310), floor=9)])
    account = store.log.facts.ledger.accounts[FILE]
    assert (account.covered, account.missing[ELSEWHERE].spans) == ([(100, 310)], [(110, 300)])


def test_what_the_disk_refused_is_told_of_once() -> None:
    disk = SimDisk()
    store = opened(disk)
    store.commit([read_draft(span(0, 10))])
    disk.faults["sync"] = ["EIO"]
    store.commit([read_draft(span(10, 20))])
    account = store.log.facts.ledger.accounts[FILE]
    assert (account.covered, account.read, account.twice.bytes) == ([(0, 20)], 2, 0)


def test_a_spool_of_before_there_was_a_ledger_begins_one() -> None:
    disk = SimDisk()
    store = opened(disk)
    store.commit([EntryDraft([read_draft(span(0, 10)).frames[0]])])
    store.log.facts.ledger.accounts.clear()
    store.close()
    store = opened(disk)
    store.log.facts.ledger.accounts.clear()
    store.commit([read_draft(span(10, 20))])
    assert store.log.facts.ledger.accounts[FILE].covered == [(10, 20)]
    assert store.log.facts.ledger.accounts[FILE].holes == []


def test_labels_name_the_account_by_host_and_file() -> None:
    book = Book()
    book.enter(Told(FrameMeta(LABELS, []).labels, [span(0, 5)]))
    assert (book.accounts[FILE].host, book.accounts[FILE].file) == ("edge-1", "/var/log/a.log")
