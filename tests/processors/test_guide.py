"""What the guide to processors and the README say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shipper import Condition

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "processors.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
CONDITIONS = "".join(re.findall(r"^```where\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)).splitlines()


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_condition_of_the_guide_can_be_read(text: str) -> None:
    assert Condition.parse(text).fields


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
