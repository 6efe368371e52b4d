"""Copytruncate storms: a writer that goes on while its file is copied and truncated, again and again.

What is neither in the file nor in a copy is lost: what was lost is what the losses say, and nothing comes twice.
`SHIPPER_COPYTRUNCATE_STORM=SECONDS` makes the storm that long.
"""

import asyncio
import os
import random
import shutil
import time
from pathlib import Path

import pytest
from support.following import following, source
from support.intake import MemoryIntake

from shipper.sources.file.limits import Timings

TIMINGS = Timings(rescan=0.1, linger=0.2, forget=600, settle=2)
SECONDS = float(os.environ.get("SHIPPER_COPYTRUNCATE_STORM", "2"))


@pytest.mark.parametrize("patterns", [["app.log"], ["app.log*"]], ids=["its own name", "all names"])
async def test_copytruncate_storm_what_is_lost_is_what_the_losses_say(tmp_path: Path, patterns: list[str]) -> None:
    """With a spool that is full now and then; lines all have the same length, so that bytes tell how many."""
    chance = random.Random(7)
    log = tmp_path / "app.log"
    log.touch()
    intake = MemoryIntake(max_delay=0.005, max_bytes=2000)
    made, written, number = source(tmp_path, *patterns), 0, 0
    end = time.monotonic() + SECONDS
    async with following(made, intake, TIMINGS):
        with log.open("ab", buffering=0) as writer:
            while time.monotonic() < end:
                for _ in range(chance.randrange(1, 5)):
                    writer.write(b"".join(b"%09d\n" % n for n in range(written, written + 20)))
                    written += 20
                    await asyncio.sleep(chance.random() * 0.01)
                if chance.random() < 0.2:
                    intake.block()
                if chance.random() < 0.3:
                    intake.unblock()
                if chance.random() < 0.3:
                    # Whatever is there at the truncation was seen, or it could not be known what was lost.
                    for old in range(number, 0, -1):
                        (tmp_path / f"app.log.{old}").rename(tmp_path / f"app.log.{old + 1}")
                    number += 1
                    shutil.copyfile(log, tmp_path / "app.log.1")
                    if chance.random() < 0.5:
                        writer.write(b"%09d\n" % written)  # between the copy and the truncation
                        written += 1
                    os.truncate(log, 0)
                    await asyncio.sleep(0.1)
                    intake.unblock()  # a whole generation that nobody saw would be lost, and nobody could say so
                    await asyncio.sleep(0.3)
        intake.unblock()
        await intake.until(lambda: not made._follower.discovery.kin.unsettled and not made._follower.lags.unread)
        await asyncio.sleep(1)
        records = sorted(map(int, intake.records()))
    assert len(set(records)) == len(records)
    lost = sum(size for reason, size, _ in intake.losses if reason == "truncated")
    missing = sorted(set(range(written)) - set(records))
    # A line between the copy and the truncation that nobody saw is lost without a trace: one at most for each copy.
    assert lost <= 10 * len(missing)
    assert len(missing) - lost // 10 <= number
    assert number > 1
