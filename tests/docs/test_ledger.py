"""The page of the ledger: its script compares two sides, its table has every line, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.ledgers import STREAM, read_draft, received, span

from shipper.batch import Upstream
from shipper.spool.body import CursorValue, GapNote
from shipper.spool.draft import EntryDraft
from shipper.spool.real_disk import RealDisk
from shipper.spool.store import Store

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/guide/ledger.md"
TEXT = PAGE.read_text("utf-8")


@pytest.fixture(name="spools")
def _spools(tmp_path: Path) -> tuple[Store, Store]:
    """An agent that has delivered 30 bytes in three frames, and queues 5 more; a collector that has nothing yet."""
    agent = Store(RealDisk(tmp_path / "agent" / "spool"), 2 << 20, 1 << 20, ["central"])
    collector = Store(RealDisk(tmp_path / "collector" / "spool"), 2 << 20, 1 << 20, ["out"])
    agent.commit([read_draft(span(start, start + 10)) for start in (0, 10, 20)])
    agent.log.cursors["central"].place(CursorValue(4, agent.log.durable))
    agent.commit([read_draft(span(30, 35))])
    return agent, collector


def compare(folder: Path, sink: str = "central") -> "subprocess.CompletedProcess[str]":
    """What the script of the page says of both."""
    found = re.search(r"^```python compare\.py\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    (folder / "compare.py").write_text(found[1])
    for side in ("agent", "collector"):
        command = [sys.executable, "-m", "shipper", "audit", "--json", str(folder / side)]
        said = subprocess.run(command, capture_output=True, check=True, timeout=60)
        (folder / f"{side}.json").write_bytes(said.stdout)
    command = [sys.executable, "compare.py", sink, "agent.json", "collector.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def delivered(there: int) -> str:
    return f"/var/log/a.log: 30 delivered to central, {there} there\n"


def test_the_script_finds_nothing_where_the_collector_has_what_was_delivered(
    tmp_path: Path, spools: tuple[Store, Store]
) -> None:
    agent, collector = spools
    collector.commit([received(seq, span(10 * seq - 10, 10 * seq)) for seq in (1, 2, 3)])
    agent.close()
    collector.close()
    done = compare(tmp_path)
    assert (done.stdout, done.returncode) == (f"{delivered(30)}0 of 1 differ\n", 0)


def test_the_script_does_not_take_for_there_what_a_gap_told_the_collector_of(
    tmp_path: Path, spools: tuple[Store, Store]
) -> None:
    agent, collector = spools
    gap = EntryDraft(upstream=Upstream(STREAM, 2, 1, b"i" * 16, 0, 1), gap=GapNote(STREAM, 2, 2, -1, "corrupt"))
    collector.commit([received(1, span(0, 10)), gap, received(3, span(20, 30))])
    agent.close()
    collector.close()
    done = compare(tmp_path)
    told = "  the collector was told of 10 that it does not get: corrupt\n  DIFFERS: 10 fewer there\n"
    assert (done.stdout, done.returncode) == (f"{delivered(20)}{told}1 of 1 differ\n", 1)


def test_the_script_counts_a_loss_at_the_source_on_neither_side_and_the_rest_of_a_line_that_was_cut_on_both(
    tmp_path: Path, spools: tuple[Store, Store]
) -> None:
    agent, collector = spools
    losses = [span(25, 30, lost="too_long"), span(35, 50, lost="truncated")]
    agent.commit([read_draft(*losses)])
    agent.log.cursors["central"].place(CursorValue(agent.log.next_seq, agent.log.durable))
    frames = [span(0, 10), span(10, 20), span(20, 30), span(30, 35)]
    collector.commit([received(seq, one) for seq, one in enumerate(frames, 1)])
    collector.commit([received(5, *losses)])
    agent.close()
    collector.close()
    done = compare(tmp_path)
    assert done.stdout == (
        "/var/log/a.log: 35 delivered to central, 35 there\n"
        "  the collector was told of 15 that it does not get: truncated\n"
        "0 of 1 differ\n"
    )
    assert done.returncode == 0


def test_the_script_says_when_the_collector_has_more_or_nothing_and_when_there_is_no_such_sink(
    tmp_path: Path, spools: tuple[Store, Store]
) -> None:
    agent, collector = spools
    agent.close()
    collector.close()
    done = compare(tmp_path)
    assert (done.stdout, done.returncode) == (f"{delivered(0)}  DIFFERS: 30 fewer there\n1 of 1 differ\n", 1)
    collector = Store(RealDisk(tmp_path / "collector" / "spool"), 2 << 20, 1 << 20, ["out"])
    collector.commit([received(1, span(0, 35))])
    collector.close()
    done = compare(tmp_path)
    assert (done.stdout, done.returncode) == (f"{delivered(35)}  DIFFERS: 5 more there\n1 of 1 differ\n", 1)
    done = compare(tmp_path, "centrl")
    assert (done.stderr, done.returncode) == ("the agent has no sink centrl, but central\n", 1)


def test_the_table_explains_every_line_of_a_balance() -> None:
    listing = (ROOT / "shipper/cli/audit_listing.py").read_text("utf-8")
    names = set(re.findall(r'_row\(f?"(\w+)', listing)) | {"lost", "missing"}
    table = TEXT.partition("| line |")[2].partition("\n\n")[0]
    assert len(names) > 7
    assert [name for name in sorted(names) if f"| `{name}" not in table] == []


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT))))
def test_a_link_of_the_page_leads_somewhere(link: str) -> None:
    assert (PAGE.parent / link).is_file()
