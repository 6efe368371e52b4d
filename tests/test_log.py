"""Own logs: what a line looks like, what cannot break it, what is held back."""

import fcntl
import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipper import log as log_module
from shipper.batch import Format
from shipper.log import RateLimit, configure, get_logger
from shipper.units import ByteSize, Duration

LOG = get_logger("spool")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Every test leaves the process's output as it found it."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    configure()
    root.handlers[:] = before
    root.setLevel(level)


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _written(*, as_json: bool = True) -> io.StringIO:
    stream = io.StringIO()
    configure("debug", stream, as_json)
    return stream


def test_a_line_is_one_json_object_where_no_terminal_is() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    LOG.info("segment sealed", segment=7, path=Path("/a/b"), ratio=0.5, note=None)
    (event,) = _json_lines(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.pop("time"))
    assert event == {
        "level": "info",
        "logger": "spool",
        "msg": "segment sealed",
        "segment": 7,
        "path": "/a/b",
        "ratio": 0.5,
        "note": None,
    }
    assert list(_json_lines(stream.getvalue())[0])[:4] == ["time", "level", "logger", "msg"]


def test_a_line_for_people_is_short_and_without_colours_where_no_terminal_is() -> None:
    stream = _written(as_json=False)
    LOG.warning("the disk is slow", seconds=3.5, path="/with space", empty="", ok=True)
    text = stream.getvalue()
    assert re.fullmatch(
        r'\d\d:\d\d:\d\d\.\d{3} WARN  spool +the disk is slow  seconds=3\.5 path="/with space" empty="" ok=true\n', text
    )


@pytest.mark.parametrize(
    ("environment", "colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_terminal_gets_colours_unless_it_or_its_user_wants_none(environment: dict[str, str], colours: bool) -> None:
    reader, terminal = pty.openpty()
    base = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    code = "from shipper.log import get_logger; get_logger('spool').error('gone', n=1)"
    subprocess.run([sys.executable, "-c", code], stderr=terminal, env=base | environment, check=True)
    os.close(terminal)
    text = os.read(reader, 4096).decode()
    os.close(reader)
    assert ("\x1b[" in text) is colours
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} ERROR spool +gone  n=1\r\n", plain)


@settings(deadline=None)
@given(st.text(), st.text(), st.binary())
def test_nothing_in_a_message_or_a_value_makes_a_second_line_or_drives_a_terminal(
    message: str, text: str, data: bytes
) -> None:
    stream = io.StringIO()
    for as_json in (True, False):
        configure("info", stream, as_json)
        LOG.info(message, text=text, data=data, many=[text, {text: text}])
    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=100))
def test_in_json_a_text_comes_back_as_it_was(text: str) -> None:
    stream = _written()
    LOG.info("x", value=text)
    assert _json_lines(stream.getvalue())[0]["value"] == text


def test_a_file_name_that_is_not_utf8_is_shown_escaped() -> None:
    stream = _written()
    LOG.info("x", file=os.fsdecode(b"/var/\xff.log"), raw=b"\xff")
    assert _json_lines(stream.getvalue())[0]["file"] == "/var/\\udcff.log"
    assert _json_lines(stream.getvalue())[0]["raw"] == "\\xff"


def test_a_field_named_like_a_fixed_one_does_not_replace_it() -> None:
    stream = _written()
    LOG.info("x", time=3, level="y")
    event = _json_lines(stream.getvalue())[0]
    assert (event["level"], event["time_"], event["level_"]) == ("info", 3, "y")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_number_of_a_class_of_its_own_is_a_number(as_json: bool) -> None:
    stream = _written(as_json=as_json)
    LOG.warning("no room", size=ByteSize.parse("1KiB"), wait=Duration(1.5), kind=Format.SIZED)
    assert re.findall(r"(?:size|wait|kind)\W+([\d.]+)", stream.getvalue()) == ["1024", "1.5", "3"]


def test_long_values_are_cut() -> None:
    stream = _written()
    LOG.info("x", value="a" * 1_000_000, data=b"b" * 1_000_000, many=list(range(1000)))
    assert len(stream.getvalue()) < 12_000


def test_an_exception_comes_with_its_traceback() -> None:
    for as_json in (True, False):
        stream = _written(as_json=as_json)
        try:
            int("broken\nline")
        except ValueError as error:
            LOG.warning("a bug", exc=error)
        text = stream.getvalue()
        if as_json:
            (event,) = _json_lines(text)
            assert event["error"] == "ValueError: invalid literal for int() with base 10: 'broken\\nline'"
            assert "test_log.py" in event["traceback"]
        else:
            first, *rest = text.splitlines()
            assert "a bug  error=" in first
            assert len(rest) > 3
            assert all(line.startswith("    | ") for line in rest)


def test_levels_below_the_configured_one_are_not_written() -> None:
    stream = io.StringIO()
    configure("warning", stream)
    LOG.debug("a")
    LOG.info("b")
    LOG.warning("c")
    LOG.error("d")
    assert [event["msg"] for event in _json_lines(stream.getvalue())] == ["c", "d"]
    assert LOG.enabled("warning")
    assert not LOG.enabled("info")


def test_an_unknown_level_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        configure("loud")  # type: ignore[arg-type]


def test_repeats_are_held_back_and_counted() -> None:
    stream = _written()
    for _ in range(5):
        LOG.warning("refused", peer="a", every=60.0, key="a")
    LOG.warning("refused", peer="b", every=60.0, key="b")
    get_logger("other").warning("refused", peer="a", every=60.0, key="a")
    LOG.warning("refused", peer="a", every=0.0, key="a")
    events = _json_lines(stream.getvalue())
    assert [(e["logger"], e["peer"], e.get("suppressed")) for e in events] == [
        ("spool", "a", None),
        ("spool", "b", None),
        ("other", "a", None),
        ("spool", "a", 4),
    ]


def test_a_rate_limit_lets_one_through_per_period_and_counts_the_others() -> None:
    limit = RateLimit()
    told = [limit.admit("k", 10.0, now) for now in (100.0, 101.0, 109.9, 110.0, 111.0, 120.0, 200.0)]
    assert told == [0, None, None, 2, None, 1, 0]


def test_a_rate_limit_remembers_a_bounded_number_of_keys() -> None:
    limit = RateLimit(limit=10)
    for number in range(1000):
        assert limit.admit(number, 60.0, float(number)) == 0
    assert len(limit) == 10
    assert limit.admit(999, 1e9, 1000.0) is None, "the newest keys are the ones that are kept"


def test_records_of_libraries_come_out_in_the_same_form_from_warning_on() -> None:
    stream = _written()
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, log_module._FromLibraries)]
    library = logging.getLogger("some.library")
    library.info("chatter")
    library.warning("odd: %s", "x\ny")
    library.warning("odd: %s", "z")
    try:
        os.stat("/gone")
    except OSError:
        library.exception("failed")
    library.critical("%d", "not a number")
    events = _json_lines(stream.getvalue())
    assert [(e["level"], e["logger"], e["msg"]) for e in events] == [
        ("warning", "some.library", "odd: x\ny"),
        ("error", "some.library", "failed"),
        ("error", "some.library", "%d"),
    ]
    assert events[1]["error"] == "FileNotFoundError: [Errno 2] No such file or directory: '/gone'"


def test_configuring_twice_writes_records_of_libraries_once() -> None:
    configure()
    stream = _written()
    logging.getLogger("some.library").warning("once")
    assert len(_json_lines(stream.getvalue())) == 1


class _Rude:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __hash__(self) -> int:
        raise TypeError("no hash")


def test_a_value_without_a_text_does_not_break_the_line() -> None:
    stream = _written()
    LOG.info("x", rude=_Rude(), after=1)
    (event,) = _json_lines(stream.getvalue())
    assert event["rude"] == "<_Rude without text: RuntimeError>"
    assert event["after"] == 1


def test_a_call_that_cannot_be_written_never_raises_and_is_counted() -> None:
    stream = _written()
    LOG.info("lost", every=1.0, key=_Rude())
    LOG.info("x")
    LOG.info("y")
    events = _json_lines(stream.getvalue())
    assert [event.get("lost_lines") for event in events] == [1, None]


def test_a_closed_stream_takes_nothing_and_breaks_nothing() -> None:
    stream = _written()
    stream.close()
    LOG.error("into the void")


@pytest.mark.parametrize("stderr", ["closed", "full", "broken pipe"])
def test_a_stderr_that_takes_nothing_does_not_change_how_the_process_ends(stderr: str) -> None:
    code = "from shipper.log import *; configure(); log = get_logger('x'); [log.error('gone') for _ in range(9)]"
    command = [sys.executable, "-c", code]
    if stderr == "closed":
        status = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], check=False).returncode
    elif stderr == "full":
        with open("/dev/full", "wb") as full:
            status = subprocess.run(command, stderr=full, check=False).returncode
    else:
        reader, writer = os.pipe()
        os.close(reader)
        status = subprocess.run(command, stderr=writer, check=False).returncode
        os.close(writer)
    assert status == 0


def test_a_pipe_that_is_full_and_does_not_block_loses_lines_counts_them_and_goes_on() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writer, "w") as stream:
        configure("info", stream)
        for number in range(100):
            LOG.info("filling the pipe", number=number, padding="x" * 100)
        first = os.read(reader, 65536).decode()
        LOG.info("there is room again")
        second = os.read(reader, 65536).decode()
        configure()
    os.close(reader)
    lines = (first + second).split("\n")
    last = json.loads(lines[-2])
    whole = [json.loads(line) for line in lines[:-2] if line.endswith("}")]
    assert last["msg"] == "there is room again", "a line cut in the middle does not swallow the next one"
    assert last["lost_lines"] == 100 - len(whole)


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    def talk(thread: int) -> None:
        for line in range(200):
            LOG.info("x", thread=thread, line=line)

    with (tmp_path / "log").open("w") as stream:
        configure("info", stream)
        threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        configure()
    events = _json_lines((tmp_path / "log").read_text())
    assert sorted((e["thread"], e["line"]) for e in events) == [(n, i) for n in range(4) for i in range(200)]


def test_logging_from_inside_logging_does_not_lock_up() -> None:
    """As when the garbage collector runs a finaliser that logs in the middle of a line."""
    stream = _written()

    class Chatty:
        def __str__(self) -> str:
            LOG.info("inner")
            return "outer value"

    LOG.info("outer", value=Chatty())
    assert [event["msg"] for event in _json_lines(stream.getvalue())] == ["inner", "outer"]


def test_a_level_that_is_off_formats_nothing() -> None:
    configure("info", io.StringIO())
    LOG.debug("x", value=_Rude(), every=1.0, key=_Rude())
    assert log_module._output.lost == 0
