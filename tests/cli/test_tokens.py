"""``shipper tokens`` as a user calls it."""

import subprocess
import sys
from pathlib import Path


def tokens(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shipper", "tokens", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_token_is_added_shown_once_listed_and_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    added = tokens("add", "shop-berlin", "--file", file)
    assert added.returncode == 0
    token = added.stdout.strip()
    assert token.startswith("shp_")
    assert token not in added.stderr
    listed = tokens("ls", "--file", file)
    ident, day, principal = listed.stdout.split()
    assert (principal, len(ident), len(day)) == ("shop-berlin", 8, 10)
    assert token not in listed.stdout
    assert tokens("forget", "shop-berlin", "--file", file).stdout == f"forgot {ident} of shop-berlin\n"
    assert tokens("ls", "--file", file).stdout == ""


def test_what_is_wrong_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    done = tokens("forget", "nobody", "--file", tmp_path / "tokens")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"shipper: {tmp_path}/tokens has no token of 'nobody'; it has tokens of: none\n"
    done = tokens("ls", "--file", tmp_path / "none")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert tokens("add", "x", "--file", tmp_path / "no" / "folder").returncode == 1
