"""``${VAR}``, ``${VAR:-default}`` and ``${file:PATH}`` inside of values; ``$$`` is a dollar.

Any other dollar is itself, so regular expressions need no care. Expansion happens after YAML was understood: what a
variable holds can never add keys, change types or end a string.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

_EXPANSION: Final = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<inner>[^{}]*)(?P<end>\}?))")
_VARIABLE: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<text>.*))?", re.DOTALL)
_MAX_FILE: Final = 64 * 1024


def expand(text: str, folder: Path, keep_secret: Callable[[str, str], None]) -> str:
    """The text with its expansions replaced.

    ``folder`` is what a relative ``${file:PATH}`` is relative to: that of the config file. ``keep_secret`` is told
    every value that came from outside, and what was written for it.

    :raises ValueError: an expansion is unset, unreadable or none at all; the message holds no expanded value.
    """

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        written = match[0]
        if not match["end"]:
            raise ValueError(f"'{written}' has no '}}' that ends it; for a dollar itself write '$$'")
        if match["inner"].startswith("file:"):
            found = _file(folder / Path(match["inner"].removeprefix("file:")), written)
        else:
            variable = _VARIABLE.fullmatch(match["inner"])
            if variable is None:
                forms = "${VAR}, ${VAR:-default} or ${file:PATH}"
                raise ValueError(f"'{written}' is none of {forms}; for a dollar itself write '$$'")
            set_to = os.environ.get(variable["name"])
            if variable["default"] and not set_to:
                return variable["text"]
            if set_to is None:
                raise ValueError(
                    f"the environment variable {variable['name']} is not set; "
                    f"set it, or write ${{{variable['name']}:-default}}"
                )
            found = set_to
        keep_secret(found, written)
        return found

    return _EXPANSION.sub(value, text)


def _file(path: Path, written: str) -> str:
    """A secret's file, without the newline at its end."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"'{written}' cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > _MAX_FILE:
        raise ValueError(f"'{written}' is larger than 64 KiB")
    try:
        return data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"'{written}' is not UTF-8 text") from None
