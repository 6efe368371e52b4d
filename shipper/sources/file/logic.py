"""Which lines belong together, in general and by a preset. Sans-IO; ``multiline`` says what it is for."""

import re
from collections.abc import Callable
from typing import Final, Protocol

from shipper.sources.file.presets import Preset


class Logic(Protocol):
    """Which lines belong together. Lines come without their newlines."""

    def snapshot(self) -> tuple[str, bytes]:
        """What it knows of the record so far."""
        ...

    def restore(self, known: tuple[str, bytes]) -> None:
        """Go back to a snapshot."""
        ...

    def begin(self, line: bytes) -> None:
        """A line begins a record."""
        ...

    def goes_on(self, line: bytes) -> bool:
        """Whether a line belongs to the record before it, which it is then part of."""
        ...

    def complete(self) -> bool:
        """Whether no line can belong to the record any more."""
        ...

    def cut(self, data: bytes, *, fresh: bool) -> tuple[bool, list[bytes]]:
        """Several lines at once: the records that they make, and whether the first of these goes on the record before.
        ``fresh``: there is none. The same as ``goes_on`` and ``begin`` for each line.
        """
        ...


class PresetLogic:
    """A preset; see ``shipper.sources.file.presets``."""

    def __init__(self, preset: Preset) -> None:
        self._always = re.compile(preset.always).match
        self._split = re.compile(rb"\n(?!" + preset.always + rb")").split
        self._rules = [(rule, re.compile(rule.line).match, re.compile(rule.last).match) for rule in preset.rules]
        # The lines of which a rule may say something: the others begin records, and are not looked at.
        firsts = [b"(?:" + rule.line.replace(rb"\Z", rb"(?:\n|\Z)") + b")" for rule in preset.rules]
        self._maybe = re.compile(b"|".join(firsts)).match if firsts else None
        self._state, self._last = "", b""

    def snapshot(self) -> tuple[str, bytes]:
        """See ``Logic``."""
        return self._state, self._last

    def restore(self, known: tuple[str, bytes]) -> None:
        """See ``Logic``."""
        self._state, self._last = known

    def begin(self, line: bytes) -> None:
        """See ``Logic``."""
        self._last = line[:_KNOWN]
        self._state = next((rule.state for rule, match, _ in self._rules if rule.begins and match(line)), "")

    def goes_on(self, line: bytes) -> bool:
        """See ``Logic``."""
        if self._always(line):
            self._last = line[:_KNOWN]
            return True
        for rule, match, last in self._rules:
            if (rule.after is None or self._state in rule.after) and match(line) and last(self._last):
                if rule.goes_on:
                    self._state, self._last = rule.state, line[:_KNOWN]
                return rule.goes_on
        return False

    def complete(self) -> bool:
        """See ``Logic``."""
        return False

    def cut(self, data: bytes, *, fresh: bool) -> tuple[bool, list[bytes]]:
        """See ``Logic``."""
        pieces = self._split(b"\n" + data)
        lead = pieces[0]
        # What stands before the first line that does not go on in any case.
        if lead:
            pieces[0] = lead[1:]
        else:
            del pieces[0]
        judged = 1 if lead or fresh else 0
        if fresh:
            self.begin(_first_line(pieces[0]))
        elif lead:
            self._last = _last_line(pieces[0])
        joins = self._joins(self._maybe, pieces, judged) if self._maybe else []
        if not self._maybe and len(pieces) > judged:
            self._state = ""
        if pieces:
            self._last = _last_line(pieces[-1])
        goes_on = not fresh and (bool(lead) or joins[:1] == [0])
        return goes_on, _merged(pieces, joins[1:] if joins[:1] == [0] else joins)

    def _joins(self, maybe: Callable[[bytes], object], pieces: list[bytes], first: int) -> list[int]:
        """Which pieces go on by a rule; the pieces before ``first`` were dealt with. ``maybe``: see above."""
        joins = []
        known = first - 1  # the piece that the state is of
        for at in [at for at, found in enumerate(map(maybe, pieces)) if found]:
            if at < first:
                continue
            if at > known + 1:
                self._state = ""
            if at:
                self._last = _last_line(pieces[at - 1])
            line = _first_line(pieces[at])
            if self.goes_on(line):
                joins.append(at)
            else:
                self.begin(line)
            known = at
        if len(pieces) > known + 1:
            self._state = ""
        return joins


_KNOWN: Final = 512
"""So much of a line is remembered."""


def _first_line(piece: bytes) -> bytes:
    end = piece.find(b"\n")
    return piece if end < 0 else piece[:end]


def _last_line(piece: bytes) -> bytes:
    begin = piece.rfind(b"\n") + 1
    return piece[begin : begin + _KNOWN]


def _merged(pieces: list[bytes], joins: list[int]) -> list[bytes]:
    """The pieces, those of ``joins`` (ascending, without the first piece) joined to the ones before them."""
    if not joins:
        return pieces
    records: list[bytes] = []
    taken = 0
    run = 0
    while run < len(joins):
        begin = end = joins[run]
        while run + 1 < len(joins) and joins[run + 1] == end + 1:
            run += 1
            end += 1
        records += pieces[taken : begin - 1]
        records.append(b"\n".join(pieces[begin - 1 : end + 1]))
        taken = end + 1
        run += 1
    return records + pieces[taken:]
