"""The gauges that are read off the spool whenever somebody asks."""

from collections.abc import Mapping
from functools import partial

from shipper.metric_table import BLOCKS
from shipper.metrics import Registry
from shipper.pace import Pace
from shipper.process import follow_process
from shipper.spool.room import THE_DISK
from shipper.spool.spool import Spool
from shipper.spool.subscription import Subscription
from shipper.version import VERSION


def follow(metrics: Registry, spool: Spool, feeds: Mapping[str, Subscription], pace: Pace) -> None:
    """Let the registry ask the spool, each sink's view of it, and the system."""
    metrics.gauge("shipper_build_info", version=VERSION).set(1)
    metrics.gauge_function("shipper_spool_bytes", lambda: spool.used)
    metrics.gauge_function("shipper_spool_limit_bytes", lambda: spool.max_bytes)
    metrics.gauge_function("shipper_spool_full_in_seconds", pace.full_in)
    metrics.gauge_function("shipper_dead_letters_bytes", lambda: spool.dead_letter_bytes)
    metrics.gauge_function("shipper_event_loop_lag_seconds", lambda: pace.loop_lag)
    metrics.gauge_function(
        "shipper_spool_oldest_unacked_seconds", lambda: max(feed.oldest_unacked_seconds for feed in feeds.values())
    )
    for reason in BLOCKS:
        metrics.gauge_function("shipper_spool_blocked", partial(_is_blocked_by, spool, reason), reason=reason)
    for name, feed in feeds.items():
        metrics.gauge_function("shipper_sink_backlog_bytes", partial(getattr, feed, "backlog_bytes"), sink=name)
        metrics.gauge_function("shipper_sink_backlog_frames", partial(getattr, feed, "backlog_frames"), sink=name)
        metrics.gauge_function(
            "shipper_sink_oldest_unacked_seconds", partial(getattr, feed, "oldest_unacked_seconds"), sink=name
        )
        metrics.gauge_function("shipper_sink_drained_in_seconds", partial(pace.drained_in, name), sink=name)
    metrics.before_render(partial(_show_removed, metrics, spool, set()))
    follow_process(metrics)


def _show_removed(metrics: Registry, spool: Spool, shown: set[str]) -> None:
    """One child for each sink that the config no longer has; ``shown``: those that have one."""
    removed = spool.removed_sinks
    for name in shown - removed.keys():
        metrics.remove("shipper_sink_removed_bytes", sink=name)
    for name, size in removed.items():
        metrics.gauge("shipper_sink_removed_bytes", sink=name).set(size)
    shown.clear()
    shown.update(removed)


def _is_blocked_by(spool: Spool, reason: str) -> bool:
    return ("disk_full" if spool.blocked_by == THE_DISK else spool.blocked_by) == reason
