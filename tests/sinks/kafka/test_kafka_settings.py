"""What the Kafka sink's config may be, and what is said about it."""

import os
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.kafka_sinks import kafka_sink

from shipper.config import load
from shipper.errors import ConfigError
from shipper.kafka.settings import Access, KafkaTls
from shipper.readiness import STALL
from shipper.units import Duration

CONFIG = "data_dir: {folder}/data\nsources: {{a: {{type: stdin}}}}\nsinks:\n  out: {{type: kafka, {settings}}}\n"
PLAIN = "brokers: ['k1:9092'], topic: logs"


def problems(folder: Path, settings: str) -> str:
    (folder / "agent.yaml").write_text(CONFIG.format(folder=folder, settings=settings))
    with pytest.raises(ConfigError) as raised:
        load([folder / "agent.yaml"])
    return "\n".join(raised.value.problems)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("topic: logs", "brokers"),
        ("brokers: [], topic: logs", "brokers: name at least one, as in [kafka-1:9092]"),
        ("brokers: [k1], topic: logs", "'k1' is not an address; write host:port"),
        ("brokers: ['k1:9092', 'k1:9092'], topic: logs", "brokers: k1:9092 is named twice"),
        ("brokers: ['k1:9092'], topic: 'my logs'", "Kafka takes no ' ' in a name"),
        (f"{PLAIN}, key: host", "key 'host' is neither label:NAME nor field:NAME"),
        (f"{PLAIN}, compression: zip", "zstd"),
        (f"{PLAIN}, max_message_bytes: 10", "max_message_bytes is 10B, expected at least 1024 bytes"),
        (f"{PLAIN}, max_in_flight: 0", "max_in_flight is 0B, expected at least 1 byte"),
        (
            f"{PLAIN}, linger: 10001ms",
            "linger is 10001ms, expected at most 10s: records that wait for longer look as if the sink were stuck",
        ),
        (f"{PLAIN}, transaction_timeout: 500ms", "transaction_timeout is 500ms, expected 1s to 24d"),
        (f"{PLAIN}, transaction_timeout: 1000h", "transaction_timeout is 1000h, expected 1s to 24d"),
        (f"{PLAIN}, create_topics: {{partitions: 0}}", "partitions is 0, expected 1 to 9999"),
        (f"{PLAIN}, create_topics: {{partitions: 3000000000}}", "partitions is 3000000000, expected 1 to 9999"),
        (f"{PLAIN}, create_topics: {{replication: 40000}}", "replication is 40000, expected 1 to 32767"),
        (
            "brokers: ['k1:9092'], topic: __consumer_offsets",
            "topic: the topic __consumer_offsets takes no records: Kafka keeps __consumer_offsets for itself",
        ),
        (f"{PLAIN}, cursor_topic: __consumer_offsets", "cursor_topic: the topic __consumer_offsets takes no records"),
        (f"{PLAIN}, cursor_topic: 'a b'", "cursor_topic 'a b': Kafka takes no ' ' in a name"),
        (f"{PLAIN}, cursor_topic: 'c-{{host}}'", "cursor_topic is 'c-{host}', expected a name without labels"),
        (f"{PLAIN}, cursor_topic: logs", "topic and cursor_topic are both logs: records and cursors need two topics"),
        (
            "brokers: ['k1:9092'], topic: a.b, cursor_topic: a_b",
            "topic is a.b and cursor_topic is a_b: Kafka makes only one of two topics that differ in . and _ only",
        ),
        (f"{PLAIN}, create_topics: {{replicas: 3}}", "replication"),
        (f"{PLAIN}, tls: {{ca: /no/such/ca.pem}}", "/no/such/ca.pem"),
        (f"{PLAIN}, tls: {{cert: a.pem}}", "cert and key belong together"),
        (f"{PLAIN}, sasl: {{mechanism: SCRAM, username: a, password: b}}", "SCRAM-SHA-256"),
        (f"{PLAIN}, sasl: {{username: a}}", "password"),
        (f"{PLAIN}, sasl: {{username: '', password: b}}", "username is empty, expected the name of a user"),
        (f"{PLAIN}, sasl: {{username: a, password: ''}}", "password is empty, expected that of the user a"),
    ],
)
def test_a_setting_that_cannot_be_used_is_a_config_error(tmp_path: Path, settings: str, said: str) -> None:
    assert said in problems(tmp_path, settings)


@pytest.mark.parametrize(
    ("settings", "cautions"),
    [
        ({}, []),
        ({"headers": False, "identity": True}, []),
        ({"headers": False}, [("headers", "and identity are off: a record that comes twice cannot be recognised")]),
    ],
)
def test_what_should_be_looked_at_is_said(settings: dict[str, Any], cautions: list[tuple[str, str]]) -> None:
    assert kafka_sink(["k1:9092"], "logs", **settings).cautions() == cautions


def test_the_longest_linger_leaves_the_brokers_time_before_the_sink_looks_stuck() -> None:
    """``/readyz`` goes red, and the watchdog ends the process, when nothing moves for ``STALL`` seconds."""
    assert kafka_sink(["k1:9092"], "logs", linger=Duration(STALL / 3)).linger == Duration(10)


def test_a_sink_is_described_by_its_topic_and_its_brokers() -> None:
    assert kafka_sink(["k1:9092", "k2:9092"], "logs-{source}").describe() == "topic logs-{source} at k1:9092, k2:9092"


async def test_a_certificate_that_was_renewed_is_used_at_the_next_connect_and_half_a_one_never(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("edge")
    access = Access(["k1:9092"], KafkaTls(ca=authority.cert, cert=cert, key=key), None)
    first = (await access.options())["ssl_context"]
    assert (await access.options())["ssl_context"] is first
    renewed = authority.issue("renewed")
    for new, old in zip(renewed, (cert, key), strict=True):
        os.replace(new, old)
    second = (await access.options())["ssl_context"]
    assert second is not first
    key.write_text("half a ke")
    assert (await access.options())["ssl_context"] is second
