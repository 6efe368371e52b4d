"""Workload 14: a file into a topic of a real Kafka broker, per CPU second of whoever ships it.

shipper in both of its modes, Kafka's own ``kafka-producer-perf-test`` and Fluent Bit's Kafka output write the same
lines to a topic of their own, with one partition, which is then read with ``kcat`` and compared with the input: record
by record, in order. All wait for the acknowledgement of every in-sync replica, number their batches (idempotence) and
compress with zstd at level 1. The broker shares the last core with the bench.

What is comparable:
- shipper's and Fluent Bit's messages are the line in a JSON object. shipper's has labels and the time beside it, and
  headers that identify the record, which is more to write.
- The producer test reads no file as it is written, has no copy of its own and makes no JSON: it is given shipper's
  messages (the first ones, picked at random) and sends them. It is the limit of Kafka's client, not a shipper.
- shipper syncs its spool. Fluent Bit keeps chunks in memory and no position: a crash loses or repeats what is in it.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from support.kafka import Broker
from support.kafka_jars import class_path, missing

from benchmarks import verify
from benchmarks.lines import Corpus
from benchmarks.peers.fluentbit import FluentBit
from benchmarks.peers.peer import Missing
from benchmarks.processes import BenchError, Child, Cores, Usage
from benchmarks.profile import sample
from benchmarks.report import Bar, Row, per
from benchmarks.rig import Rig, cache, wait_until
from benchmarks.verify import Content, Verdict

MODES: Final[dict[str, dict[str, Any]]] = {"at least once": {}, "exactly once": {"exactly_once": True}}
"""What each of the sink's modes adds to its settings."""
_TIMEOUT: Final = 600.0
_MB: Final = 1_000_000
_MIB: Final = 1024 * 1024
_SAMPLE: Final = 100_000
"""Messages that the producer test is given."""
_FLUENT_BIT: Final = "Fluent Bit: file to Kafka"
_CONFIG: Final = """\
[SERVICE]
    Flush 1
    Daemon off
    Log_Level error
[INPUT]
    Name tail
    Path {path}
    Read_from_Head on
    Buffer_Chunk_Size 256k
    Buffer_Max_Size 1M
    Mem_Buf_Limit 64M
[OUTPUT]
    Name kafka
    Match *
    Brokers {address}
    Topics {topic}
    Format json
    queue_full_retries 0
    rdkafka.enable.idempotence true
    rdkafka.request.required.acks -1
    rdkafka.compression.codec zstd
    rdkafka.compression.level 1
    rdkafka.linger.ms 100
"""
"""``queue_full_retries 0``: it waits for room in the client's queue however long that takes, where it else drops."""


@dataclass(frozen=True)
class Run:
    """What one program took, and what is in the topic."""

    agent: Usage
    check: Verdict


def measure(lines: int, runs: int, folder: Path, cores: Cores) -> list[Row]:
    """Both modes of shipper, then what stands beside it; a row that says why where no broker can run."""
    if lacks := missing():
        return [Row("14", "Kafka: not run", 0, f"(there is no {' and no '.join(lacks)})")]
    corpus, one = (Corpus.write("json", count, folder) for count in (lines, 1))
    with _broker(folder) as broker:
        ways: dict[str, Callable[[Corpus], Run]] = {
            f"file to Kafka, {mode}": partial(ship, settings=settings, broker=broker, folder=folder, cores=cores)
            for mode, settings in MODES.items()
        }
        program = _fluent_bit(one, broker, folder, cores)
        if isinstance(program, Path):
            ways[_FLUENT_BIT] = partial(_ship_with_fluent_bit, program, broker=broker, folder=folder, cores=cores)
        ways["kafka-producer-perf-test"] = partial(_run_producer_test, broker=broker, folder=folder, cores=cores)
        idle = {what: way(one).agent.cpu for what, way in ways.items()}
        turns = [{what: way(corpus) for what, way in ways.items()} for _ in range(runs)]
    rows = [_row(what, corpus, [turn[what] for turn in turns], idle[what]) for what in ways]
    if not isinstance(program, Path):
        return [*rows, Row("14", f"{_FLUENT_BIT}: not run", 0, f"({program})")]
    bar = Bar(next(row.value for row in rows if row.what == _FLUENT_BIT))
    return [replace(row, bar=bar) for row in rows[: len(MODES)]] + rows[len(MODES) :]


def profile(mode: str, lines: int, folder: Path, cores: Cores) -> str:
    """Where the agent's CPU time goes in a mode; see ``profile.sample``."""
    corpus = Corpus.write("json", lines, folder)
    with _broker(folder) as broker:
        return sample(corpus, partial(ship, corpus, MODES[mode], broker, folder, cores), folder, cores)


def ship(
    corpus: Corpus,
    settings: dict[str, Any],
    broker: Broker,
    folder: Path,
    cores: Cores,
    watch: Callable[[Child], None] = lambda _: None,
) -> Run:
    """Ship a corpus once with shipper, and read the topic. ``watch`` is given the agent while it runs."""
    with Rig(folder / "workload-14", cores) as rig:
        topic = _topic(broker)
        sink = {"type": "kafka", "brokers": [broker.address], "topic": topic, **settings}
        agent = rig.agent(corpus.path, {"sinks": {"central": sink}}, once=True)
        watch(agent)
        used = agent.wait(_TIMEOUT)
        check = verify.compare(corpus, verify.expect_raw, _messages(broker, topic, rig.output, "message"))
    return Run(used, check)


def _row(what: str, corpus: Corpus, runs: list[Run], idle: float) -> Row:
    """The run with the median CPU time counts, but a wrong one always shows."""
    wrong = [run for run in runs if not run.check.clean]
    run = wrong[0] if wrong else sorted(runs, key=lambda run: run.agent.cpu)[(len(runs) - 1) // 2]
    cpu = run.agent.cpu
    details: dict[str, float | str] = {
        "lines": corpus.lines,
        "MB per CPU s": corpus.size / _MB / cpu,
        "CPU s": cpu,
        "of it start and stop": idle,
        "busy records per CPU s": per(corpus.lines, cpu - idle),
        "wall s": run.agent.wall,
        "peak RSS MiB": run.agent.peak_rss / _MIB,
        "runs": len(runs),
        "CPU s of each": " ".join(f"{each.agent.cpu:.2f}" for each in runs),
    }
    return Row("14", what, corpus.lines / cpu, "records per CPU s", None, None, run.check, details)


def _fluent_bit(one: Corpus, broker: Broker, folder: Path, cores: Cores) -> Path | str:
    """The program, or why it cannot be measured: it goes on without a setting that it was not built for."""
    try:
        found = FluentBit().find(folder)
    except Missing as error:
        return str(error)
    if "kafka" not in subprocess.run([found, "--help"], capture_output=True, text=True, check=False).stdout:
        return f"{found} was built without its Kafka output"
    try:
        _ship_with_fluent_bit(Path(found), one, broker, folder, cores)
    except BenchError as error:
        return str(error)
    return Path(found)


def _ship_with_fluent_bit(program: Path, corpus: Corpus, broker: Broker, folder: Path, cores: Cores) -> Run:
    with Rig(folder / "workload-14", cores) as rig:
        topic = _topic(broker)
        config = rig.folder / "fluent-bit.conf"
        config.write_text(_CONFIG.format(path=corpus.path, address=broker.address, topic=topic))
        cache(corpus.path)
        child = rig.adopt(Child([str(program), "-c", str(config)], cores.measured, rig.folder / "peer.log"))
        wait_until(lambda: _count(broker, topic) >= corpus.lines, child, "shipped all", _TIMEOUT)
        used = child.stop(_TIMEOUT)
        if "[error]" in child.tail():
            raise BenchError(f"{program}: {child.tail().splitlines()[-1]}")
        check = verify.compare(corpus, verify.expect_raw, _messages(broker, topic, rig.output, "log"))
    return Run(used, check)


def _run_producer_test(corpus: Corpus, broker: Broker, folder: Path, cores: Cores) -> Run:
    """Its messages are picked at random, so there is no order to check: as many must arrive as were sent."""
    count = corpus.lines
    with Rig(folder / "workload-14", cores) as rig:
        topic = _topic(broker)
        payload = rig.folder / "payload"
        with payload.open("wb") as file:
            file.writelines(islice(_as_shipped(corpus), _SAMPLE))
        command = ["java", "-cp", class_path(), "org.apache.kafka.tools.ProducerPerformance"]
        command += ["--topic", topic, "--num-records", str(count), "--throughput", "-1"]
        command += ["--payload-file", str(payload), "--producer-props", f"bootstrap.servers={broker.address}"]
        command += ["acks=all", "enable.idempotence=true", "compression.type=zstd", "linger.ms=100"]
        command += ["compression.zstd.level=1", "batch.size=1000000"]
        used = rig.adopt(Child(command, cores.measured, rig.folder / "peer.log")).wait(_TIMEOUT)
        arrived = _count(broker, topic)
    return Run(used, Verdict(count, arrived, lost=max(0, count - arrived), doubled=max(0, arrived - count)))


def _as_shipped(corpus: Corpus) -> Iterator[bytes]:
    """Messages as shipper writes them."""
    labels = {"host": "node", "source": "app", "file": str(corpus.path), "_read_at": "2026-11-21T12:00:00.000000Z"}
    return (msgspec.json.encode({"message": line, **labels}) + b"\n" for line in corpus)


@contextmanager
def _broker(folder: Path) -> Iterator[Broker]:
    """A broker; its topics are gone with it."""
    place = folder / "kafka"
    shutil.rmtree(place, ignore_errors=True)
    broker = Broker(place, heap="1g")
    broker.start()
    try:
        asyncio.run(broker.client.create("shipper-cursors", settings={"cleanup.policy": "compact"}))
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(place)


def _topic(broker: Broker) -> str:
    """A new one, with one partition."""
    return asyncio.run(broker.client.create())


def _count(broker: Broker, topic: str) -> int:
    """Where the topic ends; with transactions that is more than it has records."""
    said = broker.client.kcat("-Q", "-t", f"{topic}:0:-1").decode()
    return int(said.rsplit(" ", 1)[1])


def _messages(broker: Broker, topic: str, path: Path, field: str) -> Iterator[Content | None]:
    """A field of each committed record of a topic, in order."""
    command = ["kcat", "-b", broker.address, "-C", "-q", "-e", "-t", topic, "-o", "beginning"]
    with path.open("wb") as file:
        done = subprocess.run(
            [*command, "-X", "isolation.level=read_committed"], stdout=file, stderr=subprocess.PIPE, check=False
        )
    if done.returncode:
        raise BenchError(f"kcat cannot read {topic}: {done.stderr.decode()}")
    for record in verify.read_records(path):
        yield None if record is None else record.get(field)
