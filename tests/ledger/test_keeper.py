"""A collector keeps its database as its ledger is, and nothing that happens to the database harms the collector."""

import asyncio
import io
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support.ledgers import FILE, OTHER, received, span
from support.until import until

from shipper.errors import LedgerFailed
from shipper.ledger.account import Account
from shipper.ledger.book import MOST
from shipper.ledger.keeper import Keeper
from shipper.ledger.rows import NAME, read_rows
from shipper.spool.spool import Spool

SOON = 0.02
NEVER = 3600.0


class Collector:
    """A spool with the keeper of its database."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._next = 1
        self._running: asyncio.Task[None] | None = None

    def start(self, interval: float = SOON) -> None:
        self.spool = Spool(self._folder / "spool", 64 * 2**20, 1 << 20, ["a"])
        self.keeper = Keeper(self._folder, self.spool, interval)
        self.spool.start()
        self._running = asyncio.create_task(self.keeper.run())

    async def take(self, *ranges: tuple[int, int, bytes]) -> None:
        """A frame comes that tells of these ranges."""
        spans = [span(start, end, key) for start, end, key in ranges]
        await self.spool.append(received(self._next, *spans))
        self._next += 1

    async def stop(self) -> None:
        """As the pipeline does it."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
            await self.spool.close()
            await self.keeper.close()
            self._running = None

    def rows(self) -> dict[bytes, Account]:
        try:
            return dict(read_rows(self.path))
        except LedgerFailed:  # it is not there yet
            return {}

    def covered(self, key: bytes) -> list[tuple[int, int]]:
        account = self.rows().get(key)
        return account.covered if account is not None else []


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    collector = Collector(tmp_path)
    yield collector
    await collector.stop()


def logged(lines: io.StringIO) -> list[str]:
    return [entry["msg"] for line in lines.getvalue().splitlines() if (entry := json.loads(line))["logger"] == "ledger"]


async def test_what_became_durable_is_in_the_database_a_little_later(collector: Collector) -> None:
    collector.start()
    await collector.take((0, 100, FILE))
    await until(lambda: collector.covered(FILE) == [(0, 100)])
    await collector.take((100, 150, FILE), (0, 7, OTHER))
    await until(lambda: collector.covered(FILE) == [(0, 150)] and collector.covered(OTHER) == [(0, 7)])


async def test_a_stop_writes_what_came_last(collector: Collector) -> None:
    collector.start(NEVER)
    await collector.take((0, 100, FILE))
    await collector.stop()
    assert collector.covered(FILE) == [(0, 100)]
    with closing(sqlite3.connect(collector.path)) as sql:
        meta = dict(sql.execute("SELECT * FROM meta"))
    assert meta == {"format": 1, "stream": collector.spool.home.hex(), "epoch": 1, "next": 2}


@pytest.mark.parametrize("what", [b"", b"no database" * 1000, None], ids=["empty", "damaged", "gone"])
async def test_a_start_makes_it_anew_from_the_spool(
    collector: Collector, lines: io.StringIO, what: bytes | None
) -> None:
    collector.start()
    await collector.take((0, 100, FILE))
    await collector.stop()
    if what is None:
        collector.path.unlink()
    else:
        collector.path.write_bytes(what)
    collector.start()
    await until(lambda: collector.covered(FILE) == [(0, 100)])
    aside = collector.path.with_name("ledger.db.damaged-1")
    assert (aside.read_bytes() if aside.exists() else None) == (what or None)
    assert any("set aside" in line for line in logged(lines)) == bool(what)


async def test_one_that_is_removed_while_the_collector_runs_is_made_anew(
    collector: Collector, lines: io.StringIO
) -> None:
    collector.start()
    await collector.take((0, 100, FILE))
    await until(lambda: collector.covered(FILE) == [(0, 100)])
    collector.path.unlink()
    await until(lambda: collector.covered(FILE) == [(0, 100)])
    assert logged(lines) == ["the database of the ledger is gone: it is made anew from the spool"]


async def test_the_database_of_another_spool_is_set_aside(collector: Collector, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Collector(tmp_path / "other")
    other.start()
    await other.take((0, 9, OTHER))
    await other.stop()
    other.path.rename(collector.path)
    collector.start()
    await collector.take((0, 100, FILE))
    await until(lambda: collector.covered(FILE) == [(0, 100)])
    assert set(collector.rows()) == {FILE}


async def test_where_it_cannot_be_written_all_else_goes_on_and_it_is_tried_again(
    collector: Collector, lines: io.StringIO
) -> None:
    collector.path.mkdir()
    collector.start()
    await collector.take((0, 100, FILE))
    await until(lambda: bool(logged(lines)))
    await collector.take((100, 150, FILE))
    collector.path.rmdir()
    await until(lambda: collector.covered(FILE) == [(0, 150)])
    await until(lambda: len(logged(lines)) == 2)
    assert logged(lines) == [
        "the database of the ledger is not written for now; all else goes on",
        "the database of the ledger is written again",
    ]


async def test_one_of_the_future_is_left_as_it_is_and_the_collector_goes_on(
    collector: Collector, lines: io.StringIO
) -> None:
    collector.start()
    await collector.take((0, 100, FILE))
    await collector.stop()
    with closing(sqlite3.connect(collector.path)) as sql:
        sql.execute("UPDATE meta SET value = 2 WHERE name = 'format'")
        sql.commit()
    before = collector.path.read_bytes()
    collector.start()
    await collector.take((100, 150, FILE))
    await until(lambda: bool(logged(lines)))
    await collector.stop()
    assert collector.path.read_bytes() == before
    assert "upgrade" in lines.getvalue()


async def test_more_files_than_the_book_keeps_are_all_there_and_go_on_where_they_were(collector: Collector) -> None:
    keys = [number.to_bytes(16) for number in range(1, MOST + 501)]
    collector.start(NEVER)
    for at in range(0, len(keys), 1000):
        await collector.take(*((0, 100, key) for key in keys[at : at + 1000]))
    await collector.take((100, 150, keys[0]), (130, 150, keys[1]))
    await collector.stop()
    rows = collector.rows()
    assert rows.keys() == set(keys)
    assert (rows[keys[0]].covered, rows[keys[0]].read) == ([(0, 150)], 2)
    assert rows[keys[1]].holes == [(100, 130)]
    collector.start()
    await collector.take((150, 160, keys[0]), (150, 160, keys[2]))
    await until(lambda: collector.covered(keys[2]) == [(0, 100), (150, 160)])
    assert (collector.covered(keys[0]), collector.covered(keys[-1])) == ([(0, 160)], [(0, 100)])
