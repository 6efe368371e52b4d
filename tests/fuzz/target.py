"""What is fuzzed, and how one input is tried: within bounds that no input of this size needs.

A ``Target`` is a way into shipper for bytes or values that somebody else wrote. Its ``check`` feeds one input and
asserts what must hold whatever the input is; of the errors it may raise those that are documented, and no other.

An input may take ``STEPS`` calls and returns of functions, ``CPU`` seconds of processor time (a regular expression is
one call), and ``ROOM`` bytes of new memory: a length that an input only claims is not allocated.
"""

import math
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Final

from fuzz.mutate import shaken
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

STEPS: Final = 3_000_000
CPU: Final = 20.0
ROOM: Final = 512 * 1024 * 1024
_PAGE: Final = resource.getpagesize()


@dataclass(frozen=True)
class Target:
    """One way in."""

    name: str
    inputs: SearchStrategy[Any]
    check: Callable[[Any], object]
    raises: tuple[type[Exception], ...] = ()
    """The documented errors: an input that is refused with one of them is refused well."""
    examples: int = 200
    """Inputs in the short form."""
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """What has to be there while inputs are tried: a process that takes them."""


class Endless(AssertionError):
    """An input took more than inputs of its size may take."""


class Fuzz:
    """The runs of one target."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.executions = 0
        self._failed = False
        self.last: Any = None
        """The input tried last: behind a failed ``run`` the smallest one found that fails."""

    def run(self, examples: int, number: int | None = None, shakes: int = 0, until: float = math.inf) -> None:
        """Try so many inputs, and of each so many others that differ from it a little; none begins after ``until`` (of
        the monotonic clock) but to find the smallest that fails. ``number`` decides which; None: the profile does.

        Raises what the target raised and may not, for the smallest input that was found.
        """
        bounds = settings(max_examples=examples, deadline=None, suppress_health_check=[*HealthCheck])
        if number is not None:
            bounds = settings(bounds, phases=[Phase.generate, Phase.shrink], database=None, derandomize=False)

        def one(value: Any) -> None:
            dice = random.Random(repr(value))
            for shake in range(shakes + 1):
                if self._failed or not self.executions or time.monotonic() < until:
                    self._try(shaken(value, dice) if shake else value)

        test = bounds(given(self.target.inputs)(one))
        (test if number is None else seed(number)(test))()

    def _try(self, value: Any) -> None:
        self.executions += 1
        self.last = value
        self._failed, before = True, self._failed
        with bounded(), suppress(*self.target.raises):
            self.target.check(value)
        self._failed = before


@contextmanager
def bounded() -> Iterator[None]:
    """What runs in here is stopped where it goes beyond the bounds.

    :raises Endless: it took too many steps, or too long.
    """
    left = STEPS

    def step(_frame: object, _event: str, _argument: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            sys.setprofile(None)
            raise Endless(f"more than {STEPS} steps")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * _PAGE
    before = signal.signal(signal.SIGVTALRM, _too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU)
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, hard))
    sys.setprofile(step)
    try:
        yield
    finally:
        sys.setprofile(None)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _too_long(_signal: int, _frame: object) -> None:
    raise Endless(f"more than {CPU:g} seconds of processor time")
