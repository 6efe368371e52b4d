"""What an operator is told of files: where they went, what they lost, and what is wrong with them."""

from pathlib import Path

import pytest
from support.following import QUICK, append, following, source
from support.intake import MemoryIntake

from shipper.sources.file.changes import NOTHING
from shipper.sources.file.examine import seek
from shipper.sources.file.limits import Timings
from shipper.sources.file.reading import PLAIN
from shipper.sources.file.tail import Tail
from shipper.sources.file.text import looks_wide
from shipper.sources.file.worker import Worker

PATIENT = Timings(rescan=0.05, linger=0.1, forget=3600, settle=0.2)
"""What is gone is kept for an hour, unless it is certain that it is lost."""


async def read_in_part(root: Path, log: Path) -> MemoryIntake:
    """The intake of a source that has read a line of a log, and seen half of another one."""
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"one\nhalf a line")
    intake = MemoryIntake()
    async with following(source(root, "logs/*.log"), intake):
        await intake.records_are(b"one")
    return intake.restarted()


async def test_what_vanished_unread_while_down_is_said_soon_after_the_start(tmp_path: Path) -> None:
    """Not when its position is forgotten: its directory is there, and it is not in it."""
    log = tmp_path / "logs" / "app.log"
    again = await read_in_part(tmp_path, log)
    log.unlink()
    async with following(source(tmp_path, "logs/*.log"), again, PATIENT):
        await again.until(lambda: again.losses)
    assert again.losses == [("vanished", 11, str(log))]


async def test_what_may_be_mounted_late_is_not_said_to_be_lost(tmp_path: Path) -> None:
    """A directory that is not there, or that is on another file system than it was."""
    log = tmp_path / "logs" / "app.log"
    again = await read_in_part(tmp_path, log)
    (tmp_path / "logs").rename(tmp_path / "away")
    made = source(tmp_path, "logs/*.log")
    async with following(made, again, PATIENT):
        (tail,) = made._follower.catalog.tails
        await again.until(lambda: tail.missing is not None)
        (tmp_path / "away").rename(tmp_path / "logs")
        with log.open("ab") as file:
            file.write(b", and its end\n")
        await again.records_are(b"one", b"half a line, and its end")
    assert again.losses == []


def test_a_file_is_certainly_gone_where_its_directory_is_on_its_file_system(tmp_path: Path) -> None:
    """Else something may be mounted there later."""
    tail = Tail(str(tmp_path / "logs" / "app.log"), {})
    tail.inode, tail.device, tail.prefix_size = 1, tmp_path.stat().st_dev, 4
    assert [sought.certain for sought in seek([(tail, False)])] == [False]
    (tmp_path / "logs").mkdir()
    assert [sought.certain for sought in seek([(tail, False)])] == [True]
    tail.device += 1
    assert [sought.certain for sought in seek([(tail, False)])] == [False]


async def test_rotated_truncated_and_gone_are_each_a_line_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the names, and how many bytes were not read."""
    log, gone = tmp_path / "app.log", tmp_path / "gone.log"
    append(log, b"one")
    gone.write_bytes(b"two\n")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, QUICK):
        await intake.have(2)
        log.rename(tmp_path / "app.log.1")
        log.write_bytes(b"three\nhalf")
        await intake.have(3)
        await intake.until(lambda: intake.lags.get(str(log)) == 4)
        log.write_bytes(b"")
        gone.unlink()
        await intake.until(lambda: intake.losses and str(gone) not in intake.lags)
    said = capfd.readouterr().err.splitlines()
    (renamed,) = [line for line in said if "a file was renamed: it is read to its end" in line]
    assert f'"file":"{log}"' in renamed
    assert f'"to":"{log}.1"' in renamed
    (truncated,) = [line for line in said if "a file was truncated" in line]
    assert '"to"' not in truncated
    assert any(
        "what a file held before it was truncated is gone" in line and f'"file":"{log}"' in line for line in said
    )
    assert f'"file":"{log}"' in truncated
    assert '"unread_bytes":4' in truncated
    assert any("a file is gone" in line and f'"file":"{gone}"' in line and '"unread_bytes":0' in line for line in said)


async def test_utf_16_that_is_read_as_utf_8_is_a_warning_once_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says which encoding to set."""
    log = tmp_path / "app.log"
    log.write_bytes("a line of text\n".encode("utf-16-le"))
    intake = MemoryIntake()
    async with following(source(tmp_path), intake):
        await intake.have(1)
        with log.open("ab") as file:
            file.write("another line\n".encode("utf-16-le"))
        await intake.have(2)
    said = capfd.readouterr().err
    assert said.count("looks like another encoding") == 1
    assert '"looks_like":"utf-16-le"' in said


@pytest.mark.parametrize(
    ("beginning", "encoding"),
    [
        ("a line of text".encode("utf-16-le"), "utf-16-le"),
        ("\ufeffGröße: 3 µm".encode("utf-16-be"), "utf-16-be"),
        (b"a line of text", ""),
        (b"\0" * 64 + b"behind a hole", ""),
        (b"a\0b\0", ""),
        (b"", ""),
    ],
    ids=["little-endian", "big-endian", "utf-8", "a hole", "too short", "empty"],
)
def test_utf_16_is_told_by_a_nul_in_every_other_byte(beginning: bytes, encoding: str) -> None:
    """Of Latin text."""
    assert looks_wide(beginning) == encoding


async def test_the_label_of_a_file_with_several_names_is_the_first_of_them(tmp_path: Path) -> None:
    """Whatever order the directory has; a name that it has already stays while it is there."""
    logs = [tmp_path / f"{name}.log" for name in "mzbxa"]
    append(logs[0], b"one")
    for other in logs[1:-1]:
        other.hardlink_to(logs[0])
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, QUICK):
        await intake.records_are(b"one")
        logs[-1].hardlink_to(logs[0])
        append(logs[0], b"two")
        await intake.records_are(b"one", b"two")
    assert {batch.labels["file"] for batch in intake.batches if batch.payload} == {str(tmp_path / "b.log")}


async def test_what_was_counted_as_lost_is_not_read_when_it_comes_back(tmp_path: Path) -> None:
    """A reader that waited for room all the while still has its turn."""
    log = tmp_path / "app.log"
    append(log, b"one")
    tail, intake = Tail(str(log), {}), MemoryIntake()
    worker = Worker(intake, PLAIN)
    tail.inode, tail.prefix_size = log.stat().st_ino, 0
    tail.forgotten = True
    failures: list[Exception] = []
    assert worker.read(tail, NOTHING, failures, flush=False) is None
    assert failures == []
