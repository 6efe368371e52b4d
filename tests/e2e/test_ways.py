"""Records on their whole way through real processes: relays, processors at the collector, bad input, several sinks."""

import os
from pathlib import Path

import pytest
from support.processes import Node, free_port, records, wait_for
from support.whole import whole_records

from shipper.spool.browse import browse, start_of
from shipper.spool.frame import Frame
from shipper.spool.inspect import look
from shipper.spool.real_disk import RealDisk

DEADLINE = 60


def collector(tmp_path: Path, port: int, sinks: str, extra: str = "") -> Node:
    return Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {sinks}\n{extra}",
    )


def agent(tmp_path: Path, sinks: str, extra: str = "") -> Node:
    return Node(
        tmp_path,
        "agent",
        f"data_dir: {tmp_path}/agent\nlabels: {{host: edge-1}}\n"
        f"sources: {{app: {{type: file, include: ['{tmp_path}/logs/*.log']}}}}\nsinks: {sinks}\n{extra}",
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "a.log"


def ship(source: Node, *targets: Node) -> None:
    """Run the agent once, then stop the collectors, the nearest first."""
    for target in targets:
        target.start()
    source.start("--once")
    assert source.wait() == 0, source.output()
    for target in targets:
        wait_for(lambda target=target: target.up, "the collector")  # type: ignore[misc]
        assert target.stop() == 0, target.output()


def test_a_collector_may_have_processors_of_its_own(tmp_path: Path, log: Path) -> None:
    """Its records are framed anew and keep the identity of their first frame."""
    log.write_text('{"level":"debug","n":1}\n{"level":"info","n":2}\nnot json\n{"level":"error","n":3}\n')
    port = free_port()
    target = collector(
        tmp_path,
        port,
        f"{{archive: {{type: file, path: '{tmp_path}/out/{{host}}.ndjson', identity: true}}}}",
        "processors: [parse_json, {drop: {where: \"level == 'debug'\"}}, {add_fields: {fields: {site: north}}}]\n",
    )
    ship(agent(tmp_path, f"{{c: {{type: grpc, addresses: ['127.0.0.1:{port}']}}}}"), target)
    out = list(records(tmp_path / "out" / "edge-1.ndjson"))
    assert [(r.get("n"), r.get("level"), r["site"], r["_seq"], r["_index"]) for r in out] == [
        (2, "info", "north", 1, 1),
        (None, None, "north", 1, 2),
        (3, "error", "north", 1, 3),
    ]
    assert out[1]["message"] == "not json"
    assert "parse_error" in out[1]


def test_records_pass_a_relay_and_each_sink_takes_what_it_wants(tmp_path: Path, log: Path) -> None:
    """Agent to relay to collector, verbatim; a sink with ``where`` gets its part only."""
    log.write_text("".join(f'{{"n":{n},"level":"{"error" if n % 10 == 0 else "info"}"}}\n' for n in range(1000)))
    first, second = free_port(), free_port()
    target = collector(
        tmp_path,
        second,
        f"{{all: {{type: file, path: '{tmp_path}/all.ndjson'}}, "
        f"errors: {{type: file, path: '{tmp_path}/errors.ndjson', where: \"level == 'error'\"}}}}",
    )
    relay = Node(
        tmp_path,
        "relay",
        f"data_dir: {tmp_path}/relay\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{first}'}}}}\n"
        f"sinks: {{next: {{type: grpc, addresses: ['127.0.0.1:{second}']}}}}\n",
    )
    source = agent(tmp_path, f"{{c: {{type: grpc, addresses: ['127.0.0.1:{first}']}}}}", "processors: [parse_json]\n")
    ship(source, relay, target)
    assert [r["n"] for r in records(tmp_path / "all.ndjson")] == list(range(1000))
    assert [r["n"] for r in records(tmp_path / "errors.ndjson")] == list(range(0, 1000, 10))


def frames_in(data_dir: Path) -> list[bytes]:
    """The frames in the spool of a process that has ended."""
    disk = RealDisk(data_dir / "spool")
    view = look(disk)
    steps = browse(disk, view, *start_of(view, 0))
    return [step.item.body.raw for step in steps if step.item is not None and isinstance(step.item.body, Frame)]


def test_frames_are_the_same_bytes_in_every_spool_that_they_pass(tmp_path: Path, log: Path) -> None:
    """The agent's processors make them; relay and collector have none, and each has a stream of its own."""
    log.write_text("".join(f'{{"n":{n}}}\n' for n in range(60_000)))
    first, second = free_port(), free_port()
    target = collector(tmp_path, second, f"{{all: {{type: file, path: '{tmp_path}/all.ndjson'}}}}")
    relay = Node(
        tmp_path,
        "relay",
        f"data_dir: {tmp_path}/relay\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{first}'}}}}\n"
        f"sinks: {{next: {{type: grpc, addresses: ['127.0.0.1:{second}']}}}}\n",
    )
    source = agent(tmp_path, f"{{c: {{type: grpc, addresses: ['127.0.0.1:{first}']}}}}", "processors: [parse_json]\n")
    ship(source, relay, target)
    written, passed, kept = (frames_in(tmp_path / name) for name in ("agent", "relay", "collector"))
    assert len(written) > 1
    assert written == passed == kept
    assert len({look(RealDisk(tmp_path / name / "spool")).identity.stream for name in ("agent", "relay")}) == 2


def test_bad_input_is_kept_or_cut_and_counted(tmp_path: Path, log: Path) -> None:
    """Invalid UTF-8, broken JSON, NUL bytes and a line of 10 MiB: nothing crashes, nothing is silent."""
    huge = os.urandom(5 * 1024 * 1024).hex().encode()
    log.write_bytes(b'\xff\xfe broken\n{"a":\nnul\0byte\n' + huge + b"\n\nlast\n")
    source = agent(tmp_path, f"{{out: {{type: file, path: '{tmp_path}/out.ndjson'}}}}", "processors: [parse_json]\n")
    source.start("--once")
    assert source.wait() == 0, source.output()
    messages = [r["message"] for r in records(tmp_path / "out.ndjson")]
    beginning = huge[: 1008 * 1024].decode()
    assert messages == ["\ufffd\ufffd broken", '{"a":', "nul\0byte", beginning, "", "last"]
    assert [r["truncated"] for r in records(tmp_path / "out.ndjson") if "truncated" in r] == [len(huge)]


def test_a_sink_that_is_away_does_not_hold_back_the_others(tmp_path: Path, log: Path) -> None:
    """Each sink has its own delivery; the one that is away gets everything once it is there."""
    log.write_text("".join(f"line {n}\n" for n in range(100)))
    port = free_port()
    source = agent(
        tmp_path,
        f"{{here: {{type: file, path: '{tmp_path}/here.ndjson'}}, "
        f"away: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 500ms}}}}}}",
    )
    source.start()
    wait_for(lambda: len(whole_records(tmp_path / "here.ndjson")) == 100, "all lines at the sink that is there")
    target = collector(tmp_path, port, f"{{archive: {{type: file, path: '{tmp_path}/away.ndjson'}}}}")
    target.start()
    wait_for(lambda: len(whole_records(tmp_path / "away.ndjson")) == 100, "all lines at the sink that was away")
    assert source.stop() == 0, source.output()
    assert target.stop() == 0, target.output()


def test_a_full_spool_blocks_the_source_and_goes_on_by_itself(tmp_path: Path, log: Path) -> None:
    """With ``block`` nothing is dropped: the file waits until a sink is there."""
    lines = [f"{n} {os.urandom(400).hex()}" for n in range(8000)]
    log.write_text("\n".join(lines) + "\n")
    port = free_port()
    source = agent(
        tmp_path,
        f"{{c: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 500ms}}}}}}",
        f"spool: {{max_bytes: 2MiB}}\nadmin: {{listen: '127.0.0.1:{free_port()}'}}\n",
    )
    source.start()
    wait_for(lambda: "no room" in source.output(), "the warning that the spool is full")
    target = collector(tmp_path, port, f"{{archive: {{type: file, path: '{tmp_path}/out.ndjson'}}}}")
    target.start()
    out = tmp_path / "out.ndjson"
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") == len(lines), "all lines")
    assert [r["message"] for r in records(out)] == lines
    assert source.stop() == 0, source.output()
    assert target.stop() == 0, target.output()
