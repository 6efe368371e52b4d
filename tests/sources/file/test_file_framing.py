"""Framing: from bytes to lines, the same for any split of the input."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.batch import Loss
from shipper.sources.file.framing import Chunk, Framer, cut_off, to_batch
from shipper.sources.file.text import UTF_8

LINES = st.lists(
    st.one_of(st.binary(max_size=6), st.sampled_from([b"", b"\r", b"\0" * 9, b"\xff\xfe", b"x" * 21, b"y" * 90]))
)


def chunks_of(pieces: list[bytes], max_bytes: int, max_record: int) -> list[Chunk]:
    framer = Framer(max_bytes, max_record)
    for piece in pieces:
        framer.feed(piece)
    framer.finish()
    found = []
    while (chunk := framer.take()) is not None:
        found.append(chunk)
    assert framer.held == 0
    return found


def records_of(chunks: list[Chunk]) -> list[tuple[bytes, int]]:
    """Each record's bytes, and its length where it was too long."""
    return [(record, chunk.too_long) for chunk in chunks for record in chunk.data.split(b"\n")[:-1]]


def beginning(line: bytes, size: int) -> bytes:
    """Of a line that is too long: whole characters."""
    return line[: UTF_8.whole(line[:size]) or size]


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(LINES, st.booleans(), st.lists(st.integers(0, 500)), st.integers(1, 40), st.integers(1, 40))
def test_any_split_of_the_input_gives_the_same_records(
    lines: list[bytes], ended: bool, cuts: list[int], max_bytes: int, max_record: int
) -> None:
    """Splits decide neither what a record is, nor whether it is too long, nor where the ranges are."""
    data = b"\n".join(lines) + (b"\n" if lines and ended else b"")
    chunks = chunks_of(split(data, cuts), max_bytes, max_record)
    *whole, half = data.split(b"\n")
    whole += [half] if half else []
    expected = [(beginning(line, max_record), len(line)) if len(line) > max_record else (line, 0) for line in whole]
    assert records_of(chunks) == expected
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks)][:-1]
    assert (chunks[-1].end if chunks else 0) == len(data)
    assert all(chunk.partial == (chunk is chunks[-1] and not data.endswith(b"\n")) for chunk in chunks)


@given(LINES, st.lists(st.integers(0, 500)), st.integers(1, 40), st.integers(1, 40))
def test_a_chunk_is_bounded_by_max_bytes_or_is_one_line(
    lines: list[bytes], cuts: list[int], max_bytes: int, max_record: int
) -> None:
    """No chunk is larger than asked for, unless it holds a single line."""
    data = b"".join(line + b"\n" for line in lines)
    for chunk in chunks_of(split(data, cuts), max_bytes, max_record):
        assert len(chunk.data) <= max_bytes or chunk.data.count(b"\n") <= 1


def test_lines_are_kept_verbatim() -> None:
    """Carriage returns, NUL bytes and invalid UTF-8 belong to the record."""
    (chunk,) = chunks_of([b"a\r\n\0\0\n\xff\xfe\n"], 100, 100)
    assert chunk == Chunk(0, 9, b"a\r\n\0\0\n\xff\xfe\n")


def test_a_long_line_is_never_held_whole() -> None:
    """Of a line that is too long so much is kept as fits into a record, and its length."""
    framer = Framer(256 * 1024, 100_000)
    for _ in range(1000):
        framer.feed(b"z" * 10_000)
        assert len(framer._half) <= 100_000
    framer.feed(b"\nnext\n")
    chunk = framer.take()
    assert chunk == Chunk(0, 10_000_001, b"z" * 100_000 + b"\n", too_long=10_000_000, kept=100_000)
    assert framer.take() == Chunk(10_000_001, 10_000_006, b"next\n")


def test_a_chunk_becomes_a_batch_whose_range_balances() -> None:
    """Read equals kept; a line that is too long is marked, and what does not go on is a loss."""
    batch = to_batch(Chunk(10, 14, b"a\nb\n"), "app", {"file": "/x"}, b"g" * 16)
    (span,) = batch.ranges
    assert (span.start, span.end, span.read, span.kept, span.failed, span.partial) == (10, 14, 2, 2, 0, False)
    assert batch.labels == {"file": "/x"}
    chunk = Chunk(10, 211, b"a" * 50 + b"\n", 200, kept=60)
    batch = to_batch(chunk, "app", {"file": "/x"}, b"g" * 16)
    (span,) = batch.ranges
    assert (span.start, span.end, span.read, span.kept, span.failed) == (10, 211, 1, 1, 0)
    assert batch.labels == {"file": "/x", "truncated": 200}
    assert cut_off(chunk, "/x", b"g" * 16) == [Loss("/x", b"g" * 16, 60, 210, "too_long")]
