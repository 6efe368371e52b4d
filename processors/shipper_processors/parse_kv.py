"""Parse text that holds names and values."""

import re
from collections.abc import Iterator
from typing import Final

from shipper import Processor
from shipper_processors._pairs import PairParser

_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_BRACKETS: Final = {"(": ")", "[": "]", "<": ">", "{": "}"}


class ParseKv(PairParser, Processor):
    r"""Find pairs such as ``user=ann`` in a field; they take its place as fields.

    Pairs are separated by blanks, name and value by ``=``, unless the settings say otherwise; what is no pair is passed
    over. A value in quotes may hold anything; ``\"`` in it is a quote. A name that stands there twice has a list. A
    text without any pair goes on as it is, with the reason in ``parse_error``.

    Example::

        processors:
          - parse_kv                                   # at=ok user="Ann B." -> {"at": "ok", "user": "Ann B."}
          - parse_kv: {field: query, field_split: "&", into: args}
          - parse_kv: {field_split: ";", value_split: ":", trim_value: " ", exclude: [password], types: {port: int}}
    """

    field_split: str = " \t"
    """Characters, each of which separates pairs. A newline in the text always does."""
    value_split: str = "="
    """Characters, each of which separates a name from its value; the first one in a pair counts."""
    quotes: str = "\"'"
    """Characters around values in which separators are ordinary text. Empty: there are none."""
    brackets: bool = False
    """Values in ``()``, ``[]``, ``<>`` and ``{}`` are taken like quoted ones, without their brackets."""
    trim_key: str = ""
    """Characters that are taken away from both ends of names."""
    trim_value: str = ""
    """Characters that are taken away from both ends of values."""

    def setup(self) -> None:
        """:raises ValueError: a separator is missing, or stands for two things."""
        super().setup()
        if not self.field_split or not self.value_split:
            raise ValueError("field_split and value_split must hold a character at least")
        both = "".join(sorted({*self.field_split} & {*self.value_split}))
        if both:
            raise ValueError(f"{both!r} stands in field_split and in value_split; nobody could tell pairs from values")
        ends, splits = re.escape(self.field_split + "\n"), re.escape(self.value_split)
        quoted = [rf"{q}((?:[^{q}\\]|\\.)*+){q}" for q in map(re.escape, self.quotes)]
        if self.brackets:
            quoted += [rf"{re.escape(a)}([^{re.escape(a + b)}]*+){re.escape(b)}" for a, b in _BRACKETS.items()]
        quoted = [f"{value}(?=[{ends}]|\\Z)" for value in quoted]
        # Every name is read once, whether a value follows or not: no text takes longer than its length allows.
        values = "|".join([*quoted, f"([^{ends}]*+)"])
        pattern = re.compile(f"([^{ends}{splits}]++)[{splits}](?:{values})|[^{ends}]++", re.DOTALL)
        self.find, self.find_all = pattern.finditer, pattern.findall
        self.escapes = len(self.quotes)

    def pairs(self, text: str) -> list[tuple[str, str]]:
        """The pairs in a text. :raises ValueError: there are none."""
        if self.trim_key or self.trim_value or "\\" in text:
            pairs = [*self._trimmed(text)]
        else:
            pairs = [(name, "".join(values)) for name, *values in self.find_all(text) if name]
        if not pairs:
            raise ValueError(f"there is no pair such as name{self.value_split[0]}value in it")
        return pairs

    def _trimmed(self, text: str) -> Iterator[tuple[str, str]]:
        for match in self.find(text):
            last = match.lastindex
            if last is None:
                continue
            name, value = match[1].strip(self.trim_key), match[last]
            if last - 2 < self.escapes and "\\" in value:
                value = _ESCAPED.sub(r"\1", value)
            if name:
                yield name, value.strip(self.trim_value)
