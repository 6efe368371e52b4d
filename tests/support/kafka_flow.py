"""File → agent → Kafka → collector → file, as real processes around a real broker."""

import asyncio
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import orjson
from support.kafka import Broker
from support.kafka_client import Kafka
from support.ports import lasting_port
from support.processes import Node, records

TOPIC = "logs-app"


class Shipped(NamedTuple):
    """A record at the far end."""

    identity: tuple[str, ...]
    """Stream, number of the frame, index in it: the headers that the sink writes, and what the source makes of them."""
    key: str
    """The label ``file``."""
    message: str


class Flow:
    """One agent that reads ``logs`` and ships to a topic with three partitions, one collector that reads the topic."""

    def __init__(self, folder: Path, broker: Broker, *, exactly_once: bool) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.out = folder / "out.ndjson"
        self.broker = broker
        asyncio.run(broker.client.create(TOPIC, partitions=3))
        asyncio.run(broker.client.create("shipper-cursors", settings={"cleanup.policy": "compact"}))
        self._admin = lasting_port()
        self.agent = Node(
            folder,
            "agent",
            f"data_dir: {folder}/agent\n"
            f"admin: {{listen: '127.0.0.1:{self._admin}'}}\n"
            f"sources: {{app: {{type: file, include: ['{self.logs}/*.log']}}}}\n"
            "sinks:\n"
            f"  topic: {{type: kafka, brokers: ['{broker.address}'], topic: 'logs-{{source}}', key: 'label:file',\n"
            f"    exactly_once: {str(exactly_once).lower()}, backoff: {{max: 1s}}}}\n"
            "shutdown_timeout: 20s\n",
        )
        self.collector = Node(
            folder,
            "collector",
            f"data_dir: {folder}/collector\n"
            f"sources: {{in: {{type: kafka, brokers: ['{broker.address}'], group: central, topics: [{TOPIC}],\n"
            "  session_timeout: 3s}}\n"
            f"sinks: {{archive: {{type: file, path: '{self.out}', identity: true}}}}\n"
            "shutdown_timeout: 20s\n",
        )

    def spooled(self) -> int:
        """How many records the agent has in its spool or had there since its start."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        kept = 'shipper_records_total{source="app",stage="kept"} '
        return sum(int(float(line.removeprefix(kept))) for line in lines if line.startswith(kept))

    def collected(self) -> list[Shipped]:
        """What the collector wrote."""
        return [_shipped(record) for record in records(self.out)]


def _shipped(record: dict[str, object]) -> Shipped:
    return Shipped(_identity(record), str(record["file"]), str(record["message"]))


def by_kcat(kafka: Kafka, topic: str) -> Iterator[Shipped]:
    """What another client reads: the committed records of a topic, in order within each partition."""
    read = kafka.kcat(
        "-C", "-q", "-e", "-t", topic, "-o", "beginning", "-X", "isolation.level=read_committed", "-f", r"%k\t%h\t%s\n"
    )
    for line in read.splitlines():
        key, headers, value = line.decode().split("\t", 2)
        pairs = dict(pair.split("=", 1) for pair in headers.split(","))
        yield Shipped(_identity(pairs), key, orjson.loads(value)["message"])


def _identity(named: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(named[name]) for name in ("_stream", "_seq", "_index"))


def without_doubles(shipped: list[Shipped]) -> list[Shipped]:
    """Each record once, where it stands first; a record that comes again is what it was, under the same key."""
    first: dict[tuple[str, ...], Shipped] = {}
    for one in shipped:
        assert first.setdefault(one.identity, one) == one
    return list(first.values())
