"""The syslog source on real sockets: what comes in, what is held back, what is lost and counted."""

import asyncio
import socket

import pytest
from support.intake import MemoryIntake
from support.processes import free_port
from support.syslog import connect, messages, records, send, serving, syslog_source

from shipper.errors import SourceError, SpoolFailed
from shipper.sources.syslog.endpoint import Endpoint

UDP, TCP = "udp://127.0.0.1:0", "tcp://127.0.0.1:0"


def datagram(port: int, *data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in data:
            sender.sendto(message, ("127.0.0.1", port))


async def test_a_record_says_who_sent_it_when_and_what() -> None:
    intake = MemoryIntake()
    async with serving(syslog_source(UDP, timezone="UTC"), intake) as (port,):
        datagram(port, b"<34>1 2003-10-11T22:14:15.003Z mymachine su 12 ID47 - failed")
        await intake.have(1)
    assert records(intake) == [
        {
            "message": "failed",
            "timestamp": "2003-10-11T22:14:15.003Z",
            "hostname": "mymachine",
            "app_name": "su",
            "proc_id": "12",
            "msg_id": "ID47",
            "facility": "auth",
            "severity": "crit",
            "peer": "127.0.0.1",
        }
    ]
    assert intake.batches[0].labels == intake.labels
    assert intake.durable_state() == {}


async def test_a_timestamp_without_a_zone_gets_that_of_the_config() -> None:
    """Not this machine's."""
    intake = MemoryIntake()
    async with serving(syslog_source(UDP, timezone="Asia/Kathmandu"), intake) as (port,):
        datagram(port, b"<34>Oct 11 22:14:15 mymachine su: failed")
        await intake.have(1)
    assert records(intake)[0]["timestamp"].endswith("-10-11T22:14:15+05:45")


async def test_all_addresses_of_one_source_go_into_the_same_batches() -> None:
    """UDP, and TCP in both framings; what is neither format is kept whole."""
    intake = MemoryIntake(max_delay=3.0)
    async with serving(syslog_source(UDP, TCP, "udp://[::1]:0"), intake) as (udp, tcp, udp6):
        datagram(udp, b"<13>first")
        await intake.have(1)
        datagram(udp, b"<13>udp\n", b"\n", b"rubbish\0")
        connection = await connect(tcp)
        await send(connection, b"<13>line\r\n11 <13>counted8 <13>more\n")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"<13>six", ("::1", udp6))
        await intake.have(7)
        connection.close()
    assert sorted(messages(intake)) == ["counted", "first", "line", "more", "rubbish", "six", "udp"]
    assert {record["peer"] for record in records(intake)} == {"127.0.0.1", "::1"}
    assert [record["message"] for record in records(intake) if "parse_error" in record] == ["rubbish"]
    assert len(intake.batches) == 2


async def test_an_address_of_ipv6_everywhere_takes_ipv4_too() -> None:
    """And the sender's address is written as people know it."""
    intake = MemoryIntake()
    async with serving(syslog_source("udp://[::]:0", "tcp://[::]:0"), intake) as (udp, tcp):
        datagram(udp, b"<13>udp")
        connection = await connect(tcp)
        await send(connection, b"<13>tcp\n")
        await intake.have(2)
        connection.close()
    assert {record["peer"] for record in records(intake)} == {"127.0.0.1"}


def test_a_sender_that_is_gone_without_a_word_is_noticed() -> None:
    """After two minutes, by the kernel's probes: its place is free again."""
    with Endpoint.parse("tcp://127.0.0.1:0").bind() as bound, socket.create_connection(bound.getsockname()) as sender:
        bound.setblocking(True)
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [accepted.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [60, 20, 3]
        assert sender.recv(1) == b""


async def test_ranges_count_bytes_and_join() -> None:
    """Each run has a generation of its own."""
    generations = set()
    for _ in range(2):
        intake = MemoryIntake(max_bytes=100, max_delay=0)
        async with serving(syslog_source(), intake) as (port,):
            connection = await connect(port)
            await send(connection, b"".join(b"<13>message %d\n" % number for number in range(100)))
            await intake.have(100)
            connection.close()
        end = 0
        for span in intake.ranges():
            assert span.start == end
            end = span.end
            generations.add(span.generation)
        assert end == sum(len(b"<13>message %d\n" % number) for number in range(100))
    assert len(generations) == 2


async def test_the_first_message_after_quiet_goes_at_once_and_then_batches_fill() -> None:
    intake = MemoryIntake(max_delay=3600, max_bytes=10_000)
    async with serving(syslog_source(), intake) as (port,):
        connection = await connect(port)
        await send(connection, b"<13>first\n")
        await intake.have(1)
        await send(connection, b"<13>" + b"x" * 95 + b"\n")
        await send(connection, (b"<13>" + b"x" * 95 + b"\n") * 99)
        await intake.have(90)
        connection.close()
    assert len(intake.batches[0].payload) == 1  # type: ignore[arg-type]
    assert len(intake.batches[1].payload) >= 90  # type: ignore[arg-type]


async def test_a_long_message_keeps_its_beginning_and_the_rest_is_counted() -> None:
    """Over TCP and UDP, as bytes lost of the address that it came in at."""
    intake = MemoryIntake()
    source = syslog_source(TCP, UDP, max_message_bytes=500)
    async with serving(source, intake) as (tcp, udp):
        connection = await connect(tcp)
        await send(connection, b"<13>" + b"x" * 996 + b"\n<13>after\n")
        await intake.have(2)
        datagram(udp, b"<13>" + b"y" * 596)
        await intake.have(3)
        connection.close()
    assert messages(intake) == ["x" * 496, "after", "y" * 496]
    assert [record.get("truncated", False) for record in records(intake)] == [True, False, True]
    assert intake.losses == [
        ("too_long", 500, f"tcp://127.0.0.1:{tcp}"),
        ("too_long", 100, f"udp://127.0.0.1:{udp}"),
    ]
    (first, *_), last = intake.batches[0].losses, intake.ranges()[-1].end
    assert (first.start, first.end) == (500, 1000)
    assert last == 1001 + 10 + 601


async def test_while_the_spool_is_full_tcp_waits_and_nothing_of_it_is_lost() -> None:
    """What is held stays near the inbox's limit; the kernel holds back the sender."""
    intake = MemoryIntake()
    source = syslog_source()
    source.__dict__["inbox_bytes"] = 100_000
    line = b"<13>" + b"x" * 995 + b"\n"
    async with serving(source, intake) as (port,):
        intake.block()
        connection = await connect(port)
        sending = asyncio.ensure_future(send(connection, line * 20_000))
        received = 0.0
        while (now := intake.metrics.value("shipper_source_received_bytes_total", source="app")) != received or not now:
            received = now
            await asyncio.sleep(0.05)
        assert 100_000 <= received <= 1_000_000
        assert not sending.done()
        intake.unblock()
        await sending
        await intake.have(20_000)
        connection.close()
    assert set(messages(intake)) == {"x" * 995}
    assert len(messages(intake)) == 20_000


async def test_what_the_kernel_drops_of_udp_is_counted() -> None:
    """Sent is received and dropped together, to the datagram."""
    intake = MemoryIntake()
    source = syslog_source(UDP)
    source.__dict__["inbox_bytes"] = 10_000
    message = b"<13>" + b"x" * 8000

    def dropped() -> float:
        return intake.metrics.value("shipper_source_dropped_datagrams_total", source="app")

    async with serving(source, intake) as (port,):
        intake.block()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(4000):
                sender.sendto(message, ("127.0.0.1", port))
                if number % 100 == 0:
                    await asyncio.sleep(0)
        await intake.until(lambda: dropped() > 0)
        intake.unblock()
        await intake.until(lambda: len(intake.records()) + dropped() == 4000)
    assert 0 < len(intake.records()) < 4000


async def test_what_came_in_is_handed_over_when_it_is_stopped() -> None:
    """Whole messages, those that the kernel still has, and the beginnings of others, marked."""
    intake = MemoryIntake(max_delay=3600)
    async with serving(syslog_source(TCP, UDP), intake) as (tcp, udp):
        connection = await connect(tcp)
        await send(connection, b"<13>first\n")
        await intake.have(1)
        await send(connection, b"<13>second\n<13>beg")
        datagram(udp, b"<13>third")
    assert messages(intake)[0] == "first"
    assert sorted(messages(intake)[1:]) == ["beg", "second", "third"]
    assert [record["message"] for record in records(intake) if "truncated" in record] == ["beg"]
    connection.close()


async def test_the_end_waits_for_a_batch_that_the_spool_takes_soon() -> None:
    """It was out of the inbox already."""
    intake = MemoryIntake()
    intake.block()
    async with serving(syslog_source(), intake) as (port,):
        connection = await connect(port)
        await send(connection, b"<13>first\n")
        await intake.until(lambda: intake.metrics.value("shipper_source_received_bytes_total", source="app"))
        await asyncio.sleep(0.1)
        asyncio.get_running_loop().call_later(0.2, intake.unblock)
        connection.close()
    assert messages(intake) == ["first"]


async def test_datagrams_that_the_kernel_has_are_read_at_the_end() -> None:
    """More than are read in one go."""
    intake = MemoryIntake()
    async with serving(syslog_source(UDP), intake) as (port,):
        datagram(port, *[b"<13>%d" % number for number in range(3000)])
    dropped = intake.metrics.value("shipper_source_dropped_datagrams_total", source="app")
    assert len(intake.records()) + dropped == 3000


async def test_a_spool_that_stays_full_holds_up_the_end_only_so_long(capfd: pytest.CaptureFixture[str]) -> None:
    """And what is lost then is said, with a number."""
    intake = MemoryIntake()
    intake.block()
    async with serving(syslog_source(), intake) as (port,):
        connection = await connect(port)
        await send(connection, b"<13>first\n<13>second\n")
        await intake.until(lambda: intake.metrics.value("shipper_source_received_bytes_total", source="app") == 21)
        connection.close()
    assert "messages that came in are lost" in capfd.readouterr().err
    assert intake.records() == []


async def test_an_error_of_the_intake_ends_the_source() -> None:
    """With the error as it was; the address is free again."""
    intake = MemoryIntake(fail_at=0)
    source = syslog_source(f"udp://127.0.0.1:{free_port()}")
    for _ in range(2):
        task = asyncio.create_task(source.run(intake, once=False))
        await intake.until(lambda: source.bound)
        datagram(source.bound[0].port, b"<13>first")
        with pytest.raises(SpoolFailed):
            await asyncio.wait_for(task, 60)
        source.bound = []


async def test_once_there_is_nothing_to_be_read() -> None:
    """Nobody has sent anything before it listens."""
    intake = MemoryIntake()
    await asyncio.wait_for(syslog_source().run(intake, once=True), 60)
    assert intake.batches == []


async def test_an_address_that_is_taken_is_an_error_that_says_so() -> None:
    for transport, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
        with socket.socket(socket.AF_INET, kind) as other:
            other.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                other.listen(1)
            address = f"{transport}://127.0.0.1:{other.getsockname()[1]}"
            with pytest.raises(
                SourceError, match=f"cannot listen on {address}: Address already in use: another process"
            ):
                await syslog_source(address).run(MemoryIntake(), once=False)
    with pytest.raises(SourceError, match=r"cannot listen on tcp://192\.0\.2\.1:0: Cannot assign"):
        await syslog_source("tcp://192.0.2.1:0").run(MemoryIntake(), once=False)


async def test_it_says_where_it_listens() -> None:
    source = syslog_source(UDP, "tcp://[::1]:0")
    async with serving(source, MemoryIntake()) as (udp, tcp):
        assert source.describe() == f"listening on udp://127.0.0.1:{udp}, tcp://[::1]:{tcp}"


async def test_text_that_is_not_utf_8_is_counted() -> None:
    intake = MemoryIntake()
    async with serving(syslog_source(UDP), intake) as (port,):
        datagram(port, b"<13>caf\xe9")
        await intake.have(1)
    assert messages(intake) == ["caf\ufffd"]
    assert intake.metrics.value("shipper_text_replaced_total", source="app") == 1
