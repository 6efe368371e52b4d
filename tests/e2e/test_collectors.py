"""Collectors come and go: real processes, nothing lost, nothing twice at one of them."""

import random
import shutil
import threading
import time
from pathlib import Path

import pytest
from support.fleet import LINES, Fleet, copy, once_each_in_order, restore
from support.processes import wait_for


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_from_a_to_b_and_back_to_a_nothing_is_lost_and_nothing_is_twice_at_one_of_them(fleet: Fleet) -> None:
    a, b = fleet.collector("a"), fleet.collector("b")
    agent = fleet.agent("a", "b")
    a.start()
    agent.start()
    fleet.write()
    fleet.wait("a")
    assert a.stop() == 0
    fleet.write()
    b.start()
    fleet.wait("a", "b")
    a.start()
    wait_for(lambda: a.up, "the first collector again")
    assert b.stop() == 0
    fleet.write()
    fleet.wait("a", "b")
    assert agent.stop() == 0, agent.output()
    assert a.stop() == 0, a.output()
    assert fleet.got("a") == [*fleet.lines[:LINES], *fleet.lines[2 * LINES :]]
    assert fleet.got("b") == fleet.lines[LINES : 2 * LINES]


@pytest.mark.timeout(300)
def test_collectors_that_are_killed_in_turn_lose_nothing(fleet: Fleet) -> None:
    """Kill -9 under load: every line is at one of them, none is twice at one, each has its part in order."""
    nodes = {name: fleet.collector(name) for name in "ab"}
    agent = fleet.agent("a", "b")
    for node in nodes.values():
        node.start()
    agent.start()
    seed = random.randrange(10**6)
    dice = random.Random(seed)
    done = threading.Event()

    def pour() -> None:
        while not done.is_set():
            fleet.write(50)
            time.sleep(0.02)

    writer = threading.Thread(target=pour)
    writer.start()
    try:
        for _ in range(8):
            time.sleep(dice.uniform(0.1, 0.8))
            victim = nodes[dice.choice("ab")]
            victim.kill()
            time.sleep(dice.uniform(0, 0.5))
            victim.start()
    finally:
        done.set()
        writer.join()
    fleet.wait("a", "b")
    assert agent.stop() == 0, agent.output()
    for name, node in nodes.items():
        wait_for(lambda node=node: node.up, "the collector")  # type: ignore[misc]
        assert node.stop() == 0, node.output()
        once_each_in_order(fleet.got(name))
    assert set(fleet.got("a")) | set(fleet.got("b")) == set(fleet.lines), f"seed {seed}"


def test_a_collector_whose_marks_are_gone_goes_on_at_the_floor(fleet: Fleet) -> None:
    collector = fleet.collector("a")
    agent = fleet.agent("a")
    collector.start()
    agent.start()
    fleet.write()
    fleet.wait("a")
    assert collector.stop() == 0
    shutil.rmtree(fleet.root / "collector-a")
    fleet.write()
    collector.start()
    fleet.wait("a")
    assert agent.stop() == 0, agent.output()
    assert collector.stop() == 0, collector.output()
    assert fleet.got("a") == fleet.lines
    assert "DIVERGED" not in agent.output()


def test_a_collector_that_is_restored_from_an_old_backup_goes_on_where_the_agent_is(fleet: Fleet) -> None:
    collector = fleet.collector("a")
    agent = fleet.agent("a")
    collector.start()
    agent.start()
    fleet.write()
    fleet.wait("a")
    assert collector.stop() == 0
    backup = copy(fleet.root / "collector-a", fleet.root / "backup")
    collector.start()
    fleet.write()
    fleet.wait("a")
    assert collector.stop() == 0
    restore(backup, fleet.root / "collector-a")
    collector.start()
    fleet.write()
    fleet.wait("a")
    assert agent.stop() == 0, agent.output()
    assert collector.stop() == 0, collector.output()
    assert fleet.got("a") == fleet.lines


def test_in_a_fleet_that_spreads_each_agent_keeps_to_one_collector(tmp_path: Path) -> None:
    """Every agent ships all that it has to one of them (how evenly: tests/wire/test_dial.py)."""
    fleet = Fleet(tmp_path)
    nodes = [fleet.collector(name) for name in "ab"]
    for node in nodes:
        node.start()
    for number in range(8):
        logs = tmp_path / f"logs-{number}"
        logs.mkdir()
        fleet.write(20, logs=logs, mark=f"agent-{number}")
    agents = []
    for number in range(8):
        agent = fleet.agent("a", "b", name=f"agent-{number}", logs=tmp_path / f"logs-{number}")
        agent.config.write_text(
            agent.config.read_text().replace("type: grpc, addr", "type: grpc, balance: spread, addr")
        )
        agents.append(agent)
    for agent in agents:
        agent.start("--once")
        assert agent.wait() == 0, agent.output()
    for node in nodes:
        assert node.stop() == 0, node.output()
    assert sorted(fleet.got("a") + fleet.got("b")) == sorted(fleet.lines)
    for number in range(8):
        at = [name for name in "ab" if any(line.startswith(f"agent-{number} ") for line in fleet.got(name))]
        assert len(at) == 1
