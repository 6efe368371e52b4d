"""TLS of the wire: what gRPC is given of ``certificates.py``, and what it says when a handshake fails.

gRPC speaks TLS itself. It is handed the bytes of PEM files: the collector's side asks for them at every handshake, the
sender's side with every connection.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Final, cast

from shipper.errors import SinkUnavailable
from shipper.wire.certificates import Certificates, ClientTls, Material, ServerTls, in_words
from shipper.wire.channel import grpc

if TYPE_CHECKING:
    from collections.abc import Callable

_probes: Final = count()


class _GrpcCertificates(Certificates):
    """Those that gRPC takes."""

    def _try_out(self, cert: bytes, key: bytes, why: str) -> None:
        """See ``Certificates``. Only opening a port tells: here one that nobody can reach."""
        with ThreadPoolExecutor(1) as nobody:  # no thread starts before there is a call
            server = grpc.server(nobody)
            address = f"unix-abstract:shipper-{os.getpid()}-{next(_probes)}"
            try:
                server.add_secure_port(address, grpc.ssl_server_credentials([(key, cert)]))
            except RuntimeError as error:
                raise ValueError(why) from error
            finally:
                server.stop(None)


class ServerCertificates(_GrpcCertificates):
    """Those of a listening port."""

    def __init__(self, tls: ServerTls) -> None:
        """:raises ValueError: the files cannot be used."""
        super().__init__(tls.cert, tls.key, tls.client_ca)
        self._given = self.material

    def credentials(self) -> "grpc.ServerCredentials":
        """What a port is opened with."""
        self._given = self.material
        news = cast("Callable[[], grpc.ServerCertificateConfiguration]", self.news)  # it may be None, say gRPC's docs
        return grpc.dynamic_ssl_server_credentials(_configuration(self._given), news, self._given.ca is not None)

    def news(self) -> "grpc.ServerCertificateConfiguration | None":
        """What gRPC asks for at each handshake, on threads of its own: what is used from now on; None: what it has.

        Whatever it is given it puts in place of what it has, also what is equal, under the feet of handshakes that
        begin at the same moment on other threads: it crashes then (grpc issue 36693, open in 2026).
        """
        material = self.material
        if material is self._given:
            return None
        self._given = material
        return _configuration(material)


def _configuration(material: Material) -> "grpc.ServerCertificateConfiguration":
    pair = (material.key or b"", material.cert or b"")
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=material.ca)


class ClientCertificates(_GrpcCertificates):
    """Those of a sender."""

    def __init__(self, tls: ClientTls) -> None:
        """:raises ValueError: the files cannot be used."""
        super().__init__(tls.cert, tls.key, tls.ca)

    def credentials(self) -> "grpc.ChannelCredentials":
        """What a channel is opened with, from what the files hold now."""
        self.refresh()
        cert, key, ca = self.material
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)


def explain(text: str) -> str | None:
    """What a text of gRPC about a failed handshake means; None where it is about something else."""
    if not any(mark in text for mark in ("andshake failed", "Verification Check failed")):
        return None
    return in_words(text) or "the TLS handshake failed: " + text.rpartition("OPENSSL_internal:")[2][:200]


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
