"""A real collector and two agents: its database says what they read, and answers the guide's questions."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.processes import Node, free_port, wait_for

from shipper.errors import LedgerFailed
from shipper.ledger.rows import read_rows

GUIDE = (Path(__file__).parents[2] / "docs/guide/ledger.md").read_text("utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


class Site:
    """A collector, and agents that drop the lines whose number ends in 1."""

    def __init__(self, root: Path) -> None:
        self.root, port = root, free_port()
        self.database = root / "collector/ledger.db"
        self.collector = Node(
            root,
            "collector",
            f"data_dir: {root}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
            "sinks: {out: {type: blackhole}}\n",
        )
        self.agents = [self._agent(name, port) for name in ("one", "two")]

    def _agent(self, name: str, port: int) -> Node:
        (self.root / name).mkdir()
        return Node(
            self.root,
            name,
            f"data_dir: {self.root}/{name}/data\nlabels: {{host: host-{name}}}\n"
            f"sources: {{app: {{type: file, include: ['{self.root}/{name}/*.log'], start_at: beginning}}}}\n"
            "processors: [{drop: {where: \"endswith(message, '1')\"}}]\n"
            f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 200ms}}}}}}\n",
        )

    def files(self) -> list[Path]:
        return sorted(self.root.glob("*/*.log"))

    def write(self, lines: int) -> None:
        """To two files of each agent."""
        for name in ("one", "two"):
            for file in ("app", "web"):
                with (self.root / name / f"{file}.log").open("a") as log:
                    log.writelines(f"line {number}\n" for number in range(lines))

    def ship(self) -> None:
        for agent in self.agents:
            agent.start("--once")
        for agent in self.agents:
            assert agent.wait() == 0, agent.output()[-2000:]

    def read(self) -> dict[str, int]:
        """How many bytes the database covers of each file."""
        try:
            return {account.file: account.end for _, account in read_rows(self.database) if not account.holes}
        except LedgerFailed:
            return {}

    def written(self) -> dict[str, int]:
        return {str(file): file.stat().st_size for file in self.files()}

    def ask(self, query: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as sql:
            sql.row_factory = sqlite3.Row
            return [dict(row) for row in sql.execute(query)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.collector.start()
    wait_for(lambda: site.collector.up, "the collector")
    return site


def test_a_row_a_file_with_what_became_of_its_records_and_the_guide_can_ask_for_it(site: Site) -> None:
    site.write(100)
    site.ship()
    assert site.collector.stop() == 0
    assert site.read() == site.written()
    per_host, lost, fates = [site.ask(query) for query in QUERIES]
    size = sum(site.written().values()) // 2
    assert per_host == [{"host": f"host-{name}", "files": 2, "bytes": size, "records": 200} for name in ("one", "two")]
    assert lost == []
    assert [{**row, "file": Path(row["file"]).name} for row in fates] == 2 * [
        {"file": "app.log", "read": 100, "kept": 90, "dropped": 10, "failed": 0, "dropped_here": 0, "failed_here": 0}
    ]


def test_through_kills_and_with_its_database_damaged_or_gone_it_says_the_same(site: Site) -> None:
    for what in ("nothing", "damage", "removal"):
        site.write(50)
        site.ship()
        site.collector.kill()
        if what == "damage":  # its log would heal it
            site.database.with_name("ledger.db-wal").unlink()
            site.database.write_bytes(b"?" * 5000)
        elif what == "removal":
            site.database.unlink()
        site.collector.start()
        wait_for(lambda: site.read() == site.written(), f"all rows after {what}")
    assert site.collector.stop() == 0
    assert "set aside" in site.collector.output()


def test_the_guide_has_three_questions() -> None:
    assert len(QUERIES) == 3
