r"""The lines that container runtimes write, and what their paths say. Sans-IO.

CRI (containerd, CRI-O): ``2024-05-01T12:00:00.000000001Z stdout F the message``; the tag is ``P`` where the line goes
on in the next one of its stream: runtimes cut them at 16 KiB. Docker's ``json-file``:
``{"log":"the message\n","stream":"stdout","time":"2024-05-01T12:00:00.000000001Z"}``; without a newline in ``log`` it
goes on. Terminals end lines with ``\r\n``.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from shipper.batch import Labels
from shipper.chain.decode import count_invalid

ContainerFormat: TypeAlias = Literal["cri", "docker", "auto"]

Row: TypeAlias = tuple[str, str, str, str]
"""Time, stream, tag, message. The tag is ``F`` (the message is whole), ``P`` (it goes on), or ``ODD`` where the line is
not of the format: then it is the message, without time and stream.
"""
FULL: Final = "F"
PART: Final = "P"
ODD: Final = ""

STREAMS: Final = ("stdout", "stderr")

_CRI: Final = re.compile(
    r"\n([0-9][0-9T:.+Z-]{18,38}) (stdout|stderr) ([FP])(?::[^ \n]*)?(?=[ \n]|\Z) ?([^\n]*)"
).findall


class _Logged(msgspec.Struct, gc=False):
    log: str
    stream: str
    time: str


_docker_line: Final = msgspec.json.Decoder(_Logged).decode
_docker_lines: Final = msgspec.json.Decoder(_Logged).decode_lines


class Parsed(NamedTuple):
    """What stands in some lines."""

    rows: list[Row]
    """One for each line."""
    whole: bool
    """Every line is of the format, and no message goes on in another."""
    replaced: int
    """Lines in which U+FFFD stands for invalid UTF-8."""


def parse(data: bytes, form: ContainerFormat) -> Parsed:
    """Whole lines, each with its newline. Many at a time; one by one where some are not of the format."""
    replaced = 0
    try:
        text = data.decode()
    except UnicodeDecodeError:
        replaced = count_invalid(data, data.split(b"\n"))
        text = data.decode("utf-8", "replace")
    docker = form == "docker" or (form == "auto" and text.startswith("{"))
    rows = _docker(text) if docker else _cri(text)
    if rows is None:
        rows = [_row(line, form) for line in text[:-1].split("\n")]
    return Parsed(rows, {row[2] for row in rows} <= {FULL}, replaced)


def _cri(text: str) -> list[Row] | None:
    rows: list[Row] = _CRI("\n" + text[:-1])
    return rows if len(rows) == text.count("\n") else None


def _docker(text: str) -> list[Row] | None:
    try:
        logged = _docker_lines(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if len(logged) != text.count("\n") or not {line.stream for line in logged} <= set(STREAMS):
        return None
    return [_docker_row(line) for line in logged]


def _docker_row(line: _Logged) -> Row:
    log = line.log
    if not log.endswith("\n"):
        return line.time, line.stream, PART, log
    return line.time, line.stream, FULL, log[: -2 if log.endswith("\r\n") else -1]


def _row(line: str, form: ContainerFormat) -> Row:
    """One line."""
    if form != "docker" and (found := _CRI("\n" + line)):
        row: Row = found[0]
        return row
    if form != "cri":
        try:
            logged = _docker_line(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return "", "", ODD, line
        if logged.stream in STREAMS:
            return _docker_row(logged)
    return "", "", ODD, line


class Joined(msgspec.Struct, gc=False):
    """A record: the message of a line, or of several."""

    message: str
    stream: str
    timestamp: str


class Odd(msgspec.Struct, gc=False):
    """A record of a line that is not of the format."""

    message: str
    parse_error: str = "container: the line is not of the runtime's format"


_encode_lines: Final = msgspec.json.Encoder().encode_lines


def encode(records: Sequence[Joined | Odd]) -> bytes:
    """Records as JSON objects, each with a newline."""
    return _encode_lines(records)


_PATHS: Final = [
    re.compile(pattern)
    for pattern in (
        # .../pods/NAMESPACE_POD_UID/CONTAINER/N.log, and what rotation makes of it
        r"/pods/(?P<namespace>[^/_]+)_(?P<pod>[^/_]+)_(?P<pod_uid>[^/_]+)/(?P<container>[^/]+)/(?P<restart>\d+)\.log[^/]*\Z",
        r"/containers/(?P<pod>[^/_]+)_(?P<namespace>[^/_]+)_(?P<container>[^/]+)-(?P<container_id>[0-9a-f]{64})\.log[^/]*\Z",
        r"/containers/(?P<container_id>[0-9a-f]{64})/(?P=container_id)-json\.log[^/]*\Z",
    )
]


def path_labels(*paths: str) -> Labels:
    """What the paths of a container's log say: ``namespace``, ``pod``, ``pod_uid``, ``container``, ``restart``,
    ``container_id``; each as text, and where it stands there. The first path that says one decides.
    """
    labels: Labels = {}
    for path in paths:
        for pattern in _PATHS:
            if found := pattern.search(path):
                labels = found.groupdict() | labels
                break
    return labels
