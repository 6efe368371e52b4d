"""Collectors come and go: real processes, nothing lost, nothing twice at one of them."""

from pathlib import Path

import pytest
from support.fleet import LINES, Fleet
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
