"""Disks that are full: real file systems that are small, filled and freed under an agent and under a collector."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from faults.row import Outcome, Row, Run
from faults.site import PATIENCE, Site
from support.processes import Node, wait_for
from support.small_disk import SmallDisk

_DISK: Final = 16 * 1024 * 1024
_LEFT: Final = 1_000_000
"""Bytes that somebody leaves of a disk; an agent keeps most of it free, so that not another segment fits."""
_ROUND: Final = 1024 * 1024
"""Bytes, and more, by which the collector's file grows in a round."""


def _no_mounts() -> str | None:
    if shutil.which("unshare") is None:
        return "unshare is missing"
    made = subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else f"no mount namespace can be made: {made.stderr.decode().strip()}"


def _full_for_the_agent(run: Run) -> Outcome:
    """In turn: somebody takes all of it; the spool fills what is left while the collector is away. At times the agent
    is killed and started while the disk is full.
    """
    outcome = Outcome(run.injections, 0, 0)
    disk = SmallDisk(run.place / "small", _DISK)
    try:
        with Site(
            run,
            homes={"agent": run.place / "small" / "agent"},
            inside={"agent": disk.inside},
            rate=6_000,
            size=400,
        ) as site:
            site.homes["agent"] = disk.path / "agent"
            site.begin()
            for at in range(run.injections):
                _full_round(run, site, disk, away=bool(at % 2))
                outcome.fired += 1
                outcome.recover.append(site.resumed())
            return site.finish(outcome)
    finally:
        disk.close()


def _full_round(run: Run, site: Site, disk: SmallDisk, *, away: bool) -> None:
    site.load.rest()
    site.caught_up()
    agent = site.nodes["agent"]
    # Segments that are deleted after the disk was filled would make room for all of a round.
    wait_for(lambda: _settled(disk, agent), site.trouble, PATIENCE)
    said = site.said("agent").count("no room: ")
    if away:
        assert site.nodes["collector"].stop() == 0, site.trouble()
    disk.fill(_LEFT if away else 0)
    site.load.go_on()
    wait_for(lambda: site.said("agent").count("no room: ") > said, site.trouble, PATIENCE)
    assert ("min_free" if away else "the disk is full") in site.said("agent"), site.trouble()
    site.load.rest()
    if run.dice.random() < 0.3:
        agent.kill()
        site.start("agent")
    if away:
        site.start("collector")
    assert site.nodes["agent"].running, site.trouble()
    disk.clear()
    site.load.go_on()


def _settled(disk: SmallDisk, agent: Node) -> bool:
    """All that was delivered is deleted, and its room is free: nobody has it open."""
    held = [os.readlink(link) for link in Path(f"/proc/{agent.process.pid}/fd").iterdir() if link.is_symlink()]
    return len(list((disk.path / "agent").rglob("*.seg"))) == 1 and not any("(deleted)" in name for name in held)


def _full_for_the_collector(run: Run) -> Outcome:
    """Its spool and the file that it writes are on one disk, all of which somebody takes; at times it is killed."""
    outcome = Outcome(run.injections, 0, 0)
    disk = SmallDisk(run.place / "small", _DISK + run.injections * _ROUND)
    try:
        with Site(
            run,
            homes={"collector": run.place / "small" / "collector"},
            inside={"collector": disk.inside},
            more={"collector": "spool: {max_bytes: 2MiB}\n"},
            out=run.place / "small" / "out.ndjson",
            rate=1_000,
        ) as site:
            site.homes["collector"] = disk.path / "collector"
            site.out = disk.path / "out.ndjson"
            site.begin()
            for _ in range(run.injections):
                known = _refusals(site)
                disk.fill(0)
                wait_for(lambda known=known: _refusals(site) > known, site.trouble, PATIENCE)  # type: ignore[misc]
                outcome.fired += 1
                if run.dice.random() < 0.3:
                    site.nodes["collector"].kill()
                    site.start("collector")
                disk.clear()
                if not site.nodes["collector"].running:  # a start needs a few KiB
                    site.start("collector")
                outcome.recover.append(site.resumed())
            return site.finish(outcome)
    finally:
        disk.close()


def _refusals(site: Site) -> int:
    """How often the collector said that it has no room, for its spool or for its file."""
    said = site.said("collector")
    return said.count("no room: ") + said.count("No space left on device")


ROWS = [
    Row(
        "full disk: the agent's",
        "A file system of 16 MiB under the agent is filled by somebody, or by its own spool; the agent is killed then.",
        "once",
        _full_for_the_agent,
        short=10,
        long=100,
        needs=_no_mounts,
        every=True,
    ),
    Row(
        "full disk: the collector's",
        "A small file system under the collector's spool and its file sink is filled by somebody; it is killed then.",
        "once",
        _full_for_the_collector,
        short=4,
        long=100,
        needs=_no_mounts,
        every=True,
    ),
]
