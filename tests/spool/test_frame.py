"""The frame codec: what goes in comes out, and damage of any kind is noticed."""

import random
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.batch import Format, Origin, Payload, SourceRange
from shipper.errors import FrameError, FrameTooLarge, FutureFormat
from shipper.spool.frame import (
    HEADER_SIZE,
    MAX_DECODED,
    MAX_FRAME,
    MAX_READABLE,
    Frame,
    FrameMeta,
    crc32c,
    decode,
    draft,
    extend_crc32c,
    frame_size,
)

STREAM = b"0123456789abcdef"
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text())
labels = st.dictionaries(st.text(max_size=8), scalars, max_size=4)
ranges = st.lists(
    st.builds(
        SourceRange,
        st.text(max_size=8),
        st.binary(max_size=16),
        st.integers(0, 2**60),
        st.integers(0, 2**60),
        st.integers(0, 1000),
        st.integers(0, 1000),
        st.dictionaries(st.text(max_size=8), st.integers(0, 99), max_size=2),
        st.integers(0, 9),
        st.booleans(),
        st.text(max_size=8),
    ),
    max_size=3,
)
metas = st.builds(
    FrameMeta,
    labels,
    ranges,
    st.one_of(st.none(), st.builds(Origin, st.binary(min_size=16, max_size=16), st.integers(0, 2**60))),
    st.one_of(st.none(), st.lists(st.integers(0, 2**31), max_size=5)),
    st.one_of(st.none(), st.lists(st.integers(0, 2**31), max_size=5)),
)
OLD_FRAME = (
    "53485046010100003031323334353637383961626364656607000000000000000100000000000000010000003c00000002000000020000009be2bd"
    "099be2bd0971105a889681a4686f7374a1689199a3617070c4106767676767676767676767676767676700ccf00c0c81ad6b6565702f66696c7465"
    "7265640100c3c0c0c000610a"
)
"""As it was written while a ``SourceRange`` ended with ``partial``."""
line = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b""))
payloads = st.one_of(
    st.none(),
    st.lists(line, min_size=1, max_size=30).map(lambda all_: Payload.lines(b"".join(one + b"\n" for one in all_))),
    st.lists(st.binary(max_size=60), min_size=1, max_size=20).map(Payload.sized),
    st.integers(1, 200).map(lambda n: Payload(Format.NDJSON, b'{"a":1}\n' * n, n)),
)


@given(payloads, metas, st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1))
@settings(max_examples=150, deadline=None)
def test_a_frame_comes_out_as_it_went_in(payload: Payload | None, meta: FrameMeta, read_at: int, seq: int) -> None:
    made = draft(payload, meta, read_at)
    raw, check = made.stamp(STREAM, seq)
    frame = decode(raw)
    frame.verify()
    assert (frame.stream, frame.seq, frame.read_at, frame.check) == (STREAM, seq, read_at, check)
    assert frame.meta == meta
    assert frame.payload() == payload
    assert len(raw) == made.size == frame_size(raw)
    assert frame.records == (payload.count if payload else 0)


def test_a_frame_of_an_earlier_shipper_is_read_with_what_its_ranges_did_not_say_yet() -> None:
    frame = decode(bytes.fromhex(OLD_FRAME))
    frame.verify()
    assert frame.meta.ranges == [SourceRange("app", b"g" * 16, 0, 240, 12, 12, {"keep/filtered": 1}, 0, partial=True)]
    assert frame.meta.ranges[0].lost == ""


def small_frame() -> bytes:
    """Records that zstd makes smaller, labels, a range: everything that a frame has, in about 200 bytes."""
    payload = Payload.lines(b"the same line again\n" * 12)
    meta = FrameMeta({"host": "h"}, [SourceRange("app", b"g" * 16, 0, 240, 12, 12)])
    return draft(payload, meta, 1).stamp(STREAM, 7)[0]


def opened(raw: bytes) -> tuple[FrameMeta, Payload | None]:
    """All that a reader takes from a frame."""
    frame = decode(raw)
    frame.verify()
    return frame.meta, frame.payload()


def test_every_flipped_bit_of_a_frame_is_noticed() -> None:
    raw = small_frame()
    for bit in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            opened(bytes(damaged))


def test_every_cut_of_a_frame_and_every_byte_behind_it_is_noticed() -> None:
    raw = small_frame()
    for end in range(len(raw)):
        with pytest.raises(FrameError):
            decode(raw[:end])
    with pytest.raises(FrameError):
        decode(raw + b"\0")


@given(st.sampled_from([b"", b"SHPF", b"SHPF\1"]), st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_rubbish_is_refused_and_nothing_else_happens(begin: bytes, data: bytes) -> None:
    with pytest.raises(FrameError):
        opened(begin + data)


def forged(raw: bytes, at: int, field: bytes, payload: bytes | None = None) -> bytes:
    """A frame whose header says something else, with all checksums right: what a hostile peer can send."""
    meta_size, stored = struct.unpack_from("<II", raw, 44)
    meta = raw[HEADER_SIZE : HEADER_SIZE + meta_size]
    body = raw[HEADER_SIZE + meta_size :] if payload is None else payload
    header = bytearray(raw[: HEADER_SIZE - 4])
    struct.pack_into("<I", header, 48, len(body))
    struct.pack_into("<I", header, 56, crc32c(body))
    header[at : at + len(field)] = field
    check = extend_crc32c(crc32c(bytes(header)), meta)
    assert stored
    return bytes(header) + check.to_bytes(4, "little") + meta + body


def test_a_frame_of_a_newer_format_is_told_from_a_damaged_one() -> None:
    raw = small_frame()
    with pytest.raises(FutureFormat, match="format 2; this shipper reads up to 1"):
        decode(forged(raw, 4, b"\2"))
    with pytest.raises(FrameError):
        decode(forged(raw, 4, b"\0"))


def test_a_bomb_is_refused_before_anything_is_allocated() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(MAX_READABLE + 1))
    raw = small_frame()
    with pytest.raises(FrameError):
        decode(forged(raw, 52, (MAX_READABLE + 1).to_bytes(4, "little"), bomb))


@pytest.mark.parametrize("claimed", [0, 1, 239, 241, 10**6])
def test_a_payload_that_lies_about_its_size_is_refused(claimed: int) -> None:
    with pytest.raises(FrameError):
        decode(forged(small_frame(), 52, claimed.to_bytes(4, "little"))).payload()


def test_a_payload_whose_zstd_header_lies_is_refused() -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_content_size=True).compress(b"x\n" * 5000))
    small = zstandard.ZstdCompressor(write_content_size=False).compress(b"x\n" * 120)
    for payload in (bytes(packed), small, bytes(packed) + b"more", b"not zstd at all"):
        with pytest.raises(FrameError):
            decode(forged(small_frame(), 52, (240).to_bytes(4, "little"), payload)).payload()


@pytest.mark.parametrize(
    ("at", "field"),
    [(5, b"\4"), (5, b"\0"), (6, b"\2"), (40, b"\0\0\0\0"), (40, b"\xff\0\0\0"), (40, b"\x0b\0\0\0")],
    ids=["unknown format", "no format", "unknown codec", "no records", "more records", "fewer records"],
)
def test_a_header_that_does_not_fit_its_payload_is_refused(at: int, field: bytes) -> None:
    with pytest.raises(FrameError):
        opened(forged(small_frame(), at, field))


def test_sized_records_that_do_not_add_up_are_refused() -> None:
    for data, count in ((b"\5\0\0\0abc", 1), (b"\1\0\0\0a\1", 1), (b"\1\0\0\0a", 2)):
        raw = draft(Payload(Format.SIZED, data, count), FrameMeta({}, []), 0).stamp(STREAM, 1)[0]
        with pytest.raises(FrameError):
            decode(raw).payload()


def test_metadata_that_is_no_metadata_is_a_frame_error() -> None:
    made = draft(None, FrameMeta({}, []), 0)
    made.meta = b"\xc1rubbish"
    frame = decode(made.stamp(STREAM, 1)[0])
    with pytest.raises(FrameError, match="metadata"):
        assert frame.labels


def test_metadata_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    made = draft(None, FrameMeta({"a": 1}, []), 0)
    made.meta = bytes([made.meta[0] + 1]) + made.meta[1:] + b"\xa4more"
    assert decode(made.stamp(STREAM, 1)[0]).labels == {"a": 1}


def test_a_batch_over_the_limits_is_refused() -> None:
    noise = random.Random(1).randbytes(MAX_FRAME)
    with pytest.raises(FrameTooLarge):
        draft(Payload.sized([noise]), FrameMeta({}, []), 0)
    with pytest.raises(FrameTooLarge):
        draft(Payload.sized([bytes(MAX_DECODED)]), FrameMeta({}, []), 0)


def test_a_thinned_frame_keeps_the_original_check() -> None:
    whole = draft(Payload.lines(b"a\nb\n"), FrameMeta({}, []), 0)
    thin = draft(Payload.lines(b"a\n"), FrameMeta({}, []), 0, thinned_from=whole.crc)
    frame = decode(thin.stamp(STREAM, 1)[0])
    assert frame.original_crc == whole.crc != frame.crc
    empty = decode(draft(None, FrameMeta({}, []), 0, thinned_from=whole.crc).stamp(STREAM, 1)[0])
    assert empty.original_crc == whole.crc
    assert empty.payload() is None


def test_records_keep_the_identity_of_their_first_frame() -> None:
    def frame_with(meta: FrameMeta) -> Frame:
        return decode(draft(Payload.lines(b"a\nb\n"), meta, 0).stamp(STREAM, 9)[0])

    assert frame_with(FrameMeta({}, [])).identities() == (STREAM, 9, range(2))
    origin = Origin(b"other-stream-id!", 4)
    assert frame_with(FrameMeta({}, [], origin, [3, 5])).identities() == (origin.stream, 4, [3, 5])


@pytest.mark.parametrize("records", [2000, 12_000])
def test_a_payload_of_any_size_is_stored_as_zstd_packs_256_kib_at_level_1(records: int) -> None:
    data = b"".join(b'{"number":%d,"text":"%d"}\n' % (n, n * n % 997) for n in range(records))
    levels = [zstandard.ZstdCompressionParameters.from_level(level, source_size=256 * 1024) for level in (1, 2, 3)]
    packed = [zstandard.ZstdCompressor(compression_params=level).compress(data) for level in levels]
    assert len(set(packed)) == 3
    stored = draft(Payload(Format.NDJSON, data, records), FrameMeta({}, []), 0).payload
    assert stored == packed[0]
    assert len(stored) <= 1.01 * len(zstandard.ZstdCompressor(level=1).compress(data))
