"""The bench's generator: the same lines for ever, each with an id."""

import json
from pathlib import Path

import pytest

from benchmarks.lines import BLOCK, Corpus, Kind
from benchmarks.verify import expect_access, identify

LINES = BLOCK + 100
SIZES = {"json": (205, 225), "calm": (205, 225), "access": (120, 140)}


@pytest.fixture(params=["json", "calm", "access"])
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


def test_a_file_is_the_same_wherever_it_is_made(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = Corpus.write(kind, LINES, tmp_path / "a"), Corpus.write(kind, LINES, tmp_path / "b")
    assert one.path.read_bytes() == other.path.read_bytes()
    assert one.size == one.path.stat().st_size


def test_a_shorter_file_is_the_beginning_of_a_longer_one(kind: Kind, tmp_path: Path) -> None:
    short, long = Corpus.write(kind, 50, tmp_path), Corpus.write(kind, LINES, tmp_path)
    assert long.path.read_bytes().startswith(short.path.read_bytes())


def test_the_file_holds_the_lines_that_iteration_and_number_give(kind: Kind, tmp_path: Path) -> None:
    corpus = Corpus.write(kind, LINES, tmp_path)
    lines = corpus.path.read_text().splitlines()
    assert lines == list(corpus)
    assert [corpus.line(n) for n in (0, BLOCK - 1, BLOCK, LINES - 1)] == [
        lines[n] for n in (0, BLOCK - 1, BLOCK, LINES - 1)
    ]


def test_every_line_carries_its_number_as_id_and_has_about_the_promised_length(kind: Kind) -> None:
    corpus = Corpus(kind, LINES, Path("unused"))
    assert [identify(line) for line in corpus] == list(range(LINES))
    low, high = SIZES[kind]
    assert low < sum(len(line.encode()) + 1 for line in corpus) / LINES < high


def test_a_fifth_of_the_json_lines_is_debug() -> None:
    levels = [json.loads(line)["level"] for line in Corpus("json", LINES, Path("unused"))]
    assert 0.18 < levels.count("debug") / LINES < 0.22


def test_the_access_log_has_ten_fields_and_its_records_their_ids() -> None:
    records = [expect_access(line) for line in Corpus("access", 1000, Path("unused"))]
    assert [identify(record) for record in records] == list(range(1000))
    assert all(isinstance(record, dict) and len(record) == 10 for record in records)


def test_the_parts_of_a_file_are_its_bytes_in_order(tmp_path: Path) -> None:
    corpus = Corpus.write("json", 103, tmp_path)
    assert corpus.split(10, tmp_path / "parts") == 11
    parts = [path.read_bytes() for path in sorted((tmp_path / "parts").iterdir())]
    assert b"".join(parts) == corpus.path.read_bytes()
    assert [part.count(b"\n") for part in parts] == [11] * 9 + [4]
