"""An account knows the entry that opened it: the same one while it runs and when its entries are read again."""

import random

from support.ledgers import FILE, OTHER, span
from support.simdisk import SimDisk

from shipper.batch import Batch, Loss, Payload
from shipper.ledger.book import Book
from shipper.pack import entry_of
from shipper.spool.inspect import look
from shipper.spool.store import Store

MAX_FRAME = 8 * 1024


def test_a_batch_of_several_frames_and_its_losses_open_accounts_by_their_own_entries() -> None:
    """Every loss of another file stands in a frame of its own, and what was read in the last of several."""
    dice = random.Random(1)
    payload = Payload.sized([dice.randbytes(3_000) for _ in range(10)])
    files = [(number.to_bytes(16), f"/var/log/{number}.log") for number in range(3)]
    losses = [Loss(file, key, 0, 10, "vanished") for key, file in files]
    batch = Batch("app", {"host": "edge-1"}, payload, [span(0, 30_000), span(0, 9, OTHER)], 0, losses=losses)
    draft = entry_of(batch, {}, MAX_FRAME)
    frames = len(draft.frames)
    disk = SimDisk()
    store = Store(disk, 2 * 1024 * 1024, 1 << 20, ["a"])
    (first,) = store.commit([draft])
    assert isinstance(first, int)
    live = store.log.facts.ledger
    opened = {key: account.since for key, account in live.accounts.items()}
    last = first + frames - 1
    assert opened == {**{key: first + at for at, (key, _) in enumerate(files)}, FILE: last, OTHER: last}
    assert frames > 6
    assert look(disk).ledger.accounts == live.accounts


def test_one_that_was_closed_and_is_told_of_again_was_opened_later() -> None:
    disk = SimDisk()
    store = Store(disk, 2 * 1024 * 1024, 1 << 20, ["a"])
    book: Book = store.log.facts.ledger
    store.commit([entry_of(Batch("app", {}, Payload.lines(b"1\n"), [span(0, 5)], 0), {}, MAX_FRAME)])
    before = book.accounts.pop(FILE).since
    store.commit([entry_of(Batch("app", {}, Payload.lines(b"1\n"), [span(5, 9)], 0), {}, MAX_FRAME)])
    assert book.accounts[FILE].since > before
