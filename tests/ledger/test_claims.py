"""A sender may claim anything in its ranges: the ledger stays small, and what it counts can be written."""

from shipper.batch import SourceRange
from shipper.ledger.book import MOST, Book, Told
from shipper.spool.body import Snapshot, decode_snapshot, encode_body
from shipper.wire.checked import LARGEST

STREAM = b"s" * 16
HUGE = SourceRange("app", b"g" * 16, 0, LARGEST, LARGEST, LARGEST, {"drop/where": LARGEST}, LARGEST)


def written(book: Book) -> Book:
    """The book as it comes back from a segment's snapshot."""
    snapshot = decode_snapshot(encode_body(Snapshot(ledger=book)))
    assert snapshot is not None
    return snapshot.ledger


def test_counts_that_grow_beyond_all_numbers_stop_at_the_largest_that_can_be_written() -> None:
    book = Book()
    for seq in range(1, 9):
        book.enter(Told({}, [HUGE], STREAM, seq))
    (account,) = written(book).accounts.values()
    assert account.read == account.kept == account.failed == account.dropped["drop/where"] == 2**63 - 1


def test_sums_of_closed_accounts_stop_there_too() -> None:
    book = Book()
    for number in range(MOST + 4):
        book.enter(Told({}, [SourceRange("app", number.to_bytes(16), 0, LARGEST, LARGEST)], STREAM, number + 1))
    assert written(book).closed["app"].read == 2**63 - 1


def test_reasons_names_and_keys_without_end_do_not_make_an_account_large() -> None:
    book = Book()
    for seq in range(1, 500):
        long = f"{seq} {'x' * 50_000}"
        lost = SourceRange(long, b"g" * 50_000, seq, seq + 1, lost=long)
        read = SourceRange(long, b"g" * 50_000, seq, seq + 1, 1, 0, {long: 1})
        book.enter(Told({"host": long, "file": long}, [lost, read], STREAM, seq))
    assert len(encode_body(Snapshot(ledger=book))) < 50_000
    (account,) = book.accounts.values()
    assert sum(account.dropped.values()) == 499
    assert sum(extent.bytes for extent in account.lost.values()) == 499


def test_sources_without_end_do_not_make_the_sums_large() -> None:
    book = Book()
    for number in range(MOST + 5_000):
        book.enter(Told({}, [SourceRange(f"{number}", number.to_bytes(16), 0, 1, 1)], STREAM, number + 1))
    assert len(book.closed) <= 1_025
    assert sum(sums.accounts for sums in book.closed.values()) == 5_000
