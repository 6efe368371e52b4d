"""Kafka sinks for tests, and what they wrote."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from support.kafka_client import Kafka, Message

from shipper.sinks.kafka import KafkaSink


class Identity(NamedTuple):
    """What names a record, from a message's headers."""

    stream: bytes
    seq: int
    place: int


def kafka_sink(brokers: Kafka | Sequence[str], topic: str, **settings: Any) -> KafkaSink:
    """A sink, set up."""
    addresses = brokers.addresses if isinstance(brokers, Kafka) else list(brokers)
    sink = KafkaSink(brokers=addresses, topic=topic, **settings)
    sink.setup()
    return sink


def texts(messages: Sequence[Message]) -> list[str]:
    """The ``message`` of each record."""
    return [json.loads(each.value or b"")["message"] for each in messages]


def identity(message: Message) -> Identity:
    """Who a message is."""
    headers = message.headers
    return Identity(headers["_stream"], int(headers["_seq"]), int(headers["_index"]))
