"""What an operator sees of a process: start, once, signals, clear sentences."""

import os
import signal
from pathlib import Path

from support.processes import Node, free_port, records, wait_for
from support.whole import whole_records


def agent_config(tmp_path: Path, sink: str, extra: str = "") -> str:
    return (
        f"data_dir: {tmp_path}/data\n"
        f"sources: {{app: {{type: file, include: ['{tmp_path}/logs/*.log']}}}}\n"
        f"sinks: {{out: {sink}}}\n{extra}"
    )


def file_sink(tmp_path: Path) -> str:
    return f"{{type: file, path: '{tmp_path}/out.ndjson'}}"


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "logs").mkdir(exist_ok=True)
    with (tmp_path / "logs" / "a.log").open("a") as log:
        log.write(text)


def test_run_once_ships_what_is_there_and_exits(tmp_path: Path) -> None:
    """All lines, the half one at the end too, and exit code 0; a second run adds nothing."""
    write(tmp_path, "one\ntwo\nhalf")
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path)))
    for _ in range(2):
        agent.start("--once")
        assert agent.wait() == 0, agent.output()
    assert [r["message"] for r in records(tmp_path / "out.ndjson")] == ["one", "two", "half"]


def test_sigterm_drains_and_exits_0(tmp_path: Path) -> None:
    """What was written before the signal is at the sink after it."""
    write(tmp_path, "one\n")
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path)))
    agent.start()
    wait_for(lambda: agent.up and (tmp_path / "out.ndjson").exists(), "the first line")
    assert agent.stop() == 0, agent.output()
    assert "watching 1 file (4 B unread) → out" in agent.output()


def test_a_second_signal_exits_at_once_and_loses_nothing(tmp_path: Path) -> None:
    """With a sink that is away a stop would wait; the second signal does not, and the next start delivers."""
    write(tmp_path, "one\ntwo\n")
    port = free_port()
    sink = f"{{type: grpc, addresses: ['127.0.0.1:{port}']}}"
    agent = Node(tmp_path, "agent", agent_config(tmp_path, sink, "shutdown_timeout: 1h\n"))
    agent.start()
    wait_for(lambda: agent.up, "the start-up line")
    agent.signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in agent.output(), "the drain")
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 128 + signal.SIGTERM
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{archive: {file_sink(tmp_path)}}}\n",
    )
    collector.start()
    agent.start("--once")
    assert agent.wait() == 0, agent.output()
    assert collector.stop() == 0, collector.output()
    assert [r["message"] for r in records(tmp_path / "out.ndjson")] == ["one", "two"]


def test_sighup_says_that_reload_is_not_there_and_keeps_running(tmp_path: Path) -> None:
    """The process goes on shipping."""
    write(tmp_path, "one\n")
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path)))
    agent.start()
    wait_for((tmp_path / "out.ndjson").exists, "the first line")
    agent.signal(signal.SIGHUP)
    wait_for(lambda: "SIGHUP" in agent.output(), "the answer")
    write(tmp_path, "two\n")
    wait_for(lambda: len(whole_records(tmp_path / "out.ndjson")) == 2, "the second line")
    assert agent.stop() == 0


def test_the_start_up_line_says_what_a_source_waits_for(tmp_path: Path) -> None:
    agent = Node(
        tmp_path,
        "agent",
        f"data_dir: {tmp_path}/data\n"
        "sources: {logs: {type: kafka, brokers: ['127.0.0.1:1'], group: g, topics: [t]}}\n"
        "sinks: {out: {type: blackhole}}\n",
    )
    agent.start()
    wait_for(lambda: "reading t as group g" in agent.output(), "the start-up line")
    assert "reading t as group g; broker 127.0.0.1:1: Connection refused → out" in agent.output()
    assert agent.stop() == 0


def test_a_port_in_use_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    """Two collectors on one port: the second says so and ends."""
    port = free_port()
    nodes = [
        Node(
            tmp_path,
            f"collector{number}",
            f"data_dir: {tmp_path}/data{number}\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
            "sinks: {out: {type: blackhole}}\n",
        )
        for number in (1, 2)
    ]
    nodes[0].start()
    wait_for(lambda: "listening on" in nodes[0].output(), "the first collector")
    nodes[1].start()
    assert nodes[1].wait() == 1
    assert f"source edge: cannot listen on 127.0.0.1:{port}: Address already in use" in nodes[1].output()
    assert "Traceback" not in nodes[1].output()
    assert nodes[0].stop() == 0


def test_a_data_directory_in_use_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    """Two processes on one data directory: the second is refused."""
    write(tmp_path, "one\n")
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path)))
    agent.start()
    wait_for((tmp_path / "out.ndjson").exists, "the first line")
    second = Node(tmp_path, "second", agent_config(tmp_path, "{type: blackhole}"))
    second.start()
    assert second.wait() == 1
    assert "is in use by another process" in second.output()
    assert "Traceback" not in second.output()
    assert agent.stop() == 0


def test_a_config_error_exits_2_with_every_problem(tmp_path: Path) -> None:
    """And nothing else on stderr."""
    agent = Node(tmp_path, "agent", "sources: {app: {type: fil}}\nsinks: {out: {type: stdot}}\n")
    agent.start()
    assert agent.wait() == 2
    assert "fil" in agent.output()
    assert "stdot" in agent.output()
    assert "Traceback" not in agent.output()


def test_run_once_that_could_not_deliver_everything_exits_1(tmp_path: Path) -> None:
    """Stopped with its sink away: the exit code and one line say so, and no traceback does."""
    write(tmp_path, "one\n")
    sink = f"{{type: grpc, addresses: ['127.0.0.1:{free_port()}']}}"
    agent = Node(tmp_path, "agent", agent_config(tmp_path, sink, "shutdown_timeout: 100ms\n"))
    agent.start("--once")
    wait_for(lambda: "cannot deliver" in agent.output(), "the first attempt")
    assert agent.stop() == 1
    assert "1 frames go with the next run" in agent.output()
    assert "Traceback" not in agent.output()
    assert "Task was destroyed" not in agent.output()


def test_run_once_that_could_not_read_everything_ships_the_rest_and_exits_1(tmp_path: Path) -> None:
    """What the config asks for and nobody can read is named in the last line."""
    write(tmp_path, "one\n")
    os.mkfifo(tmp_path / "logs" / "pipe.log")
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path)))
    agent.start("--once")
    assert agent.wait() == 1, agent.output()
    assert [r["message"] for r in records(tmp_path / "out.ndjson")] == ["one"]
    assert f"{tmp_path}/logs/pipe.log is a FIFO" in agent.output().splitlines()[-1]


def test_a_processor_that_fails_is_named_in_the_log(tmp_path: Path) -> None:
    """Its records are dead letters, and whoever looks at the log knows."""
    write(tmp_path, "one\ntwo\n")
    (tmp_path / "boom.py").write_text(
        "from shipper import Processor, Record\n\n\nclass Boom(Processor):\n"
        "    def process(self, record: Record) -> Record:\n        raise RuntimeError('no such luck')\n"
    )
    extra = "processors: ['./boom.py:Boom']\n"
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path), extra))
    agent.start("--once")
    assert agent.wait() == 0, agent.output()
    assert agent.output().count("a record goes to the dead letters") == 1
    assert "no such luck" in agent.output()


def processor(tmp_path: Path, body: str) -> str:
    """A processor of one's own, and the config that names it."""
    (tmp_path / "own.py").write_text(
        "import sys\nimport time\n\nfrom shipper import Processor, Record\n\n\nclass Own(Processor):\n"
        f"    def process(self, record: Record) -> Record:\n        {body}\n        return record\n"
    )
    return "processors: ['./own.py:Own']\n"


def test_a_processor_that_hangs_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    """After ``shutdown_timeout`` the process ends without it; the next start reads the batch again."""
    write(tmp_path, "one\n")
    begun = tmp_path / "begun"
    extra = processor(tmp_path, f"open('{begun}', 'w').close(); time.sleep(1000)") + "shutdown_timeout: 500ms\n"
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path), extra))
    agent.start()
    wait_for(begun.exists, "the processor to hang")  # a stop before it has the record would not wait for it
    assert agent.stop() == 0, agent.output()
    assert "a processor does not return" in agent.output()
    processor(tmp_path, "pass")
    agent.start("--once")
    assert agent.wait() == 0, agent.output()
    assert [r["message"] for r in records(tmp_path / "out.ndjson")] == ["one"]


def test_a_processor_cannot_end_the_process(tmp_path: Path) -> None:
    """``sys.exit`` costs the record, like any exception."""
    write(tmp_path, "one\ntwo\n")
    extra = processor(tmp_path, "sys.exit(3) if record['message'] == 'one' else None")
    agent = Node(tmp_path, "agent", agent_config(tmp_path, file_sink(tmp_path), extra))
    agent.start("--once")
    assert agent.wait() == 0, agent.output()
    assert [r["message"] for r in records(tmp_path / "out.ndjson")] == ["two"]
    assert "the processor called sys.exit()" in agent.output()


def test_run_once_with_a_source_that_crashes_exits_1(tmp_path: Path) -> None:
    """It must not look like a run that shipped everything."""
    write(tmp_path, "one\n")
    (tmp_path / "broken.py").write_text(
        "from shipper.sources.base import Intake, Source\n\n\nclass Broken(Source):\n"
        "    async def run(self, intake: Intake, *, once: bool) -> None:\n        raise RuntimeError('no such luck')\n"
    )
    config = (
        f"data_dir: {tmp_path}/data\nsources: {{app: {{type: './broken.py:Broken'}}}}\n"
        f"sinks: {{out: {file_sink(tmp_path)}}}\n"
    )
    agent = Node(tmp_path, "agent", config)
    agent.start("--once")
    assert agent.wait() == 1
    assert "no such luck" in agent.output()
