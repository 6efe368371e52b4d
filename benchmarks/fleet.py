"""Many agents in one process, as light as they come: frames made beforehand, one gRPC stream each, nothing on disk.

``python -m benchmarks.fleet PLAN.json`` connects them all, prints ``connected``, waits for the file ``go`` of the plan,
sends, waits for every acknowledgement and prints one JSON list. On the wire they cannot be told from real agents:
a connection and a stream of their own each, numbers from 1 on, never more than the window on its way.
"""

import asyncio
import json
import os
import random
import sys
import time
from array import array
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.lines import BLOCK, block
from benchmarks.processes import BenchError
from shipper.batch import Payload, SourceRange
from shipper.spool.frame import FrameDraft, FrameMeta, draft
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import CHANNEL_OPTIONS, METHOD, PROTOCOL, aio
from shipper.wire.window import Window, encode_frames

VARIANTS: Final = 8
"""Different payloads of one length; a frame's number says which one it holds."""
_LABELS: Final = {"host": "edge-0001.example.com", "source": "app", "file": "/var/log/app/app.log"}
_READ_AT: Final = 1_714_564_800_000_000
_ACKED: Final = 120.0
_AT_ONCE: Final = 32
_MS: Final = 1000.0
_encode: Final = msgspec.msgpack.Encoder().encode


class Group(msgspec.Struct):
    """Agents of one kind."""

    name: str
    agents: int
    lines: int
    """Records of a frame."""
    every: float = 0.0
    """Seconds between two frames of an agent. 0: the next one goes as soon as ``in_flight`` allows."""
    in_flight: int = 0
    """Frames on their way, at most."""


class Plan(msgspec.Struct):
    """What a process of the fleet does."""

    port: int
    seconds: float
    go: str
    groups: list[Group]


def drafts(lines: int) -> list[FrameDraft]:
    """The frames that agents of so many lines a frame send, without stream and number; the same in every process."""
    found = []
    for variant in range(VARIANTS):
        texts = [block("json", (variant * lines + at) // BLOCK)[(variant * lines + at) % BLOCK] for at in range(lines)]
        data = "".join(f"{text}\n" for text in texts).encode()
        found.append(draft(Payload.lines(data), FrameMeta(_LABELS, []), _READ_AT))
    return found


@dataclass
class _Agent:
    """One stream."""

    group: Group
    frames: list[FrameDraft]
    took: "array[float]"

    def __post_init__(self) -> None:
        self.stream = os.urandom(16)
        self.sent = 0
        self._read_to = 0
        self._acked = 1
        self._window = Window(0, 1)
        self._times: deque[float] = deque()
        self._changed = asyncio.Event()

    async def connect(self, port: int) -> None:
        self._channel = aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        method: Any = self._channel.stream_stream(METHOD)
        self._call = method()
        hello = pb.Hello(stream=self.stream, epoch=1, incarnation=self.stream, protocol=PROTOCOL, floor=1)
        await self._call.write(pb.ShipRequest(hello=hello).SerializeToString())
        welcome = (await self._read()).welcome
        if welcome.next != 1:
            raise BenchError(f"an agent was not welcomed as one that is new: {welcome}")
        self._window.limit = welcome.window_bytes
        self._reader = asyncio.ensure_future(self._acks())

    async def run(self, seconds: float) -> None:
        """Send for a while, then wait for the acknowledgements and hang up."""
        end = time.monotonic() + seconds
        if self.group.every:
            due = time.monotonic() + random.uniform(0, self.group.every)
            while due < end:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._send()
                due += self.group.every
        else:
            while time.monotonic() < end:
                while len(self._times) >= self.group.in_flight:
                    await self._news()
                await self._send()
        while self._times:
            await self._news()
        await self._call.done_writing()
        await self._reader
        await self._channel.close()

    async def _send(self) -> None:
        frame = self.frames[(self.sent + 1) % VARIANTS]
        while not self._window.fits(frame.size):
            await self._news()
        self.sent += 1
        raw, _ = replace(frame, meta=self._meta(frame)).stamp(self.stream, self.sent)
        self._times.append(time.monotonic())
        self._window.sent(self.sent + 1, len(raw))
        await self._call.write(encode_frames(self.sent, [raw]))

    def _meta(self, frame: FrameDraft) -> bytes:
        """The agent reads one file, from its beginning on: so does the collector's ledger have it."""
        start, self._read_to = self._read_to, self._read_to + frame.decoded_size
        span = SourceRange("app", self.stream, start, self._read_to, read=frame.records, kept=frame.records)
        return _encode(FrameMeta(_LABELS, [span]))

    async def _news(self) -> None:
        self._changed.clear()
        async with asyncio.timeout(_ACKED):
            await self._changed.wait()
        if self._reader.done():
            self._reader.result()

    async def _acks(self) -> None:
        try:
            while (response := await self._read()) is not None:
                ack, now = response.ack, time.monotonic()
                self._window.limit = ack.window_bytes
                self._window.acked(ack.next)
                while self._acked < ack.next:
                    self._acked += 1
                    self.took.append(_MS * (now - self._times.popleft()))
                self._changed.set()
        finally:
            self._changed.set()

    async def _read(self) -> Any:
        data = await self._call.read()
        if not isinstance(data, bytes):
            if self.sent + 1 == self._acked and self._call.done():
                return None
            raise BenchError(f"the collector ended a connection: {await self._call.details()}")
        response = pb.ShipResponse.FromString(data)
        if response.WhichOneof("message") == "refused":
            raise BenchError(f"the collector refused an agent: {response.refused.text}")
        return response


async def _run(plan: Plan) -> list[dict[str, Any]]:
    agents, results = [], []
    for group in plan.groups:
        made, took = drafts(group.lines), array("f")
        agents += [_Agent(group, made, took) for _ in range(group.agents)]
        results.append((group, took))
    for at in range(0, len(agents), _AT_ONCE):
        await asyncio.gather(*(agent.connect(plan.port) for agent in agents[at : at + _AT_ONCE]))
    print("connected", flush=True)
    while not os.path.exists(plan.go):  # noqa: ASYNC110, ASYNC240 - another process makes it
        await asyncio.sleep(0.02)
    cpu = time.process_time()
    await asyncio.gather(*(agent.run(plan.seconds) for agent in agents))
    cpu = time.process_time() - cpu
    return [
        {
            "name": group.name,
            "lines": group.lines,
            "cpu": cpu if at == 0 else 0.0,
            "streams": {agent.stream.hex(): agent.sent for agent in agents if agent.group is group},
            "took": [round(value, 2) for value in took],
        }
        for at, (group, took) in enumerate(results)
    ]


def main() -> None:
    """Run a plan."""
    if len(sys.argv) != 2:
        raise BenchError("usage: python -m benchmarks.fleet PLAN.json")
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    print(json.dumps(asyncio.run(_run(plan))))


if __name__ == "__main__":
    main()
