"""What ``make`` says on a machine that lacks something."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / ".ci" / "environment"


def environment(folder: Path, pythons: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the script where only these Pythons are installed."""
    tools = folder / "bin"
    tools.mkdir()
    for name, body in pythons.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    command = ["/bin/sh", str(SCRIPT), str(folder / "venv")]
    surroundings = os.environ | {"PATH": str(tools)}
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=60)


def test_without_python_it_says_what_to_install(tmp_path: Path) -> None:
    done = environment(tmp_path, {})
    assert done.returncode == 1
    assert done.stderr.startswith("shipper needs Python 3.11 or newer; found: none\n")
    assert "sudo apt install python3 python3-venv" in done.stderr


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    done = environment(tmp_path, {"python3": 'case "$1" in --version) echo "Python 3.10.12";; *) exit 1;; esac'})
    assert done.returncode == 1
    assert done.stderr.startswith("shipper needs Python 3.11 or newer; found: Python 3.10.12\n")
    assert "Ubuntu 22.04 (its own is too old)" in done.stderr


def test_a_python_without_ensurepip_asks_for_the_venv_package(tmp_path: Path) -> None:
    python = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac'
    done = environment(tmp_path, {"python3": python})
    assert done.returncode == 1
    assert "python3 has no ensurepip" in done.stderr
    assert "sudo apt install python3-venv" in done.stderr
    assert "python3.12-venv" in done.stderr


def test_the_newest_python_that_can_make_an_environment_is_taken(tmp_path: Path) -> None:
    broken = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.13;; esac'
    good = f'echo "$0 $*" >> {tmp_path}/called; [ "$1" = --version ] && echo "Python 3.12.1"; exit 0'
    pip = tmp_path / "venv" / "bin" / "python"
    pip.parent.mkdir(parents=True)
    pip.write_text(f'#!/bin/sh\necho "pip $*" >> {tmp_path}/called\n')
    pip.chmod(0o755)
    done = environment(tmp_path, {"python3.13": broken, "python3.12": good, "python3": good})
    assert (done.returncode, done.stderr) == (0, "")
    called = (tmp_path / "called").read_text().splitlines()
    assert f"{tmp_path}/bin/python3.12 -m venv --clear {tmp_path}/venv" in called
    assert called[-1] == "pip -m pip install --quiet --disable-pip-version-check --editable .[dev]"


def test_packages_that_cannot_be_installed_leave_no_environment_that_counts(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    done = environment(tmp_path, {"python3": "exit 0"})
    assert done.returncode == 1
    assert "the packages could not be installed" in done.stderr
