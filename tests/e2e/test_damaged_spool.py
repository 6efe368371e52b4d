"""An agent whose spool is damaged: after a crash at its end, and where the disk cannot read it. All else arrives."""

import json
import subprocess
import sys
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest
from support.faults import ATTACHABLE, unreadable
from support.pair import Pair
from support.processes import wait_for

from shipper.spool.files import segment_name
from shipper.spool.inspect import LookingDisk, look
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import HEADER_SIZE, Entry
from shipper.spool.tail import walk

UNKNOWN = "the end of the spool is unknown after a crash: files are read again from there"
DAMAGED = "part of the spool is damaged: a copy is in quarantine, the rest goes on"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def killed_uncovered(pair: Pair) -> tuple[Path, int, int]:
    """Kill an agent before anything on the disk says that its last group is durable; the place of that group.

    Nobody is told of a group before its sync, but a start cannot know of that sync: only the next write would say so.
    """
    disk = LookingDisk(pair.spool)
    while True:
        agent, _ = pair.start("agent", wait=False)
        for _ in range(
            2
        ):  # cursors say so about once a second: after the first of these groups, and not after the next
            before = look(disk).next_seq
            pair.write(50)
            wait_for(lambda before=before: look(disk).next_seq > before, "the lines in the spool")  # type: ignore[misc]
        agent.kill()
        view = look(disk)
        segment = view.segments[view.durable.segment]
        name = segment_name(segment.header.id)
        parts = list(walk(SegmentReader(disk.open(name), segment.header), view.durable.offset))
        last = parts[-1]
        if isinstance(last, Entry) and last.frame and view.marked.offset <= last.envelope.durable:
            return pair.spool / name, last.envelope.durable, last.end


def test_the_end_that_nobody_knows_after_a_crash_is_read_from_the_file_again(pair: Pair) -> None:
    for how in ("flipped", "torn", "never written"):
        path, start, stop = killed_uncovered(pair)
        data = bytearray(path.read_bytes())
        if how == "flipped":
            data[stop - 10] ^= 0xFF
        else:
            at = stop - 10 if how == "torn" else start
            data[at:stop] = bytes(stop - at)
        path.write_bytes(data)
    (collector, _), (agent, _) = pair.start("collector"), pair.start("agent")
    pair.wait_arrived()
    pair.check(agent, collector)
    assert agent.output().count(UNKNOWN) == 2, "of an end that is not there at all nothing can be known"
    assert DAMAGED not in agent.output()


def lines_by_number(pair: Pair) -> dict[int, list[int]]:
    """The lines of the file that each frame of the agent's spool holds."""
    command = [sys.executable, "-m", "shipper", "spool", "cat", str(pair.folder / "agent.yaml")]
    found = defaultdict(list)
    for line in subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines():
        record = json.loads(line)
        found[record["_seq"]].append(int(record["message"].split()[0]))
    return found


def test_what_the_disk_cannot_read_is_missing_by_name_and_the_rest_arrives(pair: Pair) -> None:
    agent, _ = pair.start("agent", wait=False)
    pair.write(3_000)
    wait_for(lambda: len(look(LookingDisk(pair.spool)).segments) > 2, "a segment that has neighbours")
    agent.kill()  # the next process has nothing of it in memory
    held, segments = lines_by_number(pair), look(LookingDisk(pair.spool)).segments
    bad = sorted(segments)[1]
    first, last = segments[bad].header.first, segments[bad + 1].header.first - 1
    lost = {line for number in range(first, last + 1) for line in held[number]}
    assert lost
    agent, _ = pair.start("agent", inside=ATTACHABLE)
    with unreadable(agent.process.pid, pair.spool / segment_name(bad)):
        collector, _ = pair.start("collector")
        wait_for(lambda: DAMAGED in agent.output(), "the damage to be said")
        pair.write(100)
        pair.wait_arrived(lost)
    (said,) = [line for line in agent.output().splitlines() if DAMAGED in line]
    damage = json.loads(said)
    assert (damage["segment"], damage["first"], damage["last"]) == (bad, first, last)
    with urllib.request.urlopen(f"http://127.0.0.1:{pair.admin}/metrics", timeout=60) as answer:
        metrics = answer.read().decode()
    size = segments[bad].end - HEADER_SIZE
    assert f'shipper_lost_bytes_total{{reason="corrupt"}} {size}' in metrics.splitlines(), metrics
    pair.check(agent, collector, lost=lost)
