"""What senders say that only somebody who means no good would say: nothing of it may reach the spool."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard
from support.processes import Node, free_port, wait_for
from support.wire import STREAM, RawSender, frame

from shipper.batch import Payload
from shipper.errors import FrameError, FrameTooLarge
from shipper.spool.frame import MAX_RECORDS, FrameDraft, FrameMeta, crc32c, decode, draft
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.checked import LARGEST, check_gap, checked
from shipper.wire.refusal import Refusal

pack: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
DEEP = b"\x92\x81\xa1a" + b"\x91" * 100_000 + b"\xc0\x90"
SOME_DEEP = b"\x92\x81\xa1a" + b"\x91" * 500 + b"\xc0\x90"
NO_TEXT = b"\x92\x81\xa1\xff\xc0\x90"
EXTENSION = b"\x92\x81\xa1a\xc7\x02\x05ab\x90"


def sealed(meta: bytes, seq: int = 1, records: int = 1) -> bytes:
    """A frame of one line whose checksums hold, whatever its metadata is."""
    line = b"1\n"
    made = FrameDraft(1, 0, records, 0, meta, line, len(line), crc32c(line), crc32c(line))
    return made.stamp(STREAM, seq)[0]


def ranged(start: int, end: int, read: int = 1) -> bytes:
    return pack([{}, [["app", b"g" * 16, start, end, read]]])


@pytest.mark.parametrize("meta", [DEEP, NO_TEXT, b"", b"\x92"], ids=["too deep", "no text", "empty", "cut"])
def test_metadata_that_cannot_be_read_is_damage(meta: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        checked(1, sealed(meta))
    assert refused.value.reason == pb.Refused.DAMAGED
    with pytest.raises(FrameError, match="the metadata cannot be read"):
        _ = decode(sealed(meta)).meta


@pytest.mark.parametrize(
    "raw",
    [
        sealed(SOME_DEEP),
        sealed(EXTENSION),
        sealed(ranged(-1, 5)),
        sealed(ranged(6, 5)),
        sealed(ranged(0, LARGEST + 1)),
        sealed(ranged(0, 5, 2**64 - 1)),
        sealed(pack([{}, []]), LARGEST + 1),
    ],
    ids=["deep labels", "an extension", "before the file", "backwards", "too far", "too many", "its own number"],
)
def test_what_nobody_could_keep_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        checked(1, raw)
    assert refused.value.reason == pb.Refused.PROTOCOL


def test_a_frame_of_more_records_than_its_bytes_can_hold_is_damage() -> None:
    """Two bytes that claim four billion records kept a collector's worker busy with counting them."""
    with pytest.raises(Refusal) as refused:
        checked(1, sealed(pack([{}, []]), records=2**32 - 1))
    assert refused.value.reason == pb.Refused.DAMAGED


def test_a_frame_of_more_records_than_a_shipper_writes_is_refused() -> None:
    """A thousand bytes of empty lines, compressed, are gigabytes of records."""
    lines = b"\n" * (MAX_RECORDS + 1)
    stored = zstandard.compress(lines)
    made = FrameDraft(1, 1, len(lines), 0, pack([{}, []]), stored, len(lines), crc32c(stored), crc32c(stored))
    with pytest.raises(Refusal) as refused:
        checked(1, made.stamp(STREAM, 1)[0])
    assert refused.value.reason == pb.Refused.TOO_LARGE
    with pytest.raises(FrameTooLarge):
        draft(Payload.lines(lines), FrameMeta({}, []), 0)


def test_labels_may_be_nested() -> None:
    meta = pack([{"host": "h", "team": {"names": ["a", {"b": None}]}}, [["app", b"", 0, LARGEST]]])
    assert checked(1, sealed(meta)).labels["team"] == {"names": ["a", {"b": None}]}


@pytest.mark.parametrize("gap", [{"last": 2**64 - 1}, {"last": 5, "records": 2**63}, {"last": 5, "reason": "r" * 2000}])
def test_a_gap_that_nobody_could_keep_is_refused(gap: dict[str, int]) -> None:
    with pytest.raises(Refusal) as refused:
        check_gap(pb.Gap(first=1, **gap))  # type: ignore[arg-type]
    assert refused.value.reason == pb.Refused.PROTOCOL


async def test_a_gap_to_the_end_of_all_numbers_does_not_end_a_collector(tmp_path: Path) -> None:
    """The spool's writer could not count on from there, and a writer that fails ends the process."""
    port = free_port()
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/data\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        "sinks: {out: {type: blackhole}}\n",
    )
    collector.start()
    wait_for(lambda: collector.up, "the collector is up")
    async with RawSender(port) as sender:
        await sender.hello()
        await sender.send(pb.ShipRequest(gap=pb.Gap(first=1, last=2**64 - 1)))
        assert (await sender.refused()).reason == pb.Refused.PROTOCOL
    async with RawSender(port) as sender:
        await sender.hello()
        await sender.frames(1, [frame(1)])
        await sender.acked(2)
    assert collector.stop() == 0
