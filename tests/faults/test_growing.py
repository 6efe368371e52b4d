"""The lines of a file that grows, is cut off, or is not there."""

from pathlib import Path

from faults.growing import Growing


def test_lines_are_counted_as_they_come_and_halves_once_they_end(tmp_path: Path) -> None:
    path, growing = tmp_path / "out", Growing()
    assert growing.lines(path) == 0
    path.write_bytes(b"one\ntw")
    assert growing.lines(path) == 1
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert growing.lines(path) == growing.lines(path) == 3


def test_a_file_that_was_cut_off_is_counted_anew(tmp_path: Path) -> None:
    path, growing = tmp_path / "out", Growing()
    path.write_bytes(b"one\ntwo\nthree\n")
    assert growing.lines(path) == 3
    path.write_bytes(b"one\nx\n")
    assert growing.lines(path) == 2
