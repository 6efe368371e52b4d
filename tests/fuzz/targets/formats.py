"""What stands on disk and in frames, damaged in every way, also by somebody who seals it again."""

import struct
from typing import Final, NamedTuple

import msgspec
from fuzz.mutate import INTEGERS, mutated
from fuzz.target import Target
from hypothesis import strategies as st

from shipper.batch import Batch, Format, Labels, Origin, Payload, SourceRange
from shipper.chain.decode import records_of
from shipper.chain.flat import flat_lines
from shipper.chain.run import Chain
from shipper.errors import FrameError, FutureFormat, SpoolError
from shipper.processor import Processor
from shipper.sinks.base import Item
from shipper.sinks.kafka.headers import headers_of
from shipper.sinks.thin import Thinner
from shipper.spool.frame import FrameMeta, crc32c, decode, draft, extend_crc32c, frame_size
from shipper.spool.segment import HEADER_SIZE, EntryType, Envelope, SegmentHeader, find_entry, read_entry
from shipper.wire.checked import checked
from shipper.wire.refusal import Refusal
from shipper_processors.add_fields import AddFields
from shipper_processors.parse_json import ParseJson

STREAM: Final = bytes(range(16))
WORDS: Final = (
    *(b"\xa1\xff", b"\x91" * 2000, b"\x91" * 40, b"\x81\xa1a" * 100, b"\xd7\xff" + b"\xff" * 8, b"\xc7\x02\x05ab"),
    *(b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8, b"\xc0"),
    *(
        b"\xd3\x80" + bytes(7),
        b"\xcb\x7f\xf0" + bytes(6),
        b"\xcb\x7f\xf8" + bytes(6),
        b"\x80",
        b"\x90",
        b"SHPF",
        b"SHPE",
    ),
)
"""Of msgpack: text that is none, deep nesting, odd times, extensions, lengths that are only claimed, large numbers."""
pack: Final = msgspec.msgpack.Encoder().encode

lines = st.lists(
    st.sampled_from([b"a", b"", b'{"level":"error","a":1}', b'{"host":1}', b"{", b"\xff", b"x" * 200]), min_size=1
)
payloads = st.one_of(
    st.none(),
    lines.map(lambda some: Payload.lines(b"".join(line + b"\n" for line in some))),
    lines.map(Payload.sized),
    lines.map(lambda some: Payload(Format.NDJSON, b"".join(line + b"\n" for line in some), len(some))),
)
labels: st.SearchStrategy[Labels] = st.dictionaries(
    st.sampled_from(["host", "source", "file", "_index", "labels", "message", "", "l\xe9"]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats()
        | st.text(max_size=5)
        | st.binary(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
ranges = st.builds(SourceRange, st.text(max_size=5), st.binary(max_size=16), INTEGERS, INTEGERS, INTEGERS, INTEGERS)
indices = st.none() | st.lists(INTEGERS, max_size=4)
metas = st.builds(
    FrameMeta,
    labels,
    st.lists(ranges, max_size=2),
    st.none() | st.builds(Origin, st.binary(max_size=17), INTEGERS),
    indices,
    indices,
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Whole frames."""
    read_at = draw(st.sampled_from([0, 1_700_000_000_000_000, -(2**63), 2**63 - 1]))
    made = draft(draw(payloads), FrameMeta({"host": "h"}, []), read_at)
    made.meta = pack(draw(metas))
    return made.stamp(STREAM, draw(st.integers(0, 2**64 - 1)))[0]


@st.composite
def sealed(draw: st.DrawFn) -> bytes:
    """Frames with mistakes in them whose checksums hold all the same."""
    whole = decode(draw(frames()))
    meta = draw(mutated(st.just(whole.raw[68 : 68 + whole.meta_size]), WORDS, 2))
    stored = draw(mutated(st.just(whole.raw[68 + whole.meta_size :]), WORDS, 2))
    head = bytearray(whole.raw[:64])
    struct.pack_into("<II", head, 44, len(meta), len(stored))
    struct.pack_into("<II", head, 56, crc32c(stored), crc32c(stored))
    for at, form, number in draw(
        st.lists(st.tuples(st.sampled_from([4, 5, 6, 7]), st.just("<B"), st.integers(0, 4)), max_size=1)
    ):
        struct.pack_into(form, head, at, number)
    if draw(st.booleans()):
        at = draw(st.sampled_from([40, 52]))  # records, length decoded
        struct.pack_into("<I", head, at, draw(st.sampled_from([0, 1, 2, len(stored), 2**31, 2**32 - 1])))
    check = extend_crc32c(crc32c(bytes(head)), meta)
    return bytes(head) + check.to_bytes(4, "little") + meta + stored


class _Spec(NamedTuple):
    name: str
    processor: Processor


def read_frame(raw: bytes) -> None:
    """A frame that was damaged is told from the whole one: where all checks hold, it is one."""
    frame_size(raw)
    frame = decode(raw)
    frame.verify()
    payload = frame.payload()
    _ = frame.meta, frame.identities(), frame.original_check
    assert (payload.count if payload else 0) == frame.records


def use_frame(raw: bytes) -> None:
    """What a collector takes, all of its readers stand."""
    frame = checked(1, raw)
    for identity in (False, True):
        try:
            made = flat_lines(frame, identity=identity, read_at=True)
        except FrameError:
            continue
        assert len(made) == frame.records
        assert all(isinstance(msgspec.json.decode(line), dict) for line in made)
        if made:  # as the Kafka sink does
            headers_of(frame)
        assert len(records_of(frame)) == frame.records
    (kept,), _ = Thinner("level == 'error' or contains(message, 'x')").thin([Item(1, frame)])
    assert kept.seq == 1
    chain = Chain([_Spec("json", ParseJson()), _Spec("add", AddFields(fields={"a": 1}))], "edge", lambda: 1 << 20)
    span = SourceRange("edge", STREAM, 1, 2, read=frame.records, kept=frame.records)
    done = chain.run(Batch("edge", frame.labels, frame, [span], frame.read_at))
    (counted,) = done.ranges
    assert counted.kept + counted.failed + sum(counted.dropped.values()) == frame.records


HEADER: Final = SegmentHeader(7, 99, 1 << 20, STREAM, 5, 3)


@st.composite
def segments(draw: st.DrawFn) -> bytes:
    """A segment of some entries; what is damaged is sometimes sealed again."""
    data = HEADER.encode()
    for seq in range(5, 5 + draw(st.integers(0, 4))):
        frame = draw(st.just(b"") | frames())
        body = draw(mutated(st.just(pack([{"key": b"v"}, [], None, None, None])), WORDS, 2))
        check = decode(frame).check if frame else 0
        envelope = Envelope(
            draw(st.sampled_from(EntryType)), 1, seq, len(data), len(frame), len(body), check, crc32c(body)
        )
        data += envelope.encode(HEADER.seed(len(data))) + frame + body
    return draw(mutated(st.just(data), WORDS, 2))


def read_segment(data: bytes) -> None:
    """From one entry to the next, over whatever stands between: always forwards, and only whole ones."""
    header = SegmentHeader.decode(data, "7.seg")
    assert header.encode() == data[:HEADER_SIZE]
    at = HEADER_SIZE
    while 0 <= at < len(data):
        entry = read_entry(data, at, at, Envelope.decode(data, at, header.seed(at)))
        if entry is None:
            behind = find_entry(data, at + 1, 0, header)
            assert behind == -1 or behind > at
            at = behind
            continue
        assert at < entry.end <= len(data)
        at = entry.end
        if entry.frame:
            try:
                entry.open_frame().payload()
            except (FrameError, FutureFormat):
                continue


TARGETS: Final = (
    Target("frame", mutated(frames(), WORDS), read_frame, (FrameError, FutureFormat)),
    Target("frame, sealed again", sealed(), use_frame, (Refusal,)),
    Target("segment", segments(), read_segment, (SpoolError, FutureFormat)),
)
