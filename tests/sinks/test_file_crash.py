"""The file sink's crash matrix: the process ends at every step, or the power goes; each record is there once."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.power_cut import Crash, CrashingDisk, Loss

from shipper.sinks.file.disk import Disk
from shipper.sinks.file.writer import GroupWriter

STREAM = b"s" * 16
LOSSES: Final[tuple[Loss, ...]] = ("nothing", "everything", "some")
FILES: Final = ["a/x", "a/y", "a/x", "z", "a/x", "z", "b/c/w", "a/x", "a/y", "b/v", "z", "b/c/w"]
"""By record: new directories and new files, alone in a group and beside old ones."""
LAST: Final = len(FILES)


def contents(first: int, end: int) -> dict[tuple[str, ...], list[bytes]]:
    """Records by file."""
    found: dict[tuple[str, ...], list[bytes]] = {}
    for number in range(first, end):
        found.setdefault(tuple(FILES[number].split("/")), []).append(b'{"message":"record number %d"}\n' % number)
    return found


class Life:
    """A sink that is killed and started again, and the cursor of its delivery."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.acked = 0
        self.alarms: list[str] = []

    def run(self, disk: Disk, cursor: int, group: int = 3) -> None:
        """Deliver to the end, so many records a group, unless the disk crashes."""
        writer: GroupWriter | None = None
        try:
            writer = GroupWriter(str(self.root / "out"), self.root / "state", self._alarm, disk)
            at = max(cursor, writer.recover(STREAM, cursor))
            while at < LAST:
                end = min(at + group, LAST)
                writer.write(at, end, contents(at, end))
                at = self.acked = end
        except Crash:
            pass
        finally:
            if writer is not None:
                writer.close()

    def _alarm(self, kind: str, message: str, path: str) -> None:
        self.alarms.append(f"{kind}: {path}")

    def check(self) -> None:
        """Each record once, in order, in its file; nothing else, and no alarm."""
        expected = {"/".join(path): b"".join(lines) for path, lines in contents(0, LAST).items()}
        out = self.root / "out"
        found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert {name: data for name, data in found.items() if data} == expected
        assert self.alarms == []


def steps_of_a_whole_run(root: Path) -> int:
    """How many steps there are to crash at."""
    disk = CrashingDisk()
    Life(root).run(disk, 0)
    return disk.steps


def crash_everywhere(root: Path, loss: Loss, *, behind: bool, skip: frozenset[str] = frozenset()) -> None:
    """Crash at each step, lose what was not synced, start again with the cursor that is left, and check."""
    for step in range(1, steps_of_a_whole_run(root / "whole") + 1):
        life = Life(root / f"{loss}-{behind}-{step}")
        disk = CrashingDisk(crash_at=step, skip=skip)
        life.run(disk, 0)
        disk.cut_power(loss, seed=step)
        life.run(CrashingDisk(), 0 if behind else life.acked)
        life.check()


@pytest.mark.parametrize("behind", [False, True], ids=["cursor durable", "cursor lost"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_at_any_step_leaves_every_record_exactly_once(tmp_path: Path, loss: Loss, behind: bool) -> None:
    """``nothing`` is kill -9: what was written survives in the page cache."""
    assert steps_of_a_whole_run(tmp_path / "count") > 40
    crash_everywhere(tmp_path, loss, behind=behind)


@pytest.mark.parametrize("skip", ["plan", "data", "directory"])
def test_the_matrix_notices_when_a_sync_is_missing(tmp_path: Path, skip: str) -> None:
    with pytest.raises(AssertionError):
        crash_everywhere_in_every_way(tmp_path, frozenset({skip}))


def crash_everywhere_in_every_way(root: Path, skip: frozenset[str]) -> None:
    """Power cuts of both kinds, without some syncs."""
    for loss in LOSSES[1:]:
        crash_everywhere(root, loss, behind=False, skip=skip)


@pytest.mark.parametrize("loss", LOSSES[1:])
def test_a_power_cut_soon_after_a_restart_leaves_every_record_exactly_once(tmp_path: Path, loss: Loss) -> None:
    """The groups after the restart are smaller than the torn one before it."""
    for first in range(12, steps_of_a_whole_run(tmp_path / "whole"), 5):
        for second in range(1, 14):
            life = Life(tmp_path / f"{first}-{second}")
            disk = CrashingDisk(crash_at=first)
            life.run(disk, 0)
            disk.cut_power("nothing")
            disk.steps, disk.crash_at = 0, second
            life.run(disk, life.acked, group=1)
            disk.cut_power(loss, seed=second)
            life.run(CrashingDisk(), 0)
            life.check()


@settings(max_examples=150, deadline=None)
@given(
    crashes=st.lists(st.tuples(st.integers(1, 50), st.sampled_from(LOSSES), st.integers(1, 5)), max_size=6),
    seed=st.integers(0, 2**32),
    behind=st.booleans(),
)
def test_crashes_in_a_row_and_during_recovery_leave_every_record_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, crashes: list[tuple[int, Loss, int]], seed: int, behind: bool
) -> None:
    life = Life(tmp_path_factory.mktemp("life"))
    disk = CrashingDisk()
    for step, loss, group in crashes:
        disk.steps, disk.crash_at = 0, step
        life.run(disk, 0 if behind else life.acked, group)
        disk.cut_power(loss, seed)
    life.run(CrashingDisk(), 0 if behind else life.acked)
    life.check()
