"""The table of all metrics: name, kind, labels, help. docs/guide/operations.md shows the same one."""

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One line of the table."""

    kind: Kind
    labels: tuple[str, ...]
    help: str


TABLE: Final[dict[str, Metric]] = {
    "shipper_build_info": Metric("gauge", ("version",), "Always 1; the label says which shipper this is."),
    "shipper_ready": Metric("gauge", (), "1 when /readyz answers 200, 0 when it answers 503."),
    "shipper_source_lag_bytes": Metric(
        "gauge", ("source", "file"), "Bytes of a file that were written and not read yet."
    ),
    "shipper_source_lag_records": Metric(
        "gauge",
        ("source", "topic", "partition"),
        "Records of a partition of Kafka, about, that were written and not read yet.",
    ),
    "shipper_source_problems": Metric(
        "gauge",
        ("source",),
        "Things of the source that cannot be read now (files without permission); /status names them.",
    ),
    "shipper_source_holes_bytes_total": Metric(
        "counter", ("source",), "Bytes of files that were NUL at the start of a line and left out."
    ),
    "shipper_source_connections": Metric("gauge", ("source",), "Senders that are connected."),
    "shipper_source_refused_total": Metric(
        "counter", ("source", "reason"), "Connections of senders that were refused or ended, by the reason."
    ),
    "shipper_source_received_bytes_total": Metric(
        "counter", ("source",), "Bytes that senders sent: frames, those that came twice too; messages of syslog."
    ),
    "shipper_source_certificate_ends_seconds": Metric(
        "gauge", ("source",), "When the certificate shown to senders expires, in seconds since 1970; +Inf without TLS."
    ),
    "shipper_source_dropped_datagrams_total": Metric(
        "counter", ("source",), "Datagrams of syslog that the kernel dropped, because those before were not read yet."
    ),
    "shipper_source_missing_entries_total": Metric(
        "counter",
        ("source",),
        "Entries of the journal, or records of Kafka, that were removed or damaged before they were read.",
    ),
    "shipper_source_receive_budget_bytes": Metric(
        "gauge", ("source",), "Bytes of frames that may be held that are not durable yet, over all senders."
    ),
    "shipper_source_receive_used_bytes": Metric(
        "gauge", ("source",), "Bytes of frames that are held now and not durable yet."
    ),
    "shipper_source_window_bytes": Metric(
        "gauge", ("source",), "What one busy sender may have on its way unacknowledged: its share of the budget."
    ),
    "shipper_records_total": Metric(
        "counter",
        ("source", "stage"),
        "Records by what became of them: read from the source; kept, dropped or failed in the chain.",
    ),
    "shipper_records_dropped_total": Metric("counter", ("processor", "reason"), "Records dropped, by whom and why."),
    "shipper_parse_errors_total": Metric(
        "counter",
        ("source", "processor"),
        "Records that a processor failed on and that went on with the error in a field.",
    ),
    "shipper_duplicates_total": Metric(
        "counter", ("source",), "Frames that a sender sent again; they were acknowledged and not kept twice."
    ),
    "shipper_text_replaced_total": Metric(
        "counter", ("source",), "Records in which bytes that are no valid text became U+FFFD."
    ),
    "shipper_multiline_timeouts_total": Metric(
        "counter",
        ("source",),
        "Times that a pattern of `multiline` was not done with a line in time: it counts as not found there.",
    ),
    "shipper_spool_bytes": Metric("gauge", (), "Bytes that the spool's segments take on the disk."),
    "shipper_spool_limit_bytes": Metric(
        "gauge", (), "The spool's max_bytes; the sources stop reading when it is full."
    ),
    "shipper_spool_blocked": Metric(
        "gauge", ("reason",), "1 while the spool takes nothing and the sources do not read, by the reason."
    ),
    "shipper_spool_full_in_seconds": Metric(
        "gauge", (), "Time until the spool is full at the pace of the last minutes; +Inf while it does not fill."
    ),
    "shipper_spool_oldest_unacked_seconds": Metric(
        "gauge", (), "Age of the oldest frame that some sink has not acknowledged; 0 when there is none."
    ),
    "shipper_sink_up": Metric("gauge", ("sink",), "1 while the sink is connected."),
    "shipper_sink_breaker_state": Metric(
        "gauge", ("sink",), "The sink's circuit breaker: 0 closed, 1 half-open, 2 open."
    ),
    "shipper_sink_acked_total": Metric("counter", ("sink",), "Records that the sink acknowledged and did not refuse."),
    "shipper_sink_backlog_bytes": Metric("gauge", ("sink",), "Bytes in the spool that the sink has not acknowledged."),
    "shipper_sink_backlog_frames": Metric(
        "gauge", ("sink",), "Frames in the spool that the sink has not acknowledged."
    ),
    "shipper_sink_oldest_unacked_seconds": Metric(
        "gauge", ("sink",), "Age of the oldest frame that the sink has not acknowledged; 0 when there is none."
    ),
    "shipper_sink_drained_in_seconds": Metric(
        "gauge",
        ("sink",),
        "Time until the sink has caught up at the pace of the last minutes; 0 when it has, +Inf while it falls behind.",
    ),
    "shipper_sink_removed_bytes": Metric(
        "gauge", ("sink",), "Bytes that wait for a sink that the config no longer has; shipper spool forget drops them."
    ),
    "shipper_sink_dropped_frames_total": Metric(
        "counter",
        ("sink", "reason"),
        "Frames that the spool gave up and this sink alone did not get; the reason is drop_oldest or sink_removed.",
    ),
    "shipper_sink_dropped_records_total": Metric("counter", ("sink", "reason"), "Records in those frames."),
    "shipper_sink_retries_total": Metric(
        "counter",
        ("sink", "reason"),
        "Attempts to connect or to send that failed; the reason is unavailable, refused, disowned or crashed.",
    ),
    "shipper_sink_alarms_total": Metric(
        "counter", ("sink", "kind"), "Findings at the sink that somebody should look at; the log says more."
    ),
    "shipper_delivery_latency_seconds": Metric(
        "histogram", ("sink",), "Time from reading a record to the sink's acknowledgement."
    ),
    "shipper_dead_letters_total": Metric(
        "counter", ("processor",), "Records put to the dead letters, by the processor or sink that refused them."
    ),
    "shipper_dead_letters_replayed_total": Metric(
        "counter", ("processor",), "Dead letters that were replayed, by the processor or sink that had refused them."
    ),
    "shipper_dead_letters_bytes": Metric("gauge", (), "Bytes that the dead letters take on the disk."),
    "shipper_lost_bytes_total": Metric("counter", ("reason",), "Bytes that were lost, by the reason. Should stay 0."),
    "shipper_source_lost_bytes_total": Metric(
        "counter",
        ("source", "file", "reason"),
        "Those of files, by the file; file is empty for what more than 100 files of a source lost.",
    ),
    "shipper_event_loop_lag_seconds": Metric(
        "gauge", (), "How late the event loop came at its last look; near 0 unless the CPU is short."
    ),
    "process_cpu_seconds_total": Metric("counter", (), "User and system CPU time of the process."),
    "process_resident_memory_bytes": Metric("gauge", (), "Memory of the process that is in RAM."),
    "process_virtual_memory_bytes": Metric("gauge", (), "Address space of the process."),
    "process_open_fds": Metric("gauge", (), "Open file descriptors."),
    "process_max_fds": Metric("gauge", (), "Limit of open file descriptors."),
    "process_start_time_seconds": Metric("gauge", (), "When the process started, in seconds since 1970."),
}
"""Every metric: name, kind, labels, help (one line, no backslash)."""

LOSSES: Final = ("corrupt", "dead_letters_full", "given_up", "too_long", "truncated", "vanished")
"""The reasons of ``shipper_lost_bytes_total``. They stand at 0 from the start: ``increase()`` does not see the event
that makes its series."""

BLOCKS: Final = ("max_bytes", "min_free", "disk_full")
"""The reasons of ``shipper_spool_blocked``; each has its series from the start."""
