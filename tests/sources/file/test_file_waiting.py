"""What is seen of files that wait to be read: should they be truncated before that, so much was lost."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.following import NEVER, QUICK, append, following, source
from support.intake import MemoryIntake

from shipper.sources.file.follow import _ROUND
from shipper.sources.file.reading import read
from shipper.sources.file.tail import Tail

ROOM = 1024 * 1024


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[Tail]:
    """Of a file that is open, and that was read up to its fourth byte."""
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    one = Tail(str(log), {})
    descriptor = os.open(log, os.O_RDONLY)
    one.adopt(descriptor, os.fstat(descriptor), str(log))
    assert read(one, ROOM, ROOM) is not None
    yield one
    one.close()


def write(tail: Tail, data: bytes) -> None:
    """Truncate the file of a tail and write it anew."""
    Path(tail.path).write_bytes(data)


def sizes(tail: Tail) -> list[int]:
    """How long the generations were, as far as is known, that the file of a tail held."""
    return [before.size for before in tail.left]


def test_what_a_look_saw_is_lost_when_the_file_is_truncated_while_it_is_read(tail: Tail) -> None:
    """Between the look that a read begins with and its reading: here it has the same size again at that look."""
    write(tail, b"one\nhalf a li")
    assert tail.look()
    assert tail.unread == 9
    write(tail, b"two\nhalf a li")
    assert read(tail, ROOM, ROOM) is None
    assert sizes(tail) == [13]


def test_what_a_file_holds_after_it_was_truncated_is_not_counted_for_what_it_held_before(tail: Tail) -> None:
    """Whether a look or a read is the first to see it."""
    for size in (13, 2, 20):
        write(tail, b"one\nhalf a line and more"[:size])
        tail.look()
    assert sizes(tail) == [13]
    assert tail.unread == 20
    write(tail, b"another one, as long\nas that or longer")
    tail.look()
    assert sizes(tail) == [13, 20]
    write(tail, b"a third one, longer\nthan all that there was before")
    assert read(tail, ROOM, ROOM) is None
    assert sizes(tail) == [13, 20, 38]


def test_a_file_that_was_empty_is_known_by_its_first_bytes_from_the_first_look_on(tmp_path: Path) -> None:
    """Though nobody has read them: a copy of it can be found."""
    log = tmp_path / "app.log"
    log.touch()
    one = Tail(str(log), {})
    descriptor = os.open(log, os.O_RDONLY)
    one.adopt(descriptor, os.fstat(descriptor), str(log))
    write(one, b"one\n")
    one.look()
    write(one, b"two\n")
    one.look()
    one.close()
    assert sizes(one) == [4]
    assert one.left[0].prefix_size == 4


@pytest.mark.parametrize("files", [1, 2 * _ROUND], ids=["one file", "more files than are read in one go"])
async def test_copytruncate_twice_while_the_spool_is_full_is_counted_to_the_byte(tmp_path: Path, files: int) -> None:
    """The files are looked at while they wait: no events, no scans and no reads tell of it."""
    logs = [tmp_path / f"{number}.log" for number in range(files)]
    for log in logs:
        append(log, b"one")
    intake = MemoryIntake()
    async with following(source(tmp_path), intake, NEVER):
        await intake.have(files)
        intake.block()
        for log in logs:
            append(log, b"two")
        await intake.until(lambda: intake._running and intake.lags == {str(log): 4 for log in logs})
        for size in (9, 5):
            for log in logs:
                with log.open("ab") as file:
                    file.write(b"half a li"[:size])
            await intake.until(lambda n=size: set(intake.lags.values()) == {n + 4 if n == 9 else n})  # type: ignore[misc]
            for log in logs:
                os.truncate(log, 0)
            await intake.until(lambda: set(intake.lags.values()) == {0})
        for log in logs:
            append(log, b"three")
        intake.unblock()
        await intake.until(lambda: len(intake.losses) == 2 * files)
        await intake.have(2 * files)
    assert sorted(intake.losses) == sorted(("truncated", size, str(log)) for log in logs for size in (13, 5))
    assert sorted(intake.records()) == [b"one"] * files + [b"three"] * files


async def test_what_waits_for_its_older_one_is_looked_at_too(tmp_path: Path) -> None:
    """The rest of a rotated file is read first, while the spool is full."""
    log = tmp_path / "app.log"
    append(log, b"one")
    intake = MemoryIntake()
    made = source(tmp_path, "app.log*")
    async with following(made, intake, QUICK):
        await intake.records_are(b"one")
        intake.block()
        append(log, b"two")
        log.rename(tmp_path / "app.log.1")
        append(log, b"three")
        await intake.until(lambda: intake.lags == {str(log): 6, f"{log}.1": 4})
        with log.open("ab") as file:
            file.write(b"half a li")
        await intake.until(lambda: intake.lags[str(log)] == 15)
        os.truncate(log, 0)
        await intake.until(lambda: intake.lags[str(log)] == 0)
        intake.unblock()
        await intake.until(lambda: intake.losses)
    assert intake.losses == [("truncated", 15, str(log))]
    assert intake.records() == [b"one", b"two"]
