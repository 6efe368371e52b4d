"""The comparison with other programs: who is there does what the workloads say, who is not is said to be missing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers import table
from benchmarks.peers.__main__ import find
from benchmarks.peers.fluentbit import FluentBit
from benchmarks.peers.jobs import WORKLOADS, Job
from benchmarks.peers.logprep import Logprep, LogprepProcessors
from benchmarks.peers.otelcol import OtelCollector
from benchmarks.peers.peer import Missing, Peer
from benchmarks.peers.rsyslog import Rsyslog
from benchmarks.peers.running import Run, run_ours, run_peer
from benchmarks.peers.table import OURS, Line
from benchmarks.processes import Cores
from benchmarks.verify import Verdict

LINES = 2000


class Absent(Peer):
    name = "absent"
    promise = "none"

    def find(self, folder: Path) -> str:
        raise Missing(f"nothing in {folder.name}")

    def version(self, program: str) -> str:
        raise AssertionError(program)

    def command(self, program: str, number: str, log: Path, output: Path) -> list[str]:
        raise AssertionError(program)


@pytest.fixture
def cores() -> Iterator[Cores]:
    """As the bench chooses them; the test's own process goes on everywhere."""
    allowed = os.sched_getaffinity(0)
    yield Cores.choose()
    os.sched_setaffinity(0, allowed)


def assert_clean(run: Run, job: Job) -> None:
    assert run.check.clean
    assert run.check.expected == job.wanted > 0
    assert run.cpu > 0
    assert run.peak_rss > 0


@pytest.mark.parametrize("number", WORKLOADS)
def test_rsyslog_makes_of_a_file_what_the_workload_says(number: str, tmp_path: Path, cores: Cores) -> None:
    job = Job.make(number, LINES, tmp_path)
    peer = Rsyslog()
    assert_clean(run_peer(peer, peer.find(tmp_path), job, tmp_path, cores), job)


def test_shipper_makes_the_same_of_it_from_file_to_file(tmp_path: Path, cores: Cores) -> None:
    job = Job.make("3", LINES, tmp_path)
    assert_clean(run_ours(job, tmp_path, cores), job)


def test_a_program_that_is_not_there_is_named_with_its_reason(tmp_path: Path) -> None:
    there, missing = find([Absent()], tmp_path)
    assert not there
    assert missing == {"absent": f"nothing in {tmp_path.name}"}


@pytest.mark.parametrize(
    "peer", [FluentBit(), Logprep(), LogprepProcessors(), OtelCollector(), Rsyslog()], ids=lambda peer: peer.name
)
@pytest.mark.parametrize("number", WORKLOADS)
def test_every_peer_has_a_config_for_every_workload(peer: Peer, number: str, tmp_path: Path) -> None:
    output = tmp_path / "output"
    command = peer.command("program", number, tmp_path / "app.log", output)
    configs = [Path(word) for word in command if word.startswith(str(tmp_path)) and Path(word).is_file()]
    text = "".join(path.read_text() for path in configs)
    assert str(tmp_path / "app.log") in text
    assert output.name in text
    assert not output.exists()


def test_what_logprep_parsed_is_read_from_where_it_puts_it(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_text('{"parsed": {"id": 1, "message": "m"}}\n{"message": "GET /", "method": "GET"}\nno JSON\n')
    assert list(Logprep().read(output)) == [{"id": 1, "message": "m"}, {"method": "GET"}, None]


def test_what_the_otel_collector_wrote_is_read_from_requests_of_many_records(tmp_path: Path) -> None:
    attributes = (
        '{"key":"log.file.name","value":{"stringValue":"a.log"}},{"key":"n","value":{"intValue":"7"}},'
        '{"key":"f","value":{"doubleValue":0.5}},{"key":"e","value":{}},'
        '{"key":"d","value":{"kvlistValue":{"values":[{"key":"l","value":{"arrayValue":{"values":[{"boolValue":true}]}}}]}}}'
    )
    record = f'{{"observedTimeUnixNano":"1","body":{{"stringValue":"x"}},"attributes":[{attributes}]}}'
    output = tmp_path / "output"
    output.write_text(f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record},{record}]}}]}}]}}\n')
    assert list(OtelCollector().read(output)) == [{"n": 7, "f": 0.5, "e": None, "d": {"l": [True]}}] * 2
    assert output.read_bytes().count(OtelCollector.mark) == 2


def test_the_table_says_what_each_took_and_what_each_promises(tmp_path: Path) -> None:
    ours = Line("2", "a chain", OURS, 1000, 500.0, 800.0, 0.5, 1 << 20, [2.0], Verdict(expected=9, received=9))
    theirs = Line("2", "a chain", "absent 1", 1000, 100.0, 200.0, 0.1, 2 << 20, [10.0], Verdict(9, 8, lost=1))
    written = table.write(tmp_path, "peers", {"lines": 1000}, [ours, theirs], [Absent()], {"other": "not to be had"})
    text = written.read_text()
    assert "| absent 1 | 1,000 | **100** | 5 | 200 | 4 | 0.1 | 2 | 1 / 0 / 0 of 9 | 10.00 |" in text
    assert "- absent: none." in text
    assert "- other: not run: not to be had" in text
    assert written.with_suffix(".json").exists()
