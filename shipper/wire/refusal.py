"""Why a collector ends a connection, and what that means to the sender."""

from typing import Final, Literal

from shipper.errors import ProtocolError, SinkError, SinkUnavailable, StreamDisowned
from shipper.v1.ingest_pb2 import Refused

_TRY_AGAIN: Final = frozenset(
    {Refused.DAMAGED, Refused.OVERLOADED, Refused.STOPPING, Refused.SPOOL_FAILED, Refused.REPLACED}
)
_DISOWNED: Final[dict[int, Literal["diverged", "cloned", "fenced"]]] = {
    Refused.DIVERGED: "diverged",
    Refused.CLONED: "cloned",
    Refused.FENCED: "fenced",
}


class Refusal(ProtocolError):
    """The collector does not go on with a connection; ``reason`` and the text travel to the sender as Refused."""

    def __init__(self, reason: Refused.Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    @property
    def name(self) -> str:
        """The reason's name: ``PROTOCOL``."""
        return Refused.Reason.Name(self.reason)


def refusal_of(error: BaseException | None) -> Refusal:
    """What a sender is told when its frame could not become durable; None: it was discarded."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ProtocolError):
        return Refusal(Refused.PROTOCOL, str(error))
    return Refusal(Refused.SPOOL_FAILED, f"the collector could not keep a frame: {error or 'it was discarded'}")


def refused_error(refused: Refused, address: str) -> SinkError:
    """The sender's error for a Refused: retriable when trying again helps, StreamDisowned when a new stream id does."""
    known = refused.reason in Refused.Reason.values()
    name = Refused.Reason.Name(refused.reason) if known else str(refused.reason)
    text = f"{address} refused the connection ({name}): {refused.text}"
    disowned = _DISOWNED.get(refused.reason)
    if disowned is not None:
        return StreamDisowned(disowned, text)
    return SinkUnavailable(text) if refused.reason in _TRY_AGAIN else SinkError(text)
