"""The balance of a spool: for every account, where its bytes are now, and what nobody can explain.

    covered = delivered + queued + forgone + lost + missing     for each sink

Read from the spool's files, also while a process is at work in them: a sink's cursor on disk may be about a second old,
so that what was delivered in the last second still counts as queued. What a sink has not acknowledged and nobody can
read counts as forgone (``corrupt``) also before a process has met it and noted that.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

import msgspec

from shipper.errors import UNREADABLE, SourceError
from shipper.ledger.account import WITHIN, Account
from shipper.ledger.book import DELIVERED
from shipper.ledger.extent import Extent, Span, size, without
from shipper.ledger.waiting import Waiting
from shipper.sources.file.identity import Position, decode_position
from shipper.spool.disk import Disk
from shipper.spool.inspect import View
from shipper.spool.ledger_news import CORRUPT


class Part(msgspec.Struct):
    """Some byte ranges."""

    bytes: int
    ranges: list[Span]
    """The first of them, where they are many."""


class Share(msgspec.Struct):
    """What one sink has of an account, in bytes (positions of what is no file)."""

    delivered: int
    """Gone its way to the sink: what processors or its ``where`` dropped on it lies within, and what it refused."""
    queued: Part
    forgone: dict[str, Part]
    """What it will not get, by reason."""
    refused: dict[str, int]
    """Records within ``delivered`` that it did not take: ``dead_lettered``, or lost as these were full
    (``dead_letters_full``)."""


class Balance(msgspec.Struct):
    """That of one account."""

    generation: str
    source: str
    host: str
    file: str
    place: str
    """Of what is no file, which part of its source it is, where this node reads it: ``TOPIC/PARTITION``; else empty."""
    unit: str
    """``bytes`` of a file; ``positions`` of what counts otherwise: offsets, entries of a journal, frames."""
    before: int
    """Where the ledger begins: what lies before it was not asked for, was read before there was a ledger, or was
    destroyed before anybody was told of it."""
    covered: list[Span]
    unread: int | None
    """Bytes of the file behind what was read; None where the file is not this node's, or is gone."""
    read: int
    kept: int
    failed: int
    dropped: dict[str, int]
    failed_here: int
    """Of the records that another node read and kept: what became of them here."""
    dropped_here: dict[str, int]
    lost: dict[str, Part]
    missing: dict[str, Part]
    twice: Part
    sinks: dict[str, Share]
    problems: list[str]
    """What cannot be explained; empty: it balances."""


class Audit(msgspec.Struct):
    """That of one spool."""

    data_dir: str
    stream: str
    balanced: bool
    accounts: list[Balance]
    closed: dict[str, int]
    """Accounts by source of which only sums are kept."""
    refused: dict[str, dict[str, int]]
    """By sink, records as in ``Share.refused``, of accounts that were closed by then."""
    problems: list[str]
    """What cannot be explained, and belongs to no account that is known."""


def audit(disk: Disk, view: View, data_dir: str, rows: Iterable[tuple[bytes, Account]] = ()) -> Audit:
    """Compare what the ledger, the entries that wait, the positions and the files themselves say.

    ``rows``: those of a collector's database. What the spool's own ledger has is newer, but for an account that it had
    closed and opened again: of that the row knows the beginning, too.

    :raises SpoolError: segments come and go faster than they can be read.
    """
    waiting = Waiting(disk, view)
    places, parts = positions(view.state), parts_read(view.state)
    accounts = dict(view.ledger.accounts)
    for key, row in rows:
        if key not in accounts or row.begin < accounts[key].begin:
            accounts[key] = row
    balances = [
        balance(
            key,
            account,
            {sink: spans.get(key, []) for sink, spans in waiting.queued.items()},
            places.get(key),
            {sink: spans.get(key, []) for sink, spans in waiting.destroyed.items()},
            part=parts.get(key, ""),
        )
        for key, account in accounts.items()
    ]
    closed = {source: sums.accounts for source, sums in view.ledger.closed.items()}
    problems = [
        f"frames {_numbers(extent)} of the spool were destroyed before {sink} had them: nobody knows of which files"
        for sink, extent in waiting.unknown.items()
    ]
    balanced = not problems and not any(one.problems for one in balances)
    return Audit(data_dir, view.identity.stream.hex(), balanced, balances, closed, view.ledger.refused, problems)


def _numbers(extent: Extent) -> str:
    return ", ".join(f"{first} to {end - 1}" for first, end in extent.spans)


def positions(state: Mapping[str, bytes]) -> dict[bytes, Position]:
    """The file positions in a spool's state, by generation."""
    found = {}
    for key, value in state.items():
        name = key.rpartition("/")[2]
        try:
            generation, position = decode_position(name, value)
        except SourceError:  # a processor's state, or another source's
            continue
        found[generation] = position
    return found


class _Part(msgspec.Struct, array_like=True):
    """How far a part of a source was read that is no file: how such state begins."""

    offset: int
    generation: bytes


_decode_part: Final = msgspec.msgpack.Decoder(_Part).decode


def parts_read(state: Mapping[str, bytes]) -> dict[bytes, str]:
    """What the parts of sources are called that are no files, by generation."""
    found = {}
    for key, value in state.items():
        kind, _, rest = key.partition("/")
        part = rest.partition("/")[2]
        if kind == "source" and "/" in part:
            with suppress(*UNREADABLE):
                found[_decode_part(value).generation] = part
    return found


def balance(
    key: bytes,
    account: Account,
    queued: Mapping[str, list[Span]],
    place: Position | None,
    destroyed: Mapping[str, list[Span]] = MappingProxyType({}),
    *,
    part: str = "",
) -> Balance:
    """That of one account. ``queued``: what waits in the spool, by sink; ``destroyed``: what would, could it be read;
    ``place``: the position of its file; ``part``: what it is called that is no file.
    """
    file = "" if part else account.file  # records that a sink of shipper wrote to Kafka carry the label of their file
    return Balance(
        key.hex() if account.file or len(key) == 16 else key.decode(errors="replace"),
        account.source,
        account.host,
        file,
        part,
        "bytes" if file else "positions",
        account.begin,
        account.covered,
        None if place is None else _unread(place),
        account.read,
        account.kept,
        account.failed,
        account.dropped,
        account.failed_here,
        account.dropped_here,
        _parts(account.lost),
        _parts({reason: extent for reason, extent in account.missing.items() if reason != DELIVERED}),
        Part(account.twice.bytes, account.twice.spans),
        {sink: _share(account, sink, spans, destroyed.get(sink, [])) for sink, spans in queued.items()},
        list(_problems(account, place)),
    )


def _share(account: Account, sink: str, queued: list[Span], destroyed: list[Span]) -> Share:
    forgone = dict(account.forgone.get(sink, {}))
    unread = [extent for reason, extent in account.lost.items() if reason not in WITHIN]
    unread += [extent for reason, extent in account.missing.items() if reason != DELIVERED]
    known = sorted(span for extent in (*forgone.values(), *unread) for span in extent.spans)
    if news := without(destroyed, known):
        before = forgone.get(CORRUPT, Extent())
        forgone[CORRUPT] = Extent(before.bytes + size(news), sorted([*before.spans, *news]))
    gone = sorted(span for extent in forgone.values() for span in extent.spans)
    waits = without(queued, gone)
    left = size(account.covered) - size(waits)
    left -= sum(extent.bytes for extent in (*forgone.values(), *unread))
    return Share(max(0, left), Part(size(waits), waits), _parts(forgone), account.refused.get(sink, {}))


def _parts(extents: Mapping[str, Extent]) -> dict[str, Part]:
    return {reason: Part(extent.bytes, extent.spans) for reason, extent in extents.items()}


def _problems(account: Account, place: Position | None) -> Iterable[str]:
    for start, end in account.holes:
        yield f"{start}-{end}: nobody tells what became of it"
    if account.blurred:
        yield f"{account.blurred} more in many small places: nobody tells what became of it"
    if account.twice.bytes:
        ranges = ", ".join(f"{start}-{end}" for start, end in account.twice.spans)
        yield f"{ranges}: read twice"
    told = account.kept + account.failed + sum(account.dropped.values())
    if told < account.read:
        yield f"{account.read} records were read, of {account.read - told} nobody tells what became of them"
    if place is not None and account.covered and not _ends_at(account, place.offset):
        yield f"the file's position is {place.offset}, and the ledger ends at {account.end}"


def _ends_at(account: Account, offset: int) -> bool:
    """Whether a position is the ledger's end; what is lost behind it is in the ledger only."""
    lost = sorted(span for extent in account.lost.values() for span in extent.spans)
    return offset <= account.end and not without([(offset, account.end)], lost)


def _unread(place: Position) -> int | None:
    if place.packed:
        return None
    path = place.where or place.path
    try:
        found = os.stat(path)
    except OSError:
        return None
    return max(0, found.st_size - place.offset) if found.st_ino == place.inode else None
