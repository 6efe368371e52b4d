"""What sources read: files in any encoding, containers' logs, archives, syslog, the journal."""

import gzip
import os
from typing import Final

import msgspec
import zstandard
from fuzz.mutate import mutated, split
from fuzz.target import Target
from hypothesis import strategies as st

from shipper.sources.file.containers import FULL, ContainerFormat, parse, path_labels
from shipper.sources.file.framing import Framer
from shipper.sources.file.multiline import Multiline, MultilineConfig
from shipper.sources.file.packed import Kind, Packed
from shipper.sources.file.presets import PRESETS
from shipper.sources.file.text import Encoding
from shipper.sources.journald.export import Entries, Entry, same_entry, sequence, take_cursor, to_record
from shipper.syslog.framing import SyslogFramer
from shipper.syslog.message import SyslogParser

LIMIT: Final = 300
"""Bytes of a line or message, so that some are too long."""
encode: Final = msgspec.json.Encoder().encode

SYSLOG: Final = (
    b'<165>1 2003-10-11T22:14:15.003Z host app 12 ID47 [ex@1 iut="3" t="a\\]b"][x@2] \xef\xbb\xbfmessage',
    b"<34>Oct 11 22:14:15 mymachine su[12]: 'su root' failed",
    b"<189>42: r1: *Mar  1 18:48:50.483 UTC: %SYS-5-CONFIG_I: Configured",
    b"<13>2024-02-29 23:59:60,999+0530 h t: x",
    b"<13>Feb 29 2023 12:00:00 h t: x",
)
SYSLOG_WORDS: Final = (
    b"<191>",
    b"<999>",
    b"1 ",
    b"-",
    b"[",
    b"]",
    b'"',
    b"\\",
    b" ",
    b"\n",
    b"\0",
    b"\r\n",
    b"99 <13>",
    b"9999999 ",
    b"\xff",
)
framed: Final = st.lists(
    st.builds(
        lambda text, kind: b"%d %s" % (len(text), text) if kind == 0 else text + (b"\n", b"\0", b"\r\n")[kind - 1],
        mutated(st.sampled_from(SYSLOG), SYSLOG_WORDS, 2),
        st.integers(0, 3),
    ),
    max_size=5,
).map(b"".join)


def frame_syslog(pieces: list[bytes]) -> None:
    """The messages are the same for any split, and nothing is held beyond the limit."""
    whole, cut = SyslogFramer(LIMIT), SyslogFramer(LIMIT)
    expected = [*whole.feed(b"".join(pieces)), *whole.finish()]
    found = []
    for piece in pieces:
        found += cut.feed(piece)
        assert cut.held <= LIMIT
    assert [*found, *cut.finish()] == expected
    assert all(len(message.data) <= LIMIT for message in expected)


def parse_syslog(data: bytes) -> None:
    """Every message is a record that can be written."""
    record = SyslogParser().parse(data, 1_700_000_000.0)
    assert isinstance(record["message"], str)
    assert msgspec.json.decode(encode(record)) == record


JOURNAL: Final = (
    b"__CURSOR=s=00000000000000000000000000000001;i=7;b=2;m=3;t=4;x=5\n__REALTIME_TIMESTAMP=17\nPRIORITY=6\nSYSLOG_FACILITY=3\n_PID=1\nMESSAGE=hello\nA=1\nA=2\n\n",
    b"__CURSOR=s=1;i=1\nMESSAGE\n" + (5).to_bytes(8, "little") + b"a\n\nb=\nB=2\n\n",
    b"A=" + b"x" * LIMIT + b"\n\n",
)
JOURNAL_WORDS: Final = (
    b"\n",
    b"\n\n",
    b"=",
    b"\xff" * 8,
    bytes(8),
    (3).to_bytes(8, "little") + b"a\nb\n",
    b"__CURSOR=",
    b"PRIORITY\n",
)


def read_journal(pieces: list[bytes]) -> None:
    """The entries are the same for any split; each is a record that can be written."""
    whole, cut = Entries(LIMIT), Entries(LIMIT)
    expected = whole.feed(b"".join(pieces))
    assert [entry for piece in pieces for entry in cut.feed(piece)] == expected
    for entry in expected:
        if isinstance(entry, Entry):
            assert entry.size <= LIMIT
            cursor = take_cursor(entry.fields)
            encode(to_record(entry.fields))
        else:
            assert entry.size > LIMIT
            cursor = entry.cursor
        sequence(cursor)
        assert same_entry(cursor, cursor)


CONTAINERS: Final = (
    b"2024-05-01T12:00:00.000000001Z stdout F the message\n2024-05-01T12:00:00.1Z stderr P part\n",
    b'{"log":"the message\\n","stream":"stdout","time":"2024-05-01T12:00:00.1Z"}\n',
    b'{"log":"part","stream":"stderr","time":"t","attrs":{"a":1}}\nno json\n',
)
CONTAINER_WORDS: Final = (
    b" F ",
    b" P ",
    b" P:x ",
    b"stdout",
    b"\\ud800",
    b"\\n",
    b"\n",
    b"{",
    b"[" * 3000,
    b"\xff",
    b"1e999",
    b"\r",
)


def read_container(given: tuple[bytes, ContainerFormat]) -> None:
    """Many lines at a time give what one by one gives, a row each."""
    data, form = given[0].rstrip(b"\n") + b"\n", given[1]
    rows = parse(data, form).rows
    assert len(rows) == data.count(b"\n")
    if form != "auto":  # which looks at the first line
        assert rows == [row for line in data[:-1].split(b"\n") for row in parse(line + b"\n", form).rows]
    assert all(row[2] in (FULL, "P", "") for row in rows)


PRESET_LINES: Final = (
    *(
        b"Traceback (most recent call last):",
        b'  File "a.py", line 1, in x',
        b"ValueError: x",
        b"",
        b"\tat a.B(C.java:1)",
    ),
    *(
        b"java.lang.E.xException: y",
        b"Caused by: z",
        b"goroutine 1 [running]:",
        b"panic: x",
        b"main.f(0x1)",
        b"created by x",
    ),
    *(b"a.rb:1:in `x'", b"exit status 2", b"   at N.M() in f.cs:line 1", b"x" * LIMIT, b"\r", b"\0", b"\xff"),
)
some_lines: Final = st.lists(mutated(st.sampled_from(PRESET_LINES), (b"\t", b" ", b":", b"\r"), 1), max_size=12).map(
    lambda some: [line.replace(b"\n", b"") for line in some]
)


def join_lines(given: tuple[str, list[bytes], int, int]) -> None:
    """The records are the same for any split; none of their lines is lost, and none changed."""
    preset, some, cut, most = given
    made = [Multiline(MultilineConfig(preset=preset).logic(), most, LIMIT) for _ in range(2)]  # type: ignore[arg-type]
    whole = [line + b"\n" for line in some]
    records = []
    for multiline, parts in zip(made, ([whole], [whole[:cut], *([line] for line in whole[cut:])]), strict=True):
        closed = [record for part in parts if part for record in multiline.feed(b"".join(part))]
        last = multiline.close()
        records.append([*closed, *([] if last is None else [last])])
    assert records[0] == records[1]
    assert b"\n".join(records[0]) == b"\n".join(some)
    assert all(record.count(b"\n") < most for record in records[0])


def frame_stream(pieces: list[bytes]) -> None:
    """Lines of a stream that cannot be read twice: the same for any split."""
    found = []
    for parts in ([b"".join(pieces)], pieces):
        framer = Framer(100, LIMIT)
        for part in parts:
            framer.feed(part)
        framer.finish()
        chunks = list(iter(framer.take, None))
        assert framer.held == 0
        assert [chunk.start for chunk in chunks] == [0, *[chunk.end for chunk in chunks]][:-1]
        found.append(b"".join(chunk.data for chunk in chunks))
    assert found[0] == found[1]


NAMES: Final = st.sampled_from(
    ["utf-8", "auto", "utf-16", "utf-16-be", "utf-32", "latin-1", "gb18030", "shift_jis", "cp037", "binary"]
)


def decode_text(given: tuple[str, bytes]) -> None:
    """Any bytes in any encoding are lines: as many as newlines stood there."""
    name, raw = given
    text = Encoding(name).text_of(raw[:4], settled=True)
    assert text is not None
    raw += b"x" * (-len(raw) % text.width) + text.newline
    made = text.lines(raw, 0, fresh=True)
    assert made.data.count(b"\n") == len(text.split(raw)) - 1
    assert made.data.endswith(b"\n")
    assert 0 <= text.whole(raw) <= len(raw)
    assert 0 <= made.holes <= len(raw)
    if name != "binary" and made.replaced == 0 and text.width > 1:
        made.data.decode()


BLOCKS: Final = b"".join(b"line %d of many that look alike\n" % number for number in range(2000))
ARCHIVES: Final[dict[Kind, list[bytes]]] = {
    "gzip": [
        gzip.compress(BLOCKS[:5000], mtime=0),
        gzip.compress(b"a\n", mtime=0) * 2,
        gzip.compress(bytes(2**24), mtime=0),
    ],
    "zstd": [
        zstandard.ZstdCompressor(write_checksum=True).compress(BLOCKS),
        b"\x50\x2a\x4d\x18\x03\0\0\0abc"
        + zstandard.ZstdCompressor(write_content_size=False).compress(BLOCKS[:300]) * 2,
        zstandard.compress(bytes(2**24)),
    ],
}
ARCHIVE_WORDS: Final = (
    b"\x50\x2a\x4d\x18\xff\xff\xff\xff",
    b"\x28\xb5\x2f\xfd",
    b"\x1f\x8b\x08\x1f",
    bytes(600),
    b"\xff",
)


def read_archive(given: tuple[Kind, bytes, int]) -> None:
    """What can be decompressed is the same in large and in small steps, and so is how it ends."""
    kind, data, step = given
    descriptor = os.memfd_create("archive")
    try:
        os.write(descriptor, data)
        large, small = Packed(descriptor, kind), Packed(descriptor, kind)
        expected, found, at = large.pread(100_000, 0), b"", 0
        while at < len(expected) and (piece := small.pread(step, at)):
            found, at = found + piece, at + len(piece)
        assert found[: len(expected)] == expected
        while large.end is None:
            large.pread(1 << 20, large.length)
            assert large.length < 2**27
        assert large.rest(len(data)) >= 0
        assert (large.end == "damaged") == bool(large.reason)
    finally:
        os.close(descriptor)


def archives(kind: Kind) -> st.SearchStrategy[tuple[Kind, bytes, int]]:
    """Damaged ones of a kind."""
    steps = st.sampled_from([997, 4096, 70_000])
    return st.tuples(st.just(kind), mutated(st.sampled_from(ARCHIVES[kind]), ARCHIVE_WORDS, 3), steps)


PATHS: Final = (
    "/var/log/pods/ns_pod_uid/app/0.log",
    f"/var/log/containers/pod_ns_app-{'a' * 64}.log",
    f"/x/containers/{'b' * 64}/{'b' * 64}-json.log",
)
forms: Final = st.sampled_from(["cri", "docker", "auto"])

TARGETS: Final = (
    Target("syslog framing", split(framed | mutated(framed, SYSLOG_WORDS)), frame_syslog),
    Target("syslog message", mutated(st.sampled_from(SYSLOG), SYSLOG_WORDS), parse_syslog),
    Target(
        "journal export",
        split(mutated(st.lists(st.sampled_from(JOURNAL), max_size=4).map(b"".join), JOURNAL_WORDS)),
        read_journal,
    ),
    Target(
        "container lines",
        st.tuples(
            mutated(st.lists(st.sampled_from(CONTAINERS), min_size=1, max_size=3).map(b"".join), CONTAINER_WORDS), forms
        ),
        read_container,
    ),
    Target(
        "container paths",
        mutated(st.sampled_from([path.encode() for path in PATHS]), (b"/", b"_", b"-", b"%")),
        lambda data: path_labels(data.decode("utf-8", "replace")),
    ),
    Target(
        "multiline",
        st.tuples(st.sampled_from(sorted(PRESETS)), some_lines, st.integers(0, 12), st.sampled_from([1, 2, 1000])),
        join_lines,
    ),
    Target("lines of a stream", split(mutated(st.just(b"a\nbb\n" + b"c" * 500 + b"\n\n"))), frame_stream),
    Target(
        "encodings",
        st.tuples(
            NAMES,
            mutated(
                st.sampled_from(
                    [BLOCKS[:40], "a\né\n漢\n\0\0\n".encode("utf-16"), b"\xef\xbb\xbfa\r\n", b"\x81\x30\n"]
                ),
                (b"\n", b"\0", b"\r", b"\n\0", b"\0\n", b"\xff\xfe", b"\xfe\xff", b"\x81", b"\xd8"),
            ),
        ),
        decode_text,
    ),
    Target("gzip", archives("gzip"), read_archive, examples=100),
    Target("zstd", archives("zstd"), read_archive, examples=100),
)
