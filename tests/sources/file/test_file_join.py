"""Joining over reads and restarts: exact ranges, whatever the split, wherever it is stopped."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.intake import MemoryIntake, raw_records

from shipper.batch import Batch, Loss
from shipper.sources.file import FileSource, join
from shipper.sources.file.changes import Carried
from shipper.sources.file.identity import decode_position, same
from shipper.sources.file.multiline import MultilineConfig
from shipper.sources.file.tail import Tail
from shipper.sources.file.worker import Worker
from shipper.units import ByteSize, Duration

TIME = "2024-05-01T12:00:00.%09dZ"


def cri(number: int, stream: str, tag: str, message: str) -> bytes:
    return f"{TIME % number} {stream} {tag} {message}\n".encode()


def docker(number: int, stream: str, tag: str, message: str) -> bytes:
    log = message + ("\n" if tag == "F" else "")
    return orjson.dumps({"log": log, "stream": stream, "time": TIME % number}) + b"\n"


MESSAGES = st.sampled_from(["a", 'b \u00e9 "quoted" \\', " goes on", "\tat x", "", "Caused by: y", "x" * 40])
LINES = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([cri, docker]),
            st.sampled_from(["stdout", "stderr"]),
            st.sampled_from(["F", "F", "P"]),
            MESSAGES,
        ),
        st.one_of(
            st.binary(max_size=9), st.sampled_from([b"{}", b'{"log":1}', b"2024 stdout F", b"\xff stdout", b""])
        ).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"").lstrip(b"\0")),
    ),
    max_size=30,
)
CONTAINER_LINES = st.lists(
    st.tuples(st.just(cri), st.sampled_from(["stdout", "stderr"]), st.sampled_from(["F", "P"]), MESSAGES), max_size=12
)
PLAIN_LINE = st.sampled_from([b"a", b" b", b"\tat c", b"Caused by: d", b"", b"java.lang.E", b"x" * 50])
PLAIN = st.lists(PLAIN_LINE, max_size=40)
LONG_LINE = st.sampled_from([b"a" * 70, b"\tat " + b"x" * 90, b"x" * 64, b" " + b"y" * 300])
LONG_JAVA = MultilineConfig(preset="java", flush_after=Duration(3600.0))
SHORT = MultilineConfig(start=re.compile("^[ab]"), max_lines=3, max_bytes=ByteSize(60), flush_after=Duration(3600.0))
MULTILINES: list[dict[str, Any]] = [{"multiline": LONG_JAVA}, {"multiline": SHORT}]
CONTAINERS = [{"container": "auto", **options} for options in [{}, *MULTILINES]]


def encoded(lines: list[Any]) -> bytes:
    parts = [line + b"\n" if isinstance(line, bytes) else line[0](at, *line[1:]) for at, line in enumerate(lines)]
    return b"".join(parts)


class Run:
    """A file that grows, and a worker that reads it; stopped at any moment, it goes on from what was durable."""

    def __init__(self, path: Path, options: dict[str, Any], max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.options = options
        self.batches: list[Batch] = []
        self.records: list[Any] = []
        path.write_bytes(b"")
        self.start(0)

    def start(self, durable: int) -> None:
        """Begin, or begin again when so many batches were durable."""
        del self.batches[durable:]
        state = {key: value for batch in self.batches for key, value in batch.state.items() if value is not None}
        made = FileSource(include=[str(self.path)], **self.options)
        self.worker = Worker(MemoryIntake(max_bytes=self.max_bytes), made._rules())
        self.tail = Tail(str(self.path), {})
        for key, value in state.items():
            self.tail = Tail.resumed({}, *decode_position(key, value))
        descriptor = os.open(self.path, os.O_RDONLY)
        assert not state or same(descriptor, self.path.stat().st_size, self.tail.position())
        self.tail.adopt(descriptor, os.fstat(descriptor), str(self.path))

    def write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def read(self) -> None:
        """Until there is nothing to read."""
        while True:
            failure: list[Exception] = []
            before = self.tail.offset
            batch = self.worker.read(self.tail, Carried({}, []), failure, flush=False)
            assert not failure
            assert same(self.tail.descriptor, self.path.stat().st_size, self.tail.position())
            if batch is not None:
                self.batches.append(batch)
            elif self.tail.offset == before:
                return

    def end(self) -> list[Any]:
        """Nothing more comes. All records."""
        self.read()
        joiner = self.tail.joiner
        batch = None if joiner is None else self.worker.finish(joiner, Carried({}, []))
        self.batches += [] if batch is None else [batch]
        self.tail.close()
        spans = [span for batch in self.batches for span in batch.ranges]
        assert [span.start for span in spans] == [0, *(span.end for span in spans)][: len(spans)]
        assert not spans or spans[-1].end == self.path.stat().st_size
        records = [record for batch in self.batches for record in raw_records(batch)]
        assert sum(span.read for span in spans) == len(records)
        return records if "container" not in self.options else [orjson.loads(record) for record in records]


def by_stream(records: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Between the streams there is no order to keep."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(record.get("stream", ""), []).append(record)
    return found


def run_through(options: dict[str, Any], data: bytes, cuts: list[tuple[int, int]], max_bytes: int) -> tuple[Run, Run]:
    """What becomes of data that is read at once, and that comes in pieces. A cut is a place in the data, and how
    many of the batches before are durable when the process is ended there; none if negative.
    """
    with tempfile.TemporaryDirectory() as folder, patch.object(join, "_FLUSH_AFTER", 3600.0):
        whole = Run(Path(folder) / "whole.log", options, 1 << 20)
        whole.write(data)
        run = Run(Path(folder) / "a.log", options, max_bytes)
        at = 0
        for cut, durable in sorted((cut % (len(data) + 1), durable) for cut, durable in cuts):
            run.write(data[at:cut])
            at = cut
            run.read()
            if durable >= 0:
                run.tail.close()
                run.start(durable % (len(run.batches) + 1))
        run.write(data[at:])
        whole.records, run.records = whole.end(), run.end()
        return whole, run


def marked(run: Run) -> list[tuple[bytes, Any]]:
    """Records, with the labels of those that end with a line that was cut."""
    found = []
    for batch in run.batches:
        records = raw_records(batch)
        assert "truncated" not in batch.labels or len(records) == 1
        found += [(record, batch.labels.get("truncated")) for record in records]
    return found


CUTS = st.lists(st.tuples(st.integers(0, 4000), st.integers(-3, 20)), max_size=8)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(CONTAINERS), LINES | CONTAINER_LINES, CUTS, st.integers(60, 400))
def test_cri_and_docker_lines_are_joined_the_same_for_any_split_and_restart(
    options: dict[str, Any], lines: list[Any], cuts: list[tuple[int, int]], max_bytes: int
) -> None:
    """Partial lines by stream, then multiline; what is no such line is kept. Nothing is lost or doubled."""
    whole, pieces = run_through(options, encoded(lines), cuts, max_bytes)
    assert by_stream(pieces.records) == by_stream(whole.records)


@settings(deadline=None)
@given(st.sampled_from(MULTILINES), PLAIN, CUTS, st.integers(10, 200))
def test_multiline_records_are_the_same_for_any_split_and_restart(
    options: dict[str, Any], lines: list[bytes], cuts: list[tuple[int, int]], max_bytes: int
) -> None:
    """A restart neither splits nor doubles a record: it is read again from its first line."""
    data = b"".join(line + b"\n" for line in lines)
    whole, pieces = run_through(options, data, cuts, max_bytes)
    assert pieces.records == whole.records
    assert b"\n".join([*whole.records, b""]) == data or not lines


@settings(deadline=None)
@given(st.sampled_from(MULTILINES), st.lists(PLAIN_LINE | LONG_LINE, max_size=30), CUTS, st.integers(10, 200))
def test_very_long_line_in_a_joined_record_is_marked_and_counted_the_same_for_any_split_and_restart(
    options: dict[str, Any], lines: list[bytes], cuts: list[tuple[int, int]], max_bytes: int
) -> None:
    """It ends its record, which is alone in its batch; what was cut off is counted once."""
    data = b"".join(line + b"\n" for line in lines)
    whole, pieces = run_through({**options, "max_line_bytes": 64}, data, cuts, max_bytes)
    assert marked(pieces) == marked(whole)
    assert all(len(record.split(b"\n")[-1]) == 64 for record, length in marked(whole) if length)
    assert [length for _, length in marked(whole) if length] == [len(line) for line in lines if len(line) > 64]
    for run in (whole, pieces):
        losses = [loss.end - loss.start for batch in run.batches for loss in batch.losses]
        assert losses == [len(line) - 64 for line in lines if len(line) > 64]


@settings(deadline=None)
@given(PLAIN, CUTS)
def test_multiline_in_another_encoding(lines: list[bytes], cuts: list[tuple[int, int]]) -> None:
    """Ranges count the bytes of the file."""
    data = b"".join(line + b"\r\n" for line in lines).decode().encode("utf-16-le")
    whole, pieces = run_through({"encoding": "utf-16-le", "multiline": LONG_JAVA}, data, cuts, 100)
    assert pieces.records == whole.records


def test_what_is_lost_of_a_tail_goes_with_its_next_batch(tmp_path: Path) -> None:
    """Also where lines are joined."""
    run = Run(tmp_path / "a.log", {"multiline": LONG_JAVA}, 100)
    run.write(b"one\ntwo\n")
    loss = Loss("a.log", b"g", 0, 5, "truncated")
    run.tail.losses = [loss]
    run.read()
    assert [batch.losses for batch in run.batches] == [[loss]]
    run.tail.close()


def test_open_records_are_not_handed_to_a_file_that_has_some(tmp_path: Path) -> None:
    """They are closed where they are; those of the newer file stay its own."""
    runs = [Run(tmp_path / name, {"multiline": LONG_JAVA}, 100) for name in ("a.log", "b.log")]
    for run in runs:
        run.write(b"one\n\tat x\n")
        run.read()
    older, newer = (run.tail.joiner for run in runs)
    assert older is not None
    assert newer is not None
    older.hand_over(runs[0].tail, runs[1].tail)
    assert [run.tail.joiner for run in runs] == [older, newer]
    assert [run.end() for run in runs] == [[b"one\n\tat x"]] * 2


@pytest.mark.parametrize("options", CONTAINERS[:2])
def test_container_streams_that_go_on_do_not_move_the_place_where_another_one_is_open(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """A record and a part behind it are read again from the first of their lines, after a restart at any batch."""
    lines = [
        cri(0, "stdout", "F", "zero"),
        cri(1, "stdout", "F", "one"),
        cri(2, "stdout", "P", "\tat "),
        cri(3, "stdout", "P", "x"),
        cri(4, "stderr", "F", "e1"),
        cri(5, "stderr", "F", "e2"),
        cri(6, "stderr", "F", "e3"),
    ]
    for durable in range(4):
        run = Run(tmp_path / f"{durable}.log", options, 1 << 20)
        for line in lines:
            run.write(line)
            run.read()
        run.tail.close()
        run.start(min(durable, len(run.batches)))
        run.write(cri(7, "stdout", "F", "y"))
        found = {name: [record["message"] for record in records] for name, records in by_stream(run.end()).items()}
        stdout = ["zero", "one\n\tat xy"] if "multiline" in options else ["zero", "one", "\tat xy"]
        assert found == {"stdout": stdout, "stderr": ["e1", "e2", "e3"]}


def test_container_records_come_in_the_order_of_their_ends(tmp_path: Path) -> None:
    """As far as they are closed by the same read."""
    run = Run(tmp_path / "a.log", {"container": "cri", "multiline": LONG_JAVA}, 1 << 20)
    names = ["stderr", "stdout", "stderr", "stderr", "stdout", "stdout"]
    run.write(b"".join(cri(at, name, "F", f"line {at}") for at, name in enumerate(names)) + b"odd\n")
    run.read()
    messages = [orjson.loads(record)["message"] for batch in run.batches for record in raw_records(batch)]
    assert messages == ["line 0", "line 1", "line 2", "line 4", "odd"]
    run.tail.close()


def test_very_long_line_of_parts_without_end_is_bounded(tmp_path: Path) -> None:
    """A CRI message that never ends, and a stream name that nobody knows: memory is that of one record, and no byte of
    a message is dropped.
    """
    part = "x" * 16_000
    run = Run(tmp_path / "a.log", {"container": "cri"}, 1 << 20)
    for at in range(300):
        run.write(cri(at, "stdout", "P", part) + cri(at, f"stream{at}", "P", "y"))
        run.read()
    records = by_stream(run.end())
    assert len(records[""]) == 300
    sizes = [len(record["message"]) for record in records["stdout"]]
    assert sum(sizes) == 300 * len(part)
    assert max(sizes) <= MemoryIntake().max_record
    assert len(sizes) < 10


def test_what_a_file_left_open_is_shipped_with_the_end_of_its_position_and_its_losses(tmp_path: Path) -> None:
    """In one entry: a crash before leaves the position where the record begins."""
    run = Run(tmp_path / "a.log", {"multiline": LONG_JAVA}, 100)
    run.write(b"zero\none\n\tat x\nunread")
    run.read()
    tail, joiner = run.tail, run.tail.joiner
    assert joiner is not None
    loss = Loss("a.log", tail.generation, 15, 21, "given_up")
    tail.losses = [loss]
    assert joiner.forget(tail)
    tail.forgotten = True
    last = run.worker.finish(joiner, Carried({}, []))
    assert last is not None
    assert (raw_records(last), last.state, last.losses) == ([b"one\n\tat x"], {tail.generation.hex(): None}, [loss])
    assert not joiner.forget(tail)
    tail.close()
