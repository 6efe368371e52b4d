"""Hashes of what records hold: the same for the same values, on every machine and in every run."""

from _blake2 import blake2b  # not by way of hashlib: that loads OpenSSL, megabytes for an agent
from typing import Any, Final

import msgspec

KEY_LENGTH: Final = 16
"""A key shorter than so many bytes can be guessed."""
_encode: Final = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


def digest(data: bytes, size: int, key: bytes = b"") -> bytes:
    """The BLAKE2b hash of ``data``, ``size`` bytes long (RFC 7693), keyed where there is a key."""
    return blake2b(data, digest_size=size, key=key).digest()


def key_of(text: str | None) -> bytes:
    """The key that a config holds, as BLAKE2b takes it: of any length.

    :raises ValueError: it is too short to keep anything secret.
    """
    key = (text or "").encode("utf-8", "surrogatepass")
    if text is not None and len(key) < KEY_LENGTH:
        raise ValueError(
            f"key is shorter than {KEY_LENGTH} characters: put a random one into a file, as with "
            "`openssl rand -hex 32`, and write key: ${file:PATH}"
        )
    return key if len(key) <= 64 else digest(key, 64)


def canonical(values: list[Any]) -> bytes:
    """Values as bytes that are equal when the values are: the order of names in objects makes no difference."""
    try:
        return _encode(values)
    except (UnicodeError, RecursionError, TypeError, ValueError, OverflowError):  # what no JSON can hold
        return repr(values).encode("utf-8", "backslashreplace")
