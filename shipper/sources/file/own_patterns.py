"""Which lines belong together: by patterns of one's own. Sans-IO; ``multiline`` says what it is for.

Patterns mean text, so lines are decoded for them; U+FFFD stands for what is no UTF-8. Records keep their bytes.

They have a deadline (``shipper.patterns``). A line that a pattern is not done with by then counts as one in which it is
not found: to have it in the wrong record is better than to lose it, or to stand still.
"""

# Only loaded where ``multiline`` has patterns.

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from shipper.errors import PatternTimeout
from shipper.patterns import Pattern

Late: TypeAlias = Callable[[str, PatternTimeout], None]
"""Told of a line that the pattern of this name was not done with."""


class OwnPattern:
    """One of the patterns. It may be used from any thread."""

    def __init__(self, name: str, pattern: re.Pattern[str], late: Late) -> None:
        """:raises ValueError: it cannot be used."""
        self._name = name
        self._late = late
        self._pattern: Final = Pattern(pattern)
        self._timed: Final = self._pattern.search
        # A harmless pattern has one way of searching only.
        self._quick: Final = self._timed if self._pattern.search_within(0) == self._timed else None

    def search(self, texts: list[str]) -> Callable[[str], object]:
        """What finds it in each of these (one at least): something, or None. It raises nothing."""
        if self._quick is not None:
            return self._quick
        search = self._pattern.search_within(max(map(len, texts)))
        return self._within if search == self._timed else search

    def _within(self, text: str) -> object:
        try:
            return self._timed(text)
        except PatternTimeout as error:
            self._late(self._name, error)
            return None


class PatternLogic:
    """Own patterns; see ``shipper.sources.file.logic.Logic``."""

    def __init__(self, start: OwnPattern | None, continues: OwnPattern | None, end: OwnPattern | None) -> None:
        self._start = start
        self._continues = continues
        self._end = end
        self._complete = False

    def snapshot(self) -> tuple[str, bytes]:
        """See ``Logic``."""
        return "complete" if self._complete else "", b""

    def restore(self, known: tuple[str, bytes]) -> None:
        """See ``Logic``."""
        self._complete = bool(known[0])

    def begin(self, line: bytes) -> None:
        """See ``Logic``."""
        if self._end is not None:
            text = _text(line)
            self._complete = self._end.search([text])(text) is not None

    def goes_on(self, line: bytes) -> bool:
        """See ``Logic``."""
        if self._complete or self._firsts([_text(line)]):
            return False
        self.begin(line)
        return True

    def complete(self) -> bool:
        """See ``Logic``."""
        return self._complete

    def cut(self, data: bytes, *, fresh: bool) -> tuple[bool, list[bytes]]:
        """See ``Logic``."""
        lines = data.split(b"\n")
        # No newline is part of a character, whole or not: as many.
        texts = _text(data).split("\n")
        firsts = self._firsts(texts)
        if self._end is not None:
            search = self._end.search(texts)
            ends = [at + 1 for at, text in enumerate(texts) if search(text) is not None]
            if self._complete:
                ends.insert(0, 0)
            self._complete = ends[-1:] == [len(texts)]
            firsts = sorted({*firsts, *ends} - {len(texts)})
        goes_on = not fresh and firsts[:1] != [0]
        if firsts[:1] != [0]:
            firsts.insert(0, 0)
        return goes_on, [b"\n".join(lines[a:b]) for a, b in zip(firsts, [*firsts[1:], len(lines)], strict=True)]

    def _firsts(self, texts: list[str]) -> list[int]:
        """Which lines begin a record because of what stands in them."""
        start = self._start.search(texts) if self._start else None
        if self._continues is None:
            return [at for at, text in enumerate(texts) if start(text) is not None] if start else []
        continues = self._continues.search(texts)
        return [at for at, text in enumerate(texts) if (start and start(text) is not None) or continues(text) is None]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
