"""No component reads the wall clock but where it stands here, with the reason.

Names, order, retention, backoff, deadlines and windows go by numbers and by the monotonic clock: a clock that is set by
ten years, in either direction, changes nothing.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READS = frozenset(
    "time.time time.time_ns time.localtime time.ctime datetime.now datetime.utcnow datetime.today date.today "
    "time.CLOCK_REALTIME".split()
)
TIMES = frozenset("st_mtime st_mtime_ns st_atime st_atime_ns st_ctime st_ctime_ns".split())
ALLOWED = {
    ("log_lines.py", "time.time"): "the time in a log line is for people",
    ("log_lines.py", "time.localtime"): "the time in a log line on a terminal is for people",
    ("sources/file/framing.py", "time.time_ns"): "read_at of a frame is the wall clock by definition",
    ("sources/file/turns.py", "time.time_ns"): "read_at of a batch without records; nobody reads it",
    ("sources/journald/reader.py", "time.time_ns"): "read_at of a frame is the wall clock by definition",
    ("sinks/meter.py", "time.time"): "the age of a frame when a sink takes it; implausible ones count as 0",
    ("sources/file/tail.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/catalog.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/keeping.py", "st_mtime_ns"): "compared for being another one; and which of two looks at a file was "
    "the later: after a jump back, bytes that are truncated before they were read may be counted too low",
    (
        "sources/file/limits.py",
        "time.time_ns",
    ): "ignore_older asks for the age of a file never seen: the wall clock less "
    "its time of modification, there is nothing else; known files never depend on it",
    ("sources/file/descriptors.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/glance.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/globs.py", "st_ctime_ns"): "compared for being another one: a directory has other names",
    ("sources/file/examine.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/likeness.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/candidates.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/doubts.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/refused.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/kin.py", "st_mtime_ns"): "compared for being another one: the file was written to",
    ("sources/file/join.py", "time.time_ns"): "read_at of a frame is the wall clock by definition",
    ("sources/syslog/source.py", "time.time_ns"): "read_at of a frame is the wall clock by definition",
    ("sources/kafka/cut.py", "time.time_ns"): "read_at of a frame is the wall clock by definition",
    (
        "sinks/kafka/records.py",
        "time.time_ns",
    ): "brokers judge a message's time by their clocks: it claims no later one",
    (
        "processors/shipper_processors/lookup.py",
        "time.time",
    ): "whether a table was written to just now: with a clock that was set it is read a second later",
    (
        "processors/shipper_processors/parse_syslog.py",
        "time.time",
    ): "the year of a timestamp without one is the nearest to now",
    (
        "processors/shipper_processors/parse_timestamp.py",
        "time.time",
    ): "the year of a timestamp without one is the nearest to now",
    ("sources/file/limits.py", "st_mtime_ns"): "the same; and compared for being another one",
    (
        "sources/file/rotated.py",
        "st_mtime_ns",
    ): "orders rotated files that were never seen, which nothing else does; and compared for being another one",
    ("cli/tokens.py", "datetime.now"): "the day on which a token was made is for people",
    (
        "wire/certificates.py",
        "datetime.now",
    ): "warns of certificates near their end; TLS itself judges them by the wall clock",
    ("processors/shipper_processors/_table.py", "st_mtime_ns"): "compared for being another one: a table was changed",
    ("wire/files.py", "st_mtime_ns"): "compared for being another one: a certificate or the tokens were changed",
}


def reads(path: Path) -> Iterator[str]:
    """What of ``READS`` and ``TIMES`` a file mentions, also under ``from time import time``."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr in TIMES:
                yield node.attr
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            if f"{name}.{node.attr}" in READS:
                yield f"{name}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names if f"time.{alias.name}" in READS)


def test_the_wall_clock_is_read_only_where_it_may_be() -> None:
    """The demo shows people the time of day and is left out."""
    files = [path for path in (ROOT / "shipper").rglob("*.py") if "demo" not in path.parts]
    files += (ROOT / "processors" / "shipper_processors").rglob("*.py")
    found = set()
    for path in files:
        base = ROOT / "shipper" if path.is_relative_to(ROOT / "shipper") else ROOT
        found |= {(str(path.relative_to(base)), name) for name in reads(path)}
    assert found == ALLOWED.keys()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import time\ntime.time()", ["time.time"]),
        ("from time import time_ns", ["time.time_ns"]),
        ("import datetime\ndatetime.datetime.now()", ["datetime.now"]),
        ("x.st_mtime > y", ["st_mtime"]),
        ("import time\ntime.monotonic()\ntime.sleep(1)", []),
    ],
)
def test_the_check_sees_what_it_should(tmp_path: Path, code: str, found: list[str]) -> None:
    (tmp_path / "a.py").write_text(code)
    assert list(reads(tmp_path / "a.py")) == found
