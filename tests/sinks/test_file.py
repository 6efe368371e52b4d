"""The file sink beside crashes: files that others touch, paths, options, full disks."""

import asyncio
import json
import os
import resource
import struct
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.delivering import DEADLINE, STREAM, Outpost, frame_draft, lines, ndjson, until
from support.synced import Calls

from shipper.errors import FutureFormat, SinkError, SinkUnavailable
from shipper.sinks.file import FileSink
from shipper.sinks.file.disk import Disk
from shipper.sinks.file.writer import MAX_OPEN, GroupWriter
from shipper.spool.frame import crc32c, extend_crc32c

NESTED = b"\x91" * 100_000 + b"\xc0"
"""Lists in lists, too deep for msgspec."""


class Writing:
    """A group writer and what it raised alarms about."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.out = root / "out"
        self.state = root / "state"
        self.alarms: list[str] = []
        self.disk = disk or Disk()
        self.writer = self.start()

    def start(self) -> GroupWriter:
        """A new one, as after a restart."""
        if hasattr(self, "writer"):
            self.writer.close()
        self.writer = GroupWriter(str(self.out), self.state, lambda kind, _, __: self.alarms.append(kind), self.disk)
        return self.writer

    def write(self, seq: int, text: str, path: tuple[str, ...] = ("a.ndjson",)) -> None:
        """A group of one record."""
        self.writer.write(seq, seq + 1, {path: [f"{text}\n".encode()]})

    def read(self, name: str = "a.ndjson") -> str:
        """A file's content."""
        return (self.out / name).read_text()


@pytest.fixture
def writing(tmp_path: Path) -> Writing:
    """A writer that is ready for number 0."""
    ready = Writing(tmp_path)
    assert ready.writer.recover(STREAM, 0) == 0
    return ready


def file_sink(root: Path, path: str = "{host}.ndjson", **options: Any) -> FileSink:
    """A sink, set up."""
    sink = FileSink(path=f"{root}/out/{path}", **options)
    sink.setup()
    return sink


def test_a_group_is_synced_by_system_calls_the_plan_before_what_it_plans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(monkeypatch, tmp_path)
    writing = Writing(tmp_path)
    writing.writer.recover(STREAM, 0)
    calls.made.clear()
    writing.write(0, "one")
    plan, file = ("fdatasync", "state/group.0"), ("fdatasync", "out/a.ndjson")
    assert calls.made == [file, ("fsync", "out"), plan, file], "a new file is there before it is planned"


# Files that others touch


def test_a_file_that_was_renamed_between_groups_is_begun_anew(writing: Writing) -> None:
    writing.write(0, "one")
    (writing.out / "a.ndjson").rename(writing.out / "a.ndjson.1")
    writing.write(1, "two")
    assert (writing.read("a.ndjson.1"), writing.read()) == ("one\n", "two\n")
    assert writing.alarms == []


def test_a_file_that_was_truncated_between_groups_is_gone_on_with(writing: Writing) -> None:
    writing.write(0, "one")
    os.truncate(writing.out / "a.ndjson", 0)
    writing.write(1, "two")
    assert writing.read() == "two\n"
    assert writing.alarms == []


def test_a_file_that_somebody_wrote_to_is_left_alone_for_good(writing: Writing) -> None:
    writing.write(0, "one")
    with (writing.out / "a.ndjson").open("a") as file:
        file.write("somebody's note\n")
    writing.write(1, "two")
    writing.start().recover(STREAM, 2)
    writing.write(2, "three")
    assert writing.read() == "one\nsomebody's note\n"
    assert writing.read("a%-2.ndjson") == "two\nthree\n"
    assert writing.alarms == ["file_changed"]


def test_a_file_that_does_not_end_with_a_line_is_left_alone(writing: Writing) -> None:
    (writing.out / "a.ndjson").write_text("half a li")
    writing.write(0, "one")
    assert (writing.read(), writing.read("a%-2.ndjson")) == ("half a li", "one\n")
    assert writing.alarms == ["file_changed"]


def test_a_file_that_was_there_before_is_appended_to(writing: Writing) -> None:
    (writing.out / "a.ndjson").write_text("old\n")
    writing.write(0, "one")
    assert writing.read() == "old\none\n"


@pytest.mark.parametrize(
    ("change", "left", "alarm"),
    [
        pytest.param("shorter", "on", "file_changed", id="shorter"),
        pytest.param("longer", "one\ntwo\nand more\n", "file_changed", id="longer"),
        pytest.param("replaced", "another\n", "file_changed", id="replaced"),
    ],
)
def test_a_file_of_a_half_group_that_is_not_as_listed_is_left_alone(
    writing: Writing, change: str, left: str, alarm: str
) -> None:
    """The group was written, its acknowledgement did not get into the cursor, and the file was changed meanwhile."""
    writing.write(0, "one")
    writing.write(1, "two")
    writing.writer.close()
    path = writing.out / "a.ndjson"
    if change == "shorter":
        os.truncate(path, 2)
    elif change == "longer":
        with path.open("a") as file:
            file.write("and more\n")
    else:
        path.unlink()
        path.write_text("another\n")
    assert writing.start().recover(STREAM, 1) == 1
    writing.write(1, "two")
    assert writing.read() == left
    assert writing.read("a%-2.ndjson") == "two\n"
    assert writing.alarms == [alarm]


@pytest.mark.parametrize(("replacement", "alarm"), [(None, "file_gone"), ("", "file_replaced")])
def test_a_file_of_a_half_group_that_was_rotated_away_is_told(
    writing: Writing, replacement: str | None, alarm: str
) -> None:
    writing.write(0, "one")
    writing.writer.close()
    (writing.out / "a.ndjson").rename(writing.out / "a.ndjson.1")
    if replacement is not None:
        (writing.out / "a.ndjson").write_text(replacement)
    assert writing.start().recover(STREAM, 0) == 0
    writing.write(0, "one")
    assert (writing.read("a.ndjson.1"), writing.read()) == ("one\n", "one\n")
    assert writing.alarms == [alarm]


def test_a_rotation_after_the_acknowledgement_is_nobodys_business(writing: Writing) -> None:
    writing.write(0, "one")
    (writing.out / "a.ndjson").unlink()
    assert writing.start().recover(STREAM, 1) == 1
    assert writing.alarms == []


# Recovery


def test_a_whole_group_is_not_written_again_though_the_cursor_is_lost(writing: Writing) -> None:
    for number in range(3):
        writing.write(number, str(number))
    assert writing.start().recover(STREAM, 0) == 3
    assert writing.read() == "0\n1\n2\n"


def test_a_cursor_inside_a_torn_group_cuts_it_back(writing: Writing) -> None:
    writing.write(0, "zero")
    writing.writer.write(1, 5, {("a.ndjson",): [b"one\n", b"two\n"]})
    os.truncate(writing.out / "a.ndjson", 9)
    assert writing.start().recover(STREAM, 3) == 1
    assert writing.read() == "zero\n"


def test_the_plan_of_another_spool_cuts_nothing(writing: Writing) -> None:
    writing.write(7, "kept")
    assert writing.start().recover(b"t" * 16, 0) == 0
    assert writing.alarms == []
    writing.write(0, "new")
    assert writing.read() == "kept\nnew\n"


def test_the_torn_group_of_another_spool_is_told(writing: Writing) -> None:
    writing.write(7, "torn")
    os.truncate(writing.out / "a.ndjson", 2)
    assert writing.start().recover(b"t" * 16, 0) == 0
    assert writing.alarms == ["other_stream"]


def test_a_plan_under_another_root_is_undone_there(writing: Writing, tmp_path: Path) -> None:
    """The path in the config was changed while a group was half written."""
    writing.write(0, "torn")
    os.truncate(writing.out / "a.ndjson", 2)
    writing.writer.close()
    old, writing.out = writing.out, tmp_path / "elsewhere"
    assert writing.start().recover(STREAM, 0) == 0
    writing.write(0, "whole")
    assert ((old / "a.ndjson").read_text(), writing.read()) == ("", "whole\n")


def test_two_damaged_plans_are_told_and_do_not_stop_the_start(writing: Writing) -> None:
    writing.write(0, "0")
    writing.write(1, "1")
    for slot in writing.state.iterdir():
        slot.write_bytes(b"SHPGdamage" * 10)
        slot.write_bytes(b"rubbish" * 10)
    assert writing.start().recover(STREAM, 2) == 2
    assert writing.alarms == ["state_damaged"]


@pytest.mark.parametrize("body", [b"\xc1", b"\x95\xa1\xff", b"\x97\xc4\x00\x00\x00\xa0\x90\x90" + NESTED])
def test_a_plan_that_cannot_be_decoded_is_a_damaged_one_though_its_checksum_holds(
    writing: Writing, body: bytes
) -> None:
    writing.write(0, "0")
    for number, slot in enumerate(sorted(writing.state.iterdir())):
        head = struct.pack("<4sHHQI", b"SHPG", 1, 0, 10 + number, len(body))
        slot.write_bytes(head + struct.pack("<I", extend_crc32c(crc32c(head), body)) + body)
    assert writing.start().recover(STREAM, 1) == 1
    assert writing.alarms == ["state_damaged"]


def test_a_plan_of_the_future_is_refused(writing: Writing) -> None:
    writing.write(0, "0")
    for slot in writing.state.iterdir():
        slot.write_bytes(b"SHPG\x63\0" + bytes(100))
    with pytest.raises(FutureFormat, match="format 99"):
        writing.start()


# Locks, links, disks


def test_two_sinks_cannot_write_one_file(writing: Writing, tmp_path: Path) -> None:
    writing.write(0, "first")
    other = Writing(tmp_path / "other")
    other.out = writing.out
    other.start().recover(STREAM, 0)
    with pytest.raises(SinkUnavailable, match="another sink or process"):
        other.write(0, "second")
    writing.writer.close()
    other.write(0, "second")
    assert writing.read() == "first\nsecond\n"


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_symbolic_link_below_the_root_is_not_followed(writing: Writing, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / "a.ndjson"
    victim.write_text("mine\n")
    if what == "directory":
        (writing.out / "d").symlink_to(outside)
    else:
        (writing.out / "d").mkdir()
        (writing.out / "d" / "a.ndjson").symlink_to(victim)
    with pytest.raises(SinkError, match="symbolic link") as caught:
        writing.write(0, "one", ("d", "a.ndjson"))
    assert not caught.value.retriable
    assert victim.read_text() == "mine\n"
    writing.write(0, "one", ("e", "a.ndjson"))


def test_a_pipe_in_the_way_does_not_hold_the_sink(writing: Writing) -> None:
    os.mkfifo(writing.out / "a.ndjson")
    with pytest.raises(SinkError, match="no regular file"):
        writing.write(0, "one")


def test_a_write_that_the_disk_cuts_short_is_taken_back(writing: Writing) -> None:
    """The limit on a file's size stands for a full disk: a short write first, an error at the next."""
    writing.write(0, "x" * 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(SinkUnavailable, match=r"cannot write .*a\.ndjson"):
            writing.write(1, "y" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert writing.read() == "x" * 1000 + "\n"
    assert writing.writer.recover(STREAM, 1) == 1
    writing.write(1, "y" * 1000)
    assert writing.read() == "x" * 1000 + "\n" + "y" * 1000 + "\n"


def test_after_a_failed_sync_the_group_is_written_again_though_it_looks_whole(tmp_path: Path) -> None:
    """A failed fsync marks pages clean: what the page cache shows need not be on the disk."""

    class Failing(Disk):
        failing = False

        def sync(self, descriptor: int, path: str) -> None:
            if self.failing and path.endswith("ndjson"):
                raise SinkUnavailable("input/output error")
            super().sync(descriptor, path)

        def cut(self, descriptor: int, size: int, path: str) -> None:
            if self.failing:
                raise SinkUnavailable("input/output error")
            super().cut(descriptor, size, path)

    disk = Failing()
    writing = Writing(tmp_path, disk)
    writing.writer.recover(STREAM, 0)
    writing.write(0, "zero")
    disk.failing = True
    with pytest.raises(SinkUnavailable):
        writing.write(1, "one")
    disk.failing = False
    assert writing.read() == "zero\none\n"
    assert writing.writer.recover(STREAM, 1) == 1
    assert writing.read() == "zero\n"


def test_no_more_than_so_many_files_stay_open(writing: Writing, tmp_path: Path) -> None:
    def opened() -> int:
        """Descriptors of files of this test: others in this process come and go by themselves."""
        links = (os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
        return sum(link.startswith(f"{tmp_path}/") for link in links)

    before = opened()
    for group in range(3):
        files: dict[tuple[str, ...], list[bytes]] = {}
        files |= {(f"{number}.ndjson",): [b"x\n"] for number in range(group * MAX_OPEN, (group + 1) * MAX_OPEN)}
        writing.writer.write(group, group + 1, files)
    assert 0 < opened() - before <= MAX_OPEN
    writing.write(3, "again", ("0.ndjson",))
    assert writing.read("0.ndjson") == "x\nagain\n"
    writing.writer.close()
    assert opened() == before


# The sink


async def test_records_go_to_the_files_that_labels_and_time_read_give(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened():
        for day, host in [(0, "a"), (0, "b"), (1, "a"), (0, "../a")]:
            await outpost.append(frame_draft(lines(f"{host}{day}"), {"host": host}, read_at=day * 86_400_000_000))
    await outpost.deliver_all(file_sink(tmp_path, "{host}/{read:%Y/%m-%d}.ndjson"))
    out = tmp_path / "out"
    found = {str(p.relative_to(out)): json.loads(p.read_text())["message"] for p in out.rglob("*.ndjson")}
    assert found == {
        "a/1970/01-01.ndjson": "a0",
        "b/1970/01-01.ndjson": "b0",
        "a/1970/01-02.ndjson": "a1",
        "%2E.%2Fa/1970/01-01.ndjson": "../a0",
    }


async def test_what_a_record_says_chooses_no_file(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened():
        await outpost.append(
            frame_draft(ndjson({"host": "b", "read": "2001-01-01"}, {"host": "../c"}), {"host": "a"}, read_at=0),
            frame_draft(ndjson({"host": "b"}), {"source": "app"}),
        )
    await outpost.deliver_all(file_sink(tmp_path, "{host}-{read:%Y}.ndjson"))
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["a-1970.ndjson"]
    assert len(outpost.dead_letters()) == 1, "without the label there is no file, whatever the record says"


@pytest.mark.parametrize(
    ("options", "extra"),
    [
        ({}, {"_read_at"}),
        ({"read_at": False}, set()),
        ({"read_at": False, "identity": True}, {"_stream", "_seq", "_index"}),
    ],
)
async def test_a_line_holds_record_and_labels_and_what_the_options_ask_for(
    tmp_path: Path, options: dict[str, Any], extra: set[str]
) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened():
        await outpost.append(frame_draft(ndjson({"level": "info"}), {"host": "h"}))
    await outpost.deliver_all(file_sink(tmp_path, **options))
    record = json.loads((tmp_path / "out" / "h.ndjson").read_text())
    assert record.keys() == {"level", "host"} | extra


async def test_records_whose_labels_give_no_path_go_to_the_dead_letters_once(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened():
        await outpost.append(frame_draft(lines("a")), frame_draft(lines("b", "c"), {}), frame_draft(lines("d")))
    await outpost.deliver_all(file_sink(tmp_path))
    outpost.lose_cursor()
    await outpost.deliver_all(file_sink(tmp_path))
    written = [json.loads(line)["message"] for line in (tmp_path / "out" / "edge-1.ndjson").read_text().splitlines()]
    assert written == ["a", "d"]
    assert [(letter.raw, letter.index, letter.processor) for letter in outpost.dead_letters()] == [
        (b"b", 0, "sink/out"),
        (b"c", 1, "sink/out"),
    ]
    assert "no label 'host'" in outpost.dead_letters()[0].error


async def test_more_files_than_a_group_may_hold_are_several_groups(tmp_path: Path) -> None:
    outpost = Outpost(tmp_path)
    async with outpost.opened():
        await asyncio.gather(
            *(outpost.append(frame_draft(lines(str(n)), {"host": f"h{n}"})) for n in range(MAX_OPEN + 10))
        )
    await outpost.deliver_all(file_sink(tmp_path))
    assert len(list((tmp_path / "out").iterdir())) == MAX_OPEN + 10


async def test_a_delivery_that_is_stopped_while_the_disk_is_slow_leaves_each_record_once(tmp_path: Path) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()

    class Slow(Disk):
        def append(self, descriptor: int, data: bytes, path: str) -> None:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(DEADLINE)
            super().append(descriptor, data, path)

    class SlowSink(FileSink):
        disk: ClassVar[Disk] = Slow()

    sink = SlowSink(path=f"{tmp_path}/out/a.ndjson")
    sink.setup()
    outpost = Outpost(tmp_path)
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")))
        task = asyncio.create_task(outpost.delivery(sink).run())
        await asyncio.wait_for(begun.wait(), DEADLINE)
        task.cancel()
        release.set()
        await asyncio.gather(task, return_exceptions=True)
        await outpost.append(frame_draft(lines("two")))
    await outpost.deliver_all(file_sink(tmp_path, "a.ndjson"))
    text = (tmp_path / "out" / "a.ndjson").read_text()
    assert [json.loads(line)["message"] for line in text.splitlines()] == ["one", "two"]


async def test_a_directory_without_permission_is_retried_and_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the directory should be")
    outpost = Outpost(tmp_path)
    sink = file_sink(tmp_path, "x/a.ndjson")
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")))
        async with outpost.delivering(sink) as delivery:
            await until(lambda: str(tmp_path / "out") in delivery.state, "the state tells the path")
            assert not delivery.up


@pytest.mark.parametrize("path", ["", "/a/", "{read}/x", "{host}/../x", "/x/{"])
def test_a_path_that_names_no_file_is_a_config_error(path: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        FileSink(path=path).setup()
