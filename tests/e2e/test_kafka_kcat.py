"""What the Kafka sink writes is what another client, kcat, reads: topics, keys, headers, counts."""

import asyncio
import subprocess
import sys
import uuid
from pathlib import Path

import orjson
import pytest
from support.kafka_client import Kafka

LINES = 500


@pytest.fixture
def topics(tmp_path: Path, kafka: Kafka) -> list[str]:
    """Two topics, into which an agent shipped two sources of two files each."""
    own = uuid.uuid4().hex
    topics = [asyncio.run(kafka.create(f"logs-{source}-{own}", partitions=4)) for source in ("web", "db")]
    for source in ("web", "db"):
        for file in ("a", "b"):
            (tmp_path / f"{source}-{file}.log").write_text("".join(f"{source} {file} {n}\n" for n in range(LINES)))
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"data_dir: {tmp_path}/data\n"
        "labels: {site: plant-7}\n"
        "sources:\n"
        f"  web: {{type: file, include: ['{tmp_path}/web-*.log']}}\n"
        f"  db: {{type: file, include: ['{tmp_path}/db-*.log']}}\n"
        "sinks:\n"
        f"  topics: {{type: kafka, brokers: {kafka.addresses}, topic: 'logs-{{source}}-{own}', key: 'label:file'}}\n"
    )
    subprocess.run([sys.executable, "-m", "shipper", "run", "--once", str(config)], check=True, capture_output=True)
    return topics


def test_kcat_finds_every_record_in_the_topic_of_its_source_under_its_key(
    tmp_path: Path, kafka: Kafka, topics: list[str]
) -> None:
    for source, topic in zip(("web", "db"), topics, strict=True):
        read = kafka.kcat("-C", "-q", "-e", "-t", topic, "-f", r"%p\t%k\t%s\n").decode().splitlines()
        rows = [line.split("\t") for line in read]
        assert len(rows) == 2 * LINES
        for file in ("a", "b"):
            key = f"{tmp_path}/{source}-{file}.log"
            of_key = [(partition, orjson.loads(value)) for partition, found, value in rows if found == key]
            assert len({partition for partition, _ in of_key}) == 1
            assert [value["message"] for _, value in of_key] == [f"{source} {file} {n}" for n in range(LINES)]
            assert all(
                (value["source"], value["file"], value["site"]) == (source, key, "plant-7") for _, value in of_key
            )


def test_kcat_finds_the_identity_and_the_labels_of_every_record_in_its_headers(
    tmp_path: Path, kafka: Kafka, topics: list[str]
) -> None:
    identities = set()
    for source, topic in zip(("web", "db"), topics, strict=True):
        for line in kafka.kcat("-C", "-q", "-e", "-t", topic, "-f", r"%k\t%h\n").decode().splitlines():
            key, _, text = line.partition("\t")
            headers = dict(pair.split("=", 1) for pair in text.split(","))
            assert (headers["source"], headers["file"], headers["site"]) == (source, key, "plant-7")
            identities.add((headers["_stream"], int(headers["_seq"]), int(headers["_index"])))
    assert len(identities) == 4 * LINES
    assert len({stream for stream, _, _ in identities}) == 1


def test_kcat_puts_keys_into_the_partitions_where_the_sink_puts_them(kafka: Kafka, topics: list[str]) -> None:
    """Java's hash, which kcat has as ``murmur2_random``: consumers that join two topics rely on it."""
    for topic in topics:
        read = kafka.kcat("-C", "-q", "-e", "-t", topic, "-f", r"%k\t%p\n").decode().splitlines()
        ours = dict(line.split("\t") for line in read)
        other = asyncio.run(kafka.create(partitions=4))
        kafka.kcat(
            "-P", "-t", other, "-K\t", "-X", "topic.partitioner=murmur2_random",
            given="".join(f"{key}\tx\n" for key in ours).encode(),
        )  # fmt: skip
        theirs = kafka.kcat("-C", "-q", "-e", "-t", other, "-f", r"%k\t%p\n").decode().splitlines()
        assert dict(line.split("\t") for line in theirs) == ours
