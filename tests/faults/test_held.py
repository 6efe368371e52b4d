"""The judge of lines that a fault may take away notices every mistake, and the programs go on with what is left."""

import os
import random
from pathlib import Path

from faults.held import arrivals, compare, lines_of
from faults.oracle import place_of
from faults.programs import Programs
from faults.row import Outcome
from support.processes import wait_for

HELD = {"a.log": [b"a0\na1\na2 ha", b"a3\n\0\0a4\n"], "b.log": [b"b0\n\0\0\0"]}
LINES = [*(("a.log", text) for text in ("a0", "a1", "a2 ha", "a3", "a4")), ("b.log", "b0")]


def judged(arrived: list[tuple[str, str]]) -> tuple[int, int, int, int]:
    """Lost, doubled, altered, out of order."""
    found = compare(Outcome(1, 1, 0), HELD, arrived)
    assert found.written == 6
    return found.lost, found.doubled, found.altered, found.misordered


def test_every_line_of_all_files_once_and_in_order_is_no_mistake() -> None:
    assert judged(LINES) == (0, 0, 0, 0)
    assert judged(LINES[5:] + LINES[:5]) == (0, 0, 0, 0), "logs are apart"


def test_a_line_that_is_missing_at_any_place_is_lost() -> None:
    for at in range(len(LINES)):
        assert judged(LINES[:at] + LINES[at + 1 :]) == (1, 0, 0, 0)


def test_a_line_that_comes_again_is_doubled() -> None:
    for at in range(len(LINES)):
        assert judged([*LINES, LINES[at]]) == (0, 1, 0, 0)


def test_a_line_that_no_file_holds_is_altered_also_if_another_log_holds_it() -> None:
    assert judged([*LINES, ("a.log", "a5")]) == (0, 0, 1, 0)
    assert judged([*LINES, ("a.log", "b0")]) == (0, 0, 1, 0)
    assert judged([*LINES[:5], ("b.log", "b0\0\0\0")]) == (1, 0, 1, 0)


def test_half_a_line_at_the_end_of_a_file_may_come_late_and_a_whole_one_may_not() -> None:
    half = LINES[2]
    assert judged([*LINES[:2], *LINES[3:], half]) == (0, 0, 0, 0)
    assert judged([LINES[1], LINES[0], *LINES[2:]]) == (0, 0, 0, 1)
    assert judged([*LINES[:4], LINES[5], half]) == (1, 1, 0, 0), "it is to come once, and nothing in its place"


def test_a_line_that_stands_in_a_log_twice_has_to_come_twice() -> None:
    held = {"a.log": [b"ap", b"app\nap"]}
    whole = [("a.log", "ap"), ("a.log", "app"), ("a.log", "ap")]
    assert compare(Outcome(1, 1, 0), held, whole).lost == 0
    assert compare(Outcome(1, 1, 0), held, whole[:2]).lost == 1


def test_what_arrived_is_told_apart_by_the_log_it_came_from(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    path.write_text("".join(f'{{"message":"{text}","file":"/logs/{log}"}}\n' for log, text in LINES))
    assert list(arrivals(path)) == LINES


def test_programs_go_on_behind_half_a_line_some_after_a_newline_and_some_without(tmp_path: Path) -> None:
    programs = Programs(tmp_path / "logs", random.Random(1), {"a": 0.5}, rate=4_000, rotate=1)
    log = tmp_path / "logs" / "a.log"
    parted: set[bool] = set()
    while parted != {True, False}:
        programs.start()
        wait_for(lambda: log.read_bytes().count(b"\n") > 8, "lines")
        programs.halt()
        size = log.read_bytes().rindex(b"\n") - 10
        os.truncate(log, size)
        programs.start()
        wait_for(lambda size=size: log.stat().st_size > size, "more lines")  # type: ignore[misc]
        programs.finish()
        assert log.read_bytes().endswith(b"\n")
        parted.add(log.read_bytes()[size:].startswith(b"\n"))


def test_programs_write_no_line_again_over_their_ends_and_rotations(tmp_path: Path) -> None:
    programs = Programs(tmp_path / "logs", random.Random(1), {"a": 0.5, "b": 0}, rate=4_000, rotate=0.1)
    programs.known.set()
    logs = tmp_path / "logs"
    for count in range(4, 20, 4):
        programs.start()
        wait_for(lambda count=count: len(list(logs.iterdir())) >= count, "rotations")  # type: ignore[misc]
        programs.halt()
    programs.finish()
    total = 0
    for name in ("a", "b"):
        rotated = sorted(logs.glob(f"{name}.log.*"), key=lambda path: int(path.suffix[1:]))
        lines = [text for path in [*rotated, logs / f"{name}.log"] for text in lines_of(path.read_bytes())]
        numbers = [found[1] for found in map(place_of, lines) if found]
        assert numbers == sorted(set(numbers))
        total += len(lines)
    assert programs.total == total > 0


def test_nuls_at_the_end_of_a_file_are_no_bytes_of_it(tmp_path: Path) -> None:
    programs = Programs(tmp_path / "logs", random.Random(1), {"a": 0}, rate=4_000, rotate=1)
    programs.finish()
    log = tmp_path / "logs" / "a.log"
    before = programs.files()
    assert before == {log.stat().st_ino: ("a.log", log.stat().st_size)}
    os.truncate(log, log.stat().st_size + 100)
    assert programs.files() == before
