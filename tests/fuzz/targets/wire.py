"""A collector, as a process, and senders that say anything at all, while an honest one goes on beside them.

The collector has what decodes frames: processors, and sinks with a condition and with a path made of labels.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import grpc
from fuzz.mutate import INTEGERS, mutated
from fuzz.target import Target
from fuzz.targets.formats import frames, sealed
from hypothesis import strategies as st
from support.processes import Node, free_port, records, wait_for
from support.wire import INCARNATION, RawSender, frame, hello

from shipper.v1 import ingest_pb2 as pb

HONEST: Final = b"H" * 16
_MOST_KIB: Final = 400 * 1024
_ANSWER: Final = 60.0
"""Seconds; only a machine with much else to do takes more than a few."""

numbers: Final = st.integers(0, 3) | INTEGERS.map(lambda number: number % 2**64)
ids: Final = st.sampled_from([bytes(range(16)), b"", b"x" * 15, b"y" * 16, b"z" * 16, b"x" * 5000])
texts: Final = st.text(max_size=6) | st.sampled_from(["r" * 3000, "\0", "../..", "\u2028"])
hellos: Final = st.builds(
    lambda **given: pb.ShipRequest(hello=hello(**given)),
    stream=ids,
    incarnation=st.just(INCARNATION) | ids,
    epoch=st.just(1) | numbers,
    floor=st.just(1) | numbers,
    protocol=st.sampled_from([1, 1, 0, 2, 2**32 - 1]),
    floor_check=st.sampled_from([0, 1, 2**32 - 1]),
    labels=st.dictionaries(texts, texts, max_size=2),
    agent_version=texts,
)
bodies: Final = st.lists(sealed() | frames() | st.binary(max_size=80), max_size=3)
some_frames: Final = st.builds(
    lambda first, some: pb.ShipRequest(frames=pb.Frames(first=first, frames=some)), numbers, bodies
)
gaps: Final = st.builds(
    lambda first, last, count, reason: pb.ShipRequest(gap=pb.Gap(first=first, last=last, records=count, reason=reason)),
    numbers,
    numbers,
    st.none() | numbers,
    texts,
)
WORDS: Final = (
    b"\xff" * 10,
    b"\x0a\x00",
    b"\x12\xff\xff\xff\xff\x0f",
    b"\xf2\x7f\x00",
    b"\x0b" * 200,
    b"\x1a\x02\x10\x05",
)
"""Of protobuf: a number without end, empty and endless messages, unknown fields, groups in groups."""
messages: Final = (hellos | some_frames | some_frames | gaps).map(pb.ShipRequest.SerializeToString)
good_hello: Final = st.builds(
    lambda stream: pb.ShipRequest(hello=hello(stream=stream)).SerializeToString(),
    st.sampled_from([b"y" * 16, b"z" * 16, b"w" * 16]),
)
talks: Final = st.builds(
    lambda first, others: [first, *others],
    good_hello | good_hello | messages | mutated(messages, WORDS, 2),
    st.lists(messages | mutated(messages, WORDS, 2), max_size=5),
)


class Collector:
    """The process, and the honest sender."""

    def __init__(self) -> None:
        self._node: Node | None = None
        self._port = 0
        self._number = 0
        self._runner: asyncio.Runner | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """At its end: it never ended before, it wrote each honest line once and no traceback, and it starts again."""
        with tempfile.TemporaryDirectory() as name, asyncio.Runner() as self._runner:
            folder = Path(name)
            self._port, self._number = free_port(), 0
            self._node = Node(folder, "collector", _config(folder, self._port))
            try:
                self._node.start()
                wait_for(lambda: self._node is not None and self._node.up, "the collector is up")
                yield
                self._runner.run(self._honest())
                for _ in range(2):
                    assert self._node.stop() == 0
                    self._node.start()
                    wait_for(lambda: self._node is not None and self._node.up, "it starts again")
                wait_for(lambda: self._written(folder) >= self._number, "the honest lines are written")
                assert self._written(folder) == self._number
                assert "Traceback" not in self._node.log.read_text()
            finally:
                if self._node.running:
                    self._node.kill()

    def check(self, talk: Sequence[bytes]) -> None:
        """Whatever somebody says, the honest sender's next frame is acknowledged."""
        node = self._node
        assert node is not None
        assert self._runner is not None
        self._runner.run(self._talk(talk))
        assert node.running, node.log.read_text()[-3000:]
        assert _memory(node) < _MOST_KIB

    async def _talk(self, talk: Sequence[bytes]) -> None:
        async with RawSender(self._port) as sender:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                for message in talk:
                    await sender.send(message)
                await sender.call.done_writing()
            async with asyncio.timeout(_ANSWER):
                with suppress(grpc.aio.AioRpcError):
                    while isinstance(await sender.call.read(), bytes):
                        pass
        await self._honest()

    async def _honest(self) -> None:
        self._number += 1
        async with RawSender(self._port) as sender:
            await sender.hello(stream=HONEST)
            await sender.frames(self._number, [frame(self._number, "honest", HONEST)])
            await sender.acked(self._number + 1)

    def _written(self, folder: Path) -> int:
        out = folder / "honest" / "edge-1.ndjson"
        found = [str(each["message"]) for each in records(out)] if out.exists() else []
        honest = [text for text in found if text.endswith(" honest")]
        assert len({*honest}) == len(honest)
        return len(honest)


def _config(folder: Path, port: int) -> str:
    return (
        f"data_dir: {folder}/data\nspool: {{max_bytes: 64MiB}}\n"
        f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        "processors:\n  - parse_json: {where: \"startswith(message, '{')\"}\n  - drop: {where: \"level == 'never'\"}\n"
        f"sinks:\n  honest: {{type: file, path: '{folder}/honest/{{host}}.ndjson', where: 'host == \"edge-1\"'}}\n"
        f"  all: {{type: file, path: '{folder}/all/{{host}}/{{source}}.ndjson', identity: true}}\n"
    )


def _memory(node: Node) -> int:
    """KiB that the process has in memory."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


_COLLECTOR: Final = Collector()
TARGETS: Final = (Target("wire", talks, _COLLECTOR.check, examples=60, around=_COLLECTOR.running),)
