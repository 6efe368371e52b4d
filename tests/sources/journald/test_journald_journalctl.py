"""The journald source and a journalctl that dies, hangs, complains, may not read, or is not there."""

import asyncio
import os
import resource
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from conformance.source_suite import numbered
from support.intake import MemoryIntake, running
from support.journal import Journal
from support.journald import following, journald_source, read

from shipper.errors import SourceError
from shipper.sources.journald import reader
from shipper.sources.journald.journalctl import Journalctl
from shipper.sources.journald.reader import Reader


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
async def test_a_journalctl_that_dies_is_started_again(journal: Journal, number: signal.Signals) -> None:
    """Where it was; reading a journal that is being removed can crash it."""
    intake = MemoryIntake(max_bytes=1000)
    journal.many(numbered(0, 10))
    async with following(journald_source(journal), intake):
        for turn in range(1, 5):
            await intake.until(children)
            for child in children():
                with suppress(ProcessLookupError):
                    os.kill(child, number)
            journal.many(numbered(10 * turn, 10 * turn + 10))
            await intake.have(10 * turn + 10)
    assert intake.records() == numbered(0, 50)
    assert children() == []


async def test_a_cancelled_end_leaves_no_journalctl_behind(journal: Journal) -> None:
    """No process, and no open pipe, also where all worker threads are busy."""
    journal.write(b"first")
    child = Journalctl([f"--directory={journal.directory}", "--follow"], print)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    busy = asyncio.create_task(asyncio.to_thread(time.sleep, 0.2))
    await asyncio.sleep(0)
    closing = asyncio.create_task(child.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert children() == []
    assert child.ended
    await busy


def children() -> list[int]:
    """The journalctl processes of this one."""
    tasks = [(task / "children").read_text().split() for task in Path("/proc/self/task").iterdir()]
    found = []
    for child in [int(child) for task in tasks for child in task]:
        with suppress(OSError):  # it may end while it is looked at
            if Path(f"/proc/{child}/comm").read_text() == "journalctl\n":
                found.append(child)
    return found


async def test_a_journalctl_that_hangs_is_started_again_and_one_that_is_quiet_is_not(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one sees an entry that it does not write."""
    monkeypatch.setattr(reader, "_QUIET", 0.3)
    monkeypatch.setattr(reader, "_GRACE", 0.1)
    made, intake = journald_source(journal), MemoryIntake()
    looks: list[str] = []

    async def newest(self: Reader) -> str:
        looks.append(await look(self))
        return looks[-1]

    look = Reader._newest
    monkeypatch.setattr(Reader, "_newest", newest)
    journal.many(numbered(0, 10))
    async with following(made, intake):
        await intake.have(10)
        await intake.until(lambda: len(looks) >= 3)
        assert made.problems() == []
        await intake.until(lambda: len(children()) == 1)  # a look is one more, and ends
        (child,) = children()
        os.kill(child, signal.SIGSTOP)
        journal.many(numbered(10, 20))
        await intake.have(20)
        before = len(looks)
        await intake.until(lambda: len(looks) >= before + 3)
        assert child not in children()
        assert made.problems() == []
    assert intake.records() == numbered(0, 20)
    assert children() == []


async def test_a_journalctl_that_finds_nothing_for_long_is_a_problem_that_is_said(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it writes something: a large journal with few entries of a unit, a slow disk, or damage."""
    monkeypatch.setattr(reader, "_QUIET", 0.1)
    go_on = tmp_path / "go-on"
    wrap_journalctl(tmp_path, monkeypatch, f"while [ ! -e {go_on} ]; do sleep 0.05; done; exec")
    journal.many(numbered(0, 10))
    made, intake = journald_source(journal), MemoryIntake()
    async with following(made, intake):
        await intake.until(made.problems)
        assert "found nothing for a minute" in made.describe()
        intake.block()
        go_on.touch()
        await intake.until(lambda: not made.problems())
        intake.unblock()
        await intake.have(10)


async def test_an_entry_that_no_journalctl_writes_is_no_reason_to_start_it_again_and_again(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it came behind later ones, all of them pass over it: once is enough."""
    monkeypatch.setattr(reader, "_QUIET", 0.2)
    monkeypatch.setattr(reader, "_GRACE", 0.05)
    starts = tmp_path / "starts"
    other = Journal(tmp_path / "other")
    other.many(numbered(100, 120))
    count = f'case "$*" in *--lines=1*) set -- "$@" --directory={other.directory}; echo look;; *) echo read;; esac'
    wrap_journalctl(tmp_path, monkeypatch, f"{count} >> {starts}; exec")
    journal.many(numbered(0, 10))
    intake = MemoryIntake()
    async with following(journald_source(journal), intake):
        await intake.until(lambda: starts.exists() and starts.read_text().count("look") >= 5)
    other.close()
    assert intake.records() == numbered(0, 10)
    assert starts.read_text().count("read") == 4, "to the end and on, twice"


async def test_nothing_is_read_ahead_of_a_full_spool(journal: Journal) -> None:
    """But for one batch and what fits into a pipe: journalctl waits."""
    journal.many([b"x" * 1000 + b" %d" % number for number in range(2000)])
    intake = MemoryIntake(max_bytes=10_000)
    intake.block()
    made = journald_source(journal)
    async with running(made, intake):
        await asyncio.sleep(0.1)
        assert made.__dict__["_reader"].position.count == 0
        intake.unblock()
        await intake.have(2000)
    assert len(set(intake.records())) == 2000


async def test_without_journalctl_it_says_what_to_install(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start: it will not appear by itself. ``check`` warns: it may run elsewhere."""
    monkeypatch.setenv("PATH", str(journal.directory))
    assert journald_source(journal).cautions() == [
        ("type", "journald needs the program journalctl, which is not here: install systemd")
    ]
    with pytest.raises(SourceError, match="install systemd") as caught:
        await read(journald_source(journal))
    assert not caught.value.retriable


def wrap_journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """Have the shell run ``before`` with the command line of the real journalctl behind it."""
    wrapper = tmp_path / "bin" / "journalctl"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{before} {shutil.which("journalctl")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")


async def test_a_complaint_that_comes_in_pieces_is_one(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the last one needs no newline."""
    wrap_journalctl(tmp_path, monkeypatch, "printf 'half ' >&2; sleep 0.2; printf 'a line\nlast' >&2; exit 1;")
    made = journald_source(journal)
    await read(made)
    assert made.problems() == ["half a line", "last", "journalctl ended with exit code 1"]


async def test_a_journalctl_that_cannot_be_started_for_now_is_tried_again() -> None:
    """No descriptors, no memory, no processes: that passes, and the engine starts the source again."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with pytest.raises(SourceError, match="cannot be started: Too many open files") as caught:
            Journalctl([], print)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert caught.value.retriable


async def test_permission_denied_names_the_group(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal of the system is for root and for the group systemd-journal."""
    journal.many(numbered(0, 3))
    journal.close()
    journal.file.chmod(0)
    if os.geteuid() == 0:  # root reads everything: let journalctl run as somebody else
        for folder in [journal.directory, *journal.directory.parents][:4]:
            if folder.stat().st_uid == 0 and folder != Path("/tmp"):
                folder.chmod(0o755)
        wrap_journalctl(tmp_path, monkeypatch, "exec setpriv --reuid=65534 --regid=65534 --clear-groups")
    made = journald_source(journal)
    intake = await read(made)
    assert intake.records() == []
    assert "add the user to group systemd-journal" in made.problems()[0]


def test_the_hint_of_journalctl_names_the_group_too() -> None:
    """It stands where only a part of the system's journal is not for this user."""
    made = Reader(MemoryIntake(), "", [], "beginning")
    for line in (
        "Hint: You are currently not seeing messages from other users and the system.",
        "Users in groups 'adm', 'systemd-journal' can see all messages.",
        "Pass -q to turn off this notice.",
    ):
        made.complain(line)
    assert list(made.problems) == ["permission denied: the system's journal: add the user to group systemd-journal"]


def test_of_endless_complaints_the_newest_are_kept() -> None:
    """A journalctl that follows may run for months, and name another offset each time."""
    made = Reader(MemoryIntake(), "", [], "beginning")
    for number in range(1000):
        made.complain(f"damage at {number}")
    assert list(made.problems) == [f"damage at {number}" for number in range(980, 1000)]
