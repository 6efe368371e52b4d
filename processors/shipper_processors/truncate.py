"""Cut long text."""

from typing import Annotated, Final

from msgspec import Meta

from shipper import ByteSize, Processor, Record
from shipper_processors import _paths
from shipper_processors._walk import leaves, outermost, paths_of

_WIDEST: Final = 4
"""Bytes of a character in UTF-8, at most."""
_CONTINUES: Final = 0x80
"""The upper two bits of a byte that does not begin a character."""


class Truncate(Processor):
    """Cut text that is longer than ``max_bytes`` of UTF-8, or than ``max_characters``, and mark where it was cut.

    A character is never cut in half. The mark is part of the length. All text of a record is looked at, in nested
    objects and lists too, or what is in some ``fields``; names stay.

    Example::

        processors:
          - truncate: {max_bytes: 32KiB}
          - truncate: {fields: [message, http.headers], max_characters: 1000, mark: " ...", marked_field: truncated}
          - truncate: {fields: [message], max_characters: 9, mark: " ..."}   # a long line -> a lon ...
    """

    max_bytes: ByteSize | None = None
    """The most bytes that a text may have."""
    max_characters: Annotated[int, Meta(ge=1)] | None = None
    """The most characters (code points) that a text may have."""
    fields: list[str] | None = None
    """Cut only text in these fields; nested ones as in a condition. Without it all text."""
    mark: str = "…"
    """What stands at the end of a text that was cut; may be empty."""
    marked_field: str | None = None
    """A field, at the top, that becomes true where anything was cut."""

    def setup(self) -> None:
        """:raises ValueError: there is no limit, or none that leaves room for the mark."""
        if self.max_bytes is None and self.max_characters is None:
            raise ValueError("there is no limit: write max_bytes or max_characters, as in max_bytes: 32KiB")
        for limit, length in ((self.max_bytes, len(self.mark.encode())), (self.max_characters, len(self.mark))):
            if limit is not None and limit <= length:
                raise ValueError(f"a limit of {int(limit)} leaves no text beside the mark {self.mark!r}")
        self.paths = paths_of(self.fields)
        self.marked = None if self.marked_field is None else _paths.top(self.marked_field, "marked_field")

    @property
    def reads(self) -> frozenset[str] | None:
        """The fields that are looked at."""
        return outermost(self.fields)

    @property
    def writes(self) -> frozenset[str] | None:
        """The same, and the one that says so."""
        reads = self.reads
        return reads if reads is None or self.marked is None else reads | {self.marked}

    def process(self, record: Record) -> Record:
        """Cut what is too long."""
        changes = [
            (inner, name, cut)
            for inner, name, value, _ in leaves(record, self.paths)
            if isinstance(value, str) and (cut := self.cut(value)) is not value
        ]
        for inner, name, cut in changes:
            inner[name] = cut
        if changes and self.marked is not None:
            record[self.marked] = True
        return record

    def cut(self, text: str) -> str:
        """The text within both limits; the very same where it is."""
        characters, size = self.max_characters, self.max_bytes
        if (characters is None or len(text) <= characters) and (size is None or _fits(text, size)):
            return text
        left = text if characters is None else text[: characters - len(self.mark)]
        data = left.encode("utf-8", "surrogatepass")
        end = len(data) if size is None else size - len(self.mark.encode())
        while end < len(data) and data[end] & 0xC0 == _CONTINUES:
            end -= 1
        return data[:end].decode("utf-8", "surrogatepass") + self.mark


def _fits(text: str, size: int) -> bool:
    return len(text) * _WIDEST <= size or len(text.encode("utf-8", "surrogatepass")) <= size
