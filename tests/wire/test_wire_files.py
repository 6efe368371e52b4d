"""Files that are replaced while shipper runs: a change is seen, and what cannot be read is said with what to do."""

import os
from pathlib import Path

import pytest
from support.files import as_nobody

from shipper.wire.files import contents, signature


def test_a_file_that_is_written_or_replaced_has_another_signature(tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert signature(path) is None
    path.write_text("one")
    seen = [signature(path)]
    path.write_text("longer")
    seen.append(signature(path))
    new = tmp_path / "new"
    new.write_text("second")
    os.utime(new, ns=(0, path.stat().st_mtime_ns))
    new.replace(path)
    seen.append(signature(path))
    assert len(set(seen)) == 3
    assert signature(path) == seen[-1]


def test_what_cannot_be_read_is_said_with_the_reason_and_what_to_do(open_path: Path) -> None:
    path = open_path / "token"
    with pytest.raises(ValueError, match=f"^{path}: cannot be read: No such file or directory$"):
        contents(path)
    with pytest.raises(ValueError, match=f"^{path}: cannot be read: No such file or directory; make one$"):
        contents(path, missing="make one")
    with pytest.raises(ValueError, match=f"^{open_path}: cannot be read: Is a directory$"):
        contents(open_path, missing="make one")
    path.write_text("secret")
    path.chmod(0)
    with (
        as_nobody(open_path),
        pytest.raises(ValueError, match="permission denied: the user that runs shipper") as caught,
    ):
        contents(path)
    assert "secret" not in str(caught.value)


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"0123456789")
    assert contents(path, most=4) == b"0123"
    assert contents(path) == b"0123456789"
