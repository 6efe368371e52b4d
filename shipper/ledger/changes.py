"""Which accounts of a book changed since somebody asked last. Sans-IO."""

from typing import Final, NamedTuple

import msgspec

from shipper.ledger.account import Account
from shipper.ledger.book import MOST, Book, Break

_pack: Final = msgspec.msgpack.Encoder().encode


class Change(NamedTuple):
    """An account as it stands now."""

    key: bytes
    account: bytes
    """msgpack of the ``Account``."""
    closed: bool
    """The book lets go of it: the next time it is asked, this must be kept for good."""
    broken: Break
    """Where its stream had not gone on with the next frame: what an account that went on from an earlier one misses."""


class Changes:
    """Those of one book. They belong to who changes the book: to the spool's writer, once that runs."""

    def __init__(self, book: Book) -> None:
        """Whatever is in the book now counts as changed."""
        self._book = book
        self.keys = dict.fromkeys(book.accounts)
        """Of the accounts that changed; whoever enters something into the book adds those of it (``Book.enter``)."""
        self._handed: list[tuple[bytes, Account]] = []
        """What the book had let go of and was taken last."""

    def bound(self) -> None:
        """Keep few keys while nobody asks: those that are not in the book any more tell nothing."""
        if len(self.keys) > 2 * MOST:
            self.keys = {key: None for key in self.keys if key in self._book.accounts}

    def everything(self) -> None:
        """Every account counts as changed; what was taken last came to nothing."""
        self.keys = dict.fromkeys(self._book.accounts)
        self._handed = []

    def take(self, most: int) -> list[Change]:
        """At most so many changes; fewer than that: there are no others now. What was taken before is kept for good.

        Accounts that were closed come first, so that a later one of the same generation comes after them.
        """
        left, keys = self._book.left or [], self.keys
        known = set(map(id, self._handed))
        left[:] = [each for each in left if id(each) not in known]
        self._handed = left[:most]
        taken = [self._change(*each, closed=True) for each in self._handed]
        while keys and len(taken) < most:
            key = next(iter(keys))
            del keys[key]
            if (account := self._book.accounts.get(key)) is not None:
                taken.append(self._change(key, account))
        return taken

    def _change(self, key: bytes, account: Account, *, closed: bool = False) -> Change:
        found = self._book.breaks.get(account.stream)
        broken = Break() if found is None else Break(found.jump, found.gap, found.reason)
        return Change(key, _pack(account), closed, broken)
