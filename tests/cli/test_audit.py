"""``shipper audit`` as an operator calls it: beside running nodes, after kills, and where it does not add up."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.ledgers import read_draft, span
from support.processes import Node, free_port, wait_for

from shipper.spool.real_disk import RealDisk
from shipper.spool.store import Store


def _audit(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shipper", "audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _accounts(node: Node) -> dict[str, Any]:
    done = _audit("--json", node.config)
    assert done.returncode == 0, done.stdout
    return {Path(one["file"]).name: one for one in json.loads(done.stdout)["accounts"]}


@pytest.fixture
def nodes(tmp_path: Path) -> tuple[Node, Node]:
    """An agent with two files and a chain, and a collector with a chain of its own."""
    port = free_port()
    (tmp_path / "logs").mkdir()
    agent = Node(
        tmp_path,
        "agent",
        f"data_dir: {tmp_path}/agent\nspool: {{max_bytes: 2MiB}}\nbatch: {{max_bytes: 4KiB, max_delay: 5ms}}\n"
        f"sources: {{app: {{type: file, include: ['{tmp_path}/logs/*.log']}}}}\n"
        "processors: [parse_json, {drop: {where: \"level == 'debug'\"}}]\n"
        f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 200ms}}}}}}\n",
    )
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\nspool: {{max_bytes: 2MiB}}\n"
        f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        "processors: [{drop: {where: 'n < 10'}}]\n"
        f"sinks: {{archive: {{type: file, path: '{tmp_path}/out.ndjson'}}}}\n",
    )
    return agent, collector


def _write(folder: Path, name: str, first: int, count: int) -> None:
    with (folder / "logs" / name).open("a") as log:
        for n in range(first, first + count):
            log.write(f'{{"n": {n}, "level": "{"debug" if n % 4 == 0 else "info"}", "pad": "{"x" * 40}"}}\n')


def test_both_sides_balance_and_agree_through_kills_and_an_outage(tmp_path: Path, nodes: tuple[Node, Node]) -> None:
    agent, collector = nodes
    agent.start()
    wait_for(lambda: agent.up, "the agent")
    _write(tmp_path, "a.log", 0, 2000)
    _write(tmp_path, "b.log", 0, 100)
    size = (tmp_path / "logs" / "a.log").stat().st_size
    wait_for(lambda: "a.log" in (found := _accounts(agent)) and found["a.log"]["covered"] == [[0, size]], "all is read")
    queued = _accounts(agent)["a.log"]["sinks"]["central"]
    assert (queued["delivered"], queued["queued"]["bytes"]) == (0, size), "the collector is away"
    collector.start()
    for victim in (agent, collector, agent):
        wait_for(lambda node=victim: node.up, "it is up")  # type: ignore[misc]
        victim.kill()
        victim.start()
        wait_for(lambda node=victim: node.up, "it is up again")  # type: ignore[misc]
        _write(tmp_path, "a.log", 2000, 500)
    size = (tmp_path / "logs" / "a.log").stat().st_size
    wait_for(
        lambda: (
            (found := _accounts(collector)).get("a.log", {}).get("covered") == [[0, size]]
            and found["a.log"]["sinks"]["archive"]["delivered"] == size
        ),
        "all of it at the collector's sink",
    )
    wait_for(lambda: _accounts(agent)["a.log"]["sinks"]["central"]["delivered"] == size, "the agent knows it")
    here, there = _accounts(agent), _accounts(collector)
    for name in ("a.log", "b.log"):
        counts = ("generation", "covered", "read", "kept", "dropped", "failed", "lost", "missing", "twice")
        assert {key: here[name][key] for key in counts} == {key: there[name][key] for key in counts}
    dropped = here["a.log"]["dropped"]
    assert (here["a.log"]["read"], dropped, here["a.log"]["unread"]) == (3500, {"drop/filtered": 875}, 0)
    assert (here["a.log"]["dropped_here"], there["a.log"]["dropped_here"]) == ({}, {"drop/filtered": 7})


def test_people_read_a_balance_of_every_file(tmp_path: Path, nodes: tuple[Node, Node]) -> None:
    agent, _ = nodes
    _write(tmp_path, "a.log", 0, 10)
    agent.start()
    wait_for(lambda: agent.up, "the agent")
    wait_for(lambda: bool(_accounts(agent)), "it is read")
    with (tmp_path / "logs" / "a.log").open("a") as log:
        log.write("half a line")
    done = _audit(agent.config)
    size = (tmp_path / "logs" / "a.log").stat().st_size - 11
    assert done.returncode == 0
    assert f"{tmp_path}/logs/a.log  (app on " in done.stdout
    assert f"\n  covered      0-{size} bytes\n" in done.stdout
    assert "\n  records      10 read: 7 kept, 3 dropped, 0 dead-lettered\n" in done.stdout
    assert "\n               3 dropped by drop/filtered\n" in done.stdout
    assert f"\n  to central   0 delivered, {size} (0-{size}) queued\n" in done.stdout
    assert "\n  unread       11\n" in done.stdout
    assert done.stdout.endswith("\nbalances: 1 account\n")


def test_what_cannot_be_explained_is_named_and_exits_1(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "data" / "spool")
    store = Store(disk, 2 << 20, 1 << 20, ["a"])
    store.commit([read_draft(span(0, 10)), read_draft(span(12, 20)), read_draft(span(15, 30))])
    store.close()
    disk.unlock()
    done = _audit(tmp_path / "data")
    assert done.returncode == 1
    assert "\n  PROBLEM      10-12: nobody tells what became of it\n" in done.stdout
    assert "\n  PROBLEM      15-20: read twice\n" in done.stdout
    assert done.stdout.endswith("\nDOES NOT BALANCE: 1 of 1 account\n")
    found = json.loads(_audit("--json", tmp_path / "data").stdout)
    assert (found["balanced"], found["accounts"][0]["twice"]) == (False, {"bytes": 5, "ranges": [[15, 20]]})


def test_a_database_that_cannot_be_read_is_said_and_the_spools_own_ledger_balances(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "data" / "spool")
    store = Store(disk, 2 << 20, 1 << 20, ["a"])
    store.commit([read_draft(span(0, 10))])
    store.close()
    disk.unlock()
    (tmp_path / "data" / "ledger.db").write_bytes(b"not a database, " * 100)
    done = _audit(tmp_path / "data")
    assert (done.returncode, done.stdout.endswith("\nbalances: 1 account\n")) == (0, True)
    assert done.stderr.startswith("shipper: without the files that only the collector's database knows: ")
    assert str(tmp_path / "data" / "ledger.db") in done.stderr


def test_a_place_without_a_spool_exits_2(tmp_path: Path) -> None:
    done = _audit(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no data directory of shipper" in done.stderr
