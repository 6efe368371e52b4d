"""Segments, entries and their bodies: sans-IO."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.spool_model import frame_of

from shipper.batch import DeadLetter
from shipper.errors import FrameError, FutureFormat, SpoolError
from shipper.spool.body import (
    Body,
    CursorValue,
    GapNote,
    Mark,
    Position,
    Snapshot,
    decode_body,
    decode_snapshot,
    encode_body,
    encode_snapshot_file,
)
from shipper.spool.frame import crc32c, extend_crc32c
from shipper.spool.segment import (
    ENVELOPE_SIZE,
    HEADER_SIZE,
    NUMBERED,
    Entry,
    EntryType,
    Envelope,
    SegmentHeader,
    find_entry,
    read_entry,
)

HEADER = SegmentHeader(3, 0x1234_5678_9ABC_DEF0, 131072, b"0123456789abcdef", 17, 5)
numbers = st.integers(0, 2**63)
words = st.integers(0, 2**32 - 1)
marks = st.builds(Mark, numbers, numbers, st.binary(max_size=16), words)
letters = st.builds(
    DeadLetter,
    st.binary(max_size=20),
    numbers,
    st.text(max_size=5),
    st.text(max_size=5),
    st.dictionaries(st.text(max_size=4), st.one_of(st.text(max_size=4), st.integers(0, 9)), max_size=2),
    st.text(max_size=4),
    st.binary(max_size=16),
    numbers,
    numbers,
    numbers,
)
gaps = st.builds(GapNote, st.binary(max_size=16), numbers, numbers, st.integers(-1, 99), st.text(max_size=9))
bodies = st.builds(
    Body,
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=9)), max_size=3),
    st.lists(letters, max_size=2),
    st.one_of(st.none(), st.tuples(st.binary(min_size=16, max_size=16), marks)),
    st.one_of(st.none(), gaps),
)
positions = st.builds(Position, numbers, numbers)
snapshots = st.builds(
    Snapshot,
    st.dictionaries(st.text(max_size=5), st.binary(max_size=9), max_size=3),
    st.dictionaries(st.binary(min_size=16, max_size=16), marks, max_size=2),
    st.dictionaries(st.text(max_size=5), st.builds(CursorValue, numbers, positions, words, positions), max_size=2),
    st.lists(st.tuples(numbers, numbers), max_size=3),
)


def entry_at(offset: int, body: bytes = b"", seq: int = 17) -> bytes:
    """A whole entry with a frame, as it stands at ``offset`` of the segment."""
    frame, check = frame_of(1, 30).stamp(HEADER.stream, seq)
    envelope = Envelope(EntryType.DATA, NUMBERED, seq, 64, len(frame), len(body), check, crc32c(body))
    return envelope.encode(HEADER.seed(offset)) + frame + body


def entry_in(data: bytes, at: int, offset: int, header: SegmentHeader) -> Entry | None:
    """The entry at ``data[at:]``, if a whole one that belongs to ``offset`` of the segment stands there."""
    return read_entry(data, at, offset, Envelope.decode(data, at, header.seed(offset)))


@given(bodies)
@settings(max_examples=60, deadline=None)
def test_a_body_comes_out_as_it_went_in(body: Body) -> None:
    assert decode_body(encode_body(body)) == body


@given(snapshots)
@settings(max_examples=60, deadline=None)
def test_a_snapshot_comes_out_as_it_went_in_from_an_entry_and_from_a_file(snapshot: Snapshot) -> None:
    data = encode_body(snapshot)
    assert decode_snapshot(data) == snapshot
    assert decode_snapshot(b"", encode_snapshot_file(data)) == snapshot


def test_every_flipped_bit_and_every_cut_of_a_snapshot_file_is_noticed() -> None:
    data = encode_snapshot_file(encode_body(Snapshot({"a": b"b"}, {}, {}, [(1, 1)])))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_snapshot(b"", bytes(damaged)) is None
    for end in range(len(data)):
        assert decode_snapshot(b"", data[:end]) is None


def test_a_body_that_is_none_is_a_spool_error() -> None:
    with pytest.raises(SpoolError):
        decode_body(b"\xc1")
    assert decode_snapshot(b"\xc1") is None


@given(numbers, numbers, st.integers(0, 2**40), st.binary(min_size=16, max_size=16), numbers, words)
@settings(max_examples=60, deadline=None)
def test_a_segment_header_comes_out_as_it_went_in(
    number: int, salt: int, size: int, stream: bytes, first: int, epoch: int
) -> None:
    header = SegmentHeader(number, salt, size, stream, first, epoch)
    assert SegmentHeader.decode(header.encode(), "x") == header
    assert len(header.encode()) == HEADER_SIZE


def test_every_flipped_bit_and_every_cut_of_a_segment_header_is_noticed() -> None:
    data = HEADER.encode()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SpoolError):
            SegmentHeader.decode(bytes(damaged), "x")
    for end in range(len(data)):
        with pytest.raises(SpoolError):
            SegmentHeader.decode(data[:end], "x")


def test_a_segment_of_a_newer_format_is_told_from_a_damaged_one() -> None:
    data = bytearray(HEADER.encode()[:-4])
    data[4] = 2
    with pytest.raises(FutureFormat, match="format 2; this shipper reads up to 1"):
        SegmentHeader.decode(bytes(data) + crc32c(bytes(data)).to_bytes(4, "little"), "x")


@given(bodies, st.integers(64, 2**31), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_an_entry_comes_out_as_it_went_in(body: Body, offset: int, at: int) -> None:
    data = encode_body(body)
    entry = entry_in(bytes(at) + entry_at(offset, data), at, offset, HEADER)
    assert entry is not None
    assert (entry.body, entry.end, entry.envelope.next) == (data, offset + entry.envelope.size, 18)
    assert entry.open_frame().seq == 17


def test_an_entry_is_valid_at_its_own_place_only() -> None:
    data = entry_at(64)
    assert entry_in(data, 0, 64, HEADER) is not None
    assert entry_in(data, 0, 65, HEADER) is None
    assert entry_in(data, 0, 64, SegmentHeader(4, HEADER.salt, 131072, HEADER.stream, 17, 5)) is None
    assert entry_in(data, 0, 64, SegmentHeader(3, HEADER.salt + 1, 131072, HEADER.stream, 17, 5)) is None


def test_every_flipped_bit_and_every_cut_of_an_entry_is_noticed() -> None:
    body = encode_body(Body({"key": b"value"}))
    data = entry_at(64, body)

    def whole(data: bytes) -> Entry | None:
        entry = entry_in(data, 0, 64, HEADER)
        try:
            return entry if entry is not None and entry.open_frame() else None
        except FrameError:
            return None

    assert whole(data) is not None
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert whole(bytes(damaged)) is None
    for end in range(len(data)):
        assert whole(data[:end]) is None


def test_a_frame_that_is_not_the_envelopes_own_is_noticed() -> None:
    data, other = entry_at(64), frame_of(2, 30).stamp(HEADER.stream, 17)[0]
    swapped = entry_in(data[:ENVELOPE_SIZE] + other, 0, 64, HEADER)
    assert swapped is not None
    with pytest.raises(FrameError, match="not the one"):
        swapped.open_frame()


def test_an_entry_of_an_unknown_type_was_written_by_a_newer_shipper() -> None:
    head = bytearray(entry_at(64)[: ENVELOPE_SIZE - 4])
    head[4] = 9
    check = extend_crc32c(HEADER.seed(64), bytes(head)).to_bytes(4, "little")
    with pytest.raises(FutureFormat):
        Envelope.decode(bytes(head) + check, 0, HEADER.seed(64))


@given(st.binary(max_size=200), st.binary(max_size=50))
@settings(max_examples=100, deadline=None)
def test_resynchronising_finds_the_next_entry_behind_anything(rubbish: bytes, more: bytes) -> None:
    rubbish = b"SHPE" + rubbish + b"SHPESHPE"
    entry = entry_at(64 + len(rubbish))
    assert find_entry(rubbish + entry + more, 0, 64, HEADER) == len(rubbish)
    assert find_entry(rubbish + more, 0, 64, HEADER) == -1
