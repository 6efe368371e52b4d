"""Where something stands in the config files, and the list of everything that is wrong there."""

import re
from typing import NamedTuple

from shipper.errors import ConfigError


class Place(NamedTuple):
    """A line of a config file."""

    file: str
    """The path as the user gave it (below a directory: the directory's path as given, and the name)."""
    line: int
    """From 1; 0 for the file as a whole."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Problems:
    """Collects problems; nothing is raised before everything was looked at."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int, str], None] = {}
        self._files: dict[str, int] = {}
        self._secrets: dict[str, str] = {}
        self._broken = False

    def expect(self, file: str) -> None:
        """Problems come in the order in which files were announced here."""
        self._files.setdefault(file, len(self._files))

    def add(self, place: Place, path: str, text: str, *, readable: bool = False) -> None:
        """``path`` is where in the tree: ``sources.app.include[0]``; empty for a whole file.

        ``readable``: the file can be understood all the same, so that what else is found in it is worth showing.
        """
        self._broken = self._broken or not readable
        line = printable(f"{place}: {path}: {text}" if path else f"{place}: {text}")
        self._found[self._files.setdefault(place.file, len(self._files)), place.line, line] = None

    def keep_secret(self, value: str, written: str) -> None:
        """``value`` came from the expansion ``written`` (``${TOKEN}``): it must not show in any message."""
        if value:
            self._secrets[value] = written

    def redacted(self, message: str) -> str:
        """A message of code that saw expanded values, with every piece of them replaced by what the config says.

        Messages of this package quote the config as written and need it not.
        """
        for value in sorted(self._secrets, key=len, reverse=True):
            message = _redact(message, value, self._secrets[value])
        return message

    def raise_if_broken(self) -> None:
        """:raises ConfigError: something is wrong that would make further problems misleading."""
        if self._broken:
            self.raise_if_any()

    def raise_if_any(self) -> None:
        """:raises ConfigError: something is wrong; in the order of files and lines."""
        if self._found:
            raise ConfigError([line for _, _, line in sorted(self._found)])


def printable(text: str) -> str:
    """Text for a terminal: control characters are escaped, everything stays on one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def quoted(text: str, most: int = 60) -> str:
    """A value as a message shows it: on one line, in quotes, not too long."""
    return repr(text if len(text) <= most else text[: most - 3] + "...")


_RUN = 5
"""A message that shares so many characters in a row with a secret shows a part of it."""
_WORD = 3
"""A secret that is not longer is only looked for as a whole word: pieces of it are everywhere."""


def _redact(message: str, secret: str, written: str) -> str:
    if len(secret) <= _WORD:
        return re.sub(rf"(?<![^\W_]){re.escape(secret)}(?![^\W_])", lambda _: written, message)
    shortest = min(_RUN, len(secret))
    pieces: list[str] = []
    at = 0
    while at < len(message):
        end = at + shortest
        if message[at:end] not in secret or end > len(message):
            pieces.append(message[at])
            at += 1
            continue
        while end < len(message) and message[at : end + 1] in secret:
            end += 1
        if pieces[-1:] != [written]:
            pieces.append(written)
        at = end
    return "".join(pieces)
