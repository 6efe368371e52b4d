"""All accounts of one spool. Sans-IO."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from shipper.batch import ELSEWHERE, Labels, SourceRange
from shipper.ledger.account import Account, add_counts, among, short
from shipper.ledger.extent import MOST_COUNTED, Extent

MOST: Final = 8192
"""Accounts that are kept; of the one that was not told of for longest only the sums stay (``Closed``)."""
LEFT_MOST: Final = 8192
"""Of the closed accounts that wait to be kept elsewhere so many stay."""
_SOURCES_KEPT: Final = 1024
"""Sources whose sums are told apart."""
_LONGEST_PATH: Final = 4096
_LONGEST_KEY: Final = 64
_ID: Final = 16
"""Bytes of a file's generation, and of a stream's id."""
UNKNOWN: Final = b""
"""In place of an account's key, where nobody knows which files it is about: the range is one of the spool's numbers."""
DELIVERED: Final = "delivered"
"""In place of why something is missing: every sink had it before the entry that told of it was damaged."""


class Told(msgspec.Struct):
    """What one frame, or a gap in place of some, tells of. There is one for every frame: it has to be cheap."""

    labels: Labels
    ranges: Sequence[SourceRange]
    stream: bytes = b""
    """The upstream stream in which it came; empty: it was framed here."""
    seq: int = 0
    """Its number in that stream; of what is framed here it is known when it is written, as is ``own``."""
    here: Sequence[SourceRange] = ()
    """Of a frame that was taken apart: what became of its records here, at the hop that keeps the book."""
    own: int = 0
    """The number of its entry in this spool."""


class Forgone(msgspec.Struct, frozen=True, array_like=True):
    """A byte range that a sink was to get and will not. In entries: only append fields."""

    sink: str
    reason: str
    key: bytes
    """The account's, or ``UNKNOWN``."""
    start: int
    end: int


DEAD_LETTERED: Final = "dead_lettered"
DEAD_LETTERS_FULL: Final = "dead_letters_full"


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """Records that a sink will never take. In entries: only append fields."""

    sink: str
    outcome: str
    """``DEAD_LETTERED``; ``DEAD_LETTERS_FULL``: they are lost."""
    key: bytes
    """The account's."""
    records: int


class Break(msgspec.Struct, array_like=True):
    """Where an upstream stream did not go on with the next frame. On disk: only append fields."""

    jump: int = 0
    """The last number before which others are missing, because another collector acknowledged them."""
    gap: int = 0
    """The last number in whose place a gap came."""
    reason: str = ""
    """Why there was a gap."""


class Closed(msgspec.Struct, array_like=True):
    """Sums of accounts that are not kept any more. On disk: only append fields."""

    accounts: int = 0
    covered: int = 0
    read: int = 0
    kept: int = 0
    failed: int = 0
    dropped: int = 0


class Book(msgspec.Struct, array_like=True):
    """A ledger, as it stands in snapshots: only append fields, with defaults."""

    accounts: dict[bytes, Account] = {}
    """By file generation (16 bytes), or by a source's name where it has none; told of last stands last."""
    breaks: dict[bytes, Break] = {}
    """By upstream stream."""
    closed: dict[str, Closed] = {}
    """By source."""

    left: list[tuple[bytes, Account]] | None = None
    """Accounts that were closed and are not elsewhere yet, oldest first (see ``Changes``); None: nobody keeps them."""
    most: int = MOST
    """Accounts that are kept: fewer where segments are small, as each begins with the book."""
    unknown: dict[str, Extent] = {}
    """By sink: numbers of frames that were destroyed before it had them, and of which nobody knows what they held."""
    refused: dict[str, dict[str, int]] = {}
    """By sink: records that it refused of accounts that were closed by then, by what became of them."""

    def enter(self, told: Told, changed: dict[bytes, None] | None = None) -> None:
        """Take over what a durable frame tells of. ``changed`` gets the keys of the accounts."""
        accounts, stream, file = self.accounts, told.stream, told.labels.get("file", "")
        account = None
        for span in told.ranges:
            key = span.generation if len(span.generation) == _ID else key_of(span, stream)
            account = accounts.pop(key, None)
            if account is None:
                self._close_oldest()
                host = short(str(told.labels.get("host", "")))
                account = Account(short(span.source), host, short(str(file), _LONGEST_PATH), since=told.own)
            accounts[key] = account
            account.enter(span, stream, told.seq, self._why)
            if changed is not None:
                changed[key] = None
        if account is None:
            return
        if account.file != file:  # those before the last range are of files that were rotated away, to other names
            account.file = short(str(file), _LONGEST_PATH)
        for one in told.here:
            account.enter_here(one)

    def broken(self, stream: bytes, *, jump: int = 0, gap: int = 0, reason: str = "") -> None:
        """An upstream stream goes on behind a ``jump`` or a ``gap``; both are numbers."""
        found = self.breaks.setdefault(stream, Break())
        found.jump = max(found.jump, jump)
        if gap:
            found.gap, found.reason = gap, reason

    def forgo(self, forgone: Iterable[Forgone]) -> None:
        """Take over what sinks will not get."""
        for one in forgone:
            if one.key == UNKNOWN:
                self.unknown.setdefault(one.sink, Extent()).add(one.start, one.end)
                continue
            account = self.accounts.get(one.key)
            if account is not None:
                account.forgo(one.sink, one.reason, one.start, one.end)

    def refuse(self, refused: Iterable[Refused]) -> None:
        """Take over what sinks refused."""
        for one in refused:
            account = self.accounts.get(one.key)
            if account is not None:
                account.refuse(one.sink, one.outcome, one.records)
            else:
                add_counts(self.refused.setdefault(one.sink, {}), {one.outcome: one.records})

    def _why(self, stream: bytes, seq: int) -> str:
        """Why what was due in a stream after a number is missing; empty: nobody knows."""
        found = self.breaks.get(stream)
        if found is None:
            return ""
        if found.gap > seq:
            return found.reason
        return ELSEWHERE if found.jump > seq else ""

    def _close_oldest(self) -> None:
        if len(self.accounts) < self.most:
            return
        key = next(iter(self.accounts))
        account = self.accounts.pop(key)
        if self.left is not None:
            self.left.append((key, account))
            del self.left[:-LEFT_MOST]
        sums = self.closed.setdefault(among(self.closed, account.source, _SOURCES_KEPT), Closed())
        sums.accounts += 1
        sums.covered = min(sums.covered + sum(end - start for start, end in account.covered), MOST_COUNTED)
        sums.read = min(sums.read + account.read, MOST_COUNTED)
        sums.kept = min(sums.kept + account.kept, MOST_COUNTED)
        sums.failed = min(sums.failed + account.failed, MOST_COUNTED)
        sums.dropped = min(sums.dropped + sum(account.dropped.values()), MOST_COUNTED)


def key_of(span: SourceRange, stream: bytes) -> bytes:
    """The key of the account that a range belongs to, which came in a stream (empty: it was framed here)."""
    generation = span.generation
    if generation and len(generation) <= _LONGEST_KEY:
        return generation
    return generation[:_LONGEST_KEY] or stream + short(span.source).encode()
