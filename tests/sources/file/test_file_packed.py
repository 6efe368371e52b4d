"""Reading compressed files at decompressed offsets."""

import gzip
import io
import os
import resource
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.sources.file.packed import KEEP, Kind, Packed, kind_of

KINDS: tuple[Kind, ...] = ("gzip", "zstd")
LINES = b"".join(b"line %d of many that look alike\n" % number for number in range(60_000))


@contextmanager
def archive(kind: Kind, data: bytes) -> Iterator[Packed]:
    """An open compressed file with these bytes on the disk."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Packed(file.fileno(), kind)


def pack(kind: Kind, data: bytes, *, sized: bool = True) -> bytes:
    """One member, or one frame with or without its size in the header."""
    if kind == "gzip":
        return gzip.compress(data, 6)
    if sized:
        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return _streamed(data)


def _streamed(data: bytes) -> bytes:
    out = io.BytesIO()
    with zstandard.ZstdCompressor(level=1).stream_writer(out, closefd=False) as writer:
        for at in range(0, len(data), 1000):
            writer.write(data[at : at + 1000])
            if at % 7000 == 0:
                writer.flush(zstandard.FLUSH_BLOCK)
    return out.getvalue()


def read_all(reader: Packed, size: int = 10_000) -> bytes:
    found = b""
    while data := reader.pread(size, len(found)):
        found += data
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=5), data=st.data())
def test_any_read_of_any_members_equals_the_whole(kind: Kind, parts: list[bytes], data: st.DataObject) -> None:
    """Forwards, backwards, across members and frames, skippable frames and padding between and after them."""
    packed_parts = [pack(kind, part * 20, sized=data.draw(st.booleans())) for part in parts]
    between = b"" if kind == "gzip" else data.draw(st.sampled_from([b"", b"\x53\x2a\x4d\x18\x03\0\0\0abc"]))
    padding = bytes(data.draw(st.integers(0, 3))) if kind == "gzip" else between
    whole = b"".join(part * 20 for part in parts)
    with archive(kind, between.join(packed_parts) + padding) as reader:
        for _ in range(6):
            at, size = data.draw(st.integers(0, len(whole) + 5)), data.draw(st.integers(0, len(whole) + 5))
            assert reader.pread(size, at) == whole[at : at + size]
        assert read_all(reader, 1 + data.draw(st.integers(0, 5000)) + len(whole) // 50) == whole
        assert (reader.end, reader.length) == ("complete", len(whole))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(parts=st.lists(st.binary(max_size=500), min_size=1, max_size=4), data=st.data())
def test_a_file_that_is_written_bit_by_bit_equals_the_whole(
    kind: Kind, parts: list[bytes], data: st.DataObject
) -> None:
    """What is there so far is a beginning of it, and it is complete at the ends of members only."""
    whole = b"".join(parts)
    members = [pack(kind, part) for part in parts]
    ends = {sum(map(len, members[: number + 1])) for number in range(len(members))}
    raw = b"".join(members)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=6)) | {len(raw)})
    with tempfile.TemporaryFile() as file:
        reader, written = Packed(file.fileno(), kind), 0
        for cut in cuts:
            file.write(raw[written:cut])
            file.flush()
            written = cut
            assert whole.startswith(reader.pread(len(whole) + 1, 0))
            assert reader.end == ("complete" if cut in ends else "growing")
        assert reader.pread(len(whole) + 1, 0) == whole


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=80)
@given(at=st.integers(0, 10**9), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_file_is_read_up_to_the_damage_and_never_raises(kind: Kind, at: int, flip: int, cut: bool) -> None:
    """What is read is a beginning of what was written, as far as a checksum can tell; the rest is known in bytes."""
    raw = pack(kind, LINES[:300_000])
    at %= len(raw)
    broken = raw[:at] if cut else raw[:at] + bytes([raw[at] ^ flip]) + raw[at + 1 :]
    with archive(kind, broken) as reader:
        found = read_all(reader)
        assert reader.end in (("growing",) if cut else ("growing", "damaged", "complete"))
        assert 0 <= reader.rest(len(broken)) <= len(broken)
        if reader.end == "damaged":
            assert reader.reason
            assert reader.length == len(found) or found == b""
        if cut:
            assert LINES.startswith(found)


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_before_the_damage_is_read(kind: Kind) -> None:
    """All but the piece or block that is damaged; what is behind it counts in compressed bytes."""
    noise = os.urandom(600_000)
    raw = bytearray(pack(kind, noise))
    at = len(raw) * 2 // 3
    raw[at : at + 200] = b"\xff" * 200
    with archive(kind, bytes(raw) + b"more") as reader:
        found = read_all(reader)
        if kind == "zstd":  # the checksum at the end tells, or the block
            assert len(found) >= at - 2 * 128 * 1024
        assert noise.startswith(found[: at - 300_000])
        assert reader.end == "damaged"
        assert 0 < reader.rest(len(raw) + 4) < len(raw)


def test_something_behind_the_end_is_damage() -> None:
    """It may have been log."""
    for kind in KINDS:
        with archive(kind, pack(kind, b"one\n") + b"two\n") as reader:
            assert read_all(reader) == b"one\n"
            assert (reader.end, reader.rest(len(pack(kind, b"one\n")) + 4)) == ("damaged", 4)
    with archive("gzip", pack("gzip", b"one\n") + b"\0\0x") as reader:
        assert read_all(reader) == b"one\n"
        assert reader.end == "damaged"


def test_a_zstd_window_is_bounded() -> None:
    """A frame that would need more memory is refused, and the message says what to do."""
    options = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    raw = zstandard.ZstdCompressor(compression_params=options).compressobj()
    with archive("zstd", raw.compress(LINES) + raw.flush()) as reader:
        assert read_all(reader) == b""
        assert (reader.end, "at most 8388608 are allowed; unpack it" in reader.reason) == ("damaged", True)


def _bomb(kind: Kind) -> bytes:
    """A small file with 256 MiB of one byte in it."""
    size = 1 << 28
    if kind == "gzip":
        raw = zlib.compressobj(9, zlib.DEFLATED, 31)
        piece = bytes(1 << 20)
        return b"".join(raw.compress(piece) for _ in range(size >> 20)) + raw.flush()
    block = (1 << 20 | 1 << 1).to_bytes(3, "little") + b"a"  # RLE: 128 KiB in 4 bytes
    blocks = block * (size // (1 << 17))
    return b"\x28\xb5\x2f\xfd\x00\x38" + blocks + b"\x01\0\0"


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_costs_no_memory(kind: Kind) -> None:
    """256 MiB are passed in steps; neither one read nor what is kept grows with it."""
    with archive(kind, _bomb(kind)) as reader:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert len(reader.pread(4096, (1 << 28) - 4096)) == 4096
        reader.pread(1, 1 << 28)
        assert (reader.end, reader.length) == ("complete", 1 << 28)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_far_behind_starts_over(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading on, or a long line again from its start, decompresses nothing twice."""
    fed = 0
    real = os.pread

    def counted(descriptor: int, size: int, at: int) -> bytes:
        nonlocal fed
        data = real(descriptor, size, at)
        fed += len(data)
        return data

    data = LINES * 4
    raw = pack(kind, data)
    monkeypatch.setattr(os, "pread", counted)
    with archive(kind, raw) as reader:
        at = 0
        while at < len(data):
            assert reader.pread(300_000, max(0, at - 256)) == data[max(0, at - 256) : max(0, at - 256) + 300_000]
            at += 200_000
        assert reader.pread(100, len(data) - KEEP) == data[len(data) - KEEP :][:100]
        assert fed <= len(raw)
        assert reader.pread(100, 0) == data[:100]
        assert fed > len(raw)


def test_a_name_and_the_first_bytes_say_what_is_packed() -> None:
    """A plain file with such a name is a plain file; an empty one is one that will be written."""
    cases = {
        ("a.gz", pack("gzip", b"x")): "gzip",
        ("a.zst", pack("zstd", b"x")): "zstd",
        ("a.zst", b"\x5f\x2a\x4d\x18\0\0\0\0"): "zstd",
        ("a.log", pack("gzip", b"x")): None,
        ("a.gz", b"a line\n"): None,
        ("a.zst", b"a line\n"): None,
        ("a.gz", b""): "gzip",
        ("a.zst", b""): "zstd",
    }
    for (name, data), kind in cases.items():
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            assert kind_of(name, file.fileno()) == kind
