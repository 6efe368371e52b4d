"""Debian's rsyslog beside shipper, on the same files, each on one core: file to file, and idle.

rsyslogd is run by hand, with a config, a pid file and a work directory of its own; no service is touched and no port
opened. It is the reference that is on every Debian node, not one that promises the same:

- It acknowledges nothing, keeps no copy and syncs nothing (but for the third job): a crash loses what is in memory, or
  repeats what was read since the last state file. shipper syncs its spool and its output and writes each record once.
- It writes the bare line, shipper's file sink a JSON object with labels for each line, which is more work.
- ``mmjsonparse`` decodes and encodes the whole object as ``parse_json`` does; drop and add mean the same in both.

Job three makes rsyslog durable as far as it can be: a disk queue in front of the output, synced. shipper's figure
there is that of its only mode.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import verify
from benchmarks.idle import FILES, idle_share, lines_of
from benchmarks.lines import Corpus
from benchmarks.processes import BenchError, Child, Cores, Usage
from benchmarks.report import Row, per
from benchmarks.rig import Rig, wait_until
from benchmarks.verify import Content, Expect, Verdict

_QUIET: Final = 3.0
"""Seconds without a new byte after which rsyslog has written everything."""
_TIMEOUT: Final = 600.0
_SLOW: Final = 60.0
"""What the synced queue gets: so far as it comes, so good is the figure."""
_MIB: Final = 1024 * 1024
_CONFIG: Final = """\
global(workDirectory="{folder}" maxMessageSize="64k" internalmsg.severity="error")
main_queue(queue.type="linkedList" queue.workerThreads="1")
module(load="imfile" mode="inotify")
module(load="mmjsonparse")
{more}
template(name="raw" type="string" string="%msg%\\n")
template(name="json" type="string" string="%$!all-json%\\n")
input(type="imfile" file="{path}" tag="app" ruleset="ship" freshStartTail="off" addMetadata="off")
ruleset(name="ship") {{
{rules}
}}
"""
_RAW: Final = 'action(type="omfile" file="{output}" template="raw")'
PARSE: Final = 'action(type="mmjsonparse" cookie="")'
DROP: Final = 'if $!level == "debug" then stop'
ADD: Final = f"""\
set $!team = "{verify.CONSTANTS["team"]}";
set $!region = "{verify.CONSTANTS["region"]}";"""
WRITE: Final = 'action(type="omfile" file="{output}" template="json")'
_JSON: Final = f"{PARSE}\n{DROP}\n{ADD}\n{WRITE}"
_DURABLE: Final = """\
action(type="omfile" file="{output}" template="raw" queue.type="disk" queue.filename="queue"
  queue.syncQueueFiles="on" queue.checkpointInterval="1024" queue.dequeueBatchSize="1024" queue.maxDiskSpace="8g")"""


@dataclass(frozen=True)
class _Job:
    what: str
    rules: str
    processors: list[Any]
    expect: Expect
    ours: Callable[[Path], Iterator[Content | None]]
    theirs: Callable[[Path], Iterator[Content | None]]
    share: float = 1.0
    """Of the lines, for rsyslog."""


def expect_enriched(line: str) -> Content | None:
    """No debug lines; two constants."""
    record = verify.expect_json(line)
    assert isinstance(record, dict)
    return None if record["level"] == "debug" else {**record, **verify.CONSTANTS}


def _bare(path: Path) -> Iterator[Content | None]:
    with path.open(errors="replace") as lines:
        for line in lines:
            yield line.rstrip("\n")


_CHAIN: Final = ["parse_json", {"drop": {"where": "level == 'debug'"}}, {"add_fields": {"fields": verify.CONSTANTS}}]
_JOBS: Final = (
    _Job("raw lines, file to file", _RAW, [], verify.expect_raw, verify.read_raw, _bare),
    _Job("JSON: parse, drop 20 %, add two", _JSON, _CHAIN, expect_enriched, verify.read_fields, verify.read_fields),
    _Job("raw lines, rsyslog with a synced queue", _DURABLE, [], verify.expect_raw, verify.read_raw, _bare, 0.1),
)


def measure(lines: int, seconds: float, folder: Path, cores: Cores, counts: tuple[int, ...] = FILES) -> list[Row]:
    """Every job with so many lines, and idle for so many seconds. Where there is no rsyslog, a row that says so."""
    binary = find()
    if binary is None:
        return [Row("R", "rsyslog: not run", 0, "(there is no rsyslogd; Debian, Ubuntu: apt install rsyslog)")]
    rows = [_row(job, lines, binary, folder, cores) for job in _JOBS]
    return rows + [_idle(count, seconds, binary, folder, cores) for count in counts]


def find() -> str | None:
    """The path of rsyslogd; None where there is none."""
    return shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def command(binary: str, rules: str, path: Path, output: Path, more: str = "") -> list[str]:
    """Write a config beside the output, and what is to be run. ``{output}`` in the rules is the output; ``more`` stands
    before the templates: modules, templates.
    """
    work = output.parent  # imfile watches the directories above its files too: nothing of its own stands there
    config = work / "rsyslog.conf"
    config.write_text(_CONFIG.format(folder=work, path=path, rules=rules.format(output=output), more=more))
    return [binary, "-n", "-f", str(config), "-i", str(work / "rsyslogd.pid")]


def _row(job: _Job, lines: int, binary: str, folder: Path, cores: Cores) -> Row:
    corpus, theirs = (Corpus.write("json", int(lines * share), folder) for share in (1, job.share))
    used, check = _ours(job, corpus, folder, cores)
    peer, wall, verdict = _theirs(job, theirs, binary, folder, cores)
    done = theirs.lines * (1 - verdict.lost / verdict.expected)  # in the time that it had
    rate = corpus.lines / used.cpu
    details: dict[str, float | str] = {
        "lines": corpus.lines,
        "rsyslog": per(done, peer.cpu),
        "times rsyslog": per(rate * peer.cpu, done),
        "records a second": corpus.lines / used.wall,
        "rsyslog's": per(done, wall),
        "peak RSS MiB": used.peak_rss / _MIB,
        "rsyslog's peak": peer.peak_rss / _MIB,
        "rsyslog lost / doubled / altered": f"{verdict} of {verdict.expected:,}",
    }
    return Row("R", job.what, rate, "records per CPU s", None, None, check, details)


def _ours(job: _Job, corpus: Corpus, folder: Path, cores: Cores) -> tuple[Usage, Verdict]:
    with Rig(folder / "rsyslog", cores) as rig:
        sinks = {"out": {"type": "file", "path": str(rig.output)}}
        used = rig.agent(corpus.path, {"sinks": sinks, "processors": job.processors}, once=True).wait(_TIMEOUT)
        return used, verify.compare(corpus, job.expect, job.ours(rig.output))


def _theirs(job: _Job, corpus: Corpus, binary: str, folder: Path, cores: Cores) -> tuple[Usage, float, Verdict]:
    with Rig(folder / "rsyslog", cores) as rig:
        rig.output = rig.folder / "work" / "output"
        daemon = _start(job.rules, corpus.path, binary, rig)
        wall = _written(rig.output, daemon, _SLOW if job.share < 1 else _TIMEOUT)
        used = daemon.stop(_TIMEOUT)
        return used, wall, verify.compare(corpus, job.expect, job.theirs(rig.output))


def _start(rules: str, path: Path, binary: str, rig: Rig) -> Child:
    rig.output.parent.mkdir()
    return rig.adopt(Child(command(binary, rules, path, rig.output), rig.cores.measured, rig.folder / "rsyslog.log"))


def _written(output: Path, daemon: Child, timeout: float) -> float:
    """Wait until nothing more is written; the seconds from the start to the last byte.

    The quiet counts from the first byte on: on a busy machine starting takes as long.
    """
    size, last = 0, daemon.started
    while (now := time.monotonic()) < daemon.started + timeout and (not size or now < last + _QUIET):
        found = output.stat().st_size if output.exists() else 0
        if found != size:
            size, last = found, now
        if not daemon.alive():
            raise BenchError(f"{daemon} ended\n{daemon.tail()}")
        time.sleep(0.05)
    return last - daemon.started


def _idle(count: int, seconds: float, binary: str, folder: Path, cores: Cores) -> Row:
    """Workload 8, of rsyslog alone: shipper's figures stand there."""
    corpus = Corpus.write("json", count * 20, folder)
    with Rig(folder / "rsyslog", cores) as rig:
        rig.output = rig.folder / "work" / "output"
        corpus.split(count, rig.folder / "logs")
        daemon = _start(_RAW, rig.folder / "logs" / "*.log", binary, rig)
        wait_until(lambda: rig.output.exists() and lines_of(rig.output) >= corpus.lines, daemon, "read all", _TIMEOUT)
        time.sleep(_QUIET)
        share, memory = idle_share(daemon, seconds), daemon.memory()
        daemon.stop(_TIMEOUT)
    what = f"rsyslog idle, {count:,} file{'s' * (count != 1)}: share of a core"
    beside: dict[str, float | str] = {"RSS MiB": memory.rss / _MIB, "PSS MiB": memory.pss / _MIB}
    return Row("R", what, 100 * share, "%", None, None, None, beside)
