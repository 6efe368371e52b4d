"""The bench's check finds every lost, doubled, altered or late record, and names nothing else."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lines import Corpus
from benchmarks.verify import (
    Content,
    Verdict,
    compare,
    compare_parts,
    expect_access,
    expect_changed,
    expect_json,
    expect_raw,
    read_fields,
    read_raw,
)

LINES = 500
JSON = Corpus("json", LINES, Path("unused"))
ACCESS = Corpus("access", LINES, Path("unused"))
GOOD: list[Content] = list(JSON)


def judge(received: Iterable[Content | None]) -> Verdict:
    return compare(JSON, expect_raw, received)


def test_the_lines_as_they_were_are_clean() -> None:
    verdict = judge(GOOD)
    assert verdict == Verdict(expected=LINES, received=LINES)
    assert verdict.clean


@pytest.mark.parametrize("gone", [{0}, {LINES - 1}, {7, 8, 9, 300}, set(range(LINES))])
def test_lost_lines_are_counted_wherever_they_were(gone: set[int]) -> None:
    verdict = judge(line for at, line in enumerate(GOOD) if at not in gone)
    assert verdict == Verdict(expected=LINES, received=LINES - len(gone), lost=len(gone))
    assert not verdict.clean


@pytest.mark.parametrize("again", [0, 250, LINES - 1])
@pytest.mark.parametrize("place", [251, LINES])
def test_a_doubled_line_is_counted_at_once_and_later(again: int, place: int) -> None:
    at = max(place, again + 1)
    verdict = judge([*GOOD[:at], GOOD[again], *GOOD[at:]])
    assert verdict == Verdict(expected=LINES, received=LINES + 1, doubled=1)


@pytest.mark.parametrize("at", [0, 123, LINES - 1])
def test_an_altered_line_is_counted_and_is_not_lost(at: int) -> None:
    altered = str(GOOD[at]).replace("duration", "durat1on")
    assert judge([*GOOD[:at], altered, *GOOD[at + 1 :]]) == Verdict(expected=LINES, received=LINES, altered=1)


def test_lines_without_a_known_id_are_altered_and_the_ones_that_they_were_are_lost() -> None:
    strange = ["", None, Corpus("json", LINES + 1, Path("unused")).line(LINES)]
    verdict = judge([*strange, *GOOD[3:]])
    assert verdict == Verdict(expected=LINES, received=LINES, lost=3, altered=3)


def test_lines_that_changed_places_are_neither_lost_nor_doubled_but_not_clean() -> None:
    verdict = judge([*GOOD[:10], GOOD[12], GOOD[11], GOOD[10], *GOOD[13:]])
    assert verdict == Verdict(expected=LINES, received=LINES, reordered=2)
    assert not verdict.clean


def test_two_files_worth_of_lines_are_all_doubled() -> None:
    assert judge([*GOOD, *GOOD]) == Verdict(expected=LINES, received=2 * LINES, doubled=LINES)


def test_a_shuffle_with_losses_doubles_and_changes_is_counted_exactly() -> None:
    rng = random.Random(3)
    for _ in range(20):
        lost = set(rng.sample(range(LINES), 5))
        kept = [at for at in range(LINES) if at not in lost]
        doubled = rng.sample(kept, 4)
        altered = set(rng.sample([at for at in kept if at not in doubled], 3))
        order = [*kept, *doubled]
        rng.shuffle(order)
        verdict = judge(f"{GOOD[at]}x" if at in altered else GOOD[at] for at in order)
        assert (verdict.lost, verdict.doubled, verdict.altered) == (5, 4, 3)
        assert not verdict.clean


def test_a_record_that_had_to_be_dropped_counts_as_altered() -> None:
    records = [expect_changed(line) for line in JSON]
    kept = [record for record in records if record is not None]
    assert 0 < len(kept) < LINES
    assert compare(JSON, expect_changed, kept).clean
    dropped = records.index(None)
    verdict = compare(JSON, expect_changed, [expect_json(JSON.line(dropped)), *kept])
    assert verdict == Verdict(expected=len(kept), received=len(kept) + 1, altered=1)


@pytest.mark.parametrize("change", [{"status": "200"}, {"agent": "x"}, {"extra": 1}])
def test_a_field_of_another_type_or_one_too_many_is_altered(change: dict[str, Any]) -> None:
    records = [expect_access(line) for line in ACCESS]
    assert compare(ACCESS, expect_access, records).clean
    first = records[0]
    assert isinstance(first, dict)
    assert compare(ACCESS, expect_access, [{**first, **change}, *records[1:]]).altered == 1


def test_what_the_file_sink_wrote_is_read_without_the_labels(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    labels = {"host": "a", "source": "app", "file": "/x", "_read_at": "2024-05-01T12:00:00Z"}
    path.write_text("".join(json.dumps({"message": line, **labels}) + "\n" for line in GOOD) + "{broken\n")
    assert Counter(read_raw(path)) == Counter([*GOOD, None])
    path.write_text("".join(json.dumps({**json.loads(str(line)), **labels}) + "\n" for line in GOOD))
    assert compare(JSON, expect_json, read_fields(path)).clean


def parts(received: Iterable[Content | None]) -> Verdict:
    return compare_parts(JSON, 100, received)


def test_files_may_overtake_each_other_but_not_the_lines_of_one() -> None:
    by_turns = [GOOD[file * 100 + at] for at in range(100) for file in range(5)]
    assert parts(by_turns).clean
    swapped = [GOOD[1], GOOD[0], *GOOD[2:]]
    assert parts(swapped) == Verdict(expected=LINES, received=LINES, reordered=1)


def test_in_many_files_too_every_lost_doubled_and_altered_line_is_counted() -> None:
    got = [*GOOD[1:], GOOD[5], None, GOOD[0] + "x"]  # type: ignore[operator]
    verdict = parts(got)
    assert (verdict.lost, verdict.doubled, verdict.altered) == (0, 1, 2)
    assert parts(GOOD[1:]).lost == 1


def test_verdicts_add_up() -> None:
    assert Verdict(1, 2, 3, 4, 5, 6) + Verdict(1, 1, 1, 1, 1, 1) == Verdict(2, 3, 4, 5, 6, 7)
