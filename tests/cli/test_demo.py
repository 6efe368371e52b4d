"""``shipper demo`` as a user starts it: real processes, real faults, nothing left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.processes import wait_for


class _Showing:
    """A running demo whose output goes to a file and whose temporary files go to a directory of the test."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "shipper", "demo", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"TMPDIR": str(self.temporary)},
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def says(self, text: str) -> None:
        """Wait until it says that."""
        wait_for(lambda: text in self.output or self.process.poll() is not None, f"{text!r} in:\n{self.output}")
        assert text in self.output, self.output

    def ends(self) -> int:
        return self.process.wait(120)


@contextmanager
def _demo(folder: Path, *arguments: str) -> Iterator[_Showing]:
    showing = _Showing(folder, *arguments)
    try:
        yield showing
    finally:
        if showing.process.poll() is None:
            showing.process.terminate()
            showing.process.wait(60)


def _nodes(folder: Path) -> dict[int, str]:
    """The shipper processes that run a config inside the folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(word.startswith(f"{folder}/") and word.endswith(".yaml") for word in command):
            found[int(process.name)] = next(word for word in command if word.endswith(".yaml"))
    return found


def test_it_survives_a_cut_a_rotation_and_a_kill_and_counts_every_line(tmp_path: Path) -> None:
    with _demo(tmp_path, "--seconds", "8") as showing:
        assert showing.ends() == 0, showing.output
        said = showing.output
    for event in ("the agent keeps what it reads", "app.log is rotated", "is back", "kill -9", "started again"):
        assert event in said
    for kind in ("app", "access"):
        row = re.search(rf"^  {kind} +([\d,]+) +([\d,]+) +(\d+) +(\d+) +(\d+) +(\w+)$", said, re.MULTILINE)
        assert row, said
        assert int(row[1].replace(",", "")) > 1000
        assert row[1] == row[2]
        assert row.groups()[2:] == ("0", "0", "0", "yes")
    assert re.search(r"written [\d,]+ · read [\d,]+ · queued", said), "progress is shown where no terminal is"
    assert "\x1b" not in said
    assert not _nodes(tmp_path)
    assert not list(showing.temporary.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_once_and_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    with _demo(tmp_path) as showing:
        showing.says("the application starts to write")
        assert len(_nodes(tmp_path)) == 2
        showing.process.send_signal(number)
        assert showing.ends() == 1
        assert "stopped before the end" in showing.output
    assert not _nodes(tmp_path)
    assert not list(showing.temporary.iterdir())


def test_with_keep_it_stays_up_until_asked_and_then_counts(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with _demo(tmp_path, "--keep", "--seconds", "5", "--dir", str(folder)) as showing:
        showing.says("stays up")
        admin = re.findall(r"http://127\.0\.0\.1:\d+/status", showing.output)
        assert len(admin) == 2
        showing.process.send_signal(signal.SIGINT)
        assert showing.ends() == 0, showing.output
        assert "Every line arrived exactly once" in showing.output
    assert (folder / "central" / "app.ndjson").stat().st_size > 0, "a directory that was named is left"
    assert not _nodes(tmp_path)


def test_with_keep_a_stop_in_the_middle_of_an_outage_still_counts_every_line(tmp_path: Path) -> None:
    with _demo(tmp_path, "--keep", "--seconds", "8") as showing:
        showing.says("the agent keeps what it reads")
        showing.process.send_signal(signal.SIGTERM)
        assert showing.ends() == 0, showing.output
        assert "Every line arrived exactly once" in showing.output
    assert not _nodes(tmp_path)


def test_a_node_that_dies_by_itself_is_a_failure_and_its_log_is_kept(tmp_path: Path) -> None:
    with _demo(tmp_path) as showing:
        showing.says("the application starts to write")
        (agent,) = [pid for pid, config in _nodes(tmp_path).items() if config.endswith("agent.yaml")]
        os.kill(agent, signal.SIGKILL)
        began = time.monotonic()
        assert showing.ends() == 1
        assert time.monotonic() - began < 60
        assert "the agent died" in showing.output
        (kept,) = showing.temporary.iterdir()
        assert f"Everything is kept for a look: {kept}" in showing.output
    assert not _nodes(tmp_path)


def test_wrong_arguments_are_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with _demo(tmp_path, "--dir", str(tmp_path)) as showing:
        assert showing.ends() == 1
        assert "is not empty" in showing.output
    odd = tmp_path / "a{b}"
    odd.mkdir()
    with _demo(odd, "--dir", str(odd / "demo")) as showing:
        assert showing.ends() == 1
        assert "choose a directory without" in showing.output
    other = tmp_path / "other"
    other.mkdir()
    with _demo(other, "--seconds", "1") as showing:
        assert showing.ends() == 2
        assert "1 is not between 5 and 86400" in showing.output
    assert (tmp_path / "mine").read_text() == "precious"
