"""The rows of the collector's database: its ledger as SQLite, ``DATA_DIR/ledger.db``. How it is read.

    meta      name, value           "format": 1; "stream": the id that the spool began under, hex; "epoch" and "next":
                                    the run of the spool, and the number of its next frame, as of the last transaction
    accounts  one row a file generation (or what another source gave): columns for people, all sizes in bytes, and
        key       the account's key in the book, 16 random bytes for a file
        account   msgpack of the whole ``Account``
        since     ``Account.since``: of the one that the book has, or had last
        earlier   msgpack of the accounts before that one, joined; NULL where there were none
        touched   the number of the spool's next frame when the row was written
        crc       CRC32C of key, account and earlier
    closed    sums, by source, of rows that were removed to keep the database small

WAL, and no sync a transaction: after a power cut the last ones may be missing. The book, which is in the spool, has
them: after a start everything in it is written again, which changes nothing in rows that were right. Accounts that the
book closed stay in it until a transaction that was synced has them.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from shipper.errors import UNREADABLE, FutureFormat, LedgerDamaged, LedgerFailed
from shipper.ledger.account import Account
from shipper.ledger.book import Closed
from shipper.ledger.extent import Extent, size
from shipper.spool.frame import crc32c

NAME: Final = "ledger.db"
FORMAT: Final = 1
PATIENCE: Final = 2.0
"""Seconds to wait for another program that holds the database locked."""
TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE accounts (
        key BLOB PRIMARY KEY, host TEXT, source TEXT, file TEXT, generation TEXT, stream TEXT, first INTEGER,
        end INTEGER, covered INTEGER, lost INTEGER, missing INTEGER, twice INTEGER, holes INTEGER, read INTEGER,
        kept INTEGER, failed INTEGER, dropped INTEGER, failed_here INTEGER, dropped_here INTEGER, account BLOB,
        since INTEGER, earlier BLOB, touched INTEGER, crc INTEGER
    )""",
    """CREATE TABLE closed (
        source TEXT PRIMARY KEY, accounts INTEGER, covered INTEGER, read INTEGER, kept INTEGER, failed INTEGER,
        dropped INTEGER
    ) WITHOUT ROWID""",
)
COLUMNS: Final = (
    *("key", "host", "source", "file", "generation", "stream", "first", "end", "covered", "lost", "missing", "twice"),
    *("holes", "read", "kept", "failed", "dropped", "failed_here", "dropped_here"),
    *("account", "since", "earlier", "touched", "crc"),
)
"""Of a row, as ``row_of`` makes it."""
_LARGEST: Final = 2**63 - 1
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
unpack: Final = msgspec.msgpack.Decoder(Account).decode


def read_rows(path: Path) -> Iterator[tuple[bytes, Account]]:
    """The keys and accounts of a database, as of one moment; it may be written meanwhile, and is not held up.

    :raises LedgerFailed: it is not there, or cannot be read. :raises LedgerDamaged: it is damaged.
    :raises FutureFormat: a newer shipper wrote it.
    """
    with translated(path), _reading(path) as sql:
        for row in sql.execute("SELECT key, account, earlier, crc FROM accounts"):
            yield row[0], checked(*row)


def read_closed(path: Path) -> dict[str, Closed]:
    """The sums of rows that were removed, by source.

    :raises LedgerFailed: as above. :raises LedgerDamaged: as above. :raises FutureFormat: as above.
    """
    with translated(path), _reading(path) as sql:
        return sums_of(sql)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    where = f"{path.absolute().as_uri()}?mode=ro"
    if not path.with_name(f"{path.name}-wal").exists():
        where += "&immutable=1"  # nobody has it open: nothing must be made beside it, nor need it be allowed
    with closing(sqlite3.connect(where, timeout=PATIENCE, isolation_level=None, uri=True)) as sql:
        meta_of(sql, path)
        yield sql


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Foreign exceptions become ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        kind = LedgerDamaged if code is not None and code & 0xFF in _DAMAGE else LedgerFailed
        raise kind(f"{path}: {error}") from error
    except OSError as error:
        raise LedgerFailed(f"{path}: {error.strerror}") from error


def meta_of(sql: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """What the database says of itself. :raises LedgerDamaged: nothing. :raises FutureFormat: as above."""
    known = dict(sql.execute("SELECT name, value FROM meta").fetchall())
    found = known.get("format")
    if not isinstance(found, int):
        raise LedgerDamaged(f"{path} does not say what its format is")
    if found > FORMAT:
        raise FutureFormat(f"{path} has format {found}, this shipper knows formats up to {FORMAT}: upgrade it")
    return known


def sums_of(sql: sqlite3.Connection) -> dict[str, Closed]:
    """Those of rows that were removed, by source."""
    return {source: Closed(*sums) for source, *sums in sql.execute("SELECT * FROM closed")}


def checked(key: bytes, account: bytes, earlier: bytes | None, crc: int) -> Account:
    """A row's account. :raises LedgerDamaged: it is not what was written."""
    try:
        if crc == crc32c(key + account + (earlier or b"")):
            return unpack(account)
    except (TypeError, *UNREADABLE):  # damage may have made something else of a value than bytes
        pass
    raise LedgerDamaged(f"the row of {key!r} is damaged")


def sound(key: bytes, account: bytes, earlier: bytes | None, crc: int) -> bool:
    """Whether a row is what was written."""
    try:
        checked(key, account, earlier, crc)
    except LedgerDamaged:
        return False
    return True


def row_of(key: bytes, account: Account, packed: bytes, earlier: bytes | None, touched: int) -> tuple[Any, ...]:
    """``packed``: the account's msgpack."""
    named = len(key) != 16 or key == account.source.encode()  # made of a source's name: no generation is known
    covered = account.covered
    numbers = (
        *(covered[0][0] if covered else 0, account.end, size(covered)),
        *(_sum(account.lost), _sum(account.missing), account.twice.bytes),
        account.blurred + (size(account.holes) if len(covered) > 1 else 0),
        *(account.read, account.kept, account.failed, sum(account.dropped.values())),
        *(account.failed_here, sum(account.dropped_here.values())),
    )
    return (
        *(key, account.host, account.source, account.file, "" if named else key.hex(), account.stream.hex()),
        *(numbers if max(numbers) <= _LARGEST else map(bounded, numbers)),
        *(packed, account.since, earlier, touched, crc32c(key + packed + (earlier or b""))),
    )


def _sum(extents: dict[str, Extent]) -> int:
    return sum([extent.bytes for extent in extents.values()]) if extents else 0


def bounded(number: int) -> int:
    """A sender may claim more than SQLite holds."""
    return min(number, _LARGEST)
