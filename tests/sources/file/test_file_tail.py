"""Reading one generation: whole lines, verified at every look."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shipper.batch import Loss
from shipper.errors import SourceError
from shipper.sources.file import reading
from shipper.sources.file.framing import Chunk
from shipper.sources.file.identity import (
    NotRegular,
    Position,
    decode_position,
    encode_position,
    open_regular,
    reopen,
)
from shipper.sources.file.reading import read
from shipper.sources.file.tail import Gone, Tail
from shipper.sources.file.text import UTF_8

WINDOW = 64
RECORD = 200


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of a file that does not exist yet."""
    return str(tmp_path / "app.log")


@pytest.fixture
def tail(path: str) -> Iterator[Tail]:
    """A tail of that file, which is empty."""
    append(path, b"")
    tail = opened(path)
    yield tail
    tail.close()


def opened(path: str) -> Tail:
    tail = Tail(path, {"host": "edge-1"})
    descriptor, info = open_regular(path)
    tail.adopt(descriptor, info, path)
    return tail


def append(path: str, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def replace(path: str, data: bytes) -> None:
    """Truncate in place and write anew."""
    with open(path, "wb") as file:
        file.write(data)


def read_all(tail: Tail, *, flush: bool = False) -> list[Chunk]:
    chunks: list[Chunk] = []
    while True:
        chunk = read(tail, WINDOW, RECORD, flush=flush)
        if chunk is None and not tail.waiting:
            return chunks
        if chunk is not None:
            chunks.append(chunk)


def lines_of(chunks: list[Chunk]) -> list[bytes]:
    return [line for chunk in chunks if not chunk.too_long for line in chunk.data.split(b"\n")[:-1]]


def test_only_whole_lines_are_read(tail: Tail, path: str) -> None:
    """Half a line at the end waits for its newline; then it is read from its start."""
    append(path, b"one\ntw")
    assert lines_of(read_all(tail)) == [b"one"]
    assert (tail.offset, tail.unread, tail.waiting) == (4, 2, False)
    append(path, b"o\n")
    assert tail.look()
    assert read_all(tail) == [Chunk(4, 8, b"two\n")]


def test_a_chunk_holds_at_most_a_window_of_whole_lines(tail: Tail, path: str) -> None:
    """Or one line that is longer than the window."""
    append(path, b"a" * 30 + b"\n" + b"b" * 30 + b"\n" + b"c" * 150 + b"\nd\n")
    assert [(c.start, c.end) for c in read_all(tail)] == [(0, 62), (62, 213), (213, 215)]


def test_the_half_line_is_read_when_nothing_more_is_expected(tail: Tail, path: str) -> None:
    """And what follows it later is a record of its own."""
    append(path, b"one\nhal")
    assert read_all(tail, flush=True) == [Chunk(0, 4, b"one\n"), Chunk(4, 7, b"hal\n", partial=True)]
    append(path, b"f\n")
    assert read_all(tail) == [Chunk(7, 9, b"f\n")]


def test_nothing_is_read_from_the_stop_on(tail: Tail, path: str) -> None:
    """With a stop the line that stands across it is read up to it."""
    append(path, b"one\ntwo\n")
    tail.stop = 6
    assert read_all(tail) == [Chunk(0, 4, b"one\n"), Chunk(4, 6, b"tw\n", partial=True)]
    assert tail.unread == 0


def test_very_long_line_is_found_in_bounded_memory(tail: Tail, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The position stays at its start until its newline is there; then its beginning goes on, with its length."""
    reads: list[int] = []
    real = os.pread

    def counted(descriptor: int, size: int, at: int) -> bytes:
        reads.append(size)
        return real(descriptor, size, at)

    monkeypatch.setattr(os, "pread", counted)
    append(path, b"first\n" + b"z" * 5000)
    assert lines_of(read_all(tail)) == [b"first"]
    assert tail.offset == 6
    append(path, b"z" * 5000 + b"\nnext\n")
    long, following = read_all(tail)
    assert (long.start, long.end, long.too_long, long.partial) == (6, 10_007, 10_000, False)
    assert long.data == b"z" * RECORD + b"\n"
    assert tail.losses == [Loss(path, tail.generation, 6 + RECORD, 10_006, "too_long")]
    assert following == Chunk(10_007, 10_012, b"next\n")
    assert max(reads) <= 1024


def test_a_search_for_a_newline_takes_turns(tail: Tail, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read searches so much and no more, and says that it has to go on."""
    monkeypatch.setattr(reading, "_SEARCH", 1000)
    append(path, b"z" * 10_000)
    turns = 0
    while read(tail, WINDOW, RECORD) is None and tail.waiting:
        turns += 1
    assert turns >= 9
    assert tail.offset == 0


def test_truncation_begins_a_new_generation(tail: Tail, path: str) -> None:
    """What was there before is kept: a copy of it may hold the bytes that were not read."""
    append(path, b"one\ntwo\nhal")
    assert len(read_all(tail)) == 1
    before = tail.generation
    replace(path, b"new\n")
    assert read_all(tail) == [Chunk(0, 4, b"new\n")]
    assert tail.generation != before
    (left,) = tail.left
    assert (left.generation, left.offset, left.size, left.overwritten) == (before, 8, 11, True)


@pytest.mark.parametrize("header", [[], [b"#" * 50] * 40], ids=["no header", "same header"])
def test_copytruncate_a_file_that_shrank_and_grew_past_the_position_again_is_seen(
    tail: Tail, path: str, header: list[bytes]
) -> None:
    """By the hash of the bytes before the position."""
    start = b"".join(line + b"\n" for line in header)
    append(path, start + b"one\ntwo\n")
    read_all(tail)
    before = tail.generation
    replace(path, start + b"other lines\nand more of them\n")
    assert lines_of(read_all(tail)) == [*header, b"other lines", b"and more of them"]
    assert tail.generation != before


def test_a_half_line_that_shrank_is_read_as_it_is_now(tail: Tail, path: str) -> None:
    """What was searched for a newline before does not count any more."""
    append(path, b"one\nhalf of a")
    read_all(tail)
    with open(path, "r+b") as file:
        file.truncate(6)
        file.seek(6)
        file.write(b"\nthree\n")
    assert lines_of(read_all(tail)) == [b"ha", b"three"]


def test_a_file_that_was_written_anew_with_the_same_size_is_seen(tail: Tail, path: str) -> None:
    """By its time of modification, then by the hash of the bytes before the position."""
    append(path, b"one\n")
    read_all(tail)
    replace(path, b"two\n")
    os.utime(path, ns=(0, 10**9))  # whatever the granularity of the filesystem's clock
    assert tail.look()
    assert lines_of(read_all(tail)) == [b"two"]


def test_a_closed_file_is_found_again_under_another_name(tail: Tail, path: str) -> None:
    """In the same directory; its position goes on."""
    append(path, b"one\n")
    read_all(tail)
    tail.close()
    os.rename(path, path + ".1")
    append(path, b"not this one\n")
    append(path + ".1", b"two\n")
    assert read_all(tail) == [Chunk(4, 8, b"two\n")]
    assert tail.where == path + ".1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"one\n", b"two and three\n"),
        (b"#\n" * 600 + b"one\n", b"#\n" * 600 + b"two\nthree\n"),
        (b"one\n" + b"#\n" * 600, b"two\n" + b"#\n" * 601),
    ],
    ids=["all differs", "same first bytes", "same last bytes"],
)
def test_inode_reuse_of_a_closed_file_is_seen_when_it_is_opened(
    tail: Tail, path: str, before: bytes, after: bytes
) -> None:
    """Another content under the same inode number is another file."""
    append(path, before)
    read_all(tail)
    tail.close()
    replace(path, after)
    with pytest.raises(Gone):
        read(tail, WINDOW, RECORD)


def test_inode_reuse_alone_leads_nowhere(path: str) -> None:
    """A position without any byte to compare is not looked for under other names."""
    append(path, b"")
    tail = opened(path)
    tail.close()
    os.rename(path, path + ".unrelated")
    assert reopen(tail.position()) is None


def test_the_prefix_grows_with_the_file_up_to_1_kib(tail: Tail, path: str) -> None:
    """Identity works from the first byte on."""
    append(path, b"x\n")
    read_all(tail)
    assert tail.prefix_size == 2
    append(path, b"y" * 150 + b"\n")
    read_all(tail)
    assert tail.prefix_size == 153
    for _ in range(20):
        append(path, b"y" * 150 + b"\n")
        read_all(tail)
    assert tail.prefix_size == 1024


@given(st.binary(), st.binary(), st.integers(0, 2**64 - 1), st.integers(0, 2**63), st.integers(0, 1024), st.binary())
def test_positions_survive_the_spool(
    path: bytes, where: bytes, number: int, offset: int, prefix_size: int, hash_: bytes
) -> None:
    """What is written is read back."""
    position = Position(path, where, number, number, offset, offset + 1, prefix_size, hash_, hash_)
    assert decode_position((b"g" * 16).hex(), encode_position(position)) == (b"g" * 16, position)


NESTED = encode_position(Position(b"", b"", 1, 1, 1, 1, 1, b"", b""))
NESTED = b"\xdc" + (NESTED[2] + 1).to_bytes(2) + NESTED[3:] + b"\x91" * 10_000
"""A position with another field, as a later version may write it, nested beyond what can be decoded."""


@pytest.mark.parametrize(("key", "value"), [("not hex", b"\x90"), ("00", b"\xc1"), ("00", b""), ("00", NESTED)])
def test_a_position_that_cannot_be_read_is_an_error(key: str, value: bytes) -> None:
    """Guessing would double or lose lines."""
    with pytest.raises(SourceError, match="cannot be read"):
        decode_position(key, value)


def test_names_that_are_not_utf8_are_kept_and_shown(tmp_path: Path) -> None:
    """The position has the bytes, the label has text."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.log")
    append(path, b"x\n")
    tail = opened(path)
    assert tail.labels["file"] == f"{tmp_path}/\ufffd.log"
    again = Tail.resumed({}, tail.generation, decode_position("00", encode_position(tail.position()))[1])
    assert again.path == path
    tail.close()


def test_what_is_not_a_regular_file_is_never_opened(tmp_path: Path) -> None:
    """A FIFO without a writer would block for ever."""
    os.mkfifo(tmp_path / "fifo")
    for path, what in (("fifo", "a FIFO"), ("", "a directory")):
        with pytest.raises(NotRegular, match=what):
            open_regular(str(tmp_path / path))
    with pytest.raises(NotRegular, match="a device"):
        open_regular("/dev/null")


STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "replace", "reopen", "read"]), st.binary(max_size=40), st.integers(0, 3)),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(1, 80), st.integers(1, 120))
@example([("append", b"\0\1", 0)], 1, 1)
def test_every_line_is_read_once_whatever_happens_between_reads(
    tmp_path: Path, steps: list[tuple[str, bytes, int]], window: int, record: int
) -> None:
    """Appends in any pieces, truncation, closing and opening: the ranges of each generation join, and their bytes are
    the file's at the time.
    """
    reader = Reader(str(tmp_path / "steps.log"), window, record)
    for number, (step, data, newlines) in enumerate(steps):
        if step == "append":
            append(reader.path, data + b"\n" * newlines)
        elif step == "replace":  # told apart from what was there by its first byte, as logs are by their first lines
            replace(reader.path, b"%d:" % number + data)
        elif step == "reopen":
            reader.tail.close()
        reader.read_all()
    reader.tail.close()


class Reader:
    """Reads a file as the source does, and checks what it gets against the file."""

    def __init__(self, path: str, window: int, record: int) -> None:
        self.path = path
        self.window = window
        self.record = record
        self.covered: dict[bytes, int] = {}
        replace(path, b"")
        self.tail = opened(path)

    def read_all(self) -> None:
        """Up to the last newline of the file, and past NULs with which the half line after it begins."""
        while True:
            try:
                chunk = read(self.tail, self.window, self.record)
            except Gone:
                self.tail = opened(self.path)  # as the catalog does
                continue
            if chunk is not None:
                self.check(chunk)
            elif not self.tail.waiting:
                break
        there = Path(self.path).read_bytes()
        half = there[there.rfind(b"\n") + 1 :]
        written = half.lstrip(b"\0")
        assert self.tail.offset == len(there) - len(written or half)

    def check(self, chunk: Chunk) -> None:
        """A chunk follows the last one, and holds what the file holds."""
        assert chunk.start == self.covered.get(self.tail.generation, 0)
        self.covered[self.tail.generation] = chunk.end
        there = Path(self.path).read_bytes()[chunk.start : chunk.end]
        if chunk.too_long:
            assert len(there) - 1 == chunk.too_long > self.record
            assert there.startswith(chunk.data[:-1])
            assert chunk.kept == chunk.start + len(chunk.data) - 1
        else:
            assert UTF_8.lines(there, chunk.start, fresh=True).data == chunk.data
            assert max(map(len, chunk.data.split(b"\n"))) <= self.record
