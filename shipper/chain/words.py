"""What messages of the engine say of errors and of processors."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from shipper.chain.decode import valid_text

_ERROR_LENGTH: Final = 500
_FOLDERS: Final = re.compile(r"(?:^|(?<=\())[^(]*/")
_NAMED: Final = 4
"""So many processors are named where one of several is meant."""


def described(error: Exception) -> str:
    """The error as one bounded text, without the surrogates that no codec takes."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - code of others
        text = ""
    named = text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")
    place = error.__dict__.get("place")  # see ``isolate``
    return valid_text(named[:_ERROR_LENGTH] + (f" ({place})" if place else ""))


def called(name: str, place: str) -> str:
    """A processor and its place in the config."""
    return f"{name} ({place})" if place else name


@lru_cache(maxsize=256)
def brief(place: str) -> str:
    """The places in a text without the folders of their files: what stands in many records is to be short, and the same
    on every node.
    """
    return _FOLDERS.sub("", place)


def one_of(names: Iterable[str]) -> str:
    """Those of which one did something that cannot be told from what the others do."""
    listed = list(names)
    return " or ".join(listed if len(listed) <= _NAMED else [*listed[:_NAMED], f"{len(listed) - _NAMED} others"])
