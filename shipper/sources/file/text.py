r"""From the bytes of a file to lines in UTF-8. Sans-IO, whole buffers at a time.

- A line ends with the newline of its encoding, one character of one or several bytes at a multiple of its width. Lines
  stay one to one: as many ``\n`` stand in the result as newlines in the bytes, so that each line's place in the file
  can be found again (``line_starts``).
- UTF-8 passes verbatim, its invalid bytes too: they become U+FFFD where text is needed (see ``shipper.chain.decode``).
  In any other encoding they become U+FFFD here.
- Cut: a byte order mark at byte 0; one ``\r`` before a newline; NUL characters at the start of a line. A file that was
  truncated under a writer without ``O_APPEND`` begins with such a *hole*, and a power cut leaves them.
- ``binary`` passes everything as it is.
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MARK: Final = "\ufeff".encode()
_INNER_HOLE: Final = re.compile(rb"(?<=\n)\0+")
_PYTHON_ONLY: Final = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
_MARKS: Final = {
    "auto": (
        (_MARK, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ),
    "utf-16": ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
    "utf-32": ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
}
_WITHOUT_MARK: Final = {"auto": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_UTF_8_DECODER: Final = codecs.getincrementaldecoder("utf-8")
HEAD: Final = 4
"""So many first bytes of a file settle its encoding."""
_LOOKED_AT: Final = 256
_LEAST: Final = 8
_NULS: Final = 0.4
"""At least this part of so many first bytes is NUL in UTF-16: half of it, but for characters of other alphabets."""


@dataclass(slots=True, frozen=True)
class Lines:
    """What became of consecutive bytes of a file."""

    data: bytes
    holes: int = 0
    """Bytes of the file that were NUL at the start of a line."""
    replaced: int = 0
    """Lines that were not valid, so that U+FFFD stands for some of them."""


class Text:
    """UTF-8, and the base of the other encodings of one file."""

    newline: bytes = b"\n"
    nul: bytes = b"\0"
    carriage: bytes = b"\r"
    """What is cut before a newline; empty: nothing."""
    width: int = 1
    """Bytes of a newline; characters stand at multiples of it."""
    skips_holes: bool = True

    def fits(self, size: int) -> int:
        """How many bytes of a file fit into ``size`` bytes of UTF-8, whatever they are."""
        return size

    def after_last(self, data: bytes, begin: int, at: int) -> int:  # noqa: ARG002 - for wider newlines
        """The index after the last newline in ``data`` from ``begin`` on, or a smaller one than ``begin + 1``;
        ``at``: which byte of the file ``data[begin]`` is.
        """
        return data.rfind(b"\n", begin) + 1

    def find(self, data: bytes, at: int) -> int:  # noqa: ARG002 - for wider newlines
        """The index of the first newline, or -1; ``at``: which byte of the file ``data[0]`` is."""
        return data.find(b"\n")

    def whole(self, raw: bytes) -> int:
        """How many bytes of the beginning of a line are whole characters, or are none for sure."""
        return _whole(raw, _UTF_8_DECODER)

    def lines(self, raw: bytes, at: int, *, fresh: bool) -> Lines:
        """Bytes of the file from ``at`` on: whole lines, or a part of one without newline. ``fresh``: a line begins
        at ``at``. Where none does, the rest of a line whose beginning is a record already stands there; it is left
        out when it is empty, or only a carriage return.
        """
        return Lines(*_tidy(raw, at, fresh=fresh))

    def split(self, raw: bytes) -> list[bytes]:
        """The lines without their newlines, and what stands behind the last newline."""
        return raw.split(self.newline)


class _Binary(Text):
    """Lines that are no text."""

    skips_holes = False
    carriage = b""

    def whole(self, raw: bytes) -> int:
        return len(raw)

    def lines(self, raw: bytes, at: int, *, fresh: bool) -> Lines:  # noqa: ARG002 - nothing is cut
        return Lines(raw[1:] if not fresh and raw.startswith(b"\n") else raw)


class _Coded(Text):
    """Text that a codec of Python decodes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = codecs.getincrementaldecoder(name)
        self.newline, self.nul, self.carriage = (character.encode(self._name) for character in "\n\0\r")
        self.width = len(self.newline)
        ascii_ = bytes(range(128))
        self._like_ascii = self.width == 1 and ascii_.decode(self._name, "replace") == ascii_.decode()

    def fits(self, size: int) -> int:
        # The largest is U+FFFD: three bytes for one that is invalid, for a UTF-16 unit (two), a UTF-32 unit (four).
        return size * self.width // max(3, self.width)

    def after_last(self, data: bytes, begin: int, at: int) -> int:
        if self.width == 1:
            return data.rfind(self.newline, begin) + 1
        found = data.rfind(self.newline, begin)
        while found >= 0 and (at + found - begin) % self.width:
            found = data.rfind(self.newline, begin, found + self.width - 1)
        return found + self.width if found >= 0 else 0

    def find(self, data: bytes, at: int) -> int:
        return self._find(data, 0, at)

    def _find(self, data: bytes, begin: int, at: int) -> int:
        found = data.find(self.newline, begin)
        while found >= 0 and (at + found) % self.width:
            found = data.find(self.newline, found + 1)
        return found

    def split(self, raw: bytes) -> list[bytes]:
        if self.width == 1:
            return raw.split(self.newline)
        lines, begin = [], 0
        while (end := self._find(raw, begin, 0)) >= 0:
            lines.append(raw[begin:end])
            begin = end + self.width
        return [*lines, raw[begin:]]

    def whole(self, raw: bytes) -> int:
        return _whole(raw, self._decoder)

    def lines(self, raw: bytes, at: int, *, fresh: bool) -> Lines:
        raw = raw[-at % self.width :]  # a position inside a character (``start_at: end``): its rest is none
        replaced = 0
        if self._like_ascii and raw.isascii():
            data = raw
        else:
            try:
                text = raw.decode(self._name)
            except UnicodeDecodeError:
                text, replaced = self._replace(raw)
            data = text.encode("utf-8", "replace")
        data, holes = _tidy(data, at, fresh=fresh)
        return Lines(data, holes * self.width, replaced)

    def _replace(self, raw: bytes) -> tuple[str, int]:
        """The text with U+FFFD in it, and how many lines have some. Line by line: no damage reaches the next one."""
        texts, replaced = [], 0
        for line in self.split(raw):
            try:
                texts.append(line.decode(self._name))
            except UnicodeDecodeError:
                texts.append(line.decode(self._name, "replace").replace("\n", "\ufffd"))
                replaced += 1
        return "\n".join(texts), replaced


UTF_8: Final = Text()


def _whole(raw: bytes, decoder: Callable[[str], codecs.IncrementalDecoder]) -> int:
    pending = decoder("replace")
    pending.decode(raw)
    return len(raw) - len(pending.getstate()[0])


def _tidy(data: bytes, at: int, *, fresh: bool) -> tuple[bytes, int]:
    """Lines in UTF-8 without byte order mark, carriage returns and holes; how many NUL characters were left out."""
    if at == 0 and data.startswith(_MARK):
        data = data[len(_MARK) :]
    if b"\r" in data:
        # As a rule all of them are to be cut, which costs a quarter of a replacement of two bytes by one.
        bare = data.replace(b"\r", b"")
        only = len(data) - len(bare) == data.count(b"\r\n")
        data = bare if only else data.replace(b"\r\n", b"\n")
    size = len(data)
    if b"\0" in data:
        if fresh:
            data = data.lstrip(b"\0")
        if b"\n\0" in data:
            data = _INNER_HOLE.sub(b"", data)
    holes = size - len(data)
    if not fresh and (data.startswith(b"\n") or data == b"\r"):
        data = data[1:]
    return data, holes


class Encoding:
    """A source's ``encoding``: what the text of a file is, given its first bytes."""

    def __init__(self, name: str) -> None:
        """:raises ValueError: files cannot be read in it; the message says why and which name is near."""
        self.name = name.lower().replace("_", "-")
        self._marks: tuple[tuple[bytes, str], ...] = _MARKS["auto"] if self.name == "auto" else ()
        self.text: Text | None = None
        """The same for every file; None where the first ``HEAD`` bytes tell."""
        if self.name == "binary":
            self.text = _Binary()
        elif self.name != "auto":
            if problem := _problem(name):
                raise ValueError(f"encoding {name!r} {problem}")
            self.name = codecs.lookup(name).name
            self._marks = _MARKS.get(self.name, ())
            self.text = None if self._marks else _text(self.name)

    def text_of(self, head: bytes, *, settled: bool) -> Text | None:
        """The text of a file with these first bytes. None while they may still become a longer byte order mark;
        ``settled``: they will not.
        """
        if self.text is not None:
            return self.text
        if not settled and any(len(head) < len(mark) and mark.startswith(head) for mark, _ in self._marks):
            return None
        found = next((name for mark, name in self._marks if head.startswith(mark)), _WITHOUT_MARK[self.name])
        return _text(found)


def _text(name: str) -> Text:
    return UTF_8 if name in ("utf-8", "utf-8-sig") else _Coded(name)


def _problem(name: str, *, hint: bool = True) -> str:
    """Why files cannot be read in it; empty if they can."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):  # a NUL character in the name is a ValueError
        return "is not known" + (_near(name) if hint else "")
    plain = codec.name.replace("_", "-")
    if not codec._is_text_encoding or codec.incrementaldecoder is None or plain in _PYTHON_ONLY:  # as str.encode asks
        return "is not one of text files" + (_near(name) if hint else "")
    if plain.startswith("iso2022") or plain in ("hz", "utf-7"):
        return (
            "cannot be read line by line: what its bytes mean depends on those before them; "
            "convert the files, or take binary"
        )
    return ""


def _near(name: str) -> str:
    """What a wrong name may have been meant for."""
    from encodings.aliases import aliases

    from shipper.plugins import nearest

    names = {alias.replace("_", "-") for pair in aliases.items() for alias in pair}
    near = nearest(name, ["auto", "binary", *sorted(known for known in names if not _problem(known, hint=False))])
    return f"; did you mean '{near}'?" if near else "; it has to be auto, binary or a text encoding of Python"


def looks_wide(beginning: bytes) -> str:
    """The UTF-16 that a file may be written in, by its first bytes; empty if it does not look so: text of Latin letters
    has a NUL in every other byte then.
    """
    head = beginning[:_LOOKED_AT]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) < _LEAST or even + odd < len(head) * _NULS or (even and odd):
        return ""
    return "utf-16-le" if odd else "utf-16-be"
