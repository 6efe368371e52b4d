# ruff: noqa: S101 - tests assert
"""Run it with ``pytest`` in this folder, after ``pip install -e .``."""

import re

from shipper_mask import Mask

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain

CARDS = re.compile(r"\b\d{16}\b")


class TestConformance(ProcessorConformance):
    """What holds for every processor."""

    lines = ("paid with 4000123412341234", "nothing", b"\xff 4000123412341234")

    def make(self) -> Processor:
        """As a config would make it."""
        return Mask(pattern=CARDS)


def test_cards_are_masked(run_chain: RunChain) -> None:
    """In the field message, if the config names no other."""
    result = run_chain(Mask(pattern=CARDS, replacement="[card]"), ["paid with 4000123412341234 today"])
    assert result.records == [{"message": "paid with [card] today"}]


def test_other_fields_are_left_alone(run_chain: RunChain) -> None:
    """Numbers, too, are no text."""
    record = {"message": 5, "card": "4000123412341234"}
    assert run_chain(Mask(pattern=CARDS), [record]).records == [record]
