"""Multiline: presets on real-looking traces, own patterns, bounds; the same for any split of the input."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shipper.sources.file.multiline import Multiline, MultilineConfig
from shipper.units import ByteSize, Duration

TRACES = Path(__file__).parent / "traces"
PRESETS = ["java", "python", "go", "ruby", "dotnet", "indent"]
NEXT = b"\n----\n"
"""What separates the records of a trace file."""


def corpus(preset: str) -> list[bytes]:
    """The records of a trace file."""
    return (TRACES / f"{preset}.txt").read_bytes().removesuffix(b"\n").split(NEXT)


def joiner(max_lines: int = 1000, max_bytes: int = 1 << 20, **settings: Any) -> Multiline:
    config = MultilineConfig(**settings)
    config.check()
    return Multiline(config.logic(), max_lines, max_bytes)


def joined(made: Multiline, pieces: list[bytes]) -> list[bytes]:
    """The records of all pieces (whole lines each)."""
    records = [record for piece in pieces if piece for record in made.feed(piece)]
    last = made.close()
    return records if last is None else [*records, last]


def split(lines: list[bytes], cuts: list[int]) -> list[bytes]:
    places = sorted(cut % (len(lines) + 1) for cut in cuts)
    parts = [lines[a:b] for a, b in zip([0, *places], [*places, len(lines)], strict=True)]
    return [b"".join(line + b"\n" for line in part) for part in parts]


CORPUS = {preset: corpus(preset) for preset in PRESETS}
PARTS = sorted({line for records in CORPUS.values() for record in records for line in record.split(b"\n")})
LINES = st.lists(
    st.one_of(
        st.sampled_from(PARTS),
        st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")),
        st.sampled_from(
            [b"", b"\r", b" ", b"\0", b"x" * 600, b"goroutine 1 [running]:", b"panic: x", b"START", b"END"]
        ),
    ),
    max_size=40,
)
SETTINGS = st.sampled_from(
    [
        *({"preset": preset} for preset in PRESETS),
        {"start": re.compile("^START|^[0-9]{4}-")},
        {"continue_": re.compile(r"^\s")},
        {"end": re.compile("END$")},
        {"start": re.compile("START"), "end": re.compile("^END")},
        {"start": re.compile("START"), "continue_": re.compile("^[^S]")},
    ]
)


@pytest.mark.parametrize("preset", PRESETS)
def test_multiline_stack_traces_of_each_language_become_one_record(preset: str) -> None:
    """Java, Python, Go, Ruby, .NET and indented continuation: each part of the trace file is one record."""
    expected = corpus(preset)
    data = b"".join(record + b"\n" for record in expected)
    assert joined(joiner(preset=preset), [data]) == expected
    assert joined(joiner(preset=preset), data.splitlines(keepends=True)) == expected


@given(SETTINGS, LINES, st.lists(st.integers(0, 100)), st.integers(1, 60), st.integers(1, 900))
@example({"end": re.compile("END$")}, [b"a", b"b", b"c", b"END"], [1], 2, 900)
def test_any_split_of_the_input_gives_the_same_records(
    settings: dict[str, Any], lines: list[bytes], cuts: list[int], max_lines: int, max_bytes: int
) -> None:
    """Whole buffers, line by line, and anything between; within any bounds. No byte is dropped."""
    whole = joined(joiner(max_lines, max_bytes, **settings), split(lines, []))
    assert joined(joiner(max_lines, max_bytes, **settings), split(lines, cuts)) == whole
    assert joined(joiner(max_lines, max_bytes, **settings), [line + b"\n" for line in lines]) == whole
    assert b"\n".join(whole) == b"\n".join(lines)
    for record in whole:
        assert record.count(b"\n") < max_lines
        assert len(record) <= max_bytes or b"\n" not in record


@given(SETTINGS, LINES, st.integers(0, 100), st.integers(1, 60), st.integers(1, 900))
def test_read_again_from_the_first_line_of_any_record_gives_the_same(
    settings: dict[str, Any], lines: list[bytes], start: int, max_lines: int, max_bytes: int
) -> None:
    """A restart begins at a record that was open: what comes out from there on is the same."""
    whole = joined(joiner(max_lines, max_bytes, **settings), split(lines, []))
    start %= len(whole) + 1
    rest = b"".join(record + b"\n" for record in whole[start:])
    assert joined(joiner(max_lines, max_bytes, **settings), [rest]) == whole[start:]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"start": "^#"}, [b"1", b"# 2\n\t3\n4;", b"# 5\n6;\n7"]),
        ({"continue_": r"^\s"}, [b"1", b"# 2\n\t3", b"4;", b"# 5", b"6;", b"7"]),
        ({"end": ";$"}, [b"1\n# 2\n\t3\n4;", b"# 5\n6;", b"7"]),
        ({"start": "^#", "end": ";$"}, [b"1", b"# 2\n\t3\n4;", b"# 5\n6;", b"7"]),
    ],
)
def test_multiline_patterns_of_ones_own(settings: dict[str, str], expected: list[bytes]) -> None:
    """Alone and together."""
    data = b"1\n# 2\n\t3\n4;\n# 5\n6;\n7\n"
    patterns: dict[str, Any] = {name: re.compile(pattern) for name, pattern in settings.items()}
    assert joined(joiner(**patterns), [data]) == expected


@given(SETTINGS, LINES, st.lists(st.integers(0, 100)), st.integers(1, 9))
@example({"preset": "java"}, [b"a\nb", b" c"], [], 9)
def test_lines_with_newlines_inside_stay_one_line(
    settings: dict[str, Any], lines: list[bytes], cuts: list[int], max_lines: int
) -> None:
    """As docker's JSON may hold them; the counts say which lines made each record."""
    made = joiner(max_lines, **settings)
    places = sorted(cut % (len(lines) + 1) for cut in cuts)
    records = [
        record
        for a, b in zip([0, *places], [*places, len(lines)], strict=True)
        for record in made.feed_texts([line.decode("latin-1") for line in lines[a:b]])
    ]
    count, last = made.lines, made.close()
    records += [] if last is None else [(last, count)]
    at = 0
    for record, lines_of_it in records:
        assert record.decode().encode("latin-1") == b"\n".join(lines[at : at + lines_of_it])
        at += lines_of_it
    assert at == len(lines)


def test_multiline_is_bounded_by_lines_and_bytes_and_the_rest_is_the_next_record() -> None:
    """By lines, and by bytes; a line that is longer than max_bytes is a record by itself."""
    assert joined(joiner(3, preset="indent"), [b"a\n b\n c\n d\n e\nf\n"]) == [b"a\n b\n c", b" d\n e", b"f"]
    assert joined(joiner(9, 5, preset="indent"), [b"a\n b\n c\n dddddd\n e\n"]) == [b"a\n b", b" c", b" dddddd", b" e"]
    assert joined(joiner(9, 5, preset="indent"), [b"aaaaaa\n b\n c\n"]) == [b"aaaaaa", b" b\n c"]


def test_a_line_that_ends_a_record_closes_it_at_once() -> None:
    """Nothing has to be waited for."""
    made = joiner(end=re.compile(";$"))
    assert made.feed(b"select 1\n") == []
    assert made.feed(b"from t;\n") == [b"select 1\nfrom t;"]
    assert made.lines == 0


def test_began_says_where_the_open_record_begins() -> None:
    """With what was fed last, or before."""
    made = joiner(preset="indent")
    made.feed(b"a\n b\n")
    assert (made.began, made.lines, made.size) == (True, 2, 5)
    made.feed(b" c\n")
    assert (made.began, made.lines, made.size) == (False, 3, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "multiline needs a preset, as in multiline: java, or a pattern: start, continue or end"),
        ({"preset": "java", "start": re.compile("x")}, "multiline: preset and patterns .* exclude each other: remove"),
        ({"preset": "java", "max_lines": 0}, "multiline: max_lines must be at least 1, found 0"),
        ({"preset": "java", "max_bytes": ByteSize(0)}, "multiline: max_bytes must be 1B to 1MiB, found 0B"),
        ({"preset": "java", "max_bytes": ByteSize.parse("2MiB")}, "found 2MiB: a record has to fit into a frame"),
        ({"preset": "java", "flush_after": Duration(0)}, "multiline: flush_after must be more than 0"),
        ({"start": re.compile("")}, "multiline: start is empty"),
        ({"continue_": re.compile("")}, "multiline: continue is empty"),
    ],
)
def test_settings_that_cannot_work_are_config_errors(settings: dict[str, Any], message: str) -> None:
    """Each with what is wrong."""
    with pytest.raises(ValueError, match=message):
        MultilineConfig(**settings).check()
