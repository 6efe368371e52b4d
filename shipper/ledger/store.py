"""The collector's database, to write it. What stands in it: rows.py."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shipper.errors import LedgerDamaged
from shipper.ledger.account import Account
from shipper.ledger.book import Closed
from shipper.ledger.changes import Change
from shipper.ledger.joined import bridged, joined
from shipper.ledger.rows import (
    COLUMNS,
    FORMAT,
    PATIENCE,
    TABLES,
    bounded,
    checked,
    meta_of,
    row_of,
    sound,
    sums_of,
    translated,
    unpack,
)

MOST_ROWS: Final = 1_000_000
"""Rows that are kept; the ones written longest ago go first, and their sums are kept."""
_ASIDE: Final = 3
"""Databases that were set aside and are kept."""
_PRUNED: Final = 100
"""When rows must go, one in so many goes."""
_LOG_KEPT: Final = 8 * 1024 * 1024
"""Bytes that the log beside the database keeps on the disk."""
_PUT: Final = (
    f"INSERT INTO accounts ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608 - constants
    f"ON CONFLICT (key) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS if name != 'key')}"
)
_PUT_SAME: Final = f"{_PUT} WHERE since = excluded.since AND earlier IS NULL"
_pack: Final = msgspec.msgpack.Encoder().encode


class Batch(NamedTuple):
    """What one transaction writes."""

    changes: Sequence[Change]
    epoch: int
    next_seq: int
    """The number of the spool's next frame when the changes were taken."""
    whole: bool
    """Nothing else had changed then."""


class Database:
    """Used on one thread."""

    def __init__(self, path: Path, stream: bytes, *, check: bool = True, most_rows: int = MOST_ROWS) -> None:
        """Open or make it, for the spool that began under ``stream``. ``check``: look it through for damage first.

        :raises LedgerDamaged: it cannot be gone on with (see ``set_aside``). :raises LedgerFailed: not now.
        :raises FutureFormat: a newer shipper wrote it.
        """
        self._path: Final = path
        self._most_rows: Final = most_rows
        self.removed = 0
        """Rows that were damaged: what stood in them is known only as far as the book has it."""
        with translated(path):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._inode = path.stat().st_ino
            self._sql = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                self._open(stream, check=check)
            except BaseException:
                self.close()
                raise

    def _open(self, stream: bytes, *, check: bool) -> None:
        sql = self._sql
        for pragma in ("journal_mode = WAL", f"journal_size_limit = {_LOG_KEPT}"):
            sql.execute(f"PRAGMA {pragma}")
        if not sql.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            sql.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                sql.execute(table)
            meta = [("format", FORMAT), ("stream", stream.hex()), ("epoch", 0), ("next", 0)]
            sql.executemany("INSERT INTO meta VALUES (?, ?)", meta)
            sql.execute("COMMIT")
        if meta_of(sql, self._path).get("stream") != stream.hex():
            raise LedgerDamaged(f"{self._path} belongs to another spool")
        if check:
            self._look_through()
        self._rows: int = sql.execute("SELECT count(*) FROM accounts").fetchone()[0]

    def _look_through(self) -> None:
        if (found := self._sql.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise LedgerDamaged(f"{self._path}: {found}")
        rows = self._sql.execute("SELECT rowid, key, account, earlier, crc FROM accounts")
        damaged = [row[:1] for row in rows if not sound(*row[1:])]
        self._sql.executemany("DELETE FROM accounts WHERE rowid = ?", damaged)
        self.removed = len(damaged)

    @property
    def there(self) -> bool:
        """Its file is still the one that was opened."""
        with suppress(OSError):
            return self._path.stat().st_ino == self._inode
        return False

    def write(self, batch: Batch) -> None:
        """One transaction. :raises LedgerDamaged: as above. :raises LedgerFailed: not now; nothing was changed."""
        sql = self._sql
        with translated(self._path):
            synced = any(change.closed for change in batch.changes)
            sql.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            sql.execute("BEGIN IMMEDIATE")
            try:
                for change in batch.changes:
                    self._put(change, batch.next_seq)
                if batch.whole:
                    meta = [(batch.epoch, "epoch"), (batch.next_seq, "next")]
                    sql.executemany("UPDATE meta SET value = ? WHERE name = ?", meta)
                self._prune(len(batch.changes))
                sql.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # what went wrong may have rolled it back already
                    sql.execute("ROLLBACK")
                raise

    def _put(self, change: Change, touched: int) -> None:
        account = unpack(change.account)
        row = row_of(change.key, account, change.account, None, touched)
        if self._sql.execute(_PUT_SAME, row).rowcount:
            return
        before = self._before(change.key)
        if before is not None and before[0].since > account.since:
            return  # a start read once more what led to the one that the row has
        earlier = None if before is None else before[1]
        if before is not None and before[0].since < account.since:
            earlier = bridged(before[0], account, change.broken)
        if earlier is not None:
            whole = joined(earlier, account)
            row = row_of(change.key, whole, _pack(whole), _pack(earlier), touched)
        self._sql.execute(_PUT, row)

    def _before(self, key: bytes) -> tuple[Account, Account | None] | None:
        """What a row has: the whole account, and the part that was closed before its last one; None: it is damaged."""
        query = "SELECT key, account, earlier, crc FROM accounts WHERE key = ?"
        row = self._sql.execute(query, (key,)).fetchone()
        try:
            return checked(*row), unpack(row[2]) if row[2] is not None else None
        except LedgerDamaged:
            return None

    def _prune(self, added: int) -> None:
        self._rows += added  # at most: some were there
        if self._rows <= self._most_rows:
            return
        sql = self._sql
        self._rows = sql.execute("SELECT count(*) FROM accounts").fetchone()[0]
        if self._rows <= self._most_rows:
            return
        surplus = self._rows - self._most_rows + self._most_rows // _PRUNED
        columns = "rowid, source, covered, read, kept, failed, dropped"
        oldest = f"SELECT {columns} FROM accounts ORDER BY touched, rowid LIMIT ?"  # noqa: S608 - constants
        gone = sql.execute(oldest, (surplus,)).fetchall()
        sums = sums_of(sql)
        for _, source, *row in gone:
            before = msgspec.structs.astuple(sums.get(source, Closed()))
            sums[source] = Closed(*(bounded(a + b) for a, b in zip(before, (1, *row), strict=True)))
        sql.executemany("DELETE FROM accounts WHERE rowid = ?", [row[:1] for row in gone])
        rows = [(source, *msgspec.structs.astuple(one)) for source, one in sums.items()]
        sql.executemany("INSERT OR REPLACE INTO closed VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self._rows -= len(gone)

    def close(self) -> None:
        """Give it back; what is in its log goes into the file."""
        with suppress(sqlite3.Error):  # what it has is there at the next opening
            self._sql.close()


def set_aside(path: Path) -> Path:
    """Put a database that cannot be gone on with out of the way; of those from before a few are kept.

    :raises LedgerFailed: the disk refused.
    """
    marked = f"{path.name}.damaged-"
    with translated(path):
        found = [each.name.removeprefix(marked) for each in path.parent.glob(f"{marked}*")]
        known = sorted(int(number) for number in found if number.isdecimal())
        for number in known[: max(0, len(known) - _ASIDE + 1)]:
            for end in ("", "-wal"):
                path.with_name(f"{marked}{number}{end}").unlink(missing_ok=True)
        to = path.with_name(f"{marked}{max(known, default=0) + 1}")
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}-wal").rename(to.with_name(f"{to.name}-wal"))
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
        path.rename(to)
        return to
