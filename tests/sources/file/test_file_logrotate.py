"""The file source behind Debian's logrotate, as it is configured on real machines."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.following import append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file.limits import Timings

QUICK = Timings(rescan=0.05, linger=0.1, forget=600, settle=0.5)
WAYS = {
    "rename": "create",
    "copytruncate": "copytruncate",
    "compress": "create\ncompress",
    "compress with zstd": "create\ncompress\ncompresscmd /usr/bin/zstd\ncompressext .zst\ncompressoptions -q --rm",
    "delaycompress": "create\ncompress\ndelaycompress",
    "dateext": "create\ncompress\ndateext\ndateformat -%Y%m%d-%s",
    "copytruncate and compress": "copytruncate\ncompress",
    "copytruncate and dateext": "copytruncate\ndateext\ndateformat -%Y%m%d-%s",
}


@pytest.fixture
def rotate(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Runs logrotate on ``logs/app.log`` once."""
    config, logs = tmp_path / "logrotate.conf", tmp_path / "logs"
    logs.mkdir(mode=0o755)
    options = WAYS[request.param]
    config.write_text(f"{logs}/app.log {{\nsize 1\nrotate 9\nmissingok\n{options}\n}}\n")
    config.chmod(0o644)
    state = tmp_path / "logrotate.state"

    def run() -> None:
        subprocess.run(["/usr/sbin/logrotate", "-f", "-s", str(state), str(config)], check=True)

    return run


@pytest.mark.parametrize("rotate", WAYS, indirect=True, ids=list(WAYS))
@pytest.mark.parametrize("patterns", [["logs/app.log"], ["logs/app*"]], ids=["its own name", "all names"])
async def test_logrotate_loses_and_doubles_nothing(
    tmp_path: Path, rotate: Callable[[], None], patterns: list[str]
) -> None:
    """Running, behind, and down, several rotations each."""
    log = tmp_path / "logs" / "app.log"
    intake = MemoryIntake(max_bytes=512)
    written = 0

    def write() -> None:
        nonlocal written
        append(log, *numbered(written, written + 100))
        written += 100

    write()
    async with following(source(tmp_path, *patterns), intake, QUICK):
        await intake.have(written)
        for _ in range(2):  # running
            rotate()
            write()
            await intake.have(written)
            await asyncio.sleep(1.05)  # names of dateext have a second
        intake.block()  # behind
        write()
        await asyncio.sleep(0.1)
        rotate()
        write()
        intake.unblock()
        await intake.have(written)
        await asyncio.sleep(0.3)
    write()
    await asyncio.sleep(1.05)
    rotate()  # down
    write()
    again = intake.restarted()
    async with following(source(tmp_path, *patterns), again, QUICK):
        await again.have(written)
        await asyncio.sleep(0.5)
    assert sorted(again.records()) == sorted(numbered(0, written))
    assert again.losses == []
