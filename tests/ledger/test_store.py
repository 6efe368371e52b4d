"""The collector's database holds what its book holds, and what the book has let go of."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.ledgers import FILE, LABELS, OTHER, STREAM, as_set, span

from shipper.batch import SourceRange
from shipper.errors import FutureFormat, LedgerDamaged, LedgerFailed
from shipper.ledger import book as books
from shipper.ledger.account import Account
from shipper.ledger.book import Book, Told
from shipper.ledger.changes import Changes
from shipper.ledger.rows import read_closed, read_rows
from shipper.ledger.store import Batch, Database, set_aside

KEYS = [bytes([number]) * 16 for number in range(6)]


def told(seq: int, *spans: SourceRange) -> Told:
    return Told(LABELS, list(spans), STREAM, seq, own=seq)


def everything(book: Book, seq: int = 1) -> Batch:
    return Batch(Changes(book).take(100_000), 1, seq, whole=True)


def row(path: Path, *columns: str) -> tuple[Any, ...]:
    """Those columns of the only row."""
    with closing(sqlite3.connect(path)) as sql:
        (found,) = sql.execute(f"SELECT {', '.join(columns)} FROM accounts").fetchall()  # noqa: S608 - the test's own
        return tuple(found)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def book() -> Book:
    book = Book()
    book.enter(told(1, span(10, 110, read=7)))
    return book


def filled(path: Path, book: Book) -> None:
    database = Database(path, STREAM)
    database.write(everything(book))
    database.close()


def test_a_row_has_columns_for_people(path: Path) -> None:
    book = Book()
    parts = [
        SourceRange("app", FILE, 10, 110, 9, 5, {"drop/where": 3}, 1),
        span(110, 160, lost="truncated"),
        span(200, 300),
        span(290, 310),
    ]
    for seq, part in enumerate(parts, 1):
        book.enter(told(seq, part))
    book.broken(STREAM, gap=5, reason="corrupt")
    book.enter(told(6, span(400, 500)))
    filled(path, book)
    assert row(path, "host", "source", "file") == ("edge-1", "app", "/var/log/a.log")
    assert row(path, "key", "generation", "stream") == (FILE, FILE.hex(), STREAM.hex())
    assert row(path, "first", "end", "covered") == (10, 500, 450)
    assert row(path, "lost", "missing", "twice", "holes") == (50, 90, 10, 40)
    assert row(path, "read", "kept", "failed", "dropped") == (12, 8, 1, 3)


def test_what_has_no_generation_has_none_in_its_row(path: Path) -> None:
    book = Book()
    book.enter(told(1, SourceRange("a-syslog-source.", b"", 0, 5, 1, 1)))
    book.enter(Told({}, [SourceRange("a-syslog-source.", b"", 0, 5, 1, 1)], b"", 1))
    filled(path, book)
    with closing(sqlite3.connect(path)) as sql:
        assert sql.execute("SELECT generation FROM accounts").fetchall() == [("",), ("",)]


@pytest.mark.parametrize("seed", range(25))
def test_over_many_lives_rows_say_what_a_book_without_end_would(tmp_path: Path, small_book: None, seed: int) -> None:
    """Whatever the book let go of, and whatever a power cut took back of the database."""
    world = World(tmp_path, random.Random(seed))
    for _ in range(4):
        world.live()
        world.crash()
    assert {key: (each.covered, each.read) for key, each in world.rows().items()} == {
        key: (each.covered, each.read) for key, each in world.truth.items()
    }


@pytest.mark.parametrize("seed", range(25))
def test_however_it_is_damaged_no_row_says_what_was_not_told(tmp_path: Path, small_book: None, seed: int) -> None:
    """It may also be gone. What the book has is in the rows again."""
    world = World(tmp_path, random.Random(seed))
    for _ in range(4):
        world.live()
        world.crash()
        world.damage()
    rows = world.rows()
    for key, account in rows.items():
        assert as_set(account.covered) <= as_set(world.truth[key].covered)
    for key, account in world.book.accounts.items():
        assert as_set(account.covered) <= as_set(rows[key].covered)


@pytest.fixture
def small_book(monkeypatch: pytest.MonkeyPatch) -> None:
    """A book that keeps three accounts."""
    monkeypatch.setattr(books, "MOST", 3)


class World:
    """A book with its snapshots and entries, the database behind it, and what a book without end would say."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.path = folder / "ledger.db"
        self.older = folder / "older.db"
        self.dice = dice
        self.snapshot = msgspec.msgpack.encode(Book(left=[]))
        self.entries: list[Told] = []
        self.truth: dict[bytes, Account] = {}
        self.seq = 1
        self.start()

    def start(self) -> None:
        """The book is read from its snapshot and the entries after it."""
        self.book = msgspec.msgpack.decode(self.snapshot, type=Book)
        for entry in self.entries:
            self.book.enter(entry)
        self.changes = Changes(self.book)
        try:
            self.database = Database(self.path, STREAM)
        except LedgerDamaged:
            set_aside(self.path)
            self.database = Database(self.path, STREAM)
        self.sync()

    def sync(self) -> None:
        """What a power cut leaves, at least."""
        with closing(sqlite3.connect(self.path)) as sql, closing(sqlite3.connect(self.older)) as older:
            sql.backup(older)

    def live(self) -> None:
        """Frames come, segments begin, changes are written now and then."""
        for _ in range(self.dice.randint(1, 30)):
            start = self.dice.randrange(90)
            part = span(start, start + self.dice.randint(1, 9), self.dice.choice(KEYS))
            entry = told(self.seq, part)
            self.seq += 1
            self.book.enter(entry, self.changes.keys)
            self.changes.bound()
            self.entries.append(entry)
            truth = self.truth.setdefault(part.generation, Account("app"))
            truth.enter(part, STREAM, 0, lambda *_: "")
            if self.dice.random() < 0.1:
                self.snapshot, self.entries = msgspec.msgpack.encode(self.book), []
            if self.dice.random() < 0.2:
                self.write()

    def write(self) -> None:
        whole = False
        while not whole:
            changes = self.changes.take(2)
            whole = len(changes) < 2
            self.put(Batch(changes, 1, self.seq, whole))

    def put(self, batch: Batch) -> None:
        try:
            self.database.write(batch)
        except LedgerDamaged:  # it shows only now
            self.database.close()
            set_aside(self.path)
            self.database = Database(self.path, STREAM)
            self.changes.everything()
        if any(change.closed for change in batch.changes):
            self.sync()

    def crash(self) -> None:
        """Everything in memory is gone."""
        if self.dice.random() < 0.3:
            self.write()
        elif self.dice.random() < 0.3:  # a segment begins when changes were taken and are not written
            self.changes.take(2)
            self.snapshot, self.entries = msgspec.msgpack.encode(self.book), []
        self.database.close()
        if self.dice.random() < 0.5:
            shutil.copy(self.older, self.path)
        self.start()

    def damage(self) -> None:
        """Before the next start something happens to the file."""
        self.database.close()
        match self.dice.randrange(4):
            case 0:
                self.path.unlink()
            case 1:
                self.path.write_bytes(self.dice.randbytes(self.dice.randint(0, 200)))
            case 2:
                with self.path.open("r+b") as file:
                    file.truncate(self.dice.randrange(self.path.stat().st_size))
            case _:
                data = bytearray(self.path.read_bytes())
                for _ in range(self.dice.randint(1, 20)):
                    data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
                self.path.write_bytes(data)
        self.start()

    def rows(self) -> dict[bytes, Account]:
        """After everything was written."""
        self.write()
        try:
            return dict(read_rows(self.path))
        finally:
            self.database.close()


def test_a_database_of_the_future_is_refused_in_one_sentence(path: Path, book: Book) -> None:
    filled(path, book)
    with closing(sqlite3.connect(path)) as sql:
        sql.execute("UPDATE meta SET value = 2 WHERE name = 'format'")
        sql.commit()
    before = path.read_bytes()
    sentence = r"ledger\.db has format 2, this shipper knows formats up to 1: upgrade it"
    with pytest.raises(FutureFormat, match=sentence):
        Database(path, STREAM)
    with pytest.raises(FutureFormat, match=sentence):
        next(read_rows(path))
    assert path.read_bytes() == before


def test_a_database_of_another_spool_is_not_gone_on_with(path: Path, book: Book) -> None:
    filled(path, book)
    with pytest.raises(LedgerDamaged, match="belongs to another spool"):
        Database(path, b"t" * 16)


def test_what_is_set_aside_stays_for_a_while(path: Path) -> None:
    for number in range(1, 6):
        path.write_text(f"damaged {number}")
        path.with_name("ledger.db-wal").write_text("its log")
        assert set_aside(path).name == f"ledger.db.damaged-{number}"
    assert sorted(each.name for each in path.parent.iterdir()) == [
        f"ledger.db.damaged-{number}{end}" for number in (3, 4, 5) for end in ("", "-wal")
    ]
    assert path.with_name("ledger.db.damaged-5").read_text() == "damaged 5"


def test_a_start_removes_the_rows_that_are_damaged_and_no_others(path: Path, book: Book) -> None:
    book.enter(told(2, span(0, 5, OTHER)))
    filled(path, book)
    with closing(sqlite3.connect(path)) as sql:
        other = msgspec.msgpack.encode(book.accounts[FILE])  # it can be read, and is wrong
        sql.execute("UPDATE accounts SET account = ? WHERE key = ?", (other, OTHER))
        sql.commit()
    with pytest.raises(LedgerDamaged, match="damaged"):
        dict(read_rows(path))
    database = Database(path, STREAM)
    assert database.removed == 1
    database.close()
    assert dict(read_rows(path)) == {FILE: book.accounts[FILE]}


def test_what_was_written_longest_ago_goes_first_and_leaves_its_sums(path: Path) -> None:
    database = Database(path, STREAM, most_rows=200)
    for number in range(1, 302):
        book = Book()
        book.enter(told(number, span(0, 10, number.to_bytes(16), read=2)))
        database.write(everything(book, number))
    database.close()
    kept = [int.from_bytes(key) for key, _ in read_rows(path)]
    gone = 301 - len(kept)
    assert kept == list(range(gone + 1, 302))
    assert 198 <= len(kept) <= 200
    (sums,) = read_closed(path).values()
    assert (sums.accounts, sums.covered, sums.read, sums.kept) == (gone, 10 * gone, 2 * gone, 2 * gone)


def test_rows_can_be_read_while_they_are_written_and_say_what_was_whole_then(path: Path, book: Book) -> None:
    database = Database(path, STREAM)
    database.write(everything(book))
    rows = read_rows(path)
    first = next(rows)
    book.enter(told(2, span(110, 500), span(0, 9, OTHER)))
    database.write(everything(book))
    assert [first, *rows] == [(FILE, first[1])]
    assert first[1].end == 110
    assert dict(read_rows(path)) == book.accounts
    database.close()


def test_reading_a_closed_database_leaves_nothing_beside_it(path: Path, book: Book) -> None:
    filled(path, book)
    assert dict(read_rows(path)) == book.accounts
    assert [each.name for each in path.parent.iterdir()] == ["ledger.db"]


def test_a_database_that_is_not_there_is_said_to_be_so(path: Path) -> None:
    with pytest.raises(LedgerFailed, match="unable to open"):
        next(read_rows(path))
    assert not path.exists()


def test_nobody_else_may_read_it(path: Path, book: Book) -> None:
    filled(path, book)
    assert path.stat().st_mode & 0o777 == 0o600
