"""TLS of the wire: settings, certificate files that are read again when they change, and what went wrong in words.

gRPC speaks TLS itself. It is handed the bytes of PEM files: the collector's side asks for them at every handshake, the
sender's side with every connection. Files that cannot be used are refused before gRPC sees them, and the last ones that
could be stay in use: a renewal that is half written, or a key that is there before its certificate, interrupts nothing.
"""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shipper.errors import SinkUnavailable
from shipper.log import get_logger
from shipper.wire.channel import grpc
from shipper.wire.pem import certificates, check_key, validity

log = get_logger("tls")

_SOON: Final = 14
"""Days before a certificate's end from which on it is talked about."""
_probes: Final = count()


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
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
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
        return tuple(_stat(path) for path in self._paths if path is not None)

    def _read(self) -> Material:
        cert, key, ca = (None if path is None else _bytes(path) for path in self._paths)
        for path, pem in ((self._paths[0], cert), (self._paths[2], ca)):
            if path is not None and pem is not None:
                with _named(path):
                    for der in certificates(pem):
                        validity(der)
        if cert is not None and key is not None and self._paths[1] is not None:
            with _named(self._paths[1]):
                check_key(key)
            _try_out(cert, key, f"{self._paths[1]}: the key does not belong to the certificate {self._paths[0]}")
        return Material(cert, key, ca)


class ServerCertificates(Certificates):
    """Those of a listening port."""

    def __init__(self, tls: ServerTls) -> None:
        """:raises ValueError: the files cannot be used."""
        super().__init__(tls.cert, tls.key, tls.client_ca)
        self._given: tuple[Material, grpc.ServerCertificateConfiguration] | None = None

    def credentials(self) -> "grpc.ServerCredentials":
        """What a port is opened with. gRPC asks at each handshake, on threads of its own, whether there is news."""
        require = self.material.ca is not None
        return grpc.dynamic_ssl_server_credentials(self._configuration(), self._configuration, require)

    def _configuration(self) -> "grpc.ServerCertificateConfiguration":
        material = self.material
        if self._given is None or self._given[0] is not material:
            pair = (material.key or b"", material.cert or b"")
            self._given = (
                material,
                grpc.ssl_server_certificate_configuration([pair], root_certificates=material.ca),
            )
        return self._given[1]


class ClientCertificates(Certificates):
    """Those of a sender."""

    def __init__(self, tls: ClientTls) -> None:
        """:raises ValueError: the files cannot be used."""
        super().__init__(tls.cert, tls.key, tls.ca)

    def credentials(self) -> "grpc.ChannelCredentials":
        """What a channel is opened with, from what the files hold now."""
        self.refresh()
        cert, key, ca = self.material
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise ValueError(f"{path}: permission denied: the user that runs shipper must be able to read it") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error


def _try_out(cert: bytes, key: bytes, why: str) -> None:
    """:raises ValueError: gRPC does not take the pair. Only opening a port tells: here one that nobody can reach."""
    with ThreadPoolExecutor(1) as nobody:  # no thread starts before there is a call
        server = grpc.server(nobody)
        address = f"unix-abstract:shipper-{os.getpid()}-{next(_probes)}"
        try:
            server.add_secure_port(address, grpc.ssl_server_credentials([(key, cert)]))
        except RuntimeError as error:
            raise ValueError(why) from error
        finally:
            server.stop(None)


_HANDSHAKE: Final = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "it showed no certificate, and client_ca asks for one"),
    ("certificate has expired", "its certificate has expired: renew it, or set the clock right"),
    ("certificate is not yet valid", "its certificate is not valid yet: is a clock wrong?"),
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
"""What stands in gRPC's text, and what that means; "it" is the other side."""


def explain(text: str) -> str | None:
    """What a text of gRPC about a failed handshake means; None where it is about something else."""
    if not any(mark in text for mark in ("andshake failed", "Verification Check failed")):
        return None
    for mark, words in _HANDSHAKE:
        if mark in text:
            return words
    return "the TLS handshake failed: " + text.rpartition("OPENSSL_internal:")[2][:200]


def unreachable(address: str, text: str, *, tls: bool) -> SinkUnavailable:
    """The sender's error for a connection that did not come about."""
    words = explain(text)
    if words is not None:
        hint = "" if "trusted" not in words else ": 'tls.ca' must hold the authority of the collector's certificate"
        return SinkUnavailable(f"{address}: the TLS handshake failed: {words}{hint}")
    # gRPC tells a story about all addresses; what the system said comes last.
    why = text.rpartition("Failed to connect to remote host: ")[2]
    if "Socket closed" in why and "failed to connect" in text:
        wants = "wants a certificate of this shipper ('tls.cert'), or refused it" if tls else "wants TLS ('tls')"
        why = f"it closed the connection at once; perhaps it {wants}: its log says why"
    elif tls and "security handshaker" in why:
        why = "the files of 'tls' cannot be used together"
    return SinkUnavailable(f"{address}: UNAVAILABLE: {why}")
