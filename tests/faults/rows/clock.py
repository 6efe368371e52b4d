"""Clocks that jump, and processes that stand still."""

import json
import re
import signal
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from faults.row import Outcome, Row, Run
from faults.site import PATIENCE, SIDES, Side, Site
from support.processes import free_port, wait_for

_LIBRARY: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""Debian: faketime."""
_YEARS: Final = timedelta(days=3650)
_AGES: Final = (
    "shipper_sink_oldest_unacked_seconds",
    "shipper_delivery_latency_seconds_sum",
    "shipper_event_loop_lag_seconds",
)
_LONG: Final = 10 * 86_400
"""Seconds, all ages together: less than a jump."""
_STANDSTILL: Final = 2.5
"""Seconds: longer than the deadline of a wire that is quick."""
_MISSED: Final = 20
"""Of so many jumps, or fewer, one may be done again: libfaketime may let a thread see the true time while another one
asks.
"""
_LOOKS: Final = 3
"""At an uptime, for the same reason: no look may say that hours have passed that have not."""


def _no_faketime() -> str | None:
    return None if _LIBRARY else "libfaketime is missing"


class _Clocked:
    """A site under a clock that the row sets."""

    def __init__(self, run: Run, *, monotonic: bool) -> None:
        """``monotonic``: the clock that should not jump jumps too."""
        self._clock = run.place / "clock"
        self._admin = free_port()
        self.jump(timedelta())
        inside = [
            "env",
            f"LD_PRELOAD={_LIBRARY}",
            f"FAKETIME_TIMESTAMP_FILE={self._clock}",
            "FAKETIME_NO_CACHE=1",
            f"FAKETIME_DONT_FAKE_MONOTONIC={int(not monotonic)}",
        ]
        more: dict[Side, str] = {"agent": f"admin: {{listen: '127.0.0.1:{self._admin}'}}\n"}
        self.site = Site(run, inside=dict.fromkeys(SIDES, inside), more=more, quick=True)

    def jump(self, offset: timedelta) -> None:
        """To so much from the true time. Replaced as a whole: nobody reads half of it."""
        new = self._clock.with_suffix(".new")
        new.write_text(f"{offset.total_seconds():+.0f}\n")
        new.replace(self._clock)

    @property
    def complaints(self) -> list[datetime]:
        """When the agent said that it cannot deliver, by its own clock."""
        lines = [line for line in self.site.said("agent").splitlines() if "cannot deliver" in line]
        return [datetime.fromisoformat(json.loads(line)["time"]) for line in lines]

    def uptime(self) -> timedelta:
        """How long the agent has run, by its own clock."""
        return timedelta(seconds=json.loads(self._page("status"))["uptime_seconds"])

    def check_ages(self) -> None:
        """:raises AssertionError: an age or a duration that the agent shows has a jump in it, or is not shown."""
        page = self._page("metrics")
        for name in _AGES:
            found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)
            assert len(found) == 1, f"{name} in {page}"
            assert 0 <= float(found[0]) < _LONG, f"{name} {found[0]}"

    def _page(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/{name}", timeout=PATIENCE) as page:
            return str(page.read().decode())


def _jumps(run: Run) -> Outcome:
    """An outage begins at one time and ends at another; in three of ten the agent is killed there."""
    outcome = Outcome(run.injections, 0, 0)
    clocked = _Clocked(run, monotonic=False)
    with clocked.site as site:
        site.begin()
        for _ in range(run.injections + max(1, run.injections // _MISSED)):
            if outcome.fired == run.injections:
                break
            there, back = (_YEARS * run.dice.uniform(-1, 1) for _ in range(2))
            clocked.jump(there)
            outcome.recover.append(site.resumed())
            known = len(clocked.complaints)
            site.nodes["collector"].kill()
            wait_for(lambda known=known: len(clocked.complaints) > known, site.trouble, PATIENCE)  # type: ignore[misc]
            now = datetime.now(UTC) + there
            outcome.fired += abs(clocked.complaints[-1] - now) < timedelta(days=1)
            clocked.jump(back)
            clocked.check_ages()
            if run.dice.random() < 0.3:
                site.nodes["agent"].kill()
                site.start("collector", "agent")
            else:
                site.start("collector")
            outcome.recover.append(site.resumed())
            clocked.check_ages()
        return site.finish(outcome)


def _sleeps(run: Run) -> Outcome:
    """Hours have passed by every clock when they go on."""
    outcome = Outcome(run.injections, 0, 0)
    clocked, slept = _Clocked(run, monotonic=True), timedelta()
    with clocked.site as site:
        site.begin()
        for _ in range(run.injections):
            slept += timedelta(seconds=run.dice.randint(360, 360_000))  # whole ones: an offset has no others
            _signal(site, signal.SIGSTOP, SIDES)
            clocked.jump(slept)
            _signal(site, signal.SIGCONT, SIDES)
            outcome.recover.append(site.resumed())
            outcome.fired += any(clocked.uptime() >= slept for _ in range(_LOOKS))
        return site.finish(outcome)


def _stands_still(run: Run) -> Outcome:
    outcome = Outcome(run.injections, 0, 0)
    with Site(run, quick=True) as site:
        site.begin()
        for _ in range(run.injections):
            sides: tuple[Side, ...] = run.dice.choice([("agent",), ("collector",), SIDES])
            _signal(site, signal.SIGSTOP, sides)
            before = site.load.counted()
            time.sleep(_STANDSTILL)
            outcome.fired += site.arrived <= before < site.load.total
            _signal(site, signal.SIGCONT, sides)
            outcome.recover.append(site.resumed())
        return site.finish(outcome)


def _signal(site: Site, number: signal.Signals, sides: tuple[Side, ...]) -> None:
    for side in sides:
        site.nodes[side].signal(number)


ROWS = [
    Row(
        "clock: jumps of up to ten years",
        "The wall clock of both jumps forth and back by up to ten years, in an outage and under load; kills between.",
        "once",
        _jumps,
        short=3,
        long=100,
        needs=_no_faketime,
        every=True,
    ),
    Row(
        "clock: suspend",
        "Both stand still, and when they go on up to a hundred hours have passed by the wall and the monotonic clock.",
        "once",
        _sleeps,
        short=5,
        long=200,
        needs=_no_faketime,
        every=True,
    ),
    Row(
        "clock: standstill",
        "One side or both are stopped (SIGSTOP) for longer than the other one's deadline.",
        "once",
        _stands_still,
        short=3,
        long=100,
        every=True,
    ),
]
