"""The short form of fuzzing, for processors and conditions; ``make fuzz`` is the long one."""

import pytest
from fuzz.target import Fuzz, Target
from fuzz.targets import processors

from shipper.plugins import PROCESSOR, standard_names


@pytest.mark.parametrize("target", processors.TARGETS, ids=lambda target: target.name)
def test_no_input_does_harm(target: Target) -> None:
    Fuzz(target).run(target.examples)


def test_every_processor_is_fuzzed() -> None:
    assert {*processors.VALID} == {*standard_names(PROCESSOR)}
