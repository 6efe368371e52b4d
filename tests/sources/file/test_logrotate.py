"""The real logrotate against the file source: every line once and in order, whatever was rotated and when."""

import asyncio
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.following import QUICK, append, following, numbered, source
from support.intake import MemoryIntake

RENAMES = pytest.mark.parametrize(
    "options",
    [
        "create 0644",
        "nocreate",
        "create 0644\ndelaycompress",
        "create 0644\ndateext\ndateformat -%s",
        "create 0644\ndateext\ndateformat .%Y-%m-%d-%s",
    ],
    ids=["create", "nocreate", "delaycompress", "dateext", "dateformat"],
)
"""Ways of rotating by renaming; the rotated names are under no pattern."""
INCLUDE = pytest.mark.parametrize("include", ["app.log", "app.log*"], ids=["unmeant", "meant"])


@pytest.fixture
def rotate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], None]:
    """Has logrotate rotate a log now, with these options."""
    own = tmp_path_factory.mktemp("logrotate")
    own.chmod(0o755)
    seconds = iter(range(4 * 10**9, 5 * 10**9))

    def run(log: Path, options: str) -> None:
        # Dates are those of the system, to the second: several rotations in one need names of their own.
        dated = options.replace("%s", str(next(seconds)))
        config = own / "config"
        config.write_text(f"{log} {{\nrotate 100\nmissingok\n{dated}\n}}\n")
        config.chmod(0o644)
        command = ["logrotate", "--force", "--state", str(own / "state"), str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return run


async def write_and_rotate(log: Path, rotate: Callable[[], None], times: int) -> list[bytes]:
    """Write into a log before and after each rotation; all that is in it then, with the ten lines it began with."""
    for number in range(1, times + 1):
        append(log, *numbered(20 * number - 10, 20 * number))
        await asyncio.to_thread(rotate)
        append(log, *numbered(20 * number, 20 * number + 10))
    return numbered(0, 20 * times + 10)


@INCLUDE
@RENAMES
async def test_rename_rotation_by_logrotate_while_running(
    tmp_path: Path, rotate: Callable[[Path, str], None], options: str, include: str
) -> None:
    """Several rotations in a row, also before anything of a file was read."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, include), intake):
        await intake.have(1)
        await intake.records_are(*await write_and_rotate(log, partial(rotate, log, options), 7))
    assert intake.losses == []


@INCLUDE
@RENAMES
async def test_rename_rotation_by_logrotate_while_behind(
    tmp_path: Path, rotate: Callable[[Path, str], None], options: str, include: str
) -> None:
    """Nothing can be taken meanwhile; files are found and held."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, include), intake):
        await intake.have(1)
        intake.block()
        written = await write_and_rotate(log, partial(rotate, log, options), 4)
        intake.unblock()
        await intake.records_are(*written)
    assert intake.losses == []


@INCLUDE
@RENAMES
async def test_rename_rotation_by_logrotate_while_down(
    tmp_path: Path, rotate: Callable[[Path, str], None], options: str, include: str
) -> None:
    """Several rotations in a row, over several restarts; in the middle of a file too."""
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake(max_bytes=64)
    written = 10
    for _ in range(3):
        async with following(source(tmp_path, include), intake):
            await intake.have(written - 5)
        intake = intake.restarted()
        for _ in range(3):
            append(log, *numbered(written, written + 10))
            rotate(log, options)
            append(log, *numbered(written + 10, written + 20))
            written += 20
    async with following(source(tmp_path, include), intake):
        await intake.records_are(*numbered(0, written))
    assert intake.losses == []


@pytest.mark.parametrize(
    "options",
    [
        "create 0644\ncompress",
        "create 0644\ncompress\ndelaycompress",
        "create 0644\ncompress\ndelaycompress\ndateext\ndateformat -%s",
        "create 0644\ncompress\ncompresscmd /usr/bin/zstd\ncompressext .zst\ncompressoptions -q --rm",
        "copytruncate\ncompress\ndelaycompress",
    ],
    ids=["compress", "delaycompress", "dateext", "zstd", "copytruncate"],
)
async def test_the_first_start_on_what_logrotate_left_is_in_order(
    tmp_path: Path, rotate: Callable[[Path, str], None], options: str
) -> None:
    """Six rotations before anybody reads: the oldest first, each once, and nothing again after two more."""
    log = tmp_path / "app.log"
    for number in range(7):
        append(log, *numbered(10 * number, 10 * number + 10))
        if number < 6:
            await asyncio.to_thread(rotate, log, options)
    intake = MemoryIntake(max_bytes=64)
    async with following(source(tmp_path, "app.log*"), intake, QUICK._replace(forget=600, settle=0.5)):
        await intake.records_are(*numbered(0, 70))
        for number in (7, 8):
            await asyncio.to_thread(rotate, log, options)
            append(log, *numbered(10 * number, 10 * number + 10))
            await intake.records_are(*numbered(0, 10 * number + 10))
    assert intake.losses == []


async def test_deleted_while_behind_by_logrotate_that_keeps_three(
    tmp_path: Path, rotate: Callable[[Path, str], None]
) -> None:
    """Files that it deletes while they are behind are read to their ends all the same; those that it deletes while
    shipper is down are gone, and what was known of them is counted.
    """
    log = tmp_path / "app.log"
    append(log, *numbered(0, 10))
    intake = MemoryIntake(max_bytes=64)
    made = source(tmp_path, "app.log")
    async with following(made, intake):
        await intake.have(1)
        intake.block()
        for number in range(1, 8):
            await asyncio.to_thread(rotate, log, "create 0644\nrotate 3")
            append(log, *numbered(10 * number, 10 * number + 10))
            await intake.until(lambda n=number: len(made._follower.catalog.tails) == n + 1)  # type: ignore[misc]
        intake.unblock()
        await intake.records_are(*numbered(0, 80))
        with log.open("ab") as file:
            file.write(b"half")
        await intake.until(lambda: intake.lags.get(str(log)) == 4)
        append(tmp_path / "app.log", b"")
        await intake.have(81)
    again = intake.restarted()
    append(log, b"rest")
    for number in range(1, 7):
        rotate(log, "create 0644\nrotate 3")
        append(log, b"%d" % number)
    async with following(source(tmp_path, "app.log"), again, QUICK):
        await again.records_are(*numbered(0, 80), b"half", b"3", b"4", b"5", b"6")
