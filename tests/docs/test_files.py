"""The examples of the guide to files read files as the guide says."""

import json
import re
from pathlib import Path

import pytest
from support.intake import MemoryIntake

from shipper.config import load

GUIDE = Path(__file__).parents[2] / "docs/guide/files.md"
EXAMPLES = re.findall(r"^```yaml part\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
TRACE = (
    "2024-05-01 12:00:01 ERROR order 4711 failed\njava.lang.IllegalStateException: no\n\tat com.example.A.b(A.java:8)"
)
NEXT = "2024-05-01 12:00:02 INFO next"
POD = "var/log/pods/shop_web-1_0a1b/app/0.log"
FILES = {
    "var/log/app/a.log": "one\n",
    "var/log/app/a.log.gz": "excluded\n",
    "srv/x/y/current.log": "two\n",
    "srv/old/current.log": "excluded\n",
    "var/log/shop/a.log": f"{TRACE}\n{NEXT}\n",
    POD: "".join(
        f"2024-05-01T12:00:01.000000001Z stderr F {line}\n" for line in [*TRACE.split("\n")[:2], *NEXT.split("\n")]
    ).replace(" F java", " P java.\n2024-05-01T12:00:01.000000001Z stderr F java"),
}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("example", EXAMPLES)
async def test_an_example_reads_what_it_is_about(tmp_path: Path, example: str) -> None:
    """In a directory that stands for the root of the file system."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    example = re.sub(r"(?<=[\[\" ])/(?=var|srv)", f"{tmp_path}/", example)
    config = tmp_path / "agent.yaml"
    config.write_text(f"data_dir: {tmp_path}/data\n{example}sinks: {{out: {{type: stdout}}}}\n")
    ((name, source),) = load([config]).sources.items()
    intake = MemoryIntake()
    await source.run(intake, once=True)
    records = [record.decode() for record in intake.records()]
    match name:
        case "app":
            assert sorted(records) == ["one", "two"]
        case "shop":
            assert records == [TRACE, NEXT]
        case "pods":
            first = TRACE.rpartition("\n")[0].replace("\njava", "\njava.java")
            assert [json.loads(record)["message"] for record in records] == [first, NEXT]
            labels = intake.batches[0].labels
            assert [labels[key] for key in ("namespace", "pod", "container")] == ["shop", "web-1", "app"]
        case _:
            raise AssertionError(name)
