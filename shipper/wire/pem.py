"""What the PEM files of TLS hold, as far as people need to be told about it. Sans-IO.

gRPC brings its own TLS and shows nothing of a certificate; Python's ``ssl`` would cost 4 MiB in every process
(docs/decisions/005). Of a certificate only its dates are read here; whether it is any good, gRPC says.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final

_BLOCK: Final = re.compile(
    rb"-----BEGIN (?P<kind>[A-Z0-9 ]+)-----[ \t]*\r?\n(?P<text>[A-Za-z0-9+/=\s]*?)-----END (?P=kind)-----", re.DOTALL
)
_KEY: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )?PRIVATE KEY-----")
_ENCRYPTED: Final = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_LONG: Final = 0x80


def certificates(pem: bytes) -> list[bytes]:
    """The certificates of a file, DER-encoded, the first of a chain being the owner's own.

    :raises ValueError: there is none, or one of them is cut short.
    """
    if pem.count(b"-----BEGIN CERTIFICATE-----") != pem.count(b"-----END CERTIFICATE-----"):
        raise ValueError("a certificate in it is cut short")
    try:
        found = [base64.b64decode(m["text"]) for m in _BLOCK.finditer(pem) if m["kind"] == b"CERTIFICATE"]
    except binascii.Error as error:
        raise ValueError("a certificate in it is not base64") from error
    if not found:
        raise ValueError("it holds no certificate; expected PEM text with '-----BEGIN CERTIFICATE-----'")
    return found


def check_key(pem: bytes) -> None:
    """:raises ValueError: the file holds no private key, or one with a passphrase."""
    if any(mark in pem for mark in _ENCRYPTED):
        raise ValueError("the key has a passphrase; store it without one, readable by this user alone")
    if not _KEY.search(pem) or b"PRIVATE KEY-----" not in pem.partition(b"-----END ")[2]:
        raise ValueError("it holds no private key; expected PEM text with '-----BEGIN PRIVATE KEY-----'")


def validity(der: bytes) -> tuple[datetime, datetime]:
    """From when until when a certificate is valid.

    :raises ValueError: the bytes are not a certificate.
    """
    try:
        _, at, _ = _element(der, 0, _SEQUENCE)  # Certificate
        _, at, _ = _element(der, at, _SEQUENCE)  # TBSCertificate
        if der[at] == _VERSION:
            _, _, at = _element(der, at)
        for _ in range(3):  # serial number, signature algorithm, issuer
            _, _, at = _element(der, at)
        _, at, _ = _element(der, at, _SEQUENCE)  # Validity
        kind, start, end = _element(der, at)
        first = _time(kind, der[start:end])
        kind, start, end = _element(der, end)
        return first, _time(kind, der[start:end])
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("a certificate in it cannot be read") from error


def _element(der: bytes, at: int, expected: int | None = None) -> tuple[int, int, int]:
    """Tag, beginning and end of the contents of the element at ``at``."""
    tag, length = der[at], der[at + 1]
    at += 2
    if length & _LONG:
        count = length & ~_LONG
        length = int.from_bytes(der[at : at + count], "big")
        at += count
    if at + length > len(der) or expected not in (None, tag):
        raise ValueError("a certificate in it cannot be read")
    return tag, at, at + length


def _time(kind: int, text: bytes) -> datetime:
    digits = text.decode("ascii")
    if kind == _UTC_TIME:  # two digits of the year: 50 to 99 are 1950 to 1999 (RFC 5280, 4.1.2.5.1)
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    elif kind != _GENERALIZED_TIME:
        raise ValueError("a certificate in it cannot be read")
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
