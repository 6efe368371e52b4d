"""On a machine without Java, Maven or kcat the tests of Kafka are left out, and the run says so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("workers", ["0", "1"])
def test_the_end_of_a_run_names_the_tests_that_were_left_out_and_why(tmp_path: Path, workers: str) -> None:
    tests = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", workers, str(tests / "test_broker.py")],
        cwd=tests.parent.parent,
        env={**os.environ, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout
    assert "4 tests of Kafka were left out: this machine has no Java and no Maven and no kcat.\n" in done.stdout
    assert "    tests/kafka/test_broker.py: 4\n" in done.stdout


def test_another_broker_is_used_where_it_is_given(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "--collect-only",
         str(tests / "test_broker.py")],
        cwd=tests.parent.parent,
        env={**os.environ, "PATH": str(_with_kcat(tmp_path)), "KAFKA_BROKERS": "127.0.0.1:9092"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert "2/4 tests collected (2 deselected)" in done.stdout, done.stdout


def _with_kcat(folder: Path) -> Path:
    """A folder of programs that has kcat, and no Java."""
    (folder / "kcat").write_text("#!/bin/sh\n")
    (folder / "kcat").chmod(0o755)
    return folder
