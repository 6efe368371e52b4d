"""Processors that hang, end their process, or eat memory, in a real agent: nothing else is lost, and a message says
which one, where in the config, and which record.
"""

from pathlib import Path
from typing import Any

import pytest
from support.processes import Node, records, wait_for
from support.whole import whole_records

from shipper.spool.dead_letters import letters

BAD = '''
"""Beside the config."""

import os
import time

from shipper import Processor, Record


class Bad(Processor):
    """Do what the record asks for."""

    def process(self, record: Record) -> Record:
        match record["message"]:
            case "exit":
                os._exit(3)
            case "hang":
                time.sleep(3600)
            case "allocate":
                bytearray(4 << 30)
            case "recurse":
                return self.process(record)
            case "type":
                return 1
            case "odd":
                record["odd"] = object()
            case "memory":
                bytearray(1 << 60)
        return record | {"seen": True}
'''
CONFIG = """\
data_dir: {folder}/data
{top}
sources:
  bad:
    type: file
    include: ["{folder}/bad.log"]
    processors:
      - ./bad.py:Bad:{settings}
  good: {{type: file, include: ["{folder}/good.log"]}}
sinks: {{out: {{type: file, path: "{folder}/{{source}}.ndjson"}}}}
"""
LINE = 8
"""Where the processor stands."""
ISOLATED = " {isolation: process, deadline: 3s, max_memory: 256MiB}"
"""The deadline is for the record that hangs: on a busy machine the others may wait a second for a core."""


def agent(folder: Path, top: str, settings: str) -> Node:
    (folder / "bad.py").write_text(BAD)
    return Node(folder, "agent", CONFIG.format(folder=folder, top=top, settings=settings))


def found(folder: Path, source: str) -> list[dict[str, Any]]:
    out = folder / f"{source}.ndjson"
    return list(records(out)) if out.exists() else []


def errors(folder: Path) -> list[tuple[bytes, int, str, str]]:
    """Record, its index, processor and error of each dead letter."""
    files = sorted((folder / "data" / "spool" / "dead_letters").glob("*.dlq"))
    stored = [letter.letter for file in files for letter, _, _ in letters(file.read_bytes())]
    return [(letter.raw, letter.index, letter.processor, letter.error) for letter in stored]


@pytest.mark.parametrize(
    ("top", "settings", "asked"),
    [
        (
            "",
            ISOLATED,
            {
                "exit": "ended with exit code 3",
                "hang": "did not answer within 3s",
                "allocate": "took more than 256MiB of memory",
                "recurse": "RecursionError: maximum recursion depth exceeded",
                "type": "TypeError: process returned int",
            },
        ),
        (
            "workers: 2",
            "",
            {
                "exit": "its worker process ended with exit code 3",
                "type": "TypeError: process returned int",
                "odd": "the field odd: ",
            },
        ),
        (
            "",
            "",
            {
                "recurse": "RecursionError: maximum recursion depth exceeded",
                "type": "TypeError: process returned int",
                "odd": "the field odd: ",
                "memory": "MemoryError",
            },
        ),
    ],
    ids=["isolated", "in workers", "in process"],
)
def test_only_the_record_that_did_it_is_set_aside(
    tmp_path: Path, top: str, settings: str, asked: dict[str, str]
) -> None:
    node = agent(tmp_path, top, settings)
    lines = [f"line {number}" for number in range(200)]
    harmful = {37 + at: harm for at, harm in enumerate(asked)}
    (tmp_path / "bad.log").write_text("".join(f"{harmful.get(n, line)}\n" for n, line in enumerate(lines)))
    node.start("--once")
    assert node.wait() == 0
    here = found(tmp_path, "bad")
    assert [record["message"] for record in here] == [line for n, line in enumerate(lines) if n not in harmful]
    assert all(record["seen"] for record in here)
    said = errors(tmp_path)
    assert sorted((raw, index) for raw, index, _, _ in said) == sorted((h.encode(), n) for n, h in harmful.items())
    for raw, _, processor, error in said:
        assert asked[raw.decode()] in error
        if processor == "Bad":
            assert error.startswith(f"{node.config}:{LINE}: ")
        else:
            assert processor in ("worker", "encode")
            assert error.startswith(f"Bad ({node.config}:{LINE}): ")
    assert "a record goes to the dead letters" in node.output()


def test_a_processor_that_hangs_holds_up_no_other_source(tmp_path: Path) -> None:
    node = agent(tmp_path, "", " {isolation: process, deadline: 1h}")
    (tmp_path / "bad.log").write_text("hang\n")
    (tmp_path / "good.log").write_text("good\n" * 1000)
    node.start()
    wait_for(lambda: len(whole_records(tmp_path / "good.ndjson")) == 1000, "the other source")
    assert found(tmp_path, "bad") == []
    node.kill()
    (tmp_path / "agent.yaml").write_text(CONFIG.format(folder=tmp_path, top="", settings=ISOLATED))
    node.start("--once")
    assert node.wait() == 0
    assert [error for _, _, _, error in errors(tmp_path)] == [f"{node.config}:{LINE}: did not answer within 3s"]
