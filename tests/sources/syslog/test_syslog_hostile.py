"""The syslog source and senders that do what they should not: whoever they are, others go on."""

import asyncio
import random
import socket
import struct

import pytest
from support.intake import MemoryIntake
from support.syslog import (
    closed,
    connect,
    connected,
    messages,
    received,
    records,
    refused,
    send,
    serving,
    syslog_source,
)
from support.until import until

from shipper.sources.syslog import connection as one_connection
from shipper.sources.syslog import connections


async def others_go_on(intake: MemoryIntake, port: int) -> None:
    """A message of somebody else comes in."""
    connection = await connect(port)
    await send(connection, b"<13>others go on\n")
    await intake.until(lambda: "others go on" in messages(intake))
    connection.close()


async def test_an_endless_line_takes_no_memory_and_its_beginning_is_kept() -> None:
    intake = MemoryIntake()
    async with serving(syslog_source(), intake) as (port,):
        connection = await connect(port)
        for _ in range(400):
            await send(connection, b"x" * 100_000)
        await others_go_on(intake, port)
        connection.close()
        await intake.have(2)
    (cut,) = (record for record in records(intake) if record.get("truncated"))
    assert cut["message"] == "x" * 65536
    assert intake.losses == [("too_long", 40_000_000 - 65536, f"tcp://127.0.0.1:{port}")]


async def test_a_message_that_is_not_ended_is_cut_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes byte by byte; who is just silent stays."""
    monkeypatch.setattr(one_connection, "_MESSAGE_TIME", 0.3)
    intake = MemoryIntake()
    async with serving(syslog_source(), intake) as (port,):
        slow, drip, silent = [await connect(port) for _ in range(3)]
        await send(silent, b"<13>whole\n")
        await send(slow, b"<13>ended\n<13>half")

        async def dripping() -> None:
            while True:
                await send(drip, b"x")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(dripping())
        assert await closed(slow)
        assert await closed(drip)
        await asyncio.gather(task, return_exceptions=True)
        await send(silent, b"<13>still here\n")
        await intake.have(5)
        for connection in (slow, drip, silent):
            connection.close()
    assert refused(intake, "UNFINISHED") == 2
    cut = {record["message"] for record in records(intake) if record.get("truncated")}
    assert "half" in cut
    assert len(cut) == 2
    assert {"whole", "ended", "still here"} <= set(messages(intake))


async def test_a_message_that_goes_on_while_the_spool_is_full_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listened meanwhile: that is not the sender's time."""
    monkeypatch.setattr(one_connection, "_MESSAGE_TIME", 3.0)
    intake = MemoryIntake()
    source = syslog_source()
    source.__dict__["inbox_bytes"] = 1000
    async with serving(source, intake) as (port,):
        intake.block()
        connection = await connect(port)
        await send(connection, b"<13>in hand\n")
        await asyncio.sleep(0.1)
        await send(connection, b"<13>" + b"x" * 3000 + b"\n<13>beg")
        await asyncio.sleep(3.5)
        intake.unblock()
        await intake.have(2)
        await asyncio.sleep(0.2)
        await send(connection, b"un\n")
        await intake.have(3)
        connection.close()
    assert messages(intake)[2] == "begun"
    assert refused(intake, "UNFINISHED") == 0


async def test_unfinished_messages_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds most of them is cut."""
    monkeypatch.setattr(connections, "_UNFINISHED", 100_000)
    intake = MemoryIntake()
    async with serving(syslog_source(), intake) as (port,):
        small = await connect(port)
        await send(small, b"<13>small")
        greedy = [await connect(port) for _ in range(20)]
        for connection in greedy:
            await send(connection, b"x" * 20_000)
        await until(lambda: refused(intake, "UNFINISHED") >= 15)
        await send(small, b" and whole\n")
        await intake.until(lambda: "small and whole" in messages(intake))
        for connection in [small, *greedy]:
            connection.close()
    assert len(intake.records()) == 21


async def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    """Those that are there go on; a place that becomes free is taken."""
    intake = MemoryIntake()
    async with serving(syslog_source(max_connections=10), intake) as (port,):
        first = [await connect(port) for _ in range(10)]
        await until(lambda: connected(intake) == 10)
        storm = [await connect(port) for _ in range(2000)]
        for connection in storm:
            assert await closed(connection)
            connection.close()
        assert refused(intake, "OVERLOADED") == 2000
        for number, connection in enumerate(first):
            await send(connection, b"<13>%d\n" % number)
        await intake.have(10)
        first.pop().close()
        await until(lambda: connected(intake) == 9)
        await others_go_on(intake, port)
        for connection in first:
            connection.close()
    assert sorted(messages(intake)[:10]) == [str(number) for number in range(10)]


async def test_one_sender_cannot_take_the_places_of_all_others() -> None:
    """Where all are taken, others get places of whoever has most, up to as many: those silent longest go."""
    intake = MemoryIntake()
    async with serving(syslog_source(max_connections=6), intake) as (port,):
        hog = [await connect(port) for _ in range(6)]
        await until(lambda: connected(intake) == 6)
        await send(hog[0], b"<13>not silent\n")
        await intake.have(1)
        others = [await connect(port, "127.0.0.2") for _ in range(3)]
        for connection in hog[1:4]:
            assert await closed(connection)
        for number, connection in enumerate([hog[0], *hog[4:], *others]):
            await send(connection, b"<13>%d\n" % number)
        await intake.have(7)
        for peer in ("127.0.0.1", "127.0.0.2"):
            late = await connect(port, peer)
            assert await closed(late)
            late.close()
        assert (refused(intake, "OVERLOADED"), connected(intake)) == (5, 6)
        first = await connect(port, "127.0.0.3")
        await send(first, b"<13>a third sender\n")
        await intake.until(lambda: "a third sender" in messages(intake))
        for connection in [*hog, *others, first]:
            connection.close()


async def test_nobody_is_crowded_out_while_the_spool_is_full() -> None:
    """What was sent and could not be read would be lost."""
    intake = MemoryIntake()
    source = syslog_source(max_connections=3)
    source.__dict__["inbox_bytes"] = 1000
    async with serving(source, intake) as (port,):
        first = [await connect(port) for _ in range(3)]
        intake.block()
        await send(first[0], b"<13>in hand\n")
        await received(intake, 12)
        await send(first[0], b"<13>" + b"x" * 3000 + b"\n")
        await received(intake, 12 + 3005)
        await send(first[1], b"<13>unread\n")
        late = await connect(port, "127.0.0.2")
        assert await closed(late)
        intake.unblock()
        await intake.until(lambda: "unread" in messages(intake))
        for connection in [*first, late]:
            connection.close()


async def test_who_connects_while_the_spool_is_full_is_not_read() -> None:
    """Otherwise a thousand senders that come in an outage would fill the memory."""
    intake = MemoryIntake()
    source = syslog_source()
    source.__dict__["inbox_bytes"] = 1000
    line = b"<13>" + b"x" * 995 + b"\n"

    def size() -> float:
        return intake.metrics.value("shipper_source_received_bytes_total", source="app")

    async with serving(source, intake) as (port,):
        intake.block()
        first = await connect(port)
        for _ in range(3):
            await send(first, line)
            await asyncio.sleep(0.1)
        held = size()
        late = [await connect(port) for _ in range(20)]
        for connection in late:
            await send(connection, line)
        await until(lambda: connected(intake) == 21)
        await asyncio.sleep(0.1)
        assert size() == held < 3 * len(line)
        intake.unblock()
        await intake.have(23)
        for connection in [first, *late]:
            connection.close()


async def test_a_connection_that_is_reset_in_a_message_leaves_its_beginning() -> None:
    """Marked; and over before anything came, it leaves nothing."""
    intake = MemoryIntake()
    async with serving(syslog_source(), intake) as (port,):
        for data in (b"", b"<13>whole\n<13>line cut", b"20 <13>counted cut"):
            connection = await connect(port)
            await send(connection, data)
            expected = len(data.replace(b"20 ", b"").replace(b"\n", b""))
            await asyncio.sleep(0.05 if expected else 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        await intake.have(3)
        await until(lambda: connected(intake) == 0)
    assert sorted(messages(intake)) == ["counted cut", "line cut", "whole"]
    assert sorted(record["message"] for record in records(intake) if record.get("truncated")) == [
        "counted cut",
        "line cut",
    ]


async def test_a_line_that_ends_with_its_connection_is_whole() -> None:
    """As ``printf`` into ``nc`` sends it; a counted message that is cut short is not."""
    intake = MemoryIntake()
    async with serving(syslog_source(), intake) as (port,):
        for data in (b"<13>no newline", b"30 <13>too short"):
            connection = await connect(port)
            await send(connection, data)
            connection.close()
        await intake.have(2)
    assert {record["message"]: record.get("truncated") for record in records(intake)} == {
        "no newline": None,
        "too short": True,
    }


async def test_rubbish_becomes_records_that_say_so() -> None:
    """Every byte that came is in a record, is a newline or NUL, or is counted."""
    intake = MemoryIntake()
    noise = random.Random(7).randbytes(300_000)
    async with serving(syslog_source("tcp://127.0.0.1:0", "udp://127.0.0.1:0"), intake) as (port, udp):
        connection = await connect(port)
        await send(connection, noise)
        connection.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(noise[:1000], ("127.0.0.1", udp))
        await others_go_on(intake, port)
        await until(lambda: connected(intake) == 0)
    assert len(records(intake)) > 1000
    assert sum("parse_error" in record for record in records(intake)) > 1000
