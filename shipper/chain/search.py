"""Which lines of a buffer hold some bytes, without taking it apart. Sans-IO."""

from collections.abc import Iterable


def lines_with(texts: Iterable[bytes], data: bytes, *, escaped: bool) -> list[int]:
    r"""Where the lines of ``data`` begin that hold one of the texts, in order. ``escaped``: or ``\u``."""
    starts: set[int] = set()
    for text in texts:
        at = data.find(text)
        while at >= 0:
            starts.add(data.rfind(b"\n", 0, at) + 1)
            end = data.find(b"\n", at)
            at = data.find(text, end) if end >= 0 else -1
    if escaped:
        starts.update(escapes(data))
    return sorted(starts)


def escapes(data: bytes) -> set[int]:
    r"""Where the lines begin that hold ``\u``."""
    starts: set[int] = set()
    at = data.find(b"\\")
    while at >= 0:
        if data[at + 1 : at + 2] == b"u":
            starts.add(data.rfind(b"\n", 0, at) + 1)
            at = data.find(b"\n", at)
            at = data.find(b"\\", at) if at >= 0 else -1
        else:
            at = data.find(b"\\", at + 2)
    return starts


def numbers(data: bytes, places: Iterable[int]) -> list[int]:
    """The number of each line, by places in it, in ascending order."""
    found: list[int] = []
    line = before = 0
    for place in places:
        line += data.count(b"\n", before, place)
        before = place
        if not found or found[-1] != line:
            found.append(line)
    return found
