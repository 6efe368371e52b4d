"""What a collector counts at its port, for its operator."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shipper.v1.ingest_pb2 import Refused

if TYPE_CHECKING:
    from shipper.metrics import Registry
    from shipper.wire.budget import ReceiveBudget

REASONS: Final = (
    *(name for name in Refused.Reason.keys() if name not in ("REASON_UNSPECIFIED", "STOPPING")),  # noqa: SIM118 - no dict
    "HANDSHAKE",
    "UNIMPLEMENTED",
    "UNFINISHED",
)
"""Why a connection was refused or ended, as the log has it. They stand at 0 from the start: ``increase()`` does not see
the event that makes its series."""


class PortMeter:
    """The numbers of one ``grpc`` source."""

    def __init__(
        self, metrics: "Registry", source: str, budget: "ReceiveBudget", certificate_ends: Callable[[], float]
    ) -> None:
        """``certificate_ends``: seconds since 1970; infinite where there is no certificate."""
        self._refused = {
            reason: metrics.counter("shipper_source_refused_total", source=source, reason=reason) for reason in REASONS
        }
        metrics.gauge_function("shipper_source_connections", lambda: budget.connected, source=source)
        metrics.gauge_function("shipper_source_receive_used_bytes", lambda: budget.used, source=source)
        metrics.gauge_function("shipper_source_receive_budget_bytes", lambda: budget.limit, source=source)
        metrics.gauge_function("shipper_source_window_bytes", lambda: budget.window(busy=True), source=source)
        metrics.counter_function("shipper_source_received_bytes_total", lambda: budget.received, source=source)
        metrics.gauge_function("shipper_source_certificate_ends_seconds", certificate_ends, source=source)

    def refused(self, reason: str) -> None:
        """A connection was refused, or ended by the collector, for one of ``REASONS``; others are not counted."""
        if reason in self._refused:
            self._refused[reason].add()
