"""Keeps the collector's database as the book is: what changed is written every few seconds, and at the end.

1. Copies of the accounts that changed are made on the spool's writer, which owns the book, and written on a thread of
   this keeper's own. The event loop waits for both and does neither.
2. What is copied stays in ``_batches`` until it is written; nothing more is copied before. So what waits is bounded.
3. It takes about half a per cent of a core at most: the longer a look took, the later comes the next.
4. Nothing here ends the collector or holds it up. A database that is damaged, or another spool's, is set aside; one
   that is gone is made anew; whatever else is wrong is tried again. The book has everything that is needed for it.
"""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from shipper.errors import FutureFormat, LedgerDamaged, LedgerFailed, SpoolError
from shipper.ledger.rows import NAME
from shipper.ledger.store import Batch, Database, set_aside
from shipper.log import get_logger
from shipper.spool.spool import Spool

INTERVAL: Final = 5.0
"""Seconds between two looks at what changed."""
_SHARE: Final = 200
"""They take one part in so many of a core at most; the pause grows for that, ..."""
_LONGEST: Final = 60.0
"""... but to no more than so many seconds."""
_MOST: Final = 1024
"""Accounts in one transaction: the spool's writer copies them in a few milliseconds."""
log = get_logger("ledger")


class Keeper:
    """That of one collector. ``run`` and ``close`` are the event loop's."""

    def __init__(self, data_dir: Path, spool: Spool, interval: float = INTERVAL) -> None:
        """Made before the spool is started."""
        self._interval: Final = interval
        self._path: Final = data_dir / NAME
        self._spool: Final = spool
        self._changes: Final = spool.follow_ledger()
        self._batches: deque[Batch] = deque()
        self._again = False
        """The database begins anew: everything must be written."""
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._database: Database | None = None
        self._looked_through = False
        self._spent = 0.0
        """Seconds of CPU since the last look."""
        self._failing = False
        self._renewed = False
        """It was set aside, and nothing was written since."""

    async def run(self) -> None:
        """Write what changes until cancelled, or until the spool takes nothing any more."""
        while True:
            try:
                await self._write_changes()
            except SpoolError:  # it is said elsewhere, and ``close`` does the rest
                return
            except Exception as error:  # noqa: BLE001 - nobody waits for this task: it would end unheard
                log.error("the database of the ledger is not written any more", exc=error)
                return
            pause, self._spent = max(self._interval, min(_LONGEST, _SHARE * self._spent)), 0.0
            await asyncio.sleep(pause)

    async def _write_changes(self) -> None:
        loop, more = asyncio.get_running_loop(), True
        while more:
            if not self._batches:
                await self._spool.on_writer(self._take)
            more = await loop.run_in_executor(self._thread, self._write)

    async def close(self) -> None:
        """Write what is not written yet; called when the spool is closed, and with it its writer."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._finish)
        self._thread.shutdown()

    def _take(self) -> int:
        """On the spool's writer."""
        if self._again:
            self._again = False
            self._changes.everything()
        began = time.thread_time()
        changes = self._changes.take(_MOST)
        self._spent += time.thread_time() - began
        self._batches.append(Batch(changes, self._spool.epoch, self._spool.next_seq, whole=len(changes) < _MOST))
        return len(changes)

    def _finish(self) -> None:
        while True:
            if not self._batches:
                self._take()
            if not self._write():
                break
        if self._database is not None:
            self._database.close()

    def _write(self) -> bool:
        """On the keeper's thread: write what was taken. Whether there is more to write now."""
        began = time.thread_time()
        more = self._try_to_write()
        self._spent += time.thread_time() - began
        return more

    def _try_to_write(self) -> bool:
        try:
            database = self._opened()
            whole = True
            while self._batches:
                batch = self._batches[0]
                if batch.changes:
                    database.write(batch)
                whole = batch.whole
                self._batches.popleft()
        except LedgerDamaged as error:
            return self._begin_anew(error)
        except (LedgerFailed, FutureFormat) as error:
            return self._later(error)
        self._renewed = False
        if self._failing:
            self._failing = False
            log.info("the database of the ledger is written again")
        return not whole or self._again

    def _opened(self) -> Database:
        if self._database is not None and not self._database.there:
            self._close()
            log.warning("the database of the ledger is gone: it is made anew from the spool", path=str(self._path))
            self._again = True
        if self._database is None:
            self._database = Database(self._path, self._spool.home, check=not self._looked_through)
            self._looked_through = True
            if self._database.removed:
                text = "damaged rows of the database of the ledger are removed; the spool may still have what they said"
                log.warning(text, rows=self._database.removed)
        return self._database

    def _begin_anew(self, error: LedgerDamaged) -> bool:
        self._close()
        try:
            to = set_aside(self._path)
        except LedgerFailed as refused:
            return self._later(refused)
        text = "the database of the ledger cannot be gone on with: it is set aside and made anew from the spool"
        log.warning(text, why=str(error), aside=str(to), every=60.0)
        again, self._renewed = not self._renewed, True  # at once; but not over and over
        self._again = True
        self._batches.clear()
        return again

    def _later(self, error: LedgerFailed | FutureFormat) -> bool:
        self._close()
        if not self._failing:
            self._failing = True
            log.warning("the database of the ledger is not written for now; all else goes on", why=str(error))
        return False

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
