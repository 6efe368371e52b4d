"""What runs here, as JSON: the answer of ``/status``."""

import math
import time
from typing import TYPE_CHECKING, Any

from shipper.version import VERSION

if TYPE_CHECKING:
    from shipper.pipeline import Pipeline


def status(pipeline: "Pipeline") -> dict[str, Any]:
    """Facts as they are now; sizes in bytes, ages in seconds, sequence numbers of this process's own stream.

    A time that never comes (``full_in_seconds`` of a spool that does not fill) is null.
    """
    spool, metrics = pipeline.spool, pipeline.metrics
    return {
        "version": VERSION,
        "config": pipeline.config.name,
        "uptime_seconds": round(time.monotonic() - pipeline.started, 1),
        "labels": pipeline.config.labels,
        "sources": {
            name: {
                "state": pipeline.sources.failed.get(name) or source.describe(),
                "problems": source.problems(),
                "unread_bytes": intake.unread,
                "files": dict(intake.files),
                "lost": intake.lost.recent(),
                "records": {
                    stage: metrics.value("shipper_records_total", source=name, stage=stage)
                    for stage in ("read", "kept", "dropped", "failed")
                },
            }
            for name, source in pipeline.config.sources.items()
            if (intake := pipeline.sources.intakes.get(name)) is not None
        },
        "sinks": {
            name: {
                "to": pipeline.config.sinks[name].describe(),
                "up": delivery.up,
                "state": delivery.state,
                "next": feed.cursor,
                "backlog_frames": feed.backlog_frames,
                "backlog_bytes": feed.backlog_bytes,
                "oldest_unacked_seconds": round(feed.oldest_unacked_seconds, 1),
                "drained_in_seconds": _seconds(pipeline.pace.drained_in(name)),
                "acked_records": metrics.value("shipper_sink_acked_total", sink=name),
            }
            for name, delivery in pipeline.deliveries.items()
            if (feed := pipeline.feeds[name])
        },
        "spool": {
            "stream": spool.stream.hex(),
            "epoch": spool.epoch,
            "next": spool.next_seq,
            "used_bytes": spool.used,
            "max_bytes": int(spool.max_bytes),
            "full": spool.blocked,
            "blocked_by": spool.blocked_by,
            "full_in_seconds": _seconds(pipeline.pace.full_in()),
            "upstream_streams": len(spool.marks),
            "damages": [
                {
                    "segment": d.segment,
                    "start": d.start,
                    "end": d.end,
                    "first": d.first,
                    "last": d.last,
                    "reason": d.reason,
                }
                for d in spool.damages
            ],
        },
        "dead_letters": {
            "bytes": spool.dead_letter_bytes,
            "room": spool.dead_letter_room,
            "replayed": pipeline.replays.replayed if pipeline.replays is not None else 0,
        },
    }


def headline(pipeline: "Pipeline") -> str:
    """One line for people: why it is not ready, or how each sink does."""
    ready, shown = pipeline.readiness.check()
    if not ready:
        return f"not ready: {'; '.join(shown['reasons'])}"
    sinks = (
        f"{name} {delivery.state}, {pipeline.feeds[name].backlog_frames} frames wait"
        for name, delivery in pipeline.deliveries.items()
    )
    return f"{'; '.join(sinks)}; the spool is {shown['spool_fill']:.0%} full"


def _seconds(value: float) -> float | None:
    return round(value, 1) if math.isfinite(value) else None
