"""How a sender gets in at a collector: the channel, with TLS or without, and the token that goes with every call."""

from pathlib import Path
from typing import Final

from shipper.errors import SinkUnavailable
from shipper.wire.certificates import ClientTls
from shipper.wire.channel import CHANNEL_OPTIONS, aio
from shipper.wire.files import contents
from shipper.wire.tls import ClientCertificates

_MOST: Final = 4096
"""Bytes of a token's file that are read: a token has 47."""


class Door:
    """One sink's way in."""

    def __init__(self, tls: ClientTls | None = None, token: str = "", token_file: Path | None = None) -> None:
        """:raises ValueError: the files of ``tls`` or ``token_file`` cannot be used, or ``token`` is none."""
        if token and token_file is not None:
            raise ValueError("token, token_file: set one of them, not both")
        self._token = token
        self._token_file = token_file
        self._read_token()
        self.certificates = None if tls is None else ClientCertificates(tls)
        name = tls.server_name if tls is not None else None
        self._options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", name)] if name else CHANNEL_OPTIONS

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with a call, from what the token's file holds now. It is secret: it must not be logged.

        :raises SinkUnavailable: the file cannot be used now.
        """
        try:
            token = self._read_token()
        except ValueError as error:
            raise SinkUnavailable(str(error)) from error
        return (("authorization", f"Bearer {token}"),) if token else ()

    def _read_token(self) -> str:
        """Empty where there is none to send.

        :raises ValueError: it cannot be read, or is no token; the message shows nothing of it.
        """
        path = self._token_file
        if path is None:
            return _checked("token", self._token)
        try:
            text = contents(path, most=_MOST).decode("ascii", "replace").strip()
        except ValueError as error:
            raise ValueError(f"token_file: {error}") from error
        if not text:
            raise ValueError(f"token_file: {path}: is empty")
        return _checked(f"token_file: {path}", text)

    @property
    def tls(self) -> bool:
        """What goes through is encrypted."""
        return self.certificates is not None

    def channel(self, address: str) -> aio.Channel:
        """A channel to an address; with TLS certificates are what their files hold now. Nothing is sent yet."""
        if self.certificates is None:
            return aio.insecure_channel(address, options=self._options)
        return aio.secure_channel(address, self.certificates.credentials(), options=self._options)


def _checked(where: str, token: str) -> str:
    if any(not "!" <= letter <= "~" for letter in token):
        raise ValueError(f"{where}: it holds a blank, a line break or letters beyond ASCII: this is not a token")
    return token
