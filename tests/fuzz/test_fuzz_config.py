"""The short form of fuzzing, for configs and conditions; ``make fuzz`` is the long one."""

import pytest
from fuzz.target import Fuzz, Target
from fuzz.targets import config


@pytest.mark.parametrize("target", config.TARGETS, ids=lambda target: target.name)
def test_no_input_does_harm(target: Target) -> None:
    Fuzz(target).run(target.examples)
