"""Numbers for operators, in the Prometheus text format 0.0.4.

``metric_table.TABLE`` is the list of all metrics: a name or a label that is not in it is a programming error.
Components do not count by themselves; the engine's wrappers around them do.

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
from typing import Final, TypeVar

from shipper.log import get_logger
from shipper.metric_table import LOSSES, TABLE, Kind

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of ``Registry.render``."""

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
        self._refreshes: list[Callable[[], None]] = []
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

    def counter_function(self, name: str, function: Callable[[], float], /, **labels: str) -> None:
        """A counter that somebody else keeps (the system, a library); ``function`` as in ``gauge_function``."""
        self._child(Gauge, name, "counter", labels, Gauge).follow(function)

    def before_render(self, refresh: Callable[[], None]) -> None:
        """Have ``refresh`` called first whenever everything is shown: for children that come and go."""
        self._refreshes.append(refresh)

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
        for refresh in self._refreshes:
            refresh()
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
        raise ValueError(f"{name} is not a metric of shipper: add it to the table in shipper/metric_table.py")
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
