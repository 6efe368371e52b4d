"""Numbers for operators, in the Prometheus text format 0.0.4.

``TABLE`` is the list of all metrics: a name or a label that is not in it is a programming error. Components do not
count by themselves; the engine's wrappers around them do.

Rules
- Ask the registry for a child (``registry.counter("shipper_sink_acked_total", sink="central")``) once and keep it:
  asking takes a lock and builds a key, adding is one addition.
- One thread at a time adds to one child: the event loop's thread, or the worker thread that has a source's batch in
  hand, never both at once. Anybody may read at any time. Asking and removing are safe from every thread.
- Children whose labels come and go (``file``) are removed with ``remove``, otherwise memory grows with every rotation.
"""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

from shipper.log import get_logger

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of ``Registry.render``."""

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
    "shipper_records_total": Metric(
        "counter",
        ("source", "stage"),
        "Records by what became of them: read from the source; kept, dropped or failed in the chain.",
    ),
    "shipper_records_dropped_total": Metric("counter", ("processor", "reason"), "Records dropped, by whom and why."),
    "shipper_duplicates_total": Metric(
        "counter", ("source",), "Frames that a sender sent again; they were acknowledged and not kept twice."
    ),
    "shipper_text_replaced_total": Metric(
        "counter", ("source",), "Records in which bytes that are not UTF-8 became U+FFFD."
    ),
    "shipper_spool_bytes": Metric("gauge", (), "Bytes that the spool's segments take on the disk."),
    "shipper_spool_limit_bytes": Metric(
        "gauge", (), "The spool's max_bytes; the sources stop reading when it is full."
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
    "shipper_sink_retries_total": Metric(
        "counter",
        ("sink", "reason"),
        "Attempts to connect or to send that failed; the reason is unavailable, refused or crashed.",
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
    "shipper_dead_letters_bytes": Metric("gauge", (), "Bytes that the dead letters take on the disk."),
    "shipper_lost_bytes_total": Metric("counter", ("reason",), "Bytes that were lost, by the reason. Should stay 0."),
}
"""Every metric: name, kind, labels, help (one line, no backslash). docs/guide/operations.md shows the same table."""

LOSSES: Final = ("corrupt", "dead_letters_full", "truncated", "vanished")
"""The reasons of ``shipper_lost_bytes_total``. They stand at 0 from the start: ``increase()`` does not see the event
that makes its series."""

log = get_logger("metrics")
_Labels = tuple[str, ...]


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, n: float = 1) -> None:
        """``n`` is not negative."""
        self.value += n


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("_function", "_value")

    def __init__(self) -> None:
        self._value: float = 0
        self._function: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """The value from now on."""
        self._value = value

    def follow(self, function: Callable[[], float]) -> None:
        """Ask ``function`` whenever the value is read."""
        self._function = function

    @property
    def value(self) -> float:
        """The value now; NaN when the function behind it raised (the log says what)."""
        if self._function is None:
            return self._value
        try:
            return self._function()
        except Exception as error:  # noqa: BLE001 - one broken number must not hide all others from the operator
            log.warning("a gauge cannot be read", exc=error, every=60.0)
            return math.nan


class Histogram:
    """How often a value fell at or below each of some bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds: Final = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Not cumulative; the last one counts values above every bound."""
        self.sum: float = 0.0

    def observe(self, value: float, n: int = 1) -> None:
        """``value`` was seen ``n`` times."""
        self.counts[bisect_left(self.bounds, value)] += n
        self.sum += value * n

    @property
    def value(self) -> float:
        """How many values were seen."""
        return sum(self.counts)


_Child = TypeVar("_Child", Counter, Gauge, Histogram)


class Registry:
    """All metrics of one process (of one pipeline in tests).

    Every method that takes a name raises ValueError when the name is not in the table, is of another kind, or has
    other labels.
    """

    def __init__(self) -> None:
        self._children: dict[str, dict[_Labels, Counter | Gauge | Histogram]] = {name: {} for name in TABLE}
        self._lock = threading.Lock()
        for reason in LOSSES:
            self.counter("shipper_lost_bytes_total", reason=reason)

    def counter(self, name: str, /, **labels: str) -> Counter:
        """The counter with these labels; it is made at the first call."""
        return self._child(Counter, name, "counter", labels, Counter)

    def gauge(self, name: str, /, **labels: str) -> Gauge:
        """The gauge with these labels; it is made at the first call."""
        return self._child(Gauge, name, "gauge", labels, Gauge)

    def gauge_function(self, name: str, function: Callable[[], float], /, **labels: str) -> None:
        """A gauge whose value is asked for when somebody reads it. A second call replaces the function.

        ``function`` is called on the thread that renders, that is the event loop's.
        """
        self.gauge(name, **labels).follow(function)

    def histogram(self, name: str, buckets: Sequence[float], /, **labels: str) -> Histogram:
        """The histogram with these labels; ``buckets`` (upper bounds, ascending) count at the first call."""
        if list(buckets) != sorted(set(buckets)):
            raise ValueError(f"{name}: buckets must ascend")
        return self._child(Histogram, name, "histogram", labels, lambda: Histogram(buckets))

    def remove(self, name: str, /, **labels: str) -> None:
        """Forget a child; nothing happens when there is none."""
        key = _key(name, None, labels)
        with self._lock:
            self._children[name].pop(key, None)

    def value(self, name: str, /, **labels: str) -> float:
        """A child's value now (of a histogram: how many values it saw); 0 when there is no such child."""
        key = _key(name, None, labels)
        child = self._children[name].get(key)
        return 0 if child is None else child.value

    def render(self) -> str:
        """Everything, in the order of the table."""
        with self._lock:
            families = [(name, list(children.items())) for name, children in self._children.items() if children]
        lines: list[str] = []
        for name, children in families:
            metric = TABLE[name]
            lines.append(f"# HELP {name} {metric.help}")
            lines.append(f"# TYPE {name} {metric.kind}")
            for key, child in children:
                pairs = [f'{label}="{_escape(value)}"' for label, value in zip(metric.labels, key, strict=True)]
                if isinstance(child, Histogram):
                    lines.extend(_histogram_lines(name, pairs, child))
                else:
                    lines.append(f"{name}{_braces(pairs)} {_number(child.value)}")
        return "\n".join(lines) + "\n" if lines else ""

    def _child(
        self, kind: type[_Child], name: str, word: Kind, labels: dict[str, str], make: Callable[[], _Child]
    ) -> _Child:
        key = _key(name, word, labels)
        with self._lock:
            child = self._children[name].get(key)
            if child is None:
                child = self._children[name][key] = make()
        if not isinstance(child, kind):  # pragma: no cover - the table gives a name one kind
            raise TypeError(f"{name} is not a {word}")
        return child


def _key(name: str, kind: Kind | None, labels: dict[str, str]) -> _Labels:
    metric = TABLE.get(name)
    if metric is None:
        raise ValueError(f"{name} is not a metric of shipper: add it to the table in shipper/metrics.py")
    if kind is not None and metric.kind != kind:
        raise ValueError(f"{name} is a {metric.kind}, not a {kind}")
    if labels.keys() != set(metric.labels):
        raise ValueError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
    # Names of files may hold bytes that are not UTF-8; the exposition must be.
    return tuple(str(labels[label]).encode("utf-8", "backslashreplace").decode() for label in metric.labels)


def _histogram_lines(name: str, pairs: list[str], histogram: Histogram) -> Iterator[str]:
    counts = list(histogram.counts)  # one copy: the sum of what is shown is the count that is shown
    total = 0
    for bound, count in zip((*histogram.bounds, math.inf), counts, strict=True):
        total += count
        limit = f'le="{_number(bound)}"'
        yield f"{name}_bucket{_braces([*pairs, limit])} {total}"
    yield f"{name}_sum{_braces(pairs)} {_number(histogram.sum)}"
    yield f"{name}_count{_braces(pairs)} {total}"


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
