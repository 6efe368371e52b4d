"""The short form of fuzzing, for what stands on disk; ``make fuzz`` is the long one."""

import pytest
from fuzz.target import Fuzz, Target
from fuzz.targets import formats, state


@pytest.mark.parametrize("target", [*formats.TARGETS, *state.TARGETS], ids=lambda target: target.name)
def test_no_input_does_harm(target: Target) -> None:
    Fuzz(target).run(target.examples)
