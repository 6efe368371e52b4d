"""Hints that do not come, for real: a file system that gives none, and limits of the system that are used up."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Node, wait_for
from support.whole import whole_records

WITHOUT_QUEUES = "max_inotify_instances"
WITHOUT_WATCHES = "max_inotify_watches"


def limited(what: str, number: int) -> list[str]:
    """Run a command in a user namespace where the system gives no more of something."""
    script = f'echo {number} > /proc/sys/user/{what} && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]


def agent_for(tmp_path: Path, logs: Path, *inside: str, watch: str = "auto") -> tuple[Node, Path]:
    """An agent that reads the logs of a folder, and what it writes."""
    out = tmp_path / "out.ndjson"
    config = (
        f"data_dir: {tmp_path}/agent\nbatch: {{max_delay: 0s}}\n"
        f"sources: {{app: {{type: file, include: ['{logs}/*.log'], watch: {watch}}}}}\n"
        f"sinks: {{out: {{type: file, path: '{out}'}}}}\n"
    )
    agent = Node(tmp_path, "agent", config, inside)
    agent.start()
    wait_for(lambda: agent.up, f"the agent\n{agent.output()}")
    return agent, out


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def messages(out: Path) -> list[str]:
    return sorted(str(record["message"]) for record in whole_records(out))


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder and its mirror in a FUSE file system, where nobody is told of writes to the folder itself."""
    below, above = tmp_path / "below", tmp_path / "above"
    below.mkdir()
    above.mkdir()
    subprocess.run(["bindfs", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0", below, above], check=True)
    yield below, above
    for node in Node.all:
        if node.running:
            node.kill()
    subprocess.run(["fusermount", "-u", above], check=True)


@pytest.mark.parametrize("watch", ["auto", "poll"])
def test_files_on_a_file_system_without_events(tmp_path: Path, mirror: tuple[Path, Path], watch: str) -> None:
    """Files on NFS or FUSE: what comes, what is rotated there and what is still written to it is read all the same."""
    below, above = mirror
    append(below / "a.log", "1")
    agent, out = agent_for(tmp_path, above, watch=watch)
    wait_for(lambda: messages(out) == ["1"], "the first line")
    append(below / "a.log", "2")
    wait_for(lambda: messages(out) == ["1", "2"], "a line")
    with (below / "a.log").open("a", buffering=1) as writer:
        (above / "a.log").rename(above / "a.log.1")
        append(below / "a.log", "4")
        wait_for(lambda: messages(out) == ["1", "2", "4"], "the next file")
        writer.write("3\n")
        wait_for(lambda: messages(out) == ["1", "2", "3", "4"], "what came late to the file before")
    told = agent.output().count("no file events for what other machines write")
    assert told == (watch == "auto"), agent.output()
    assert agent.stop() == 0, agent.output()


@pytest.mark.parametrize(
    ("what", "number", "said"),
    [
        (WITHOUT_QUEUES, 0, "no file events: looking at the files every second instead"),
        (WITHOUT_WATCHES, 0, "too few file events: looking at the files every second as well"),
        (WITHOUT_WATCHES, 4, "too few file events: looking at the files every second as well"),
    ],
)
def test_watch_limits_reached(tmp_path: Path, what: str, number: int, said: str) -> None:
    """It falls back and says so, once, with the limit that can be raised; lines, new files and rotations are read."""
    logs = tmp_path / "logs"
    logs.mkdir()
    names = [f"{at}" for at in range(10, 20)]
    for name in names:
        append(logs / f"{name}.log", name)
    agent, out = agent_for(tmp_path, logs, *limited(what, number))
    wait_for(lambda: messages(out) == names, f"the first lines\n{agent.output()}")
    for name in names:
        append(logs / f"{name}.log", f"{name} more")
    wait_for(lambda: len(messages(out)) == 20, f"more lines\n{agent.output()}")
    (logs / "10.log").rename(logs / "10.log.1")
    append(logs / "10.log", "after a rotation")
    append(logs / "20.log", "of a new file")
    wait_for(lambda: len(messages(out)) == 22, f"lines of new files\n{agent.output()}")
    warnings = [line for line in agent.output().splitlines() if "file events" in line]
    assert len(warnings) == 1, warnings
    assert said in warnings[0]
    assert f"raise fs.inotify.{what.replace('max_inotify', 'max_user')}" in warnings[0]
    assert agent.stop() == 0, agent.output()
