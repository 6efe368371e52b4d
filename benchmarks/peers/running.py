"""One run of a peer, or of shipper, and the check of what it wrote.

A peer is a daemon that goes on for ever: it is asked to end a second after its output has as many lines as it must
have, or half a minute after the last new one. What is missing then was lost. Its CPU seconds are those of its whole
tree from start to end, as shipper's are; a second of waiting costs none of them anything that shows.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import throughput, verify
from benchmarks.peers.jobs import Job
from benchmarks.peers.peer import Peer
from benchmarks.processes import BenchError, Child, Cores
from benchmarks.rig import Rig, cache
from benchmarks.verify import Verdict

_TIMEOUT: Final = 600.0
_STALLED: Final = 30.0
_MORE: Final = 1.0
"""Seconds in which what comes twice may still come."""
_LOOK: Final = 0.1
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Run:
    """What one run took, and what came of it."""

    cpu: float
    """Seconds, user + sys, of the process and its children."""
    peak_rss: int
    """Bytes; of a peer with several processes, of all of them."""
    check: Verdict


def run_peer(peer: Peer, program: str, job: Job, folder: Path, cores: Cores) -> Run:
    """Start it, wait for its output, end it, compare.

    :raises BenchError: it ended by itself, or did not end when asked to.
    """
    with Rig(folder / "peer", cores) as rig:
        work = rig.folder / "work"  # some watch the directory of their files: logs of the bench stand elsewhere
        work.mkdir()
        output = work / "output"
        command = peer.command(program, job.workload.number, job.corpus.path, output)
        cache(job.corpus.path)
        child = rig.adopt(Child(command, cores.measured, rig.folder / "peer.log"))
        peak = _watch(child, output, peer.mark, job.wanted)
        before = child.cpu()  # with what is left of children that it does not wait for
        used = child.stop(_TIMEOUT)
        check = verify.compare(job.corpus, job.workload.expect, peer.read(output))
    return Run(max(before, used.cpu), max(peak, used.peak_rss), check)


def run_ours(job: Job, folder: Path, cores: Cores) -> Run:
    """From file to file, in one process: what the peers do."""
    with Rig(folder / "ours", cores) as rig:
        sinks = {"out": {"type": "file", "path": str(rig.output)}}
        extra = {"sinks": sinks, "processors": job.workload.processors}
        used = rig.agent(job.corpus.path, extra, once=True).wait(_TIMEOUT)
        return Run(
            used.cpu, used.peak_rss, verify.compare(job.corpus, job.workload.expect, job.workload.read(rig.output))
        )


def run_ours_acknowledged(job: Job, folder: Path, cores: Cores) -> Run:
    """The workload as the bench has it: over gRPC to a collector; what the agent takes."""
    run = throughput.ship(job.workload, job.corpus, folder / "ours", cores, lambda _: None)
    return Run(run.agent.cpu, run.agent.peak_rss, run.check)


def _watch(child: Child, output: Path, mark: bytes, wanted: int) -> int:
    """Wait until the output has so many records, or no new ones; the highest RSS seen, in bytes."""
    records = peak = at = 0
    last = time.monotonic()
    deadline = last + _TIMEOUT
    while records < wanted and (now := time.monotonic()) < min(deadline, last + _STALLED):
        if not child.alive():
            raise BenchError(f"{child} ended\n{child.tail()}")
        new, at = _marks(output, mark, at)
        if new:
            records, last = records + new, now
        peak = max(peak, child.memory().rss)
        time.sleep(_LOOK)
    time.sleep(_MORE)
    return peak


def _marks(path: Path, mark: bytes, at: int) -> tuple[int, int]:
    """How many marks there are in the whole lines behind a position, and where those lines end."""
    found = 0
    if path.exists():
        with path.open("rb") as file:
            file.seek(at)
            while whole := (chunk := file.read(_CHUNK)).rfind(b"\n") + 1:
                found += chunk.count(mark, 0, whole)
                at += whole
                file.seek(at)
    return found, at
