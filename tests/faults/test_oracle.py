"""The oracle notices every kind of mistake, or the campaign proves nothing."""

import random
from pathlib import Path

from faults.load import Load
from faults.oracle import Judge, line, messages, place_of
from faults.row import Outcome
from support.processes import wait_for

WRITTEN = {"a": 5, "b": 3}
LINES = [line(file, number) for file, count in WRITTEN.items() for number in range(count)]


def judged(heard: list[str], excused: list[tuple[str, int]] | None = None) -> tuple[int, int, int, int]:
    """Lost, doubled, altered, out of order."""
    judge = Judge()
    judge.hear(heard)
    found = judge.give(Outcome(1, 1, 0), WRITTEN, excused=excused or [])
    assert found.written == 8
    return found.lost, found.doubled, found.altered, found.misordered


def test_every_line_once_and_in_order_is_no_mistake() -> None:
    assert judged(LINES) == (0, 0, 0, 0)
    assert judged(LINES[5:] + LINES[:5]) == (0, 0, 0, 0), "files are apart"


def test_lines_that_are_missing_at_any_place_are_lost() -> None:
    for at in range(len(LINES)):
        assert judged(LINES[:at] + LINES[at + 1 :]) == (1, 0, 0, 0)
    assert judged([]) == (8, 0, 0, 0)


def test_a_loss_that_is_excused_does_not_count_and_another_does() -> None:
    assert judged(LINES[1:], [("a", 0)]) == (0, 0, 0, 0)
    assert judged(LINES[1:-1], [("a", 0)]) == (1, 0, 0, 0)


def test_lines_that_come_again_are_doubled_and_not_out_of_order() -> None:
    for at in range(len(LINES)):
        assert judged([*LINES, *LINES[at:]]) == (0, len(LINES) - at, 0, 0)


def test_a_line_after_a_later_one_of_its_file_is_out_of_order() -> None:
    assert judged([LINES[1], LINES[0], *LINES[2:]]) == (0, 0, 0, 1)


def test_a_line_with_any_other_byte_in_it_is_altered_and_the_one_that_it_was_is_lost() -> None:
    whole = LINES[0]
    for at in range(len(whole)):
        other = whole[:at] + ("0" if whole[at] != "0" else "1") + whole[at + 1 :]
        assert judged([other, *LINES[1:]]) == (1, 0, 1, 0)


def test_a_line_that_was_cut_or_has_more_behind_it_is_altered() -> None:
    for size in range(len(LINES[0])):
        assert place_of(LINES[0][:size]) is None
    assert place_of(LINES[0] + "0") is None
    assert place_of(line("a", 0, 61)) == ("a", 0), "lines of any size are lines"


def test_a_line_that_nobody_wrote_is_invented() -> None:
    assert judged([*LINES, line("b", 3)]) == (0, 0, 1, 0)
    assert judged([*LINES, line("c", 0)]) == (0, 0, 1, 0)


def test_a_load_writes_whole_lines_of_each_file_over_all_its_rotations(tmp_path: Path) -> None:
    load = Load(tmp_path, random.Random(1), ["a", "b"], rate=2_000, rotate=0.05)
    load.known.set()
    load.start()
    wait_for(lambda: len(list(tmp_path.iterdir())) > 8, "rotations")
    load.rest()
    before = load.total
    load.go_on()
    wait_for(lambda: load.total > before, "more lines")
    load.finish()
    for name in ("a", "b"):
        rotated = sorted(tmp_path.glob(f"{name}.log.*"), key=lambda path: int(path.suffix[1:]))
        text = "".join(path.read_text() for path in [*rotated, tmp_path / f"{name}.log"])
        assert [place_of(each) for each in text.splitlines()] == [(name, n) for n in range(load.written[name])]


def test_what_arrived_is_read_from_the_files_of_a_sink(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    path.write_text("".join(f'{{"message":"{each}","file":"x"}}\n' for each in LINES))
    assert list(messages(path)) == LINES
