"""What an example in the documentation says that becomes of a record is what becomes of it.

Behind a processor in an example, or on the lines below it, ``# INPUT -> RESULT`` gives what goes in and what goes on:
a record as JSON, several with a blank between them, a line of text, or ``nothing``. An input that is no JSON object is
a raw line.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from shipper.config import load
from shipper.trace import Tracer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/guide/*.md")), *sorted(ROOT.glob("docs/reference/*.md"))]
BLOCK = re.compile(r"^```yaml[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(?:^|\s)# (?P<input>.*?) +-> (?P<result>.*)$")
BECOMES = re.compile(r"``[^`]*`` becomes ``|# .* becomes ")


class Example(NamedTuple):
    """One processor, and what it is said to do."""

    place: str
    processor: str
    input: str
    result: str


def examples(page: Path) -> Iterator[Example]:
    text = page.read_text("utf-8")
    for block in BLOCK.finditer(text):
        for number, line in enumerate(block[1].splitlines()):
            if said := COMMENT.search(line):
                name = f"{page.relative_to(ROOT)}:{text[: block.start(1)].count(chr(10)) + number + 1}"
                processor = [settings for first, settings in listed(block[1]) if first <= number][-1]
                yield Example(name, processor, said["input"], said["result"])


def listed(block: str) -> list[tuple[int, str]]:
    """The processors of a block: the first line of each, and all of it as JSON, which is YAML too."""
    tree = yaml.compose(block)
    assert isinstance(tree, yaml.MappingNode)
    (items,) = (value for key, value in tree.value if key.value == "processors")
    values = yaml.safe_load(block)["processors"]
    return [
        (node.start_mark.line, json.dumps(value, ensure_ascii=False))
        for node, value in zip(items.value, values, strict=True)
    ]


def records_in(text: str) -> list[dict[str, Any]]:
    if text == "nothing":
        return []
    if not text.startswith("{"):
        return [{"message": text}]
    found, at = [], 0
    while at < len(text):
        record, at = json.JSONDecoder().raw_decode(text, at)
        found.append(record)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def exact(records: list[dict[str, Any]]) -> list[str]:
    """As JSON: there 1 is not true."""
    return [json.dumps(record, sort_keys=True) for record in records]


EXAMPLES = [example for page in PAGES for example in examples(page)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.place)
def test_a_result_in_an_example_is_what_comes_out(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teams.csv").write_text("service,team\nshop,payments\n")
    (tmp_path / "redact.key").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "agent.yaml").write_text(
        f"data_dir: {tmp_path}/data\nsources: {{app: {{type: stdin}}}}\nsinks: {{out: {{type: stdout}}}}\n"
        f"processors: [{example.processor}]\n"
    )
    tracer = Tracer(load([tmp_path / "agent.yaml"]))
    line = json.loads(example.input) if example.input.startswith("{") else example.input.encode()
    try:
        assert exact(tracer.trace(line).records) == exact(records_in(example.result))
    finally:
        tracer.close()


def test_there_are_results_to_compare() -> None:
    assert len(EXAMPLES) > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_result_is_told_in_a_way_that_nobody_compares(page: Path) -> None:
    blocks = BLOCK.findall(page.read_text("utf-8"))
    assert [line for block in blocks for line in block.splitlines() if BECOMES.search(line)] == []
