"""Card numbers in text. Sans-IO.

A card number is 13 to 19 digits, in one piece or in groups as cards show them (4-4-4-4, 4-6-5 and the like) with a
blank or a dash between two, that begins as one of the large issuers' do and whose check digit is right (Luhn). Prefixes
and lengths: ISO/IEC 7812, as the article "Payment card number" of Wikipedia lists them.

What makes it no card number: a letter or digit right beside it (a hex string, a longer number), a decimal point between
it and a digit (a fraction), a plus before it (a phone number). One of forty random numbers of 16 digits still looks
like a card.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from shipper_processors._search import from_behind, quick

Span: TypeAlias = tuple[int, int]
"""Where something begins, and where what follows it begins."""

_RUNS: Final = bytes.maketrans(b"123456789 -", b"00000000000")
"""Digits and separators look the same: whatever holds a card is a run of at least 13."""
_SHAPES: Final = bytes.maketrans(b"123456789-", b"000000000 ")
"""Digits look the same, and so do the two separators."""
_LONG: Final = b"0" * 13
_GROUPED: Final = b"0000 0000"
"""In every grouped layout, and seldom elsewhere: a date is 0000 00 00."""
_HEAD: Final = 4096
"""Whether every line has such runs the first ones tell."""
_CROWDED: Final = 1024
"""Where there is a run for every so many bytes, or more, as in logs that begin with date and time, looking at each of
them is not worth it."""
_LAYOUTS: Final = {
    *((length,) for length in range(13, 20)),
    (4, 4, 4, 4, 3),
    (4, 4, 4, 4, 2),
    (4, 4, 4, 4, 1),
    (4, 4, 4, 4),
    (4, 4, 4, 3),
    (4, 4, 4, 2),
    (4, 4, 4, 1),
    (4, 6, 5),
    (4, 6, 4),
}
"""How digits are grouped."""
_FIRST: Final = frozenset(layout[0] for layout in _LAYOUTS)
_MOST_GROUPS: Final = max(map(len, _LAYOUTS))
_ISSUERS: Final = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    rb"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}"  # American Express
    rb"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    rb"|(?:6011|64[4-9]\d|65\d\d|62\d\d|35(?:2[89]|[3-8]\d)|220[0-4])\d{12,15}"  # Discover, UnionPay, JCB, Mir
    rb"|(?:60|81|82)\d{14}|508\d{13}"  # RuPay
    rb"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{9,15}"  # Maestro
)
_JOINED: Final = re.compile(rb"[0-9]+(?:[ -][0-9]+)*")
_DIGITS: Final = re.compile(rb"[0-9]{1,40}")  # of more digits no part is a card
_BEFORE: Final = re.compile(rb"(?<![0-9A-Za-z+])(?<![0-9]\.)|(?<=\\[bfnrt])")
"""What may stand before one. The letter of an escape, as JSON and source code write it (``\\n``), is none of a word."""
_AFTER: Final = re.compile(rb"(?![0-9A-Za-z]|\.[0-9])")
_ESCAPE: Final = re.compile(rb"\\u[0-9A-Fa-f]{4}")
_ESCAPE_LENGTH: Final = 6
_CHUNK: Final = 64
"""So many bytes of a run are taken at once where its ends are looked for."""


def cards(data: bytes) -> list[Span]:
    """The card numbers in a text whose ASCII characters are a byte each, in their order. Quick where there are none."""
    if data[:_HEAD].translate(_RUNS).count(_LONG) * _CROWDED <= _HEAD:
        runs = _runs(data.translate(_RUNS), _LONG, b"0", 16 + len(data) // _CROWDED)
        if runs is not None:
            return [card for start, end in reversed(runs) for card in _in_run(data, start, end)]
    shapes = data.translate(_SHAPES)
    holds = quick(shapes) or from_behind
    needles = (_LONG, _GROUPED) if holds(shapes, _GROUPED) else (_LONG,)
    exact = {run for needle in needles for run in _runs(shapes, needle, b" 0", len(data)) or ()}
    return [card for start, end in sorted(exact) for card in _in_run(data, start, end)]


def is_card(digits: bytes) -> bool:
    """Whether these digits begin as an issuer's, are as many as its cards have, and end with the right check digit."""
    if _ISSUERS.fullmatch(digits) is None:
        return False
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = (digit - 48) << (at & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _runs(shapes: bytes, needle: bytes, kind: bytes, limit: int) -> list[Span] | None:
    """Where the needle stands, and what is of its kind before and behind it, the last first; None: more than ``limit``.
    It is looked for from behind, which is quicker where there are few.
    """
    found: list[Span] = []
    at = shapes.rfind(needle)
    while at >= 0:
        if len(found) == limit:
            return None
        start, end = at, at + len(needle)
        while start and shapes[start - 1] in kind:
            piece = shapes[max(0, start - _CHUNK) : start]
            start -= len(piece) - len(piece.rstrip(kind))
        while shapes[end : end + 1] and shapes[end] in kind:
            piece = shapes[end : end + _CHUNK]
            end += len(piece) - len(piece.lstrip(kind))
        found.append((start, end))
        at = shapes.rfind(needle, 0, start)
    return found


def _in_run(data: bytes, start: int, end: int) -> Iterator[Span]:
    """The cards in a run of digits and separators."""
    if data[start:end].isdigit() and (data[end : end + 1].isalnum() or _is_inside_word(data, start)):
        return  # most of them are parts of ids
    for match in _JOINED.finditer(data, start, end):
        first = _digits_at(data, match.start())
        groups = [first, *(group.span() for group in _DIGITS.finditer(data, first[1], match.end()))]
        at = 0
        while at < len(groups):
            count = _groups_of_card(data, groups[at : at + _MOST_GROUPS])
            if count:
                yield groups[at][0], groups[at + count - 1][1]
            at += count or 1


def _is_inside_word(data: bytes, at: int) -> bool:
    before = data[max(0, at - _ESCAPE_LENGTH) : at]
    return before[-1:].isalnum() and b"\\" not in before


def _digits_at(data: bytes, start: int) -> Span:
    """The digits that begin there, without those that belong to an escape."""
    match = _DIGITS.match(data, start)
    end = match.end() if match else start
    escape = _ESCAPE.search(data, max(0, start - _ESCAPE_LENGTH), end)
    return (start if escape is None else escape.end()), end


def _may_begin(data: bytes, at: int) -> bool:
    escaped = _ESCAPE.fullmatch(data, max(0, at - _ESCAPE_LENGTH), at)
    return escaped is not None or _BEFORE.match(data, at) is not None


def _groups_of_card(data: bytes, groups: list[Span]) -> int:
    """Of how many groups the card consists that begins with the first; 0: none does."""
    start = groups[0][0]
    if groups[0][1] - start not in _FIRST or not _may_begin(data, start):
        return 0
    lengths = tuple(end - begin for begin, end in groups)
    for count in range(len(groups), 0, -1):  # the longest first: what is left of the number would give it away
        end = groups[count - 1][1]
        if lengths[:count] in _LAYOUTS and _AFTER.match(data, end) and is_card(data[start:end].translate(None, b" -")):
            return count
    return 0
