"""E-mail and IP addresses in text. Sans-IO.

- E-mail: letters, digits and ``._+'-`` before the ``@`` (or ``%40``, as web addresses write it), behind it the name of
  a host with a dot. ``icon@2x.png`` is none.
- IPv4: four numbers up to 255 with dots between, no fifth (then it is an object id or a version), no letter right
  before (``v1.2.3.4``). A version of four numbers looks the same and is taken for an address.
- IPv6: what ``inet_pton`` takes and has ``::`` with a digit or a third group, so that ``a::b`` stays what it is in C++,
  or eight groups not all of two digits, so that a fingerprint stays one.
"""

import re
from collections.abc import Iterator
from socket import AF_INET6, inet_pton
from typing import Final, TypeAlias

from shipper_processors._search import count, from_behind, quick

Span: TypeAlias = tuple[int, int]
"""Where something begins, and where what follows it begins."""

_HEX: Final = b"0123456789abcdefABCDEF"
_DOTS: Final = b"..."
_COLONS: Final = b":::::::"
"""What is left without the hex digits of 10.0.0.1 and of an address of eight groups."""
_V4_SHAPE: Final = r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
_V6_SHAPE: Final = r":(?::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:)"
"""What stands in every address, and seldom elsewhere. They begin with a character that ``re`` skips ahead to."""
_V4_BYTES: Final = re.compile(_V4_SHAPE.encode())
_V6_BYTES: Final = re.compile(_V6_SHAPE.encode())
_V4_TEXT: Final = re.compile(_V4_SHAPE)
_V6_TEXT: Final = re.compile(_V6_SHAPE)
_HEAD: Final = 4096
"""Whether every line has an address the first ones tell."""
_V4: Final = re.compile(
    r"(?:(?<![0-9A-Za-z])(?<![0-9]\.)|(?<=\\[bfnrt]))"
    r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])){3}"
    r"(?![0-9]|\.[0-9])"
)
_V6_RUN: Final = re.compile(r"(?<![0-9A-Fa-f:])[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*")
_V6_LENGTH: Final = 60
"""Longer runs of hex digits and colons are something else: fingerprints, dumps."""
_LONG_GROUP: Final = re.compile(r"[0-9A-Fa-f]{3}")
_ESCAPE: Final = re.compile(r"\\u[0-9A-Fa-f]{4}")
_ESCAPE_LENGTH: Final = 6
_ESCAPES: Final = (r"\b", r"\f", r"\n", r"\r", r"\t")
"""As JSON and source code write them: their letters belong to no word."""
_LOCAL: Final = 64
"""An e-mail address has at most so many bytes before the ``@`` (RFC 5321, 4.5.3.1.1)."""
_HOST: Final = re.compile(r"(?:@|%40)(?![1-4]x\.)(?:\w(?:[\w-]{0,62}\w)?\.)+[^\W\d_]{2}[\w-]*")
_HOST_BYTES: Final = re.compile(rb"(?:@|%40)(?:[\w\x80-\xff-]+\.)+[A-Za-z\x80-\xff]")
_CROWDED: Final = 1024
"""Where there is one for every so many bytes, or more, looking for each of them is not worth it."""


def emails(text: str) -> list[Span]:
    """The e-mail addresses in a text."""
    if "@" not in text and "%40" not in text:
        return []
    found: list[Span] = []
    for match in _HOST.finditer(text):
        at = match.start()
        start = _local_start(text, max(0, at - _LOCAL, found[-1][1] if found else 0), at)
        if start < at:
            found.append((start, match.end()))
    return found


def _local_start(text: str, first: int, at: int) -> int:
    """Where the part before the ``@`` begins. A letter that JSON escapes belongs to it, another escape does not."""
    start = at
    while True:
        while start > first and _is_local(text[start - 1]):
            start -= 1
        backslash = text.rfind("\\", max(0, start - _ESCAPE_LENGTH + 1), start)
        escape = _ESCAPE.match(text, backslash, at) if backslash >= 0 else None
        if escape is None or escape.end() <= start:
            return start + 1 if start < at and text[max(0, start - 1) : start + 1] in _ESCAPES else start
        if backslash < first or not _is_local(chr(int(text[backslash + 2 : backslash + _ESCAPE_LENGTH], 16))):
            return escape.end()
        start = backslash


def _is_local(character: str) -> bool:
    return character.isalnum() or character in "._+'-"


def email_places(data: bytes) -> list[int] | None:
    """Where in many lines an e-mail address may be; None: in too many places."""
    marks = (b"@", b"%40") if b"%" in data else (b"@",)
    places: list[int] = []
    for mark in marks:
        at = data.find(mark)
        while at >= 0:
            if _HOST_BYTES.match(data, at):
                places.append(at)
                if len(places) > 16 + len(data) // _CROWDED:
                    return None
            at = data.find(mark, at + 1)
    return sorted(places)


def ips(text: str) -> list[Span]:
    """The IP addresses in a text, of both versions."""
    if "\\u" in text:  # the digits of an escape belong to no address
        text = _ESCAPE.sub("\0" * 6, text)
    found = [match.span() for match in _V4.finditer(text)] if _V4_TEXT.search(text) else []
    if _V6_TEXT.search(text):
        found += [span for match in _V6_RUN.finditer(text) for span in _v6(text, *match.span())]
    return found


def ip_places(data: bytes) -> list[int] | None:
    """Where the lines begin that hold an IP address; None: there are too many."""
    places: set[int] = set()
    if _V4_BYTES.search(data, 0, _HEAD) and not _look(_V4_BYTES, data, places):  # perhaps every line has one
        return None
    bare = data.translate(None, _HEX)
    holds = quick(bare) or from_behind
    # dots in threes that are there anyway: those of "... 12 more"
    dotted = holds(bare, _DOTS) and count(bare, _DOTS) > count(data, _DOTS)
    if dotted and not _look(_V4_BYTES, data, places):
        return None
    if (holds(bare, _COLONS) or holds(data, b"::")) and not _look(_V6_BYTES, data, places):
        return None
    return sorted(places)


def _look(shape: re.Pattern[bytes], data: bytes, places: set[int]) -> bool:
    """Add where the lines begin that hold an address, of those with the shape of one; False: there are too many."""
    match = shape.search(data)
    while match is not None:
        start = data.rfind(b"\n", 0, match.start()) + 1
        end = data.find(b"\n", match.start())
        end = len(data) if end < 0 else end
        if start not in places and ips(data[start:end].decode("latin-1")):
            places.add(start)
            if len(places) > 16 + start // _CROWDED:
                return False
        match = shape.search(data, end)
    return True


def _v6(text: str, start: int, end: int) -> Iterator[Span]:
    """The address in a run of hex digits, colons and dots."""
    if end - start > _V6_LENGTH:
        return
    if text[start - 1 : start + 1] in _ESCAPES:
        start += 1
    elif text[max(0, start - 2) : start] not in _ESCAPES and _is_word(text[start - 1 : start]):
        # client:fe80::1, or std::array
        start = text.index(":", start) + 1
        if text[start] == ":" and text[start + 1 : start + 2] != ":":
            return
    stripped = start + len(text[start:end].rstrip(":."))
    for stop in (end, stripped, text.rfind(":", start, stripped)):  # the last: a port behind it
        if stop > start and not _is_word(text[stop : stop + 1]) and _is_v6(text[start:stop]):
            yield start, stop
            return


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _is_v6(piece: str) -> bool:
    groups = [group for group in piece.split(":") if group]
    if "::" in piece:
        likely = len(groups) > 2 or not "".join(groups).isalpha()
    else:
        likely = piece.count(":") == 7 and _LONG_GROUP.search(piece) is not None
    if not likely or not groups:
        return False
    try:
        inet_pton(AF_INET6, piece)
    except (OSError, ValueError):
        return False
    return True
