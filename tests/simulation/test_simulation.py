"""The simulation itself: it can be replayed, and it notices promises that are broken."""

import itertools
import subprocess
import sys

import pytest
from simulation.simulation import Plan, Simulation
from simulation.world import Broken
from support.python_path import TESTS, environment
from support.simdisk import SimFile

from shipper.intake import SourceIntake
from shipper.ledger.book import Book
from shipper.wire.session import Session


def _replayed(seed: int, plan: str, hashes: str) -> str:
    """What a process of its own says, in which strings have other hashes."""
    command = [sys.executable, "-m", "simulation", str(seed), "6000", plan]
    settings = environment(TESTS) | {"PYTHONHASHSEED": hashes}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=settings).stdout


@pytest.mark.parametrize("plan", ["plain", "sharing, new disks"])
def test_the_same_seed_is_the_same_run_in_every_process(plan: str) -> None:
    assert _replayed(7, plan, "1") == _replayed(7, plan, "2")


def test_another_seed_is_another_run() -> None:
    assert Simulation(7, Plan()).run(500).trace != Simulation(8, Plan()).run(500).trace


def test_a_disk_that_only_says_that_it_synced_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimFile, "sync", lambda _file: None)
    with pytest.raises(Broken):
        _several(Plan(kinds=("power",)))


def test_a_collector_that_acknowledges_what_is_not_durable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "acknowledged", property(lambda session: session.expected))
    with pytest.raises(
        Broken, match=r"seed \d+, step \d+, [\d.]+ s: \d+ lines did not arrive.*\nagain: .* -m simulation \d"
    ):
        _several(Plan(kinds=("power", "kill", "drag")))


def test_positions_that_are_not_durable_with_their_lines_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SourceIntake, "_named", lambda _intake, _batch: {})
    with pytest.raises(Broken, match="lines arrived twice"):
        _several(Plan(kinds=("kill",)))


def test_a_ledger_that_was_not_told_of_everything_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = itertools.count()
    enter = Book.enter
    monkeypatch.setattr(Book, "enter", lambda book, *news: next(told) % 50 == 49 or enter(book, *news))
    with pytest.raises(Broken, match="the ledger: "):
        _several(Plan(kinds=("reset",)))


def _several(plan: Plan) -> None:
    for seed in range(1, 9):
        Simulation(seed, plan).run(15_000)
