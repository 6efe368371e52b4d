"""The gauges that are read off the spool whenever somebody asks."""

from collections.abc import Mapping
from functools import partial

from shipper.metrics import Registry
from shipper.spool.spool import Spool
from shipper.spool.subscription import Subscription
from shipper.version import VERSION


def follow(metrics: Registry, spool: Spool, feeds: Mapping[str, Subscription]) -> None:
    """Let the registry ask the spool and each sink's view of it."""
    metrics.gauge("shipper_build_info", version=VERSION).set(1)
    metrics.gauge_function("shipper_spool_bytes", lambda: spool.used)
    metrics.gauge_function("shipper_spool_limit_bytes", lambda: spool.max_bytes)
    metrics.gauge_function("shipper_dead_letters_bytes", lambda: spool.dead_letter_bytes)
    metrics.gauge_function(
        "shipper_spool_oldest_unacked_seconds", lambda: max(feed.oldest_unacked_seconds for feed in feeds.values())
    )
    for name, feed in feeds.items():
        metrics.gauge_function("shipper_sink_backlog_bytes", partial(getattr, feed, "backlog_bytes"), sink=name)
        metrics.gauge_function("shipper_sink_backlog_frames", partial(getattr, feed, "backlog_frames"), sink=name)
