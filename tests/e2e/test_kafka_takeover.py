"""An agent that hangs while another host takes its data directory over, and wakes up again."""

import asyncio
import shutil
import signal
from pathlib import Path

import pytest
from support.kafka_client import Kafka
from support.kafka_sinks import texts
from support.numbered import FILES, Writer, check
from support.processes import Node, wait_for

EACH = 500
"""Lines of each file."""


def agent(folder: Path, kafka: Kafka, topic: str, cursors: str, name: str) -> Node:
    return Node(
        folder,
        name,
        f"data_dir: {folder}/{name}\n"
        f"sources: {{app: {{type: file, include: ['{folder}/logs/*.log']}}}}\n"
        f"sinks: {{out: {{type: kafka, brokers: {kafka.addresses}, topic: {topic}, key: 'label:file',\n"
        f"  exactly_once: true, cursor_topic: {cursors}}}}}\n",
    )


@pytest.mark.timeout(180)
def test_an_agent_that_wakes_up_after_another_host_took_over_writes_nothing(kafka: Kafka, tmp_path: Path) -> None:
    topic = asyncio.run(kafka.create(partitions=3))
    cursors = asyncio.run(kafka.create(settings={"cleanup.policy": "compact"}))
    (tmp_path / "logs").mkdir()
    first, second = (agent(tmp_path, kafka, topic, cursors, name) for name in ("first", "second"))
    writer = Writer(tmp_path / "logs", EACH, 7, rounds=30)
    first.start()
    wait_for(lambda: first.up, "the first agent")
    writer.start()
    wait_for(lambda: len(asyncio.run(kafka.read(topic))) > EACH, "records of the first agent")
    first.signal(signal.SIGSTOP)
    shutil.copytree(tmp_path / "first", tmp_path / "second", ignore=shutil.ignore_patterns("*.sock"))
    second.start()
    writer.join()
    wait_for(lambda: len(asyncio.run(kafka.read(topic))) >= EACH * FILES, "all records")
    first.signal(signal.SIGCONT)
    wait_for(lambda: "another process has opened a copy of this data directory" in first.output(), "the first to stop")
    messages = asyncio.run(kafka.read(topic))
    check(texts(messages), EACH, first.output() + second.output())
    first.kill()
    assert second.stop() == 0, second.output()
    assert asyncio.run(kafka.read(topic)) == messages
