"""The page of guarantees leaves out no sink, leads nowhere that is not there, and its script counts as it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shipper.plugins import SINK, standard_names

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/guide/guarantees.md"
TEXT = PAGE.read_text("utf-8")
CONFIG = """
data_dir: {folder}/data
sources: {{app: {{type: file, include: ["{folder}/*.log"]}}}}
sinks: {{out: {{type: stdout}}}}
"""


@pytest.fixture(name="shipped")
def _shipped(tmp_path: Path) -> Path:
    """Three records, as shipper writes them to standard output."""
    (tmp_path / "a.log").write_text("one\ntwo\nthree\n")
    (tmp_path / "agent.yaml").write_text(CONFIG.format(folder=tmp_path))
    command = [sys.executable, "-m", "shipper", "run", "--once", str(tmp_path / "agent.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    (tmp_path / "out.ndjson").write_text(done.stdout)
    return tmp_path / "out.ndjson"


def count(folder: Path, *paths: Path) -> str:
    """What the script of the page says."""
    found = re.search(r"^```python count\.py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    (folder / "count.py").write_text(found[1])
    command = [sys.executable, str(folder / "count.py"), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_script_finds_nothing_twice_where_nothing_is(shipped: Path, tmp_path: Path) -> None:
    assert count(tmp_path, shipped) == "3 records, 0 doubled, 0 of these with other contents\n"


def test_the_script_finds_what_is_there_twice_and_what_contradicts_itself(shipped: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.ndjson"
    lines = shipped.read_text().splitlines(keepends=True)
    again.write_text(lines[0] + lines[1].replace("two", "another"))
    assert count(tmp_path, shipped, again) == "3 records, 2 doubled, 1 of these with other contents\n"


def test_the_page_names_every_sink() -> None:
    table = TEXT.partition("## To which sinks")[2].partition("\n## ")[0]
    assert [name for name in standard_names(SINK) if f"| `{name}`" not in table] == []


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT))))
def test_a_link_of_the_page_leads_somewhere(link: str) -> None:
    assert (PAGE.parent / link).is_file()
