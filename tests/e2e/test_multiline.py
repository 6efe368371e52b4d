"""Records of several lines while their log is rotated and the agent is killed: every one once and whole."""

import gzip
import os
import random
import time
from pathlib import Path

import pytest
from support.processes import Node, records, wait_for
from support.whole import whole_records

CONFIG = """
data_dir: {data}
sources:
  app:
    type: file
    include: ["{logs}/app.log", "{logs}/app.log.*"]
    multiline: {{preset: java, flush_after: 1h}}
sinks:
  out: {{type: file, path: {out}}}
"""
CONTAINERS = """
data_dir: {data}
sources:
  pods:
    type: file
    include: [{include}]
    container: auto
sinks:
  out: {{type: file, path: {out}}}
"""
TRACES = 600
KILLS = 4


def trace(number: int, frames: int) -> str:
    lines = [
        f"2024-05-01 12:00:00.000 ERROR [main] shop - order {number} failed",
        f"java.lang.IllegalStateException: no {number}",
    ]
    lines += [f"\tat com.example.Shop.step{frame}(Shop.java:{number})" for frame in range(frames)]
    return "\n".join([*lines, f"Caused by: java.io.IOException: {number}", "\t... 2 more"])


@pytest.mark.timeout(300)
def test_multiline_traces_arrive_once_and_whole_over_rotations_and_kills(tmp_path: Path) -> None:
    """Written line by line; rotated in the middle of traces; the agent killed with -9 again and again."""
    chance = random.Random(4)
    logs = tmp_path / "logs"
    logs.mkdir()
    log, out = logs / "app.log", tmp_path / "out.ndjson"
    node = Node(tmp_path, "agent", CONFIG.format(data=tmp_path / "data", logs=logs, out=out))
    written = [trace(number, chance.randrange(1, 30)) for number in range(TRACES)]
    kills = set(chance.sample(range(20, TRACES - 20), KILLS))
    file, rotated = log.open("ab", buffering=0), 0
    node.start()
    for number, text in enumerate(written):
        for line in text.split("\n"):
            file.write(line.encode() + b"\n")
            if chance.random() < 0.002:
                file.close()
                rotated += 1
                log.rename(f"{log}.{rotated}")
                file = log.open("ab", buffering=0)
        if number in kills:
            wait_for(lambda: node.up, "the start-up line")
            time.sleep(chance.random() / 4)
            node.kill()
            node.start()
        time.sleep(0.002)
    file.close()
    wait_for(lambda: node.up, "the start-up line")
    assert node.stop() == 0
    node.start("--once")
    assert node.wait() == 0, node.output()
    assert rotated > 5
    arrived = [str(record["message"]) for record in records(out)]
    assert sorted(arrived) == sorted(written)


class Container:
    """A container whose log kubelet rotates, in the middle of messages that the runtime cut."""

    def __init__(self, root: Path) -> None:
        name = "web-1_shop_nginx"
        pod = root / "pods" / "shop_web-1_0f9c" / "nginx"
        links = root / "containers"
        pod.mkdir(parents=True)
        links.mkdir()
        self.log = pod / "0.log"
        self.log.touch()
        (links / f"{name}-{'a' * 64}.log").symlink_to(self.log)
        self.messages = 0
        """Whole ones so far."""
        self._rotations = 0
        self._open = False

    def write(self, count: int) -> None:
        """So many messages, each in three lines; of the last one the first two alone: ``end`` writes the third."""
        with self.log.open("ab") as file:
            for number in range(self.messages, self.messages + count):
                if self._open:
                    file.write(self._line(number - 1, "F", "third"))
                self._open = True
                file.write(self._line(number, "P", "first") + self._line(number, "P", "second"))
        self.messages += count

    def end(self) -> None:
        """The last line of the last message."""
        with self.log.open("ab") as file:
            file.write(self._line(self.messages - 1, "F", "third"))
        self._open = False

    def _line(self, number: int, tag: str, part: str) -> bytes:
        return f"2026-01-01T00:00:00.{number:09d}Z stdout {tag} {part} of {number}, ".encode() + b"\n"

    def rotate(self) -> None:
        """As kubelet does: the one before is compressed when the next one is rotated."""
        before = Path(f"{self.log}.20260101-00000{self._rotations}")
        self._rotations += 1
        if before.exists():
            packed = Path(f"{before}.tmp")
            packed.write_bytes(gzip.compress(before.read_bytes()))
            info = before.stat()
            packed.rename(f"{before}.gz")
            before.unlink()
            os.utime(f"{before}.gz", ns=(info.st_mtime_ns, info.st_mtime_ns))
        self.log.rename(f"{self.log}.20260101-00000{self._rotations}")
        self.log.touch()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("link_first", [True, False], ids=["link first", "target first"])
def test_messages_of_containers_under_two_patterns_stay_whole_over_rotations_while_killed(
    tmp_path: Path, link_first: bool
) -> None:
    """Killed with -9; rotated three times while it is down, each time in the middle of a message."""
    container, out = Container(tmp_path), tmp_path / "out.ndjson"
    patterns = [f'"{tmp_path}/containers/*.log"', f'"{tmp_path}/pods/*/*/*.log*"']
    include = ", ".join(patterns if link_first else patterns[::-1])
    node = Node(tmp_path, "agent", CONTAINERS.format(data=tmp_path / "data", include=include, out=out))
    container.write(50)
    container.end()
    node.start()
    wait_for(lambda: len(whole_records(out)) == 50, "the messages that are there")
    node.kill()
    for _ in range(3):
        container.write(50)
        container.rotate()
    container.write(50)
    container.end()
    node.start()
    wait_for(lambda: len(whole_records(out)) >= container.messages, "what was written while it was down")
    wait_for(lambda: node.up, "the start-up line")
    assert node.stop() == 0
    arrived = [str(record["message"]) for record in records(out)]
    assert arrived == [f"first of {n}, second of {n}, third of {n}, " for n in range(container.messages)]
