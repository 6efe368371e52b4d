"""Whether a collector's history of a stream is the one that this spool has.

It is another one where the data directory was restored from a backup, or copied. What such a history has under the same
numbers are other frames: nothing of ours is there, and nothing may count as acknowledged before that is known.
"""

from collections.abc import Sequence

from shipper.errors import SinkError, StreamDisowned
from shipper.sinks.base import Gap, Item, Outlet
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import PROTOCOL


class History:
    """What one collector says of it, in one connection."""

    def __init__(self, address: str, outlet: Outlet, *, thins: bool) -> None:
        """``thins``: frames are encoded anew, so only their original checks can be compared."""
        self._address = address
        self._outlet = outlet
        self._thins = thins
        self._held: pb.FramePosition | None = None
        """The collector's last frame, as long as it is to be compared with ours."""

    @property
    def floor_check(self) -> int:
        """What Hello says of the frame before its floor; 0: nothing."""
        return 0 if self._thins else self._outlet.cursor_crc

    @property
    def open(self) -> bool:
        """It is not known yet: no Ack counts."""
        return self._held is not None

    def judge(self, welcome: pb.Welcome) -> int:
        """Where to go on after this Welcome: at the cursor, where something is to be compared first.

        :raises StreamDisowned: the collector's history of the stream is not ours.
        :raises SinkError: the Welcome breaks the protocol, or is in a version of it that this shipper does not speak.
        """
        outlet, last = self._outlet, welcome.last
        if not 1 <= welcome.protocol <= PROTOCOL:
            raise SinkError(
                f"{self._address} wants to speak version {welcome.protocol} of the protocol, this shipper speaks 1 to "
                f"{PROTOCOL}: is it a collector?"
            )
        if welcome.next < outlet.cursor:
            raise SinkError(
                f"{self._address} breaks the protocol: it welcomed at {welcome.next}, before the floor {outlet.cursor}"
            )
        held = last.number + 1 if welcome.HasField("last") else 0
        diverged = max(welcome.next, held) > outlet.next_seq
        if check := self._check_of(last):
            if held > outlet.cursor:
                self._held = last
            elif held == outlet.cursor and outlet.cursor_crc:
                diverged = diverged or check != outlet.cursor_crc
        if diverged:
            raise self._diverged(max(welcome.next, held) - 1)
        return welcome.next if self._held is None else outlet.cursor

    def _check_of(self, last: pb.FramePosition) -> int:
        """What can be compared of the collector's last frame; 0: nothing."""
        return last.original_check or (0 if self._thins else last.check)

    def compare(self, items: Sequence[Item]) -> bool:
        """Compare the collector's last frame with ours, if it is among these; where a gap stands, nothing can be. True:
        it is over with that.

        :raises StreamDisowned: they are two frames.
        """
        held = self._held
        item = next((item for item in items if held is not None and item.next > held.number), None)
        if held is None or item is None:
            return False
        if not isinstance(item.body, Gap) and item.seq == held.number:
            ours = item.body.original_check if held.original_check else item.body.check
            if ours != self._check_of(held):
                raise self._diverged(held.number)
        self._held = None
        return True

    def _diverged(self, number: int) -> StreamDisowned:
        return StreamDisowned(
            "diverged",
            f"{self._address} holds another frame {number} of stream {self._outlet.stream.hex()} than this spool: "
            "the data directory was restored from a backup, or copied",
        )
