"""What the guide to processors and the README say."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shipper import Condition
from shipper.cli import main

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "processors.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
CONDITIONS = "".join(re.findall(r"^```where\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)).splitlines()


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_of_the_guide_can_be_read(text: str) -> None:
    assert Condition.parse(text).fields


SAID = re.findall(r"^```text\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
EXPLAINED = """\
data_dir: data
sources: {app: {type: stdin}}
sinks: {out: {type: stdout}}

processors:
  - parse_json

  - drop: {where: "level == 'debug' or path == '/healthz'"}
"""
PLANNED = """\
sources: {app: {type: stdin}}
sinks: {out: {type: stdout}}
processors:
  - parse_json
  - keep: {where: "level == 'error'"}
"""


def explained(monkeypatch: pytest.MonkeyPatch, folder: Path, config: str, *more: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"level":"debug"}\n')))
    (folder / "agent.yaml").write_text(config)
    assert main(["explain", "agent.yaml", *more]) == 0


def test_the_guide_shows_what_explain_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(monkeypatch, tmp_path, EXPLAINED)
    untimed = [re.sub(r"[\d.]+ (µs|ms)", "a while", text) for text in (capsys.readouterr().out, SAID[0])]
    assert untimed[0] == untimed[1]


def test_the_guide_shows_what_a_plan_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    explained(monkeypatch, tmp_path, PLANNED, "--plan")
    assert capsys.readouterr().out == SAID[1]


@pytest.mark.parametrize("page", [README, GUIDE], ids=["README", "guide"])
def test_the_ten_line_processor_passes_its_test(page: str, tmp_path: Path) -> None:
    for name, text in re.findall(r"^```python (\w+\.py)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    checked = [sys.executable, "-m", "mypy", "--strict", "mine.py"]
    done = subprocess.run(checked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
