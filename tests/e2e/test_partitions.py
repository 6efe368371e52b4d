"""An agent and a collector on a network of their own; tests/faults/rows/network.py has what happens when it fails."""

import random
from pathlib import Path

from faults.row import Outcome, Run
from faults.site import Site
from support.network import ADDRESSES, Cable


def test_a_host_name_with_several_addresses_works_while_one_of_them_answers(tmp_path: Path) -> None:
    """Nobody has the first; the second is the collector."""
    with Cable() as cable:
        cable.name(tmp_path, "collector", "10.77.0.99", ADDRESSES["collector"])
        inside = {side: cable.inside(side) for side in ADDRESSES}
        run = Run(tmp_path, 0, 0, random.Random(0))
        with Site(run, inside=inside, listen=ADDRESSES["collector"], port=7420, address="collector:7420") as site:
            site.begin()
            outcome = site.finish(Outcome(0, 0, 0))
    assert (outcome.lost, outcome.doubled, outcome.altered, outcome.misordered) == (0, 0, 0, 0)
    assert outcome.written > 0
