"""Peers that do not belong at a collector, so many a second; the attacking side of ``benchmarks.hostile``.

``python -m benchmarks.intruders KIND PORT SECONDS RATE FOLDER`` runs until the time is over. It takes the lowest
priority: what is measured is the collector, not a machine without a free core.
"""

import asyncio
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import zstandard

from benchmarks.processes import BenchError
from shipper import lean
from shipper.batch import Payload
from shipper.spool.frame import FrameMeta, crc32c, draft
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import CHANNEL_OPTIONS, METHOD, PROTOCOL, aio
from shipper.wire.window import encode_frames

_MIB: Final = 1024 * 1024
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_PATIENCE: Final = 15.0


async def _talk(port: int, data: bytes, context: ssl.SSLContext | None = None) -> None:
    """Send bytes and wait until the collector closes the connection."""
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            writer.write(data)
            await reader.read()
        finally:
            writer.close()


async def _say(port: int, message: bytes) -> None:
    """Hello, then a message that is refused."""
    channel = aio.insecure_channel(
        f"127.0.0.1:{port}", options=[*CHANNEL_OPTIONS, ("grpc.max_send_message_length", -1)]
    )
    try:
        method: Any = channel.stream_stream(METHOD)
        call, stream = method(), os.urandom(16)
        with suppress(aio.AioRpcError, asyncio.InvalidStateError, aio.UsageError):
            hello = pb.Hello(stream=stream, epoch=1, incarnation=stream, protocol=PROTOCOL, floor=1)
            await call.write(pb.ShipRequest(hello=hello).SerializeToString())
            await call.write(message)
            while isinstance(await call.read(), bytes):
                pass
    finally:
        await channel.close()


def _bomb() -> bytes:
    """64 MiB of nothing in six kilobytes, with checksums that are right."""
    made = draft(Payload.lines(b"x\n" * 4096), FrameMeta({}, []), 0)
    data = zstandard.ZstdCompressor().compress(bytes(64 * _MIB))
    made.payload, made.decoded_size, made.crc = data, 64 * _MIB, crc32c(data)
    return encode_frames(1, [made.stamp(bytes(16), 1)[0]])


def kinds(port: int, folder: Path) -> dict[str, Callable[[], Awaitable[None]]]:
    """What one of them does."""
    bomb, large = _bomb(), encode_frames(1, [bytes(5 * _MIB)])
    wrong = ssl.create_default_context()
    wrong.check_hostname, wrong.verify_mode = False, ssl.CERT_NONE
    if (folder / "wrong.pem").exists():
        wrong.load_cert_chain(folder / "wrong.pem", folder / "wrong.key")
    return {
        "random bytes": lambda: _talk(port, os.urandom(256)),
        "HTTP/1": lambda: _talk(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        "silence": lambda: _talk(port, b""),
        "HTTP/2 without a call": lambda: _talk(port, _PREFACE),
        "bombs": lambda: _say(port, bomb),
        "oversized": lambda: _say(port, large),
        "wrong certificates": lambda: _talk(port, b"x", wrong),
    }


async def _run(kind: str, port: int, seconds: float, rate: float, folder: Path) -> None:
    one = kinds(port, folder)[kind]
    running: set[asyncio.Task[None]] = set()
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(began + number / rate - time.monotonic())
        task = asyncio.ensure_future(_patiently(one))
        running.add(task)
        task.add_done_callback(running.discard)
    print(f"{int(rate * seconds) / (time.monotonic() - began):.0f}", flush=True)
    os._exit(0)  # whoever still waits is cut off, as an intruder would be


async def _patiently(one: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            await one()


def main() -> None:
    """Attack."""
    if len(sys.argv) != 6:
        raise BenchError("usage: python -m benchmarks.intruders KIND PORT SECONDS RATE FOLDER")
    os.nice(19)
    lean.raise_file_limit()
    kind, port, seconds, rate, folder = sys.argv[1:]
    asyncio.run(_run(kind, int(port), float(seconds), float(rate), Path(folder)))


if __name__ == "__main__":
    main()
