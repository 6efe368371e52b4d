"""The files of TLS: settings, certificates that are read again when they change, and failed handshakes in words.

Files that cannot be used are refused before a TLS library sees them, and the last ones that could be stay in use: a
renewal that is half written, or a key that is there before its certificate, interrupts nothing. Which library that is,
gRPC's own (``tls.py``) or Python's ``ssl``, is the business of the subclasses; neither is loaded here.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shipper.log import get_logger
from shipper.wire.files import contents, signature
from shipper.wire.pem import certificates, check_key, validity

log = get_logger("tls")

_SOON: Final = 14
"""Days before a certificate's end from which on it is talked about."""


class ClientTls(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """TLS towards a collector. ``tls: {}`` trusts the certificate authorities that gRPC brings along."""

    ca: Path | None = None
    """PEM file of the certificate authorities that may have signed the collector's certificate."""
    cert: Path | None = None
    """PEM file of this shipper's own certificate, for collectors that ask for one."""
    key: Path | None = None
    """PEM file of its private key, without a passphrase."""
    server_name: str | None = None
    """The name that the collector's certificate must have, where it is not the host of the address."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: name both, or neither")


class ServerTls(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """TLS of a listening port."""

    cert: Path
    """PEM file of the certificate, with the intermediate ones after it."""
    key: Path
    """PEM file of its private key, without a passphrase."""
    client_ca: Path | None = None
    """PEM file of the certificate authorities that must have signed a sender's certificate. Without it senders need
    none."""


class Material(NamedTuple):
    """The contents of the files; None where there is no such file."""

    cert: bytes | None
    key: bytes | None
    ca: bytes | None


class Certificates:
    """The files of one TLS block and the last contents that could be used."""

    def __init__(self, cert: Path | None, key: Path | None, ca: Path | None) -> None:
        """:raises ValueError: the files cannot be used; the message says why and what to do."""
        self._paths: Final = (cert, key, ca)
        self._seen = self._signature()
        self.material = self._read()

    def refresh(self) -> bool:
        """Read the files if they changed; True where others are used from now on. Blocking, and rarely more than
        three ``stat``. What cannot be used is logged once.
        """
        now = self._signature()
        if now == self._seen:
            return False
        self._seen = now
        try:
            material = self._read()
        except ValueError as error:
            log.warning("new certificate files cannot be used: the old ones stay in use", why=str(error))
            return False
        if material == self.material:
            return False
        self.material = material
        log.info("new certificate files are in use", file=str(next(filter(None, self._paths), "")))
        return True

    def cautions(self) -> list[str]:
        """Certificates that are past their end, before their beginning, or near their end, one sentence each."""
        now = datetime.now(UTC)
        found = []
        for path, pem in ((self._paths[0], self.material.cert), (self._paths[2], self.material.ca)):
            if path is None or pem is None:
                continue
            spans = [validity(der) for der in certificates(pem)]
            first, last = max(span[0] for span in spans), min(span[1] for span in spans)
            if last < now:
                found.append(f"{path}: the certificate expired on {last:%Y-%m-%d}: renew it")
            elif first > now:
                found.append(
                    f"{path}: the certificate is not valid before {first:%Y-%m-%d %H:%M} UTC: is the clock right?"
                )
            elif (last - now).days < _SOON:
                found.append(f"{path}: the certificate expires on {last:%Y-%m-%d}: renew it")
        return found

    def ends(self) -> float:
        """When the certificate expires, in seconds since 1970; infinite where there is none."""
        cert = self.material.cert
        return math.inf if cert is None else min(validity(der)[1].timestamp() for der in certificates(cert))

    def _signature(self) -> tuple[object, ...]:
        return tuple(signature(path) for path in self._paths if path is not None)

    def _read(self) -> Material:
        cert, key, ca = (None if path is None else contents(path) for path in self._paths)
        for path, pem in ((self._paths[0], cert), (self._paths[2], ca)):
            if path is not None and pem is not None:
                with _named(path):
                    for der in certificates(pem):
                        validity(der)
        if cert is not None and key is not None and self._paths[1] is not None:
            with _named(self._paths[1]):
                check_key(key)
            self._try_out(cert, key, f"{self._paths[1]}: the key does not belong to the certificate {self._paths[0]}")
        return Material(cert, key, ca)

    @abstractmethod
    def _try_out(self, cert: bytes, key: bytes, why: str) -> None:
        """:raises ValueError: the library does not take the pair; ``why`` is the usual reason."""


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


_HANDSHAKE: Final = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "it showed no certificate, and client_ca asks for one"),
    ("certificate has expired", "its certificate has expired: renew it, or set the clock right"),
    ("certificate is not yet valid", "its certificate is not valid yet: is a clock wrong?"),
    ("certificate is not valid for", "its certificate is for another name: connect by a name that is in it"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is signed by an authority that is not trusted here"),
    ("Hostname Verification Check failed", "its certificate is for another name: connect by a name that is in it"),
    ("HTTP_REQUEST", "it speaks HTTP without TLS"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS"),
    ("UNSUPPORTED_PROTOCOL", "it speaks TLS older than 1.2 only"),
    ("NO_SHARED_CIPHER", "it offers no cipher that is taken here"),
    ("TLSV1_ALERT_UNKNOWN_CA", "it does not trust the certificate shown to it: give it the right ca"),
    ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "it finds the certificate shown to it expired: renew it"),
    ("ALERT", "it refused the certificate shown to it"),
)
"""What stands in OpenSSL's text (BoringSSL has the same), and what that means; "it" is the other side."""


def in_words(text: str) -> str | None:
    """What a library's text about a failed handshake means; None where nothing is known of it."""
    return next((words for mark, words in _HANDSHAKE if mark in text), None)
