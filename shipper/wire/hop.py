"""What the collector's side of the wire needs of the spool behind it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from shipper.batch import Batch, Upstream
from shipper.sinks.base import Gap
from shipper.sinks.sharing import Sharing
from shipper.sources.base import Intake, Receipt
from shipper.spool import body
from shipper.wire.handshake import Mark

if TYPE_CHECKING:
    from shipper.metrics import Registry


class Hop(Protocol):
    """The numbers of the spool."""

    @property
    def floor(self) -> int:
        """The first number of this spool that some sink has not acknowledged and still gets."""
        ...

    @property
    def next_number(self) -> int:
        """The number that this spool gives to its next frame."""
        ...


class HopIntake(Intake, Hop, Protocol):
    """The intake of a source whose batches come from another shipper's spool."""

    @property
    def metrics(self) -> "Registry":
        """Where the port's numbers go."""
        ...

    @property
    def sharing(self) -> Sharing:
        """The sinks that share streams with other collectors."""
        ...

    def mark(self, stream: bytes) -> Mark | None:
        """How far the spool has this stream, durably."""
        ...

    async def lower(self, stream: bytes, mark: body.Mark) -> None:
        """The stream comes again from this mark on; returns once that is durable, after all that was taken of it."""
        ...

    async def take_frame(self, batch: Batch) -> Receipt:
        """Append a batch whose payload is a frame; as ``take``."""
        ...

    async def take_gap(self, upstream: Upstream, gap: Gap, labels: dict[str, Any]) -> Receipt:
        """Append a gap in place of frames; as ``take``."""
        ...

    def note(self, state: Mapping[str, bytes]) -> Receipt:
        """Keep state of the source that comes with no batch, under keys that no batch writes."""
        ...

    def on_delivered(self, moved: Callable[[], object]) -> None:
        """Have ``moved``, and nothing else of this source, called whenever ``floor`` may have moved."""
        ...
