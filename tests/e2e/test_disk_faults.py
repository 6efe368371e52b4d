"""Errors of the disk, injected at the system call of a whole agent: it goes on, or ends and the next start has all."""

from pathlib import Path

import orjson
import pytest
from support.processes import Node

LINES = 400
WRITES = "pwritev,pwritev2"


def agent(tmp_path: Path, fault: str) -> tuple[Node, Path]:
    """An agent that prints what it reads, under ``fault``; "": without one. And what strace saw."""
    trace = tmp_path / "trace"
    inside = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        f"trace={fault.partition(':')[0]}",
        "-e",
        f"inject={fault}",
    ]
    config = (
        f"data_dir: {tmp_path}/agent\nbatch: {{max_bytes: 4KiB}}\n"
        f"sources: {{app: {{type: file, include: ['{tmp_path}/a.log']}}}}\n"
        f"sinks: {{out: {{type: file, path: '{tmp_path}/out.ndjson'}}}}\n"
    )
    (tmp_path / "a.log").write_text("".join(f"{number} {'x' * 100}\n" for number in range(LINES)))
    return Node(tmp_path, "agent", config, inside=inside if fault else ()), trace


def lines(tmp_path: Path) -> list[int]:
    """The numbers of the lines that arrived."""
    path = tmp_path / "out.ndjson"
    records = [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return [int(record["message"].split()[0]) for record in records]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (f"{WRITES}:error=EIO:when=2", "Input/output error"),
        (f"{WRITES}:error=ENOSPC:when=2", "No space left on device"),
        ("fallocate:error=EDQUOT:when=1..4", "quota exceeded"),
    ],
)
def test_an_error_now_and_then_is_survived(tmp_path: Path, fault: str, said: str) -> None:
    node, trace = agent(tmp_path, fault)
    node.start("--once")
    code = node.wait(60)
    assert "(INJECTED)" in trace.read_text(), "the fault fired"
    if code:  # it hit the very start
        assert said in node.output()
        again, _ = agent(tmp_path, "")
        again.start("--once")
        assert again.wait(60) == 0, again.output()
    assert lines(tmp_path) == list(range(LINES))


@pytest.mark.parametrize("call", [WRITES, "fdatasync"])
def test_a_disk_that_refuses_for_good_ends_the_process_with_a_sentence_and_the_next_start_has_everything(
    tmp_path: Path, call: str
) -> None:
    node, trace = agent(tmp_path, f"{call}:error=EIO:when=3+")
    node.start("--once")
    assert node.wait(60) == 1
    assert "(INJECTED)" in trace.read_text(), "the fault fired"
    assert "Input/output error; check the disk" in node.output()
    again, _ = agent(tmp_path, "")
    again.start("--once")
    assert again.wait(60) == 0, again.output()
    assert lines(tmp_path) == list(range(LINES))
