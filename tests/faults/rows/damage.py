"""A queue that was damaged while nobody had it open: cut off, or with flipped bits. No more is lost than it says."""

import json
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from faults.oracle import place_of
from faults.queues import (
    QUEUE,
    SIZE,
    SPOOL,
    Place,
    Span,
    contents,
    held,
    in_memory,
    judge_opened,
    open_queue,
    places_of,
    queue_of,
)
from faults.row import Outcome, Row, Run
from faults.site import PATIENCE, Site
from support.processes import wait_for

from shipper.spool.body import Position
from shipper.spool.files import segment_name
from shipper.spool.inspect import LookingDisk, look

_EVERY: Final = 10_000_000
"""Injections: more than there are places, so that every place is damaged."""
_FRAMES: Final = 12
"""By so many the queue of a whole agent grows while its collector is away."""
_END: Final = 16 * 1024
"""Bytes of the collector's file that are its end."""
DAMAGED: Final = "part of the spool is damaged: a copy is in quarantine, the rest goes on"
UNKNOWN: Final = "the end of the spool is unknown after a crash: files are read again from there"


def _flipped(data: bytes, bit: int) -> bytes:
    at = bit // 8
    return data[:at] + bytes([data[at] ^ 1 << bit % 8]) + data[at + 1 :]


def _every_place(run: Run, *, bits: bool) -> Outcome:
    outcome = Outcome(0, 0, 0)
    for queue in (queue_of(run, "ended", killed=False), queue_of(run, "killed", killed=True)):
        places = [(name, at) for name, size in queue.files.items() for at in range(size * 8 if bits else size)]
        if run.injections < 2 * len(places):
            places = run.dice.sample(places, run.injections // 2)
        counted = 0
        for name, at in places:
            disk, data = queue.disk.copy(), queue.disk.contents(name)
            disk.put(name, _flipped(data, at) if bits else data[:at])
            try:
                it = open_queue(disk, queue.raw)
                judge_opened(queue, it, outcome)
            except Exception as error:
                error.add_note(f"the queue {queue.name}, {name} damaged at {at}")
                raise
            counted += len(it.reported & queue.raw.keys())
            outcome.fired += bool(it.found or it.missing)
        outcome.written += queue.written
        outcome.injected += len(places)
        outcome.notes.append(
            f"the queue that was {queue.name}: {queue.written} lines in {len(queue.raw)} frames, "
            f"damaged at {len(places):,} places of {sum(queue.files.values()):,} bytes; "
            f"{counted:,} frames were reported as lost"
        )
    return outcome


def _whole_agents(run: Run) -> Outcome:
    """Rounds: the collector is away, the queue grows, the agent ends, its queue is damaged, and both start again."""
    outcome = Outcome(run.injections, 0, 0)
    spans: dict[int, list[Span]] = {}
    with Site(run, more={"agent": SPOOL}, rate=1_500, size=SIZE) as site:
        spool = site.homes["agent"] / "spool"
        site.begin()
        for _ in range(run.injections):
            site.nodes["collector"].kill()
            _grow(site, spool)
            site.load.rest()
            if run.dice.random() < 0.5:
                site.nodes["agent"].kill()
            else:
                assert site.nodes["agent"].stop() == 0, site.trouble()
            there = contents(in_memory(spool), _numbers(site))  # the cursor on the disk may be a second old
            spans |= there.spans
            before = len(_damages(site))
            # What the collector has is not damaged: the agent would read it again, and find another history there.
            due = held(site.homes["collector"] / "spool")
            _damage(run, spool, min(place for number, place in there.places.items() if number >= due))
            site.load.go_on()
            site.start("agent", "collector")
            outcome.recover.append(_passed(site))
            outcome.fired += len(_damages(site)) > before
        lost = _lost(site, spans)
        outcome.notes.append(f"{len(lost)} lines were reported as lost")
        return site.finish(outcome, lost)


def _passed(site: Site) -> float:
    """Wait until a line arrives that is written from now on, so that the whole queue was gone through: how many seconds
    that took. Lines cannot be counted for that: some that are reported as lost may have come.
    """
    begin, written = time.monotonic(), dict(site.load.written)

    def come() -> bool:
        return any(number >= written[file] for file, number in _newest(site.out))

    wait_for(come, site.trouble, PATIENCE)
    return time.monotonic() - begin


def _newest(out: Path) -> list[Place]:
    """The lines at the end of the collector's file."""
    with out.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
        lines = file.read().split(b"\n")[1:-1]
    return [place for line in lines if (place := place_of(json.loads(line)["message"])) is not None]


def _grow(site: Site, spool: Path) -> None:
    wanted = look(LookingDisk(spool)).next_seq + _FRAMES
    wait_for(lambda: look(LookingDisk(spool)).next_seq > wanted, site.trouble, PATIENCE)


def _damage(run: Run, spool: Path, first: Position) -> None:
    """One place, there or behind it."""
    view = look(LookingDisk(spool))
    number = run.dice.choice([number for number in view.segments if number >= first.segment])
    begin = first.offset if number == first.segment else 0
    path = spool / segment_name(number)
    data = bytearray(path.read_bytes())
    at = run.dice.randrange(begin, max(begin + 1, view.segments[number].end))
    way = run.dice.randrange(3)
    if way == 0 and at < len(data):
        data[at] ^= 1 << run.dice.randrange(8)
    elif way == 1:
        end = min(len(data), at + run.dice.randint(1, QUEUE // 16))
        data[at:end] = bytes(end - at)
    else:
        del data[at:]
    path.write_bytes(data)


def _damages(site: Site) -> list[dict[str, object]]:
    """What the agent said of damage."""
    lines = site.said("agent").splitlines()
    return [json.loads(line) for line in lines if DAMAGED in line or UNKNOWN in line]


def _lost(site: Site, spans: Mapping[int, list[Span]]) -> set[Place]:
    """The lines that the agent said are lost."""
    return {place for number in _numbers(site) for place in places_of(spans.get(number, ()))}


def _numbers(site: Site) -> set[int]:
    """Those of the frames that the agent said are lost."""
    said = [it for it in _damages(site) if it["msg"] == DAMAGED]
    return {number for it in said for number in range(int(str(it["first"])), int(str(it["last"])) + 1)}


_BY_NATURE: Final = "What was damaged is lost by nature; how much is reported as lost is counted, and not judged."
_JUDGED: Final = (
    "Each time a copy of the queue is damaged at one place and opened in memory, without a process. A line counts as "
    "lost if it is neither given to the sink, nor read again from its file, nor in a frame that is reported as lost. "
    f"{_BY_NATURE} It fired where the damage was noticed; elsewhere every line has to be given or read again."
)
ROWS = [
    Row(
        "damage: a queue cut at every byte",
        "Each file of two queues of 64 KiB, of an agent that ended well and of a killed one, is cut off at every byte.",
        "once",
        partial(_every_place, bits=False),
        short=1_000,
        long=_EVERY,
        audited=False,
        judged=_JUDGED,
    ),
    Row(
        "damage: every bit of a queue flipped",
        "Of the same two queues every bit of every file is flipped, one at a time.",
        "once",
        partial(_every_place, bits=True),
        short=1_500,
        long=_EVERY,
        audited=False,
        judged=_JUDGED,
    ),
    Row(
        "damage: whole agents",
        "An agent ends while its collector is away; a bit of its queue is flipped, a piece zeroed, or it is cut off.",
        "once",
        _whole_agents,
        short=4,
        long=200,
        judged=f"A line counts as lost if it did not arrive and is in no frame that the agent reported as damaged. "
        f"{_BY_NATURE} It fired where the agent said something of damage.",
    ),
]
