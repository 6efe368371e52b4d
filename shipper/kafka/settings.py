"""How a Kafka cluster is reached: what a config says, and what aiokafka's clients take of it."""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from shipper.kafka.errors import quiet_aiokafka
from shipper.lean import give_asyncio_ssl
from shipper.log import get_logger
from shipper.wire.address import split_address
from shipper.wire.certificates import Certificates

log = get_logger("tls")
CLIENT_ID: Final = "shipper"


class KafkaTls(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """TLS towards the brokers. ``tls: {}`` trusts the certificate authorities that the system knows."""

    ca: Path | None = None
    """PEM file of the certificate authorities that may have signed the brokers' certificates."""
    cert: Path | None = None
    """PEM file of this shipper's own certificate, for brokers that ask for one."""
    key: Path | None = None
    """PEM file of its private key, without a passphrase."""
    server_name: str | None = None
    """The name that the brokers' certificates must have, where it is not the host of a broker's address."""

    def __post_init__(self) -> None:
        """:raises ValueError: one of two that belong together is missing."""
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: name both, or neither")


class Sasl(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who this is, by name and password."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How it is proved. ``PLAIN`` sends the password itself."""
    username: str
    """The name of the user."""
    password: str
    """Its password: ``${file:/etc/shipper/kafka-password}``."""

    def __post_init__(self) -> None:
        """:raises ValueError: one of them is empty, as it is where a file or a variable is."""
        if not self.username:
            raise ValueError("username is empty, expected the name of a user")
        if not self.password:
            raise ValueError(f"password is empty, expected that of the user {self.username}")

    def __repr__(self) -> str:
        return f"Sasl({self.mechanism}, {self.username})"  # without the password


class Access:
    """The settings of one cluster, checked; the TLS files as they are now."""

    def __init__(self, brokers: list[str], tls: KafkaTls | None, sasl: Sasl | None, client_id: str = CLIENT_ID) -> None:
        """:raises ValueError: no broker is named, an address is none, or a TLS file is of no use."""
        if not brokers:
            raise ValueError("brokers: name at least one, as in [kafka-1:9092]")
        for address in brokers:
            split_address(address)
            if brokers.count(address) > 1:
                raise ValueError(f"brokers: {address} is named twice")
        self.brokers: Final = brokers
        self._tls = tls
        self._sasl = sasl
        self._client_id = client_id
        self._files = None if tls is None else _Files(tls)
        quiet_aiokafka()

    def cautions(self) -> list[tuple[str, str]]:
        """What should be looked at, as (setting, sentence)."""
        found = [] if self._files is None else [("tls", text) for text in self._files.cautions()]
        if self._sasl is not None and self._sasl.mechanism == "PLAIN" and self._tls is None:
            found.append(("sasl", "the password is sent without TLS: whoever reads the network on the way has it"))
        return found

    async def options(self) -> dict[str, Any]:
        """What every client of aiokafka takes, with the TLS files read again where they changed.

        Without ``bootstrap_servers``: see ``brokers``.
        """
        options: dict[str, Any] = {"client_id": self._client_id}
        protocol = "PLAINTEXT"
        if self._files is not None:
            give_asyncio_ssl()
            await asyncio.to_thread(self._files.refresh)
            options["ssl_context"] = self._files.context
            protocol = "SSL"
        if self._sasl is not None:
            protocol = "SASL_SSL" if self._files is not None else "SASL_PLAINTEXT"
            options["sasl_mechanism"] = self._sasl.mechanism
            options["sasl_plain_username"] = self._sasl.username
            options["sasl_plain_password"] = self._sasl.password
        options["security_protocol"] = protocol
        return options


class _Context(ssl.SSLContext):
    """A context that may expect another name than the address's host."""

    server_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name or server_hostname, session)


class _Files(Certificates):
    """The certificate files, as ``ssl`` takes them."""

    def __init__(self, tls: KafkaTls) -> None:
        """:raises ValueError: the files cannot be used."""
        self._server_name = tls.server_name
        super().__init__(tls.cert, tls.key, tls.ca)
        self.context = self._made()

    def refresh(self) -> bool:
        """See ``Certificates``; then there is a new context."""
        if not super().refresh():
            return False
        try:
            self.context = self._made()
        except ValueError as error:
            log.warning("new certificate files cannot be used: the old ones stay in use", why=str(error))
            return False
        return True

    def _try_out(self, cert: bytes, key: bytes, why: str) -> None:  # noqa: ARG002 - ssl reads files only
        """See ``Certificates``."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(str(self._paths[0]), str(self._paths[1]))
        except (ssl.SSLError, OSError) as error:
            raise ValueError(why) from error

    def _made(self) -> ssl.SSLContext:
        """:raises ValueError: the files are none that OpenSSL takes."""
        context = _Context(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = self._server_name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        cert, key, ca = self._paths
        try:
            if ca is None:
                context.load_default_certs()
            else:
                context.load_verify_locations(str(ca))
            if cert is not None and key is not None:
                context.load_cert_chain(str(cert), str(key))
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"{ca or cert}: OpenSSL does not take the files: {error}") from error
        return context
