"""Kafka sinks with ``exactly_once`` for tests, and a process of one that dies in the middle of a transaction."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final
from unittest.mock import patch

from support.delivering import Outpost, until
from support.kafka_client import Kafka
from support.python_path import TESTS, environment

from shipper.kafka.batch import VARINT, Draft, headers
from shipper.kafka.cluster import Cluster
from shipper.kafka.settings import Access
from shipper.sinks.base import Backoff, Breaker, ByteSize, Duration
from shipper.sinks.kafka import KafkaSink, exactly_once
from shipper.sinks.kafka.cursor_topic import CursorTopic
from shipper.sinks.kafka.records import Batch
from shipper.sinks.kafka.transactions import Transactions

Hook = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Called with the name of a request and what sends it and waits for its answer."""
BEGIN, WRITE, COMMIT = "AddPartitionsToTxnRequest", "ProduceRequest", "EndTxnRequest"
"""The requests of a transaction, in order."""


QUICK: Final[dict[str, Any]] = {
    "backoff": Backoff(min=Duration(0.01), max=Duration(0.02)),
    "breaker": Breaker(open_for=Duration(0.1)),
}
"""Settings of a sink that tries again at once."""


class FrameByFrame(KafkaSink):
    """Each frame is a transaction."""

    group_bytes: ClassVar[int] = 1
    max_in_flight: ByteSize = ByteSize(1)


def exactly_once_sink(
    brokers: Kafka | Sequence[str], topic: str, cursors: str, kind: type[KafkaSink] = KafkaSink, **settings: Any
) -> KafkaSink:
    """A sink with ``exactly_once``, set up."""
    addresses = brokers.addresses if isinstance(brokers, Kafka) else list(brokers)
    sink = kind(brokers=addresses, topic=topic, exactly_once=True, cursor_topic=cursors, **settings)
    sink.setup()
    return sink


def hooked(hook: Hook) -> AbstractContextManager[object]:
    """Sinks that connect meanwhile send every request through the hook."""

    class Hooked(Cluster):
        async def send(self, node: int, request: Any, group: str = "") -> Any:
            return await hook(type(request).__name__, lambda: super(Hooked, self).send(node, request, group))

    return patch.object(exactly_once, "Cluster", Hooked)


@asynccontextmanager
async def connected(kafka: Kafka) -> AsyncIterator[Cluster]:
    """A connection to the brokers."""
    cluster = Cluster(Access(kafka.addresses, None, None), request_timeout=60)
    await cluster.open()
    try:
        yield cluster
    finally:
        await cluster.close()


async def write_cursors(cluster: Cluster, cursors: str, key: str, value: str, *, commit: bool = True) -> None:
    """Another shipper writes a record to the cursor topic; without ``commit`` its transaction stays open."""
    draft = Draft(0)
    draft.add(0, [VARINT[len(key)] + key.encode()], [value.encode()], headers([]), [])
    batch = Batch(cursors, 0, draft.build("none", transactional=True), 1, draft.size, [])
    await cluster.refresh([cursors])
    other = Transactions(cluster, f"other-{cursors}", timeout=60, patience=60)
    await other.initialise()
    await other.write([batch], _refused)
    if commit:
        await other.end()


async def until_decided(kafka: Kafka, cursors: str) -> None:
    """Wait until the brokers have ended every transaction that wrote to the cursor topic."""
    async with connected(kafka) as cluster:
        await cluster.refresh([cursors])
        topic = CursorTopic(cluster, cursors)
        await topic.read()
        while [*topic.pending]:
            await asyncio.sleep(0.02)
            await topic.read()


async def _refused(batch: Batch, error: Exception) -> Sequence[Batch]:
    raise AssertionError(f"{batch.topic} refuses a batch") from error


def die_delivering(
    root: Path, kafka: Kafka, topic: str, cursors: str, step: str, moment: str, transaction: int
) -> None:
    """Deliver from the spool under ``root`` in a process that is killed in this transaction.

    ``step``: the request; ``moment``: ``before`` it is sent, ``on the way``, or ``answered``.
    """
    arguments = ["-m", __name__, str(root), kafka.address, topic, cursors, step, moment, str(transaction)]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, check=False, env=environment(TESTS))
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


async def _deliver(root: str, address: str, topic: str, cursors: str, step: str, moment: str, transaction: str) -> None:
    ended = 0

    async def hook(request: str, send: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal ended
        its_time = request == step and ended == int(transaction) - 1
        answer = asyncio.ensure_future(send()) if not its_time or moment != "before" else None
        if its_time:
            await (answer if moment == "answered" and answer is not None else asyncio.sleep(0))
            os.kill(os.getpid(), signal.SIGKILL)
        result = None if answer is None else await answer
        ended += request == COMMIT
        return result

    outpost = Outpost(Path(root))
    sink = exactly_once_sink(Kafka(address), topic, cursors, FrameByFrame)
    with hooked(hook):
        async with outpost.opened(), outpost.delivering(sink) as delivery:
            await until(lambda: delivery.caught_up)


if __name__ == "__main__":
    asyncio.run(_deliver(*sys.argv[1:]))
