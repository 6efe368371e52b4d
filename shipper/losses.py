"""What sinks lose because the spool needed the room: counted for each sink, and said once a minute."""

from collections.abc import Mapping

from shipper.log import get_logger
from shipper.metrics import Registry
from shipper.sinks.base import Sink
from shipper.spool.dropping import DROP_OLDEST, SINK_REMOVED, Dropped
from shipper.spool.spool import Spool

log = get_logger("spool")
_WHY = {
    DROP_OLDEST: "a sink's oldest records are dropped: it takes less than comes, and it may not hold more back",
    SINK_REMOVED: "records for a sink that the config no longer has are given up: for room, or as it was forgotten",
}


def limits(sinks: Mapping[str, Sink]) -> dict[str, int | None]:
    """The sinks whose oldest records may be dropped, and how many bytes each may hold back (None: as many as fit)."""
    return {name: sink.max_backlog for name, sink in sinks.items() if sink.when_full == "drop_oldest"}


class Losses:
    """Counts and says."""

    def __init__(self, metrics: Registry, spool: Spool, sinks: Mapping[str, Sink]) -> None:
        """Every counter that may move stands at 0 from the start."""
        self._metrics = metrics
        for name in limits(sinks):
            self._add(Dropped(name, DROP_OLDEST, 0, 0))
        for name, size in spool.removed_sinks.items():
            self._add(Dropped(name, SINK_REMOVED, 0, 0))
            text = f"the config no longer has the sink {name}: what waits for it stays until the room is needed"
            log.warning(text, bytes=size, to_give_it_up=f"shipper spool forget {name} ...")

    def dropped(self, dropped: Dropped) -> None:
        """A sink lost frames."""
        frames, records = self._add(dropped)
        log.warning(
            _WHY[dropped.reason],
            sink=dropped.sink,
            frames=int(frames),
            records=int(records),
            every=60.0,
            key=f"{dropped.reason} {dropped.sink}",
        )

    def _add(self, dropped: Dropped) -> tuple[float, float]:
        labels = {"sink": dropped.sink, "reason": dropped.reason}
        frames = self._metrics.counter("shipper_sink_dropped_frames_total", **labels)
        records = self._metrics.counter("shipper_sink_dropped_records_total", **labels)
        frames.add(dropped.frames)
        records.add(dropped.records)
        return frames.value, records.value
