"""Which file systems give no events for what others write; tests/e2e/test_watching.py mounts one."""

from pathlib import Path

from shipper.sources.file.filesystems import silent


def test_a_disk_of_this_machine_tells_all(tmp_path: Path) -> None:
    """So do those that the kernel makes up."""
    assert silent(str(tmp_path)) is None
    assert silent("/dev/shm") is None


def test_a_directory_that_is_not_there_is_none_of_them(tmp_path: Path) -> None:
    """It is looked for again."""
    assert silent(str(tmp_path / "nowhere")) is None
