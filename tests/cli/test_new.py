"""``shipper new``: what it writes works as it stands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.python_path import environment

from shipper.cli import main


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_passes_its_test_and_every_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "processor", "mask_cards"]) == 0
    assert "next: cd shipper-mask-cards && pip install -e . && pytest\n" in capsys.readouterr().out
    made = folder / "shipper-mask-cards"
    assert "passed" in python(made, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", ".")
    python(made, "mypy", "--strict", "shipper_mask_cards.py", "test_mask_cards.py")
    python(made, "ruff", "check", "--select", "E,F,I,D1,ANN,UP,B", "--isolated", "--line-length", "120", ".")
    python(made, "ruff", "format", "--check", "--isolated", "--line-length", "120", ".")


def test_a_folder_that_is_there_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "shipper-shout").mkdir()
    assert main(["new", "processor", "shout"]) == 2
    assert "shipper-shout is there already" in capsys.readouterr().err
    assert list((folder / "shipper-shout").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "Mask-Cards",
            "'Mask-Cards' cannot be a processor's name: write small letters, digits, underscores, as in mask_cards",
        ),
        ("7", "as in mask_cards"),
        ("drop", "there is a standard processor 'drop': choose another name"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    assert main(["new", "processor", name]) == 2
    assert said in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_folder_where_one_may_not_write_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")
    os.chdir("/proc/self/task")
    assert main(["new", "processor", "shout"]) == 2
    assert "shipper-shout cannot be made: " in capsys.readouterr().err
