"""Reading real files that grow: the records are those of the whole, whatever stands in them and however it came."""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shipper.sources.file import FileSource, reading
from shipper.sources.file.framing import Chunk
from shipper.sources.file.identity import open_regular
from shipper.sources.file.reading import PLAIN, Rules, read
from shipper.sources.file.tail import Tail
from shipper.sources.file.text import Encoding
from shipper.units import ByteSize, Duration

RECORD = 1000
Open = Callable[[bytes], Tail]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of a file that does not exist yet."""
    return str(tmp_path / "app.log")


@pytest.fixture
def tail_of(path: str) -> Iterator[Open]:
    """Writes a file and opens it."""
    tails = []

    def made(data: bytes) -> Tail:
        tails.append(opened(path, data))
        return tails[-1]

    yield made
    for tail in tails:
        tail.close()


def opened(path: str, data: bytes) -> Tail:
    Path(path).write_bytes(data)
    tail = Tail(path, {})
    descriptor, info = open_regular(path)
    tail.adopt(descriptor, info, path)
    return tail


def append(path: str, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def read_all(tail: Tail, rules: Rules, window: int = 64, *, flush: bool = False) -> list[Chunk]:
    chunks = []
    while (chunk := read(tail, window, RECORD, rules, flush=flush)) is not None or tail.waiting:
        if chunk is not None:
            chunks.append(chunk)
    return chunks


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all reads from now on."""
    sizes: list[int] = []
    real = os.pread

    def pread(descriptor: int, size: int, at: int) -> bytes:
        sizes.append(size)
        return real(descriptor, size, at)

    monkeypatch.setattr(os, "pread", pread)
    return sizes


def records(chunks: list[Chunk]) -> list[bytes]:
    return [line for chunk in chunks for line in chunk.data.split(b"\n")[:-1]]


ENCODINGS = ["utf-8", "auto", "utf-16", "utf-16-be", "utf-32-le", "latin-1", "gbk", "shift_jis", "cp037", "binary"]
PARTS = st.one_of(
    st.sampled_from(
        ["\n", "\r\n", "\n\n", "\0" * 3, "\0" * 150, "\n\0\0", "x" * 39, "x" * 40, "x" * 41, "好" * 130, "\ufeff"]
    ),
    st.text(max_size=8),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(ENCODINGS),
    st.lists(st.one_of(PARTS, st.binary(max_size=4)), max_size=14),
    st.lists(st.integers(0, 3000), max_size=6),
    st.sampled_from([1, 7, 64, 5000]),
    st.sampled_from([40, 10_000]),
    st.sampled_from(["truncate", "split"]),
    st.sampled_from([5, 16 * 1024 * 1024]),
)
def test_half_a_line_long_lines_holes_and_encodings_give_the_same_records_however_a_file_grows(
    tmp_path_factory: pytest.TempPathFactory,
    encoding: str,
    parts: list[str | bytes],
    cuts: list[int],
    window: int,
    limit: int,
    long_lines: Literal["truncate", "split"],
    search: int,
) -> None:
    """For any window, in any pieces; the ranges join, and what is cut off follows from the file alone."""
    codec = "utf-8" if encoding in ("auto", "binary") else encoding.replace("utf-16", "utf-16-le", encoding == "utf-16")
    data = b"".join(part if isinstance(part, bytes) else part.encode(codec, "ignore") for part in parts)
    rules = Rules(Encoding(encoding), limit, long_lines)
    folder = tmp_path_factory.getbasetemp()
    whole = opened(str(folder / "whole.log"), data)
    expected = read_all(whole, rules, 10_000) + read_all(whole, rules, 10_000, flush=True)
    tail = opened(str(folder / "grown.log"), b"")
    chunks = []
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_SEARCH", search)
        for begin, end in zip([0, *places], [*places, len(data)], strict=True):
            append(tail.path, data[begin:end])
            chunks += read_all(tail, rules, window)
        chunks += read_all(tail, rules, window, flush=True)
    assert records(chunks) == records(expected)
    assert [chunk.too_long for chunk in chunks if chunk.too_long] == [c.too_long for c in expected if c.too_long]
    assert [(loss.start, loss.end) for loss in tail.losses] == [(loss.start, loss.end) for loss in whole.losses]
    assert sum(chunk.holes for chunk in chunks) == sum(chunk.holes for chunk in expected)
    assert sum(chunk.replaced for chunk in chunks) == sum(chunk.replaced for chunk in expected)
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks)][: len(chunks)]
    assert tail.offset == whole.offset
    assert all(len(record) <= RECORD for record in records(chunks))
    tail.close()
    whole.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "utf9"}, "encoding 'utf9' is not known; did you mean '"),
        ({"encoding": "utf-7"}, "encoding 'utf-7' cannot be read line by line"),
        (
            {"encoding": "utf-16", "container": "cri"},
            "container needs encoding utf-8, which runtimes write; found utf-16",
        ),
        ({"encoding": "binary", "container": "auto"}, "container needs encoding utf-8"),
        (
            {"max_line_bytes": ByteSize(10)},
            "max_line_bytes must be 64B to 1MiB, found 10B: of so short .* nothing useful",
        ),
        ({"max_line_bytes": ByteSize.parse("10MiB")}, "found 10MiB: what is longer .* long_lines: split"),
        ({"flush_partial_after": Duration(0)}, "flush_partial_after must be more than 0; leave it out to"),
        ({"close_deleted_after": Duration(0)}, "close_deleted_after must be more than 0; leave it out to"),
        ({"ignore_older": Duration(0)}, "ignore_older must be more than 0; leave it out to"),
        ({"long_lines": "split", "multiline": "java"}, "long_lines: split cannot go with multiline: .* leave it out"),
        ({"long_lines": "split", "container": "cri"}, "long_lines: split cannot go with container: .* leave it out"),
        (
            {"flush_partial_after": Duration(1), "multiline": "java"},
            "flush_partial_after cannot go with multiline: .* multiline's flush_after",
        ),
        (
            {"flush_partial_after": Duration(1), "container": "auto"},
            "flush_partial_after cannot go with container: .* leave it out",
        ),
    ],
)
def test_encodings_and_limits_that_cannot_be_used_are_config_errors(options: dict[str, Any], message: str) -> None:
    """When the config is read, not when the first file comes."""
    with pytest.raises(ValueError, match=message):
        FileSource(include=["/x"], **options).setup()


def test_encodings_a_file_cut_in_the_middle_of_a_code_unit_waits(tail_of: Open, path: str) -> None:
    """In UTF-16 half a newline is none, and half a character is no half line."""
    rules = Rules(Encoding("utf-16-le"))
    data = "ab\ncd\n".encode("utf-16-le")
    tail = tail_of(data[:5])
    assert read_all(tail, rules) == []
    append(path, data[5:9])
    assert records(read_all(tail, rules)) == [b"ab"]
    assert records(read_all(tail, rules, flush=True)) == [b"c"]
    append(path, data[9:])
    assert records(read_all(tail, rules)) == [b"d"]


def test_encodings_auto_waits_while_a_byte_order_mark_may_become_longer(tail_of: Open, path: str) -> None:
    """A file of one byte 0xFF may be UTF-16 or UTF-8."""
    rules = Rules(Encoding("auto"))
    tail = tail_of(b"\xff")
    assert read_all(tail, rules) == []
    append(path, b"\xfea\0\n\0")
    assert records(read_all(tail, rules)) == [b"a"]
    Path(path).write_bytes(b"now in UTF-8\n")
    assert records(read_all(tail, rules) + read_all(tail, rules)) == [b"now in UTF-8"]


def test_nul_holes_that_are_sparse_are_not_read(tail_of: Open, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terabyte of them is skipped at once: the file was truncated under a writer without O_APPEND."""
    tail = tail_of(b"")
    with open(path, "r+b") as file:
        file.seek(2**40)
        file.write(b"after\n")
    sizes = counted(monkeypatch)
    chunks = read_all(tail, PLAIN)
    assert records(chunks) == [b"after"]
    assert sum(chunk.holes for chunk in chunks) == 2**40
    assert (tail.offset, tail.losses) == (2**40 + 6, [])
    assert len(sizes) < 200


def test_nul_holes_that_nothing_follows_are_room_made_in_advance(tail_of: Open, path: str) -> None:
    """Lines that are written there later are read; so they are when the file grew meanwhile."""
    tail = tail_of(b"one\n" + b"\0" * 5000)
    tail.linked = True
    assert records(read_all(tail, PLAIN) + read_all(tail, PLAIN, flush=True)) == [b"one"]
    with open(path, "r+b", buffering=0) as file:
        file.seek(4)
        file.write(b"two\nthr")
        os.utime(path, ns=(0, 10**9))
        assert records(read_all(tail, PLAIN)) == [b"two"]
        assert records(read_all(tail, PLAIN, flush=True)) == [b"thr"]
        file.seek(11)
        file.write(b"ee\nfour\n" * 100)
        file.truncate(9000)
    assert records(read_all(tail, PLAIN))[:3] == [b"ee", b"four", b"ee"]
    tail.linked = False  # nobody is going to write there
    chunks = read_all(tail, PLAIN, flush=True)
    assert (records(chunks), tail.unread) == ([], 0)


@pytest.mark.parametrize("long_lines", ["truncate", "split"])
def test_very_long_line_needs_no_memory(
    tail_of: Open, long_lines: Literal["truncate", "split"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No read is larger than what goes on as a record."""
    tail = tail_of(b"x" * 300_000 + b"\n")
    sizes = counted(monkeypatch)
    chunks = read_all(tail, Rules(Encoding("utf-8"), 500, long_lines))
    assert sum(map(len, records(chunks))) == (500 if long_lines == "truncate" else 300_000)
    assert max(sizes) <= 1024


def test_very_long_line_is_cut_between_characters(tail_of: Open) -> None:
    """In the encoding of the file: the limit counts its bytes."""
    for encoding in ("utf-8", "gbk", "utf-16-le"):
        text = "a" + "好𝄞"[: 1 + encoding.startswith("utf")] * 20
        tail = tail_of((text + "\n").encode(encoding))
        rules = Rules(Encoding(encoding), 13, "split")
        chunks = read_all(tail, rules)
        assert "".join(record.decode() for record in records(chunks)) == text
        assert sum(chunk.replaced for chunk in chunks) == 0
        assert max(chunk.end - chunk.start for chunk in chunks[:-1]) <= 13
        assert [chunk.partial for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


def test_half_a_line_at_the_end_is_due_when_it_stayed_as_it_is(tail_of: Open, path: str) -> None:
    """Each change begins the wait anew; without the setting it is never due."""
    rules = Rules(Encoding("utf-8"), flush_partial_after=60.0)
    tail = tail_of(b"one\nhalf")
    read_all(tail, rules)
    first = tail.flush_at
    assert 0 < first - time.monotonic() <= 60
    read_all(tail, rules)
    assert tail.flush_at == first
    append(path, b" more")
    read_all(tail, rules)
    assert first < tail.flush_at < math.inf
    append(path, b"\n")
    read_all(tail, rules)
    assert tail.flush_at == math.inf
    append(path, b"half")
    read_all(tail, replace(rules, flush_partial_after=math.inf))
    assert tail.flush_at == math.inf


def test_half_a_line_at_the_end_goes_on_without_the_half_of_a_character(tail_of: Open, path: str) -> None:
    """That waits for its rest; and for nothing but that no read is due."""
    tail = tail_of("half ö".encode()[:-1])
    tail.linked = True
    rules = Rules(Encoding("utf-8"), flush_partial_after=0.0)
    assert records(read_all(tail, rules, flush=True)) == [b"half "]
    assert read_all(tail, rules, flush=True) == []
    assert tail.flush_at == math.inf
    append(path, "ö".encode()[1:] + b"\n")
    assert records(read_all(tail, rules)) == ["ö".encode()]
