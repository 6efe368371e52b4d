"""What ``shipper audit`` prints for people."""

from collections.abc import Iterator, Mapping

from shipper.ledger.audit import Audit, Balance, Part, Share
from shipper.ledger.book import DEAD_LETTERED, DEAD_LETTERS_FULL
from shipper.ledger.extent import Span

_SHOWN = 4
"""Ranges a line."""
_OUTCOMES = {DEAD_LETTERED: "dead-lettered", DEAD_LETTERS_FULL: "lost, the dead letters were full"}


def text(audit: Audit) -> str:
    """The balance of every account, what does not balance last."""
    accounts = sorted(audit.accounts, key=lambda one: (bool(one.problems), one.host, one.file, one.source, one.place))
    lines = [f"{audit.data_dir}: stream {audit.stream}", ""]
    for one in accounts:
        lines += _account(one)
        lines.append("")
    for source, count in audit.closed.items():
        lines += [f"{source}: {count} more that nothing was read from for long; only their sums are kept", ""]
    for sink, outcomes in audit.refused.items():
        for count, why in _refused(outcomes):
            lines += [f"of these, {count} records were refused by {sink}: {why}", ""]
    if audit.problems:
        lines += [*(_row("PROBLEM", problem) for problem in audit.problems), ""]
    wrong = sum(bool(one.problems) for one in accounts)
    what = f"{len(accounts)} {'account' if len(accounts) == 1 else 'accounts'}"
    broken = f"{wrong} of {what}" if wrong else "frames of the spool were destroyed"
    lines.append(f"balances: {what}" if audit.balanced else f"DOES NOT BALANCE: {broken}")
    return "\n".join(lines) + "\n"


def _account(one: Balance) -> Iterator[str]:
    where = f"{one.source} on {one.host}" if one.host else one.source
    yield f"{one.file or one.place or 'no file'}  ({where}, {one.generation[:12]})"
    dropped = sum(one.dropped.values())
    yield _row("covered", f"{_ranges(one.covered)} {one.unit}")
    yield _row("records", f"{one.read} read: {one.kept} kept, {dropped} dropped, {one.failed} dead-lettered")
    for reason, count in sorted(one.dropped.items()):
        yield _row("", f"{count} dropped by {reason}")
    for reason, count in sorted(one.dropped_here.items()):
        yield _row("", f"{count} of the kept dropped here by {reason}")
    if one.failed_here:
        yield _row("", f"{one.failed_here} of the kept dead-lettered here")
    for sink, share in one.sinks.items():
        yield _row(f"to {sink}", _share(share))
        yield from (_row("", f"{count} of the kept refused by {sink}: {why}") for count, why in _refused(share.refused))
    for kind, parts in (("lost", one.lost), ("missing", one.missing)):
        for reason, part in sorted(parts.items()):
            yield _row(kind, f"{_part(part)}: {reason}")
    if one.before:
        yield _row("before", f"0-{one.before}: not asked for, read before there was a ledger, or destroyed")
    if one.unread is not None:
        yield _row("unread", str(one.unread))
    for problem in one.problems:
        yield _row("PROBLEM", problem)


def _row(name: str, said: str) -> str:
    return f"  {name:<12} {said}"


def _share(share: Share) -> str:
    parts = [f"{share.delivered} delivered"]
    if share.queued.bytes:
        parts.append(f"{_part(share.queued)} queued")
    parts += [f"{_part(part)} given up: {reason}" for reason, part in share.forgone.items()]
    return ", ".join(parts)


def _refused(outcomes: Mapping[str, int]) -> list[tuple[int, str]]:
    return [(count, _OUTCOMES.get(outcome, outcome)) for outcome, count in sorted(outcomes.items())]


def _part(part: Part) -> str:
    return f"{part.bytes} ({_ranges(part.ranges)})"


def _ranges(spans: list[Span]) -> str:
    shown = ", ".join(f"{start}-{end}" for start, end in spans[:_SHOWN])
    return shown + (f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else "") if spans else "nothing"
