"""A sampler: what an agent says of itself (``/status``) and its memory, again and again until something is the case."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.processes import BenchError, Child
from benchmarks.rig import fetch_status

_EVERY: Final = 0.2
_UNANSWERED: Final = 60.0


@dataclass(frozen=True)
class Sample:
    """One look."""

    at: float
    """On the monotonic clock."""
    acked: int
    """The first sequence number that the collector has not acknowledged."""
    appended: int
    """The number that the spool gives next."""
    backlog: int
    """Bytes in the spool, not acknowledged."""
    oldest: float
    """Seconds that the oldest of them has waited."""
    unread: int
    """Bytes of the live log that were not read yet."""
    rss: int


def sample(agent: Child, port: int, since: float) -> Sample | None:
    """Look once; None while it does not answer.

    :raises BenchError: it ended, or has not answered for long (``since``: when it did last).
    """
    try:
        found = fetch_status(port)
    except OSError as error:
        if not agent.alive() or time.monotonic() - since > _UNANSWERED:
            raise BenchError(f"{agent} does not answer: {error}\n{agent.tail()}") from error
        return None
    (sink,) = found["sinks"].values()
    (source,) = found["sources"].values() if found["sources"] else ({"unread_bytes": 0},)
    return Sample(
        time.monotonic(),
        sink["next"],
        found["spool"]["next"],
        sink["backlog_bytes"],
        sink["oldest_unacked_seconds"],
        source["unread_bytes"],
        agent.memory().rss,
    )


def watch(agent: Child, port: int, until: Callable[[Sample], bool], timeout: float, what: str) -> list[Sample]:
    """Look about five times a second until the condition holds; the last sample meets it.

    :raises BenchError: it does not come to hold.
    """
    samples: list[Sample] = []
    deadline, since = time.monotonic() + timeout, time.monotonic()
    while not samples or not until(samples[-1]):
        if time.monotonic() > deadline:
            raise BenchError(f"{agent}: never got so far that it {what}\n{agent.tail()}")
        found = sample(agent, port, since)
        if found is not None:
            samples.append(found)
            since = found.at
        time.sleep(_EVERY)
    return samples
