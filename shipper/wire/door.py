"""How a sender gets in at a collector: the channel, with TLS or without, and the token that goes with every call."""

from shipper.wire.channel import CHANNEL_OPTIONS, aio
from shipper.wire.tls import ClientCertificates, ClientTls


class Door:
    """One sink's way in."""

    def __init__(self, tls: ClientTls | None = None, token: str = "") -> None:
        """:raises ValueError: the files of ``tls`` cannot be used, or ``token`` is none."""
        if any(not "!" <= letter <= "~" for letter in token):
            raise ValueError("token: it holds a blank, a line break or letters beyond ASCII: this is not a token")
        self.certificates = None if tls is None else ClientCertificates(tls)
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()
        """What goes with a call. It is secret: it must not be logged."""
        name = tls.server_name if tls is not None else None
        self._options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", name)] if name else CHANNEL_OPTIONS

    @property
    def tls(self) -> bool:
        """What goes through is encrypted."""
        return self.certificates is not None

    def channel(self, address: str) -> aio.Channel:
        """A channel to an address; with TLS certificates are what their files hold now. Nothing is sent yet."""
        if self.certificates is None:
            return aio.insecure_channel(address, options=self._options)
        return aio.secure_channel(address, self.certificates.credentials(), options=self._options)
