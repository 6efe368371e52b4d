"""Three collectors with one Kafka behind them, agents that go from one to the other: each record in the topic once."""

import asyncio
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from support.kafka_client import Kafka
from support.kafka_sinks import texts
from support.numbered import FILES, Writer, check
from support.processes import Node, free_port, records, wait_for

LINES = int(os.environ.get("SHIPPER_E2E_LINES", "10000"))
FAULTS = int(os.environ.get("SHIPPER_E2E_KILLS", "5"))
"""Of the collectors, all together."""
SEED = int(os.environ.get("SHIPPER_E2E_SEED", "0")) or random.randrange(1, 10**6)
AGENTS = 4
_EACH = LINES // FILES


class Hub:
    """Agents, each with files of its own and an order of collectors of its own; collectors; a topic."""

    def __init__(self, folder: Path, kafka: Kafka, *, archives: bool = False) -> None:
        """``archives``: the collectors have a processor, and write files too."""
        self.kafka = kafka
        self.archives = [folder / f"archive-{name}.ndjson" for name in "abc"] if archives else []
        self.topic = asyncio.run(kafka.create(partitions=3))
        cursors = asyncio.run(kafka.create(settings={"cleanup.policy": "compact"}))
        self.logs = folder / "logs"
        self.logs.mkdir()
        ports = [free_port() for _ in range(3)]
        self.folders: dict[Node, Path] = {}
        self.collectors = []
        for name, port in zip("abc", ports, strict=True):
            config = (
                f"data_dir: {folder}/collector-{name}\n"
                f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}', ack: delivered}}}}\n"
                f"sinks:\n  out: {{type: kafka, brokers: {kafka.addresses}, topic: {self.topic}, key: 'label:file',\n"
                f"  exactly_once: true, cursor_topic: {cursors}, backoff: {{max: 200ms}},\n"
                "  breaker: {open_for: 200ms}}\n"
            )
            if archives:
                config = (
                    f"{config}  archive: {{type: file, path: '{folder}/archive-{name}.ndjson'}}\n"
                    "processors: [{drop: {where: \"message == 'none'\"}}]\n"
                )
            self.collectors.append(Node(folder, f"collector-{name}", config))
            self.folders[self.collectors[-1]] = folder / f"collector-{name}"
        self.agents = []
        for number in range(AGENTS):
            files = [str(self.logs / f"app-{file}.log") for file in range(number, FILES, AGENTS)]
            addresses = [f"127.0.0.1:{ports[(number + step) % 3]}" for step in range(3)]
            config = (
                f"data_dir: {folder}/agent-{number}\n"
                f"sources: {{app: {{type: file, include: {files}}}}}\n"
                f"sinks: {{central: {{type: grpc, addresses: {addresses}, backoff: {{max: 200ms}},\n"
                "  breaker: {open_for: 200ms}}}\n"
                "batch: {max_delay: 10ms}\n"
            )
            self.agents.append(Node(folder, f"agent-{number}", config))

    def start(self) -> None:
        """All of them."""
        for node in (*self.collectors, *self.agents):
            node.start()

    def finish(self) -> None:
        """Read and deliver what is left, stop; each line is in the topic once, in the order of its file."""
        for collector in self.collectors:
            if not collector.running:
                collector.start()
        for agent in self.agents:
            wait_for(lambda agent=agent: agent.up, "an agent")  # type: ignore[misc]
            agent.stop()
            agent.start("--once")
        for agent in self.agents:
            assert agent.wait(120) == 0, self.said()
        messages = asyncio.run(self.kafka.read(self.topic))
        check(texts(messages), _EACH, self.said())
        archived = {str(record["message"]) for path in self.archives if path.exists() for record in records(path)}
        assert not self.archives or archived == set(texts(messages)), self.said()
        for collector in self.collectors:
            wait_for(lambda collector=collector: collector.up, "a collector")  # type: ignore[misc]
            assert collector.stop() == 0, self.said()

    def said(self) -> str:
        """What to look at."""
        nodes = (*self.agents, *self.collectors)
        return "\n".join([f"seed {SEED}", *(f"{node.config.name}: {node.output()[-2000:]}" for node in nodes)])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("archives", [False, True], ids=["as it came", "processed, beside an archive"])
def test_each_record_is_there_once_and_in_order_while_collectors_are_killed(
    tmp_path: Path, kafka: Kafka, archives: bool
) -> None:
    """Killed, stopped, or gone for good with their disk: their agents go on elsewhere, and come back.

    An archive beside the topic has each record that its collector acknowledged, perhaps twice.
    """
    dice = random.Random(SEED)
    hub = Hub(tmp_path, kafka, archives=archives)
    writer = Writer(hub.logs, _EACH, SEED, rounds=20 * FAULTS)
    hub.start()
    writer.start()
    for _ in range(FAULTS):
        time.sleep(dice.uniform(0.3, 2))
        victim = dice.choice(hub.collectors)
        end = dice.choice(["kill", "kill", "stop", "wipe"])
        if end == "stop" and victim.up:
            assert victim.stop() == 0, hub.said()
        else:
            victim.kill()
        if end == "wipe":
            shutil.rmtree(hub.folders[victim], ignore_errors=True)  # it may have been killed before it made it
        time.sleep(dice.uniform(0, 1))
        victim.start()
    writer.join()
    hub.finish()


@pytest.mark.timeout(300)
def test_a_collector_that_slept_through_the_takeover_writes_nothing_of_it(tmp_path: Path, kafka: Kafka) -> None:
    """Its agents start again meanwhile and go elsewhere; what it holds of them is in the topic when it wakes up."""
    hub = Hub(tmp_path, kafka)
    writer = Writer(hub.logs, _EACH, SEED, rounds=60)
    hub.start()
    writer.start()
    wait_for(lambda: len(asyncio.run(kafka.read(hub.topic))) > LINES // 10, "some records in the topic")
    asleep = hub.collectors[0]
    asleep.signal(signal.SIGSTOP)
    for agent in hub.agents:
        agent.kill()
        agent.start()
    writer.join()
    wait_for(lambda: len(asyncio.run(kafka.read(hub.topic))) >= _EACH * FILES, "all records in the topic")
    asleep.signal(signal.SIGCONT)
    hub.finish()
