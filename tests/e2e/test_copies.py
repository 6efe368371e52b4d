"""Agents whose data directory was copied or restored: a new stream id and an alarm, nothing lost."""

import time
from collections import Counter
from pathlib import Path

import pytest
from support.fleet import Fleet, copy, restore
from support.processes import records, wait_for


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.mark.parametrize("restarts", [0, 2], ids=["same epoch", "newer epochs"])
def test_a_cloned_data_directory_takes_a_new_stream_and_both_lose_nothing(fleet: Fleet, restarts: int) -> None:
    """``cp -a`` while the agent is stopped; then both run on, each with files of its own."""
    collector = fleet.collector("a")
    agent = fleet.agent("a")
    collector.start()
    agent.start()
    fleet.write()
    fleet.wait("a")
    assert agent.stop() == 0
    copy(fleet.root / "agent", fleet.root / "clone")
    others = fleet.root / "clone-logs"
    others.mkdir()
    clone = fleet.agent("a", name="clone", logs=others)
    for _ in range(restarts):  # without its collector's knowing: the epochs are ahead of the original's
        collector.stop()
        clone.start()
        wait_for(lambda: clone.up, "the clone")
        clone.kill()
        collector.start()
    agent.start()
    wait_for(lambda: agent.up, "the original")
    fleet.write()
    fleet.wait("a")
    clone.start()
    fleet.write(logs=others, mark="clone")
    fleet.write()
    fleet.wait("a")
    assert agent.stop() == 0, agent.output()
    assert clone.stop() == 0, clone.output()
    assert collector.stop() == 0, collector.output()
    assert set(fleet.got("a")) == set(fleet.lines)
    identities = Counter((r["_stream"], r["_seq"], r["_index"]) for r in records(fleet.out("a")))
    assert max(identities.values()) == 1, "two records share an identity"
    assert "a new stream id" in agent.output() + clone.output()


def test_an_agent_that_is_restored_from_a_backup_loses_nothing_that_its_files_hold(fleet: Fleet) -> None:
    """It reads again what it had shipped since; that comes twice, under another stream id."""
    collector = fleet.collector("a")
    agent = fleet.agent("a")
    collector.start()
    agent.start()
    fleet.write()
    fleet.wait("a")
    assert agent.stop() == 0
    backup = copy(fleet.root / "agent", fleet.root / "backup")
    agent.start()
    fleet.write()
    fleet.wait("a")
    agent.kill()
    restore(backup, fleet.root / "agent")
    fleet.write()
    agent.start()
    fleet.wait("a")
    assert agent.stop() == 0, agent.output()
    assert collector.stop() == 0, collector.output()
    got = Counter(fleet.got("a"))
    assert set(got) == set(fleet.lines)
    assert max(got.values()) <= 2
    identities = Counter((r["_stream"], r["_seq"], r["_index"]) for r in records(fleet.out("a")))
    assert max(identities.values()) == 1, "two records share an identity"


def test_an_agent_that_is_restored_while_its_collector_is_away_and_grows_is_noticed(fleet: Fleet) -> None:
    """The same numbers with other contents: the last frame is compared."""
    collector = fleet.collector("a")
    agent = fleet.agent("a")
    collector.start()
    agent.start()
    fleet.write()
    fleet.wait("a")
    assert agent.stop() == 0
    backup = copy(fleet.root / "agent", fleet.root / "backup")
    agent.start()
    for _ in range(5):
        fleet.write(20)
        fleet.wait("a")
    assert agent.stop() == 0
    assert collector.stop() == 0
    restore(backup, fleet.root / "agent")
    agent.start()  # with epochs beyond those seen, as after some restarts
    wait_for(lambda: agent.up, "the restored agent")
    agent.kill()
    agent.start()
    wait_for(lambda: agent.up, "the restored agent")
    for _ in range(10):
        fleet.write(30, mark="grown")
        time.sleep(0.15)
    collector.start()
    fleet.wait("a")
    assert agent.stop() == 0, agent.output()
    assert collector.stop() == 0, collector.output()
    assert set(fleet.got("a")) == set(fleet.lines)
    assert "a new stream id" in agent.output()
