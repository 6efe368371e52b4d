"""Metrics: what the registry counts and what the text format says, read back by a parser of its own."""

import math
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.metric_table import LOSSES, TABLE, Metric
from shipper.metrics import Registry

_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)', re.DOTALL)
_LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Sample = tuple[str, tuple[tuple[str, str], ...]]


def _parse(text: str) -> dict[Sample, float]:
    """Read the text format: one sample a line, HELP and TYPE before the samples of each metric."""
    samples: dict[Sample, float] = {}
    announced = ""
    for line in text.split("\n")[:-1]:
        if line.startswith("# "):
            announced = line.split(" ")[2]
            continue
        match = _SAMPLE.fullmatch(line)
        assert match, line
        labels = tuple(
            (name, re.sub(r'\\[\\"n]', lambda m: _ESCAPE[m[0]], value))
            for name, value in _LABEL.findall(match[2] or "")
        )
        assert match[1].startswith(announced)
        assert (match[1], labels) not in samples, "a sample twice makes Prometheus refuse the page"
        samples[match[1], labels] = float(match[3])
    return samples


def test_counters_and_gauges_are_rendered_with_help_and_type() -> None:
    registry = Registry()
    registry.counter("shipper_records_total", source="app", stage="read").add(3)
    registry.counter("shipper_records_total", source="app", stage="read").add()
    registry.gauge("shipper_spool_bytes").set(1048576)
    registry.gauge("shipper_spool_oldest_unacked_seconds").set(0.25)
    assert registry.render().startswith(
        "# HELP shipper_records_total Records by what became of them: read from the source; kept, dropped or failed"
        " in the chain.\n"
        "# TYPE shipper_records_total counter\n"
        'shipper_records_total{source="app",stage="read"} 4\n'
        "# HELP shipper_spool_bytes Bytes that the spool's segments take on the disk.\n"
        "# TYPE shipper_spool_bytes gauge\n"
        "shipper_spool_bytes 1048576\n"
        "# HELP shipper_spool_oldest_unacked_seconds Age of the oldest frame that some sink has not acknowledged; 0"
        " when there is none.\n"
        "# TYPE shipper_spool_oldest_unacked_seconds gauge\n"
        "shipper_spool_oldest_unacked_seconds 0.25\n"
    )


def test_every_reason_of_a_loss_is_there_at_0_before_the_first_one() -> None:
    """``increase()`` sees no event in a series that begins with it."""
    assert _parse(Registry().render()) == {("shipper_lost_bytes_total", (("reason", reason),)): 0 for reason in LOSSES}


def test_the_reasons_of_losses_are_those_in_the_code() -> None:
    code = "".join(path.read_text() for path in (Path(__file__).parents[1] / "shipper").rglob("*.py"))
    made = "\n".join(line for line in code.splitlines() if ".lose(" in line or "Loss(" in line)
    counted = re.findall(r'shipper_lost_bytes_total", reason="(\w+)"|reason = "(\w+_full)"', code)
    used = [*re.findall(r'"(\w+)"', made), *(name for found in counted for name in found if name)]
    assert set(used) == set(LOSSES)


def test_a_histogram_is_cumulative_and_ends_with_infinity() -> None:
    registry = Registry()
    latency = registry.histogram("shipper_delivery_latency_seconds", (0.1, 1.0), sink="s")
    for value, times in ((0.1, 1), (0.5, 3), (7.0, 2)):
        latency.observe(value, times)
    name = "shipper_delivery_latency_seconds"
    samples = {key: value for key, value in _parse(registry.render()).items() if key[0].startswith(name)}
    assert samples == {
        (f"{name}_bucket", (("sink", "s"), ("le", "0.1"))): 1,
        (f"{name}_bucket", (("sink", "s"), ("le", "1.0"))): 4,
        (f"{name}_bucket", (("sink", "s"), ("le", "+Inf"))): 6,
        (f"{name}_sum", (("sink", "s"),)): pytest.approx(15.6),
        (f"{name}_count", (("sink", "s"),)): 6,
    }
    assert registry.value(name, sink="s") == 6


@settings(deadline=None)
@given(st.dictionaries(st.tuples(st.text(), st.text()), st.integers(0, 2**70), max_size=8))
def test_every_label_value_is_read_back_as_it_was(values: dict[tuple[str, str], int]) -> None:
    registry = Registry()
    for (source, file), number in values.items():
        registry.gauge("shipper_source_lag_bytes", source=source, file=file).set(number)
    expected = {
        ("shipper_source_lag_bytes", (("source", source), ("file", file))): float(number)
        for (source, file), number in values.items()
    }
    assert _parse(registry.render()) == expected | _parse(Registry().render())


def test_a_file_name_that_is_not_utf8_can_be_rendered() -> None:
    registry = Registry()
    registry.gauge("shipper_source_lag_bytes", source="app", file="/var/\udcff.log").set(1)
    assert 'file="/var/\\\\udcff.log"' in registry.render().encode().decode()
    assert registry.value("shipper_source_lag_bytes", source="app", file="/var/\udcff.log") == 1


@pytest.mark.parametrize(
    ("value", "text"), [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e-7, "1e-07"), (True, "1")]
)
def test_odd_numbers_have_their_spelling(value: float, text: str) -> None:
    registry = Registry()
    registry.gauge("shipper_spool_bytes").set(value)
    assert f"\nshipper_spool_bytes {text}\n" in registry.render()


def test_a_gauge_function_is_asked_when_somebody_reads() -> None:
    registry = Registry()
    numbers = iter((1.0, 2.0))
    registry.gauge_function("shipper_spool_bytes", lambda: next(numbers))
    assert registry.value("shipper_spool_bytes") == 1
    assert registry.value("shipper_spool_bytes") == 2
    registry.gauge_function("shipper_spool_bytes", lambda: 9.0)
    assert registry.value("shipper_spool_bytes") == 9


def test_a_gauge_function_that_raises_does_not_hide_the_other_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    registry = Registry()
    registry.gauge_function("shipper_spool_bytes", lambda: 1 / 0)
    registry.gauge("shipper_spool_limit_bytes").set(5)
    assert "shipper_spool_bytes NaN\n" in registry.render()
    assert "shipper_spool_limit_bytes 5\n" in registry.render()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_removed_child_is_gone_and_starts_at_nothing_when_it_comes_back() -> None:
    registry = Registry()
    registry.gauge("shipper_source_lag_bytes", source="app", file="a").set(7)
    registry.remove("shipper_source_lag_bytes", source="app", file="a")
    registry.remove("shipper_source_lag_bytes", source="app", file="never there")
    assert registry.render() == Registry().render()
    assert registry.gauge("shipper_source_lag_bytes", source="app", file="a").value == 0


def test_a_value_that_nobody_set_is_zero() -> None:
    assert Registry().value("shipper_sink_up", sink="s") == 0


def test_what_is_not_in_the_table_is_a_programming_error() -> None:
    registry = Registry()
    with pytest.raises(ValueError, match="shipper_typo_total is not a metric of shipper"):
        registry.counter("shipper_typo_total")
    with pytest.raises(ValueError, match="shipper_sink_up is a gauge, not a counter"):
        registry.counter("shipper_sink_up", sink="s")
    with pytest.raises(ValueError, match=r"shipper_sink_up has the labels \('sink',\), not \('sinc',\)"):
        registry.gauge("shipper_sink_up", sinc="s")
    with pytest.raises(ValueError, match="has the labels"):
        registry.value("shipper_sink_up")
    with pytest.raises(ValueError, match="buckets must ascend"):
        registry.histogram("shipper_delivery_latency_seconds", (2.0, 1.0), sink="s")


@pytest.mark.parametrize(("name", "metric"), TABLE.items())
def test_every_metric_is_named_as_prometheus_wants_it(name: str, metric: Metric) -> None:
    assert re.fullmatch(r"(shipper|process)_[a-z_]+[a-z]", name)
    assert name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert not set(metric.help) & {"\n", "\\"}


def test_the_guide_shows_the_same_table() -> None:
    guide = (Path(__file__).parents[1] / "docs/guide/operations.md").read_text()
    for name, metric in TABLE.items():
        labels = "{" + ", ".join(metric.labels) + "}" if metric.labels else ""
        assert f"| `{name}{labels}` | {metric.kind} | {metric.help} |" in guide
    assert re.findall(r"^\| `((?:shipper|process)_\w+)", guide, re.MULTILINE) == list(TABLE)


def test_threads_that_ask_and_remove_while_others_render_break_nothing() -> None:
    registry = Registry()
    stop = threading.Event()

    def churn(source: str) -> None:
        for number in range(2000):
            registry.gauge("shipper_source_lag_bytes", source=source, file=str(number)).set(number)
            registry.remove("shipper_source_lag_bytes", source=source, file=str(number))
        stop.set()

    thread = threading.Thread(target=churn, args=("app",))
    thread.start()
    while not stop.is_set():
        _parse(registry.render())
    thread.join()
    assert registry.render() == Registry().render()


def test_a_counter_that_the_system_keeps_is_asked_and_rendered_as_a_counter() -> None:
    registry = Registry()
    registry.counter_function("process_cpu_seconds_total", lambda: 1.5)
    assert "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n" in registry.render()
    with pytest.raises(ValueError, match="is a counter, not a gauge"):
        registry.gauge_function("process_cpu_seconds_total", lambda: 1.5)


def test_children_that_come_and_go_are_brought_up_to_date_before_anybody_sees_them() -> None:
    registry = Registry()
    sizes = iter((1, 2))
    registry.before_render(lambda: registry.gauge("shipper_sink_removed_bytes", sink="old").set(next(sizes)))
    assert 'shipper_sink_removed_bytes{sink="old"} 1\n' in registry.render()
    assert 'shipper_sink_removed_bytes{sink="old"} 2\n' in registry.render()
