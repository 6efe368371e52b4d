"""What the book makes of what frames tell it."""

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import FILE, LABELS, OTHER, STREAM, as_set, span

from shipper.batch import ELSEWHERE, SourceRange
from shipper.ledger.account import HOLES_KEPT, Account
from shipper.ledger.book import DEAD_LETTERED, MOST, Book, Forgone, Refused, Told

cuts = st.lists(st.integers(1, 30), min_size=1, max_size=30)


def book_of(*told: Told) -> Book:
    book = Book()
    for one in told:
        book.enter(one)
    return book


def read(seq: int, *spans: SourceRange, stream: bytes = b"") -> Told:
    return Told(LABELS, list(spans), stream, seq)


@given(cuts, st.randoms(use_true_random=False))
def test_whatever_the_frames_a_file_that_was_read_is_one_range_with_all_its_records(
    sizes: list[int], dice: random.Random
) -> None:
    book, at = Book(), 0
    for seq, size in enumerate(sizes, 1):
        other = span(seq, seq + 1, OTHER)
        book.enter(read(seq, *dice.sample([span(at, at + size, read=size), other], 2)))
        at += size
    account = book.accounts[FILE]
    assert (account.covered, account.read, account.kept) == ([(0, at)], at, at)
    assert (account.holes, account.twice.bytes) == ([], 0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=Book) == book


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)), min_size=1, max_size=20))
def test_holes_and_what_was_read_twice_are_found_in_any_order(some: list[tuple[int, int]]) -> None:
    book, once, twice = Book(), set[int](), set[int]()
    for seq, (start, length) in enumerate(some, 1):
        new = set(range(start, start + length))
        twice |= once & new
        once |= new
        book.enter(read(seq, span(start, start + length)))
    account = book.accounts[FILE]
    assert as_set(account.covered) == once
    assert as_set(account.holes) == set(range(min(once), max(once) + 1)) - once
    assert (account.twice.bytes > 0) == bool(twice)


def test_a_gap_explains_what_is_missing_behind_it_and_nothing_before_it() -> None:
    book = book_of(read(1, span(0, 100), stream=STREAM))
    book.enter(read(2, span(150, 200), stream=STREAM))
    book.broken(STREAM, gap=4, reason="corrupt")
    book.enter(read(5, span(260, 300), stream=STREAM))
    account = book.accounts[FILE]
    assert account.holes == [(100, 150)]
    assert {reason: extent.spans for reason, extent in account.missing.items()} == {"corrupt": [(200, 260)]}
    book.enter(read(6, span(310, 320), stream=STREAM))
    assert account.holes == [(100, 150), (300, 310)]


def test_what_another_collector_acknowledged_is_elsewhere() -> None:
    book = book_of(read(1, span(0, 100), stream=STREAM))
    book.broken(STREAM, jump=7)
    book.enter(read(7, span(700, 800), stream=STREAM))
    account = book.accounts[FILE]
    assert account.holes == []
    assert account.missing[ELSEWHERE].spans == [(100, 700)]


def test_bytes_that_were_lost_are_covered_and_counted_by_reason() -> None:
    book = book_of(read(1, span(0, 100)), read(2, span(100, 300, lost="vanished"), span(50, 60, lost="too_long")))
    account = book.accounts[FILE]
    assert account.covered == [(0, 300)]
    assert {reason: extent.bytes for reason, extent in account.lost.items()} == {"vanished": 200, "too_long": 10}
    book.enter(read(3, span(150, 200)))
    assert account.twice.bytes == 0, "they were found again"


def test_records_are_counted_by_what_became_of_them() -> None:
    spans = [SourceRange("app", FILE, 0, 10, 6, 3, {"drop/filtered": 2}, 1), SourceRange("app", FILE, 10, 20, 1, 1)]
    account = book_of(read(1, *spans)).accounts[FILE]
    assert (account.read, account.kept, account.dropped, account.failed) == (7, 4, {"drop/filtered": 2}, 1)


def test_what_a_sink_gives_up_is_its_own_and_counted_once() -> None:
    book = book_of(read(1, span(0, 100)))
    for _ in range(2):
        book.forgo([Forgone("slow", "drop_oldest", FILE, 0, 40), Forgone("slow", "drop_oldest", FILE, 40, 60)])
    assert book.accounts[FILE].forgone["slow"]["drop_oldest"].spans == [(0, 60)]
    assert book.accounts[FILE].forgone["slow"]["drop_oldest"].bytes == 60


def test_an_account_stays_small_whatever_is_missing() -> None:
    account = Account("app")
    for at in range(10 * HOLES_KEPT):
        account.enter(span(100 * at, 100 * at + 50 + at % 7), b"", at, lambda _stream, _seq: "")
    assert len(account.covered) == HOLES_KEPT
    missing = sum(end - start for start, end in account.holes) + account.blurred
    assert missing == sum(50 - at % 7 for at in range(10 * HOLES_KEPT - 1))


def test_a_book_keeps_the_accounts_that_were_told_of_last_and_the_sums_of_the_others() -> None:
    book = Book()
    for at in range(MOST + 10):
        book.enter(read(at, span(0, 5, at.to_bytes(16, "little"))))
        book.enter(read(at, span(5 * at, 5 * at + 5)))
    assert len(book.accounts) == MOST
    assert FILE in book.accounts
    assert (book.closed["app"].accounts, book.closed["app"].covered, book.closed["app"].read) == (11, 55, 11)


def test_sources_without_generations_are_told_apart_by_stream_and_name() -> None:
    book = book_of(
        read(1, span(0, 5, b"")), read(1, span(0, 7, b""), stream=STREAM), read(1, span(0, 9, b""), stream=b"o" * 16)
    )
    assert sorted(account.end for account in book.accounts.values()) == [5, 7, 9]


def test_what_a_sink_refused_counts_for_its_account_and_for_all_together_once_that_is_closed() -> None:
    book = book_of(read(1, span(0, 10)))
    refused = [Refused("central", DEAD_LETTERED, FILE, 2), Refused("central", DEAD_LETTERED, OTHER, 3)]
    book.refuse(refused)
    assert book.accounts[FILE].refused == {"central": {DEAD_LETTERED: 2}}
    assert book.refused == {"central": {DEAD_LETTERED: 3}}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(book), type=Book) == book
