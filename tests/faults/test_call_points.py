"""The tracer that kills at one system call: every one is counted, whichever thread makes it."""

import signal
import subprocess
import sys
from pathlib import Path

from support.call_points import Points, When

PROGRAM = """
import os, sys, threading
os.chdir(sys.argv[1])
def work(name):
    descriptor = os.open(name, os.O_CREAT | os.O_RDWR)
    for size in range(5):
        os.pwrite(descriptor, b"x", size)
        os.fdatasync(descriptor)
    os.rename(name, name + ".done")
threads = [threading.Thread(target=work, args=(str(number),)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
os.mkdir("folder")
os.unlink("0.done")
os.open("../elsewhere", os.O_CREAT)
"""
CALLS = 3 * (1 + 5 + 5 + 1) + 2


def run(place: Path, at: int = 0, when: When = "before") -> tuple[int, Points, Path]:
    below = place / f"{at}-{when}"
    below.mkdir()
    points = Points(place / f"{at}-{when}.points", below, at, when)
    done = subprocess.run([*points.inside, sys.executable, "-c", PROGRAM, str(below)], check=False)
    return done.returncode, points, below


def test_all_calls_of_all_threads_below_a_folder_are_listed(tmp_path: Path) -> None:
    code, points, below = run(tmp_path)
    names = [point.name for point in points.calls()]
    assert code == 0
    assert len(names) == CALLS
    assert (names.count("pwrite64"), names.count("fdatasync"), names.count("openat")) == (15, 15, 3)
    assert {Path(point.path).parent for point in points.calls()} == {below}


def test_before_a_call_it_is_not_made_and_after_it_is(tmp_path: Path) -> None:
    """The last one removes a file."""
    ways: list[tuple[When, bool]] = [("before", True), ("after", False)]
    for when, there in ways:
        code, points, below = run(tmp_path, CALLS, when)
        assert code == -signal.SIGKILL
        assert points.calls()[-1].path == str(below / "0.done")
        assert (below / "0.done").exists() == there


def test_each_call_can_be_the_last(tmp_path: Path) -> None:
    for at in range(1, CALLS + 1, 5):
        code, points, _ = run(tmp_path, at)
        assert code == -signal.SIGKILL
        assert len(points.calls()) >= at


def test_beyond_the_last_call_nobody_is_killed_and_exit_codes_and_signals_are_those_of_the_command(
    tmp_path: Path,
) -> None:
    assert run(tmp_path, CALLS + 1)[0] == 0
    points = Points(tmp_path / "points", tmp_path)
    program = "import os, signal; print('ready', flush=True); signal.pause()"
    ends = subprocess.Popen([*points.inside, sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert ends.stdout is not None
    assert ends.stdout.readline() == b"ready\n"
    ends.send_signal(signal.SIGTERM)
    assert ends.wait(60) == -signal.SIGTERM
    ends.stdout.close()
