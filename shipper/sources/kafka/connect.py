"""Makes aiokafka's consumer, starts it and stops it."""

import asyncio
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import BrokerNotAvailableError, KafkaError

from shipper.kafka.cluster import Cluster
from shipper.kafka.errors import SOURCE
from shipper.kafka.settings import Access

_METADATA_AGE: Final = 30_000
"""Milliseconds after which new topics and partitions are looked for."""
_REQUEST: Final = 30.0
"""Seconds for a connection to be made, and for the answer to a request."""
_FOREVER: Final = 2**31 - 1
"""Milliseconds: a member that does not read, because its spool is full, stays in the group. Its heartbeats say that it
lives; they come from the loop that all else runs on."""
_CONNECTING: Final = 3.0
"""Seconds that a connection in the making may hold up the end."""


class Limits(NamedTuple):
    """Bytes and seconds."""

    fetch: int
    """Bytes that a broker sends at once."""
    partition: int
    """Bytes of them from one partition."""
    session: float
    """Seconds without a sign of life after which the group gives a member's partitions to others."""
    rebalance: float
    """Seconds that a member has to hand its partitions back."""


async def make(access: Access, group: str, limits: Limits, isolation: str) -> Any:
    """A consumer that is not started yet. First a connection is made without aiokafka's client, which tells only its
    log why no broker lets it in.

    :raises ShipperError: none does.
    """
    cluster = Cluster(access, request_timeout=_REQUEST, tree=SOURCE)
    try:
        await cluster.open()
    finally:
        await cluster.close()
    return AIOKafkaConsumer(
        bootstrap_servers=access.brokers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level=isolation,
        fetch_max_bytes=limits.fetch,
        max_partition_fetch_bytes=limits.partition,
        session_timeout_ms=int(1000 * limits.session),
        heartbeat_interval_ms=int(min(3000.0, 1000 * limits.session / 4)),
        rebalance_timeout_ms=int(1000 * limits.rebalance),
        max_poll_interval_ms=_FOREVER,
        metadata_max_age_ms=_METADATA_AGE,
        request_timeout_ms=int(1000 * _REQUEST),
        **await access.options(),
    )


async def start(consumer: Any) -> None:
    """Connect. aiokafka forgets a connection in the making when it is cancelled: then it is waited for.

    :raises KafkaError, OSError: no broker can be reached.
    """
    starting = asyncio.ensure_future(consumer.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting}, timeout=_CONNECTING)
        starting.cancel()
        if starting.done() and not starting.cancelled():
            starting.exception()  # nobody else asks for it
        raise
    if not consumer._client.cluster.brokers():
        raise BrokerNotAvailableError  # one that has just started: aiokafka would ask nobody else ever again


async def stop(consumer: Any, within: float) -> None:
    """Leave the group, which takes at most so many seconds, and close all connections."""
    if consumer._coordinator is not None:
        with suppress(TimeoutError, KafkaError):  # it waits for a broker that does not answer
            async with asyncio.timeout(within):
                await consumer._coordinator.close()
    lock = consumer._client._get_conn_lock
    with suppress(TimeoutError):
        async with asyncio.timeout(_CONNECTING):
            await lock.acquire()  # what connects is not cancelled, see above; what wants to does not begin
    with suppress(KafkaError, OSError):
        await consumer.stop()
