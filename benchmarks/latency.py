"""Workload 9: from ``write()`` of a line to durable at the collector.

What is timed is the line's arrival in this process, through the collector's ``stdout`` sink and a pipe. A sink is only
given what is durable in the collector's spool, so the line was durable some time *before*: the figures are upper
bounds (they hold two hand-overs between threads and a pipe too many). Writer and reader share the collector's core.

When a line is on its way the agent's own ``stdout`` sink tells: it is durable in the agent's spool then, and a sink has
it.

``fdatasync`` is measured beside on the same disk: as in the spool, small writes into an allocated file.
"""

import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks import verify
from benchmarks.lines import Corpus
from benchmarks.paced import pace
from benchmarks.processes import BenchError, Child, Cores
from benchmarks.report import Bar, Row
from benchmarks.rig import Rig

_RATE: Final = 100.0
_QUIET: Final = (0.3, 0.7)
"""Seconds between lines into a quiet file, drawn evenly: longer than the default ``max_delay`` of 100 ms."""
_ON_ITS_WAY: Final = 5.0
"""Milliseconds."""
_ARRIVAL: Final = 15.0
_PROBES: Final = 300
_PROBE_SIZE: Final = 512
_PROBE_FILE: Final = 1024 * 1024
_MS: Final = 1000.0


def measure(seconds: float, folder: Path, cores: Cores) -> list[Row]:
    """Both parts, each for so many seconds."""
    busy = Corpus.write("json", int(_RATE * seconds) + 1, folder)
    quiet = Corpus.write("json", int(seconds / (sum(_QUIET) / 2)) + 1, folder)
    rows = _rows("100 lines a second, max_delay 0", busy, {"batch": {"max_delay": "0s"}}, 1 / _RATE, folder, cores)
    rows += _rows("one line into a quiet file", quiet, {}, None, folder, cores)
    alone = {"sinks": {"out": {"type": "stdout"}}}
    return rows + _rows("one line into a quiet file, on its way", quiet, alone, None, folder, cores, on_its_way=True)


def _rows(
    what: str,
    corpus: Corpus,
    extra: dict[str, Any],
    every: float | None,
    folder: Path,
    cores: Cores,
    *,
    on_its_way: bool = False,
) -> list[Row]:
    """``on_its_way``: the agent prints the lines, and there is no collector."""
    with Rig(folder / "workload-9", cores) as rig:
        collector = None if on_its_way else rig.collector({"type": "stdout"}, piped=True)
        live = rig.folder / "live.log"
        live.touch()
        agent = rig.agent(live, extra, once=False, piped=on_its_way)
        reader = _Reader(collector or agent)
        sent = _write(corpus, live, every, reader, agent)
        if not reader.has(corpus.lines, _ARRIVAL):
            raise BenchError(f"{len(reader.arrived)} of {corpus.lines} lines arrived\n{agent.tail()}")
        syncs = _fdatasync(rig.folder / "probe")
        agent.stop(_ARRIVAL)
        if collector is not None:
            collector.stop(_ARRIVAL)
        reader.join()
    check = verify.compare(corpus, verify.expect_raw, (record.get("message") for _, record in reader.arrived))
    took = [_MS * (at - start) for start, (at, _) in zip(sent, reader.arrived, strict=False)][1:]
    rows = []
    for share, now, goal in ((50, 10, 4), (99, None, 25)):
        sync = percentile(syncs, share)
        bar = Bar(now + 2 * sync, at_least=False) if now else None
        details: dict[str, float | str] = {f"fdatasync p{share} ms": sync, "lines": len(took), "longest ms": max(took)}
        target: Bar | None = Bar(goal + 2 * sync, at_least=False)
        if on_its_way:
            bar, target = Bar(_ON_ITS_WAY, at_least=False) if now else None, None
        rows.append(Row("9", f"{what}: p{share}", percentile(took, share), "ms", bar, target, check, details))
    return rows


def _write(corpus: Corpus, live: Path, every: float | None, reader: "_Reader", agent: Child) -> list[float]:
    """Write the lines, one at a time; when each was written. The first goes alone: it waits for the connection."""
    sent: list[float] = []
    descriptor = os.open(live, os.O_WRONLY | os.O_APPEND)

    def write(data: bytes) -> None:
        # A writer that was held up writes several lines at once; all count from then.
        sent.extend([time.monotonic()] * data.count(b"\n"))
        os.write(descriptor, data)

    lines = [f"{line}\n".encode() for line in corpus]
    try:
        write(lines[0])
        if not reader.has(1, _ARRIVAL):
            raise BenchError(f"the first line did not arrive\n{agent.tail()}")
        time.sleep(1.0)
        if every is not None:
            pace(lines[1:], 1 / every, every, write)
        else:
            rng = random.Random(1)
            for line in lines[1:]:
                time.sleep(rng.uniform(*_QUIET))
                write(line)
    finally:
        os.close(descriptor)
    return sent


class _Reader:
    """A thread that notes when each record came out of the last process."""

    def __init__(self, last: Child) -> None:
        self.arrived: list[tuple[float, dict[str, Any]]] = []
        self._more = threading.Condition()
        self._output = last.stdout
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        assert self._output is not None
        for line in self._output:
            now = time.monotonic()
            with self._more:
                self.arrived.append((now, decode(line)))
                self._more.notify()

    def has(self, count: int, timeout: float) -> bool:
        """Wait until so many records came."""
        with self._more:
            return self._more.wait_for(lambda: len(self.arrived) >= count, timeout)

    def join(self) -> None:
        """Wait for the end of the output, and give the pipe back."""
        self._thread.join(_ARRIVAL)
        if self._output is not None and not self._thread.is_alive():
            self._output.close()


def _fdatasync(path: Path) -> list[float]:
    """Milliseconds of write and ``fdatasync``, a hundred a second."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    took = []
    try:
        os.posix_fallocate(descriptor, 0, _PROBE_FILE)
        os.fsync(descriptor)
        data = os.urandom(_PROBE_SIZE)
        for at in range(_PROBES):
            began = time.monotonic()
            os.pwrite(descriptor, data, at * _PROBE_SIZE)
            os.fdatasync(descriptor)
            took.append(_MS * (time.monotonic() - began))
            time.sleep(1 / _RATE)
    finally:
        os.close(descriptor)
        path.unlink()
    return took


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]
