"""The gRPC source and peers that mean no good: what is too large is refused before it costs anything."""

import asyncio
import socket
from contextlib import closing

import msgspec
import pytest
import zstandard
from support.wire import STREAM, MemoryIntake, RawSender, collector, frame, hello, until

from shipper.batch import Payload
from shipper.spool.frame import MAX_DECODED, MAX_READABLE, FrameMeta, crc32c, decode, draft
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import MAX_FRAME_BYTES, MAX_HELLO_BYTES, METHOD, aio, grpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
OTHER = b"o" * 16


def bomb(size: int, claimed: int | None = None, payload: bytes | None = None) -> bytes:
    """A frame of a few bytes that decodes to ``size`` bytes, or says so."""
    packed = zstandard.ZstdCompressor().compress(bytes(size)) if payload is None else payload
    made = draft(Payload.lines(b"x" * 100 + b"\n"), FrameMeta({}, []), 0)
    made.payload, made.codec, made.decoded_size = packed, 1, size if claimed is None else claimed
    made.crc = made.original_crc = crc32c(packed)
    return made.stamp(STREAM, 1)[0]


async def refused_frame(raw: bytes) -> pb.Refused:
    """What a collector says to this frame; another sender gets through all the same."""
    intake = MemoryIntake()
    async with collector(intake) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [raw])
        refused = await sender.refused()
        assert intake.takes == 0
        async with RawSender(source.port) as other:
            await other.hello(stream=OTHER)
            await other.frames(1, [frame(1, stream=OTHER)])
            await other.acked(2)
    return refused


async def test_a_frame_that_becomes_too_long_is_refused_before_it_is_decoded() -> None:
    raw = bomb(MAX_DECODED + 1)
    assert len(raw) < 4096
    refused = await refused_frame(raw)
    assert refused.reason == pb.Refused.TOO_LARGE
    assert "when it is decoded" in refused.text


async def test_a_frame_that_claims_more_than_any_version_wrote_is_refused() -> None:
    assert (await refused_frame(bomb(MAX_READABLE + 1))).reason == pb.Refused.DAMAGED


async def test_a_frame_that_lies_about_its_length_is_refused_before_it_is_decoded() -> None:
    refused = await refused_frame(bomb(MAX_READABLE, claimed=100))
    assert refused.reason == pb.Refused.DAMAGED
    assert "does not decode to 100 bytes" in refused.text


async def test_a_payload_that_does_not_say_its_length_is_refused() -> None:
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(MAX_READABLE))
    assert (await refused_frame(bomb(100, payload=packed))).reason == pb.Refused.DAMAGED


async def test_metadata_that_would_fill_the_memory_is_refused() -> None:
    made = draft(Payload.lines(b"x\n"), FrameMeta({}, []), 0)
    made.meta = msgspec.msgpack.encode([{"a": [[]] * 2_000_000}, []])
    assert (await refused_frame(made.stamp(STREAM, 1)[0])).reason == pb.Refused.TOO_LARGE


async def test_the_largest_frame_that_a_shipper_writes_is_taken() -> None:
    made = draft(Payload.sized([bytes(MAX_DECODED - 4)]), FrameMeta({}, []), 0)
    async with collector(MemoryIntake()) as source, RawSender(source.port) as sender:
        await sender.hello()
        await sender.frames(1, [decode(made.stamp(STREAM, 1)[0])])
        await sender.acked(2)


@pytest.mark.parametrize("excess", [0, 1])
async def test_a_frame_of_4_mib_is_taken_and_one_byte_more_refused(excess: int) -> None:
    made = draft(Payload.sized([b"x"]), FrameMeta({}, []), 0)
    made.payload = Payload.sized([bytes(MAX_FRAME_BYTES + excess - made.size + 1)]).data
    made.codec, made.decoded_size, made.crc = 0, len(made.payload), crc32c(made.payload)
    raw = made.stamp(STREAM, 1)[0]
    assert len(raw) == MAX_FRAME_BYTES + excess
    async with collector(MemoryIntake()) as source, RawSender(source.port) as sender:
        assert (await sender.hello()).limits.max_frame_bytes == 4 * 1024 * 1024
        await sender.frames(1, [raw])
        if excess:
            refused = await sender.refused()
            assert refused.reason == pb.Refused.TOO_LARGE
            assert "the limit is 4194304" in refused.text
        else:
            await sender.acked(2)


async def test_a_hello_is_small() -> None:
    async with collector(MemoryIntake()) as source, RawSender(source.port) as sender:
        await sender.send(pb.ShipRequest(hello=hello(labels={"x": "y" * MAX_HELLO_BYTES})))
        assert (await sender.refused()).reason == pb.Refused.TOO_LARGE


async def test_a_call_that_announces_compressed_messages_is_refused_before_the_first() -> None:
    async with collector(MemoryIntake()) as source:
        channel = aio.insecure_channel(f"127.0.0.1:{source.port}", compression=grpc.Compression.Gzip)
        call: aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHOD)()
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        await channel.close()


async def test_headers_beyond_the_limit_are_refused() -> None:
    async with collector(MemoryIntake()) as source:
        channel = aio.insecure_channel(f"127.0.0.1:{source.port}")
        call: aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHOD)(metadata=(("x", "y" * 16_000),))
        assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        await channel.close()


async def test_a_third_call_on_one_connection_waits_for_the_end_of_another() -> None:
    async with collector(MemoryIntake(), hello_timeout=0.3) as source:
        channel = aio.insecure_channel(f"127.0.0.1:{source.port}")
        calls: list[aio.StreamStreamCall[bytes, bytes]] = [channel.stream_stream(METHOD)() for _ in range(3)]
        await asyncio.gather(*(call.read() for call in calls))
        await until(lambda: not source._handlers)
        await channel.close()


async def test_more_connections_than_allowed_are_closed_and_the_others_stay() -> None:
    async with collector(MemoryIntake(), config={"max_connections": 3}) as source, RawSender(source.port) as sender:
        await sender.hello()
        loop = asyncio.get_running_loop()
        sockets = [socket.create_connection(("127.0.0.1", source.port)) for _ in range(6)]
        for one in sockets:
            one.setblocking(False)
        welcomed = 0
        for one in sockets:
            with closing(one):
                try:
                    await loop.sock_sendall(one, PREFACE)
                    welcomed += bool(await asyncio.wait_for(loop.sock_recv(one, 100), 60))
                except OSError:
                    continue
        assert 0 < welcomed < 6
        await sender.frames(1, [frame(1)])
        await sender.acked(2)


async def test_a_sender_that_never_reads_holds_up_nobody() -> None:
    intake = MemoryIntake()
    async with (
        collector(intake, ack_interval=0.02) as source,
        RawSender(source.port) as deaf,
        RawSender(source.port) as other,
    ):
        await deaf.hello()
        await other.hello(stream=OTHER)
        for number in range(1, 201):
            await deaf.frames(number, [frame(number)])  # and reads no Ack
        for number in range(1, 21):
            await other.frames(number, [frame(number, stream=OTHER)])
            await other.acked(number + 1)
        await until(lambda: len(intake.numbers()) == 200)


async def test_a_hello_and_silence_costs_nothing_and_is_kept_alive() -> None:
    async with collector(MemoryIntake(), ack_interval=0.05) as source, RawSender(source.port) as sender:
        await sender.hello()
        for _ in range(3):
            assert (await sender.expect("ack")).ack.next == 1
        assert source._budget.used == 0
