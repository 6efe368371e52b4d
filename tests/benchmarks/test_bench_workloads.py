"""Each workload of several processes in a form of seconds: it runs, it checks, what it finds is clean. No figures."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import backlog, fanin, idle, kafka, latency, many, outage, rsyslog, throughput, workers
from benchmarks.processes import BenchError, Cores, need_room
from benchmarks.report import Row
from benchmarks.throughput import Workload


@pytest.fixture
def cores() -> Iterator[Cores]:
    """As the bench chooses them; the test's own process goes on everywhere."""
    allowed = os.sched_getaffinity(0)
    yield Cores.choose()
    os.sched_setaffinity(0, allowed)


def assert_clean(rows: list[Row], names: set[str]) -> None:
    assert {row.workload for row in rows} == names
    for row in rows:
        assert row.check is None or (row.check.clean and row.check.expected), row


@pytest.mark.parametrize("workload", [throughput.added, throughput.errors, throughput.redacted])
def test_what_a_chain_makes_of_a_file_is_what_must_arrive(
    workload: Callable[[int], Workload], tmp_path: Path, cores: Cores
) -> None:
    made = workload(6000)
    assert_clean(throughput.measure(made, tmp_path, cores, 1), {made.number})


def test_idle_agents_have_shipped_every_line_before_they_are_measured(tmp_path: Path, cores: Cores) -> None:
    assert_clean(idle.measure(0.2, tmp_path, cores, (3,)), {"8"})


def test_lines_whose_way_is_timed_arrive_all_of_them_and_in_order(tmp_path: Path, cores: Cores) -> None:
    assert_clean(latency.measure(1, tmp_path, cores), {"9"})


def test_a_backlog_and_the_live_log_behind_it_arrive_whole_through_a_kill(tmp_path: Path, cores: Cores) -> None:
    assert_clean(backlog.measure(0.02, tmp_path, cores), {"10"})


def test_what_a_fleet_sends_is_what_the_collector_keeps(tmp_path: Path, cores: Cores) -> None:
    assert_clean(fanin.measure(0.3, 0.5, tmp_path, cores, 100, (2,)), {"12"})


def test_what_was_written_during_an_outage_arrives_after_it(tmp_path: Path, cores: Cores) -> None:
    assert_clean(outage.measure(1.5, 5000, tmp_path, cores), {"13"})


def test_what_was_shipped_to_kafka_is_in_the_topic_in_both_modes(
    tmp_path: Path, cores: Cores, kafka_jars: Path
) -> None:
    rows = kafka.measure(6000, 1, tmp_path, cores)
    assert_clean(rows, {"14"})
    assert [row.what for row in rows[:2]] == ["file to Kafka, at least once", "file to Kafka, exactly once"]


def test_many_files_hold_the_bytes_of_one(tmp_path: Path, cores: Cores) -> None:
    assert_clean(many.measure(6000, 1, tmp_path, cores, 20), {"15"})


def test_workers_leave_in_the_spool_what_one_process_leaves(tmp_path: Path, cores: Cores) -> None:
    assert_clean(workers.measure(throughput.changed(6000), 1, tmp_path, cores), {"W"})


def test_how_fast_workers_may_be_is_no_figure_where_the_clocks_saw_no_cpu_time() -> None:
    """Of a few records between two looks, on a machine that counts CPU time in ticks of 10 ms."""
    assert workers.allowed(alone=6.0, agent=2.0, workers=4.0) == 2.0
    assert math.isnan(workers.allowed(alone=0.0, agent=0.0, workers=0.0))
    assert math.isnan(workers.allowed(alone=6.0, agent=0.0, workers=0.0))


def test_rsyslog_is_measured_where_it_is_and_else_said_to_be_missing(tmp_path: Path, cores: Cores) -> None:
    rows = rsyslog.measure(2000, 0.2, tmp_path, cores, (3,))
    assert_clean(rows, {"R"})
    assert len(rows) == 4 or "not run" in rows[0].what


def test_a_disk_without_room_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="GB of disk"):
        need_room(tmp_path, 1 << 60)
