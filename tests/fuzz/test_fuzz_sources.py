"""The short form of fuzzing, for what sources read; ``make fuzz`` is the long one."""

import pytest
from fuzz.target import Fuzz, Target
from fuzz.targets import kafka, sources


@pytest.mark.parametrize("target", [*sources.TARGETS, *kafka.TARGETS], ids=lambda target: target.name)
def test_no_input_does_harm(target: Target) -> None:
    Fuzz(target).run(target.examples)
