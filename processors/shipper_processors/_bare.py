"""Places in the text of a JSON object that stand outside of its strings: what takes their place needs quotes. Sans-IO.

A raw line that nobody parsed is text, and what is taken out of it must not make it bad JSON: ``{"token":12}`` becomes
``{"token":"***"}``.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

Place: TypeAlias = tuple[int, int, str]
"""Where something begins, where what follows it begins, and what it is."""

_QUOTE: Final = re.compile(r'\\.|(")', re.DOTALL)
_VALUE: Final = re.compile(r'[^\s",:\[\]{}]*+')
_BEFORE: Final = ":,["
"""What stands before a value, but for blanks."""


def fitted(text: str, places: Iterable[Place]) -> Iterator[tuple[Place, bool]]:
    """The places, which are in order, and whether each is a whole value outside of strings; part of one becomes all of
    it. Those that begin where a string ends are left out: that quote was taken for the beginning of one.
    """
    if not _is_object(text):
        yield from ((place, False) for place in places)
        return
    inside, done = False, 0
    for start, end, kind in places:
        inside ^= _QUOTE.findall(text, done, start).count('"') % 2 == 1
        done = start
        if inside or _VALUE.fullmatch(text, start, end) is None:
            if inside or text[start - 1] != '"':
                yield (start, end, kind), False
            continue
        first = start - 1 if text[start - 1] == "-" else start
        whole = _VALUE.match(text, end)
        last = end if whole is None else whole.end()
        yield (first, last, kind), text[max(0, first - 16) : first].rstrip()[-1:] in _BEFORE


def _is_object(text: str) -> bool:
    return text[:16].lstrip()[:1] == "{" and text[-16:].rstrip()[-1:] == "}"
