"""TLS between a connection's bytes and the framer, by Python's ``ssl`` without its sockets. Sans-IO but for the files.

Loaded only where a config asks for TLS: ``ssl`` brings OpenSSL, 4 MiB. asyncio's own TLS is not there in this process
(docs/decisions/005-lean-process.md), and is not needed: here TLS is a function from bytes to bytes.
"""

import ssl
from contextlib import suppress
from typing import Final

from shipper.errors import ProtocolError
from shipper.wire.certificates import Certificates, ServerTls, in_words

_READ: Final = 256 * 1024


class TlsContext(Certificates):
    """The certificate files of a listening address, as ``ssl`` takes them."""

    def __init__(self, tls: ServerTls) -> None:
        """:raises ValueError: the files cannot be used."""
        super().__init__(tls.cert, tls.key, tls.client_ca)

    def _try_out(self, cert: bytes, key: bytes, why: str) -> None:  # noqa: ARG002 - ssl reads files only
        """See ``Certificates``. What works is what the next connection gets."""
        cert_path, key_path, ca_path = self._paths
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            context.load_cert_chain(str(cert_path), str(key_path))
        except (ssl.SSLError, OSError) as error:
            raise ValueError(why) from error
        if ca_path is not None:
            try:
                context.load_verify_locations(str(ca_path))
            except (ssl.SSLError, OSError) as error:
                raise ValueError(f"{ca_path}: it holds no certificate that can be used: {error}") from error
            context.verify_mode = ssl.CERT_REQUIRED
        self._context = context

    def stream(self) -> "TlsStream":
        """For a new connection."""
        return TlsStream(self._context)


class TlsStream:
    """The server's side of one connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.begun = False
        """The sender said something."""
        self.established = False
        """The handshake is done."""
        self.ended = False
        """The sender said that this was all."""
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def receive(self, data: bytes) -> bytes:
        """What these bytes of the connection say.

        :raises ProtocolError: they are not TLS, or not such as is taken here; the message says why.
        """
        self.begun = True
        self._in.write(data)
        said: list[bytes] = []
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while part := self._tls.read(_READ):
                said.append(part)
            self._end()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._end()
        except ssl.SSLError as error:
            raise ProtocolError(in_words(str(error)) or f"its TLS is broken: {error.reason}") from error
        return b"".join(said)

    def _end(self) -> None:
        self.ended = True
        with suppress(ssl.SSLError):
            self._tls.unwrap()  # says goodbye too

    def outgoing(self) -> bytes:
        """What is to be sent now: the handshake, or why it failed."""
        return self._out.read()
