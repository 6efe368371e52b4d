"""Peers that do not belong at a collector: each does one thing, and says whether it was turned away."""

import asyncio
import os
import random
import ssl
from contextlib import suppress
from typing import Final

import zstandard
from support.wire import RawSender, frame

from shipper.batch import Payload
from shipper.spool.frame import MAX_DECODED, FrameMeta, crc32c, draft
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import MAX_FRAME_BYTES, aio

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
HTTP: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_PATIENCE: Final = 30.0


async def talk(port: int, data: bytes, context: ssl.SSLContext | None = None) -> bool:
    """Send bytes; whether the collector closed the connection."""
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            try:
                writer.write(data)
                while await reader.read(65536):
                    pass
            finally:
                writer.close()
    except TimeoutError:
        return False
    except OSError:  # a reset, or no handshake
        return True
    return True


async def say(port: int, *messages: pb.ShipRequest | bytes, hello: bool = True) -> bool:
    """Hello under a stream of its own, then these messages; whether the call was refused."""
    stream = os.urandom(16)
    async with RawSender(port) as sender:
        with suppress(aio.AioRpcError, asyncio.InvalidStateError, aio.UsageError, AssertionError):
            if hello:
                await sender.hello(stream=stream, incarnation=stream)
            for message in messages:
                await sender.send(message)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                with suppress(aio.AioRpcError):
                    while isinstance(data := await sender.call.read(), bytes):
                        if pb.ShipResponse.FromString(data).WhichOneof("message") == "refused":
                            return True
                return bool(await sender.call.code())
    return False


def frames(*raws: bytes, first: int = 1) -> pb.ShipRequest:
    """A message of frames."""
    return pb.ShipRequest(frames=pb.Frames(first=first, frames=raws))


def bomb(size: int) -> bytes:
    """A small frame of so many bytes, with checksums that are right."""
    made = draft(Payload.lines(b"x\n" * 4096), FrameMeta({}, []), 0)
    data = zstandard.ZstdCompressor().compress(bytes(size))
    made.payload, made.codec, made.decoded_size, made.crc = data, 1, size, crc32c(data)
    return made.stamp(bytes(16), 1)[0]


def damaged(dice: random.Random) -> bytes:
    """A frame with a byte that is not what it was."""
    raw = bytearray(frame(1).raw)
    raw[dice.randrange(len(raw))] ^= dice.randrange(1, 256)
    return bytes(raw)


async def random_peer(port: int, dice: random.Random) -> bool:
    """One of them, at a port without TLS; whether it was turned away."""
    far = dice.randrange(2, 2 ** dice.randrange(3, 60))
    match dice.randrange(10):
        case 0:
            return await talk(port, dice.randbytes(dice.randrange(64, 4096)))
        case 1:
            return await talk(port, HTTP)
        case 2:
            return await talk(port, PREFACE + dice.randbytes(dice.randrange(64, 4096)))
        case 3:
            return await say(port, frames(bomb(MAX_DECODED + dice.randrange(1, 8 * MAX_DECODED))))
        case 4:
            return await say(port, frames(bytes(MAX_FRAME_BYTES + 1024 * 1024)))
        case 5:
            return await say(port, frames(damaged(dice)))
        case 6:
            return await say(port, dice.randbytes(dice.randrange(1, 4096)))
        case 7:
            return await say(port, frames(frame(far).raw, first=far))
        case 8:
            return await say(port, pb.ShipRequest(gap=pb.Gap(first=far, last=dice.randrange(0, far), reason="x")))
        case _:
            return await say(port, frames(frame(1).raw), hello=False)
