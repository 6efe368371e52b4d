"""The short form of fuzzing, for the wire: a real collector; ``make fuzz`` is the long one."""

import pytest
from fuzz.target import Fuzz, Target
from fuzz.targets import wire


@pytest.mark.parametrize("target", wire.TARGETS, ids=lambda target: target.name)
def test_no_sender_does_harm(target: Target) -> None:
    with target.around():
        Fuzz(target).run(target.examples)
