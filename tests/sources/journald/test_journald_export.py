"""The export format of the journal: any entries, in any split, come out as they went in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.journal import sized

from shipper.batch import DEAD_LETTER_RAW
from shipper.sources.journald.export import Entries, Entry, TooLong, same_entry, sequence, take_cursor, to_record

Pairs = list[tuple[str, bytes]]
LIMIT = 400

NAMES = st.text("ABC_", min_size=1, max_size=4)
PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30).map(str.encode)
BINARY = st.one_of(
    st.binary(max_size=60), st.sampled_from([b"", b"\n", b"\n\n", b"a\n\nB=c\n", b"\n" * 10, b"A=\n\n", b"x" * 266])
)
ENTRIES = st.lists(
    st.lists(st.tuples(NAMES, st.one_of(PRINTABLE, BINARY, st.binary(min_size=300, max_size=900))), max_size=6),
    max_size=6,
)


def exported(pairs: Pairs, number: int, sizes: st.DataObject | None = None) -> bytes:
    """An entry as journalctl writes it: text that can be printed on one line stands in a line."""
    parts = [b"__CURSOR=s=%032x;i=%x;b=0\n" % (1, number)]
    for name, value in pairs:
        plain = value.decode("utf-8", "replace").encode() == value and b"\n" not in value
        in_line = plain and (sizes is None or not sizes.draw(st.booleans()))
        parts.append(name.encode() + b"=" + value + b"\n" if in_line else sized(name, value))
    return b"".join(parts) + b"\n"


def expected(pairs: Pairs) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        text = value.decode("utf-8", "replace")
        before = found.get(name)
        if before is None:
            found[name] = text
        else:
            found[name] = [*before, text] if isinstance(before, list) else [before, text]
    return found


def fed(data: bytes, cuts: list[int], limit: int) -> list[Entry | TooLong]:
    entries = Entries(limit)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [one for a, b in pairwise(places) for one in entries.feed(data[a:b])]


@given(ENTRIES, st.lists(st.integers(0, 10**6), max_size=12), st.data())
def test_entries_come_out_as_they_went_in_for_any_split(
    entries: list[Pairs], cuts: list[int], sizes: st.DataObject
) -> None:
    """Sized fields with anything in them, repeated names, and of what is too long the head and the length."""
    parts = [exported(pairs, number, sizes) for number, pairs in enumerate(entries)]
    found = fed(b"".join(parts), cuts, LIMIT)
    assert [one.size for one in found] == [len(part) for part in parts]
    for number, (one, part, pairs) in enumerate(zip(found, parts, entries, strict=True)):
        assert isinstance(one, TooLong) == (len(part) > LIMIT)
        cursor = one.cursor if isinstance(one, TooLong) else take_cursor(one.fields)
        assert sequence(cursor) == (f"{1:032x}", number)
        if isinstance(one, TooLong):
            assert one.head == part[:DEAD_LETTER_RAW]
        else:
            assert one.fields == expected(pairs)


@pytest.mark.parametrize("value", [b"x" * 5_000_000, b"x\n\n" * 2_000_000])
def test_an_entry_that_is_too_long_is_not_held(value: bytes) -> None:
    """Its first 64 KiB and its length are; what comes after it is read."""
    parts = [exported([("MESSAGE", value), ("B", b"b\nb")], 1), exported([("MESSAGE", b"next")], 2)]
    data, entries, found = b"".join(parts), Entries(100_000), []
    for at in range(0, len(data), 65_536):
        found += entries.feed(data[at : at + 65_536])
        assert len(entries._held) <= 100_000 + 65_536
    assert found[0] == TooLong(parts[0][:DEAD_LETTER_RAW], len(parts[0]))
    assert isinstance(found[1], Entry)
    assert found[1].fields["MESSAGE"] == "next"


PIECES = st.one_of(
    st.binary(max_size=20), st.sampled_from([b"A=b\n", b"\n", b"A\n", b"=\n", b"\x03" + bytes(7), b"=" * 99])
)


@given(st.lists(PIECES), st.lists(st.integers(0, 300), max_size=5))
def test_rubbish_raises_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    """Whatever journalctl may be made to write."""
    for one in fed(b"".join(pieces), cuts, 100):
        if isinstance(one, Entry):
            take_cursor(one.fields)
            to_record(one.fields)


@given(
    st.dictionaries(st.sampled_from("MESSAGE PRIORITY SYSLOG_FACILITY _PID __REALTIME_TIMESTAMP X".split()), st.text())
)
def test_every_field_is_in_the_record(fields: dict[str, str]) -> None:
    """Under its own name or another one."""
    record = to_record(dict(fields))
    renamed = {"MESSAGE": "message", "_PID": "proc_id", "X": "X"}
    for name, value in fields.items():
        if name in renamed:
            assert record[renamed[name]] == value
    assert ("PRIORITY" in fields) == (("PRIORITY" in record) != ("severity" in record))


def test_a_record_has_words_and_times_that_people_know() -> None:
    """As in the syslog source."""
    fields = dict(
        line.split("=")
        for line in "__REALTIME_TIMESTAMP=1430122062217528 _SOURCE_REALTIME_TIMESTAMP=1430122062000001 "
        "__MONOTONIC_TIMESTAMP=1 __SEQNUM=3 __SEQNUM_ID=4 PRIORITY=3 SYSLOG_FACILITY=4 _HOSTNAME=edge-1 _PID=12 "
        "SYSLOG_IDENTIFIER=sshd _SYSTEMD_UNIT=ssh.service MESSAGE=hello _UID=0".split()
    )
    assert to_record(dict(fields)) == {
        "timestamp": "2015-04-27T08:07:42.000001Z",
        "severity": "err",
        "facility": "auth",
        "hostname": "edge-1",
        "app_name": "sshd",
        "proc_id": "12",
        "unit": "ssh.service",
        "message": "hello",
        "_UID": "0",
    }


def test_an_entry_that_journald_copied_is_the_same_one() -> None:
    """From /run to /var it gets another number in another numbering; a part of a cursor is not enough."""
    place = "b=7f272978644b4ee1bf5d375ff2bdda57;m=ac1b0c94a;t=514b03d810138;x=d9bf4c3b3d82d447"
    assert same_entry(f"s=1;i=12;{place}", f"s=2;i=1;{place}")
    assert not same_entry(f"s=1;i=12;{place}", f"s=1;i=12;{place[:-1]}8")
    assert not same_entry("s=1;i=12", "s=1;i=13")
