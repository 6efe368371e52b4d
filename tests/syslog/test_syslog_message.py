"""Parsing of syslog messages: the examples of the RFCs, what devices really send, and any bytes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.chain.encode import encode_json
from shipper.syslog import FACILITIES, SEVERITIES, SyslogParser

RECEIVED = datetime(2003, 10, 12, tzinfo=UTC)


def parse(message: bytes | str, received: datetime = RECEIVED, zone: str = "UTC") -> dict[str, Any]:
    data = message.encode() if isinstance(message, str) else message
    return SyslogParser(ZoneInfo(zone)).parse(data, received.timestamp())


def test_rfc_5424_example_1_with_a_bom() -> None:
    """Section 6.5; a NILVALUE leaves its field out."""
    message = "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick"
    assert parse(message) == {
        "message": "'su root' failed for lonvick",
        "timestamp": "2003-10-11T22:14:15.003Z",
        "hostname": "mymachine.example.com",
        "app_name": "su",
        "msg_id": "ID47",
        "facility": "auth",
        "severity": "crit",
    }


def test_rfc_5424_example_2_without_a_bom() -> None:
    """Section 6.5: a zone, microseconds, a process."""
    message = "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts."
    assert parse(message) == {
        "message": "%% It's time to make the do-nuts.",
        "timestamp": "2003-08-24T05:14:15.000003-07:00",
        "hostname": "192.0.2.1",
        "app_name": "myproc",
        "proc_id": "8710",
        "facility": "local4",
        "severity": "notice",
    }


def test_rfc_5424_example_3_with_structured_data() -> None:
    """Section 6.5: an element and a message."""
    message = (
        '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" '
        'eventSource="Application" eventID="1011"] \ufeffAn application event log entry...'
    )
    record = parse(message)
    assert record["structured_data"] == {
        "exampleSDID@32473": {"iut": "3", "eventSource": "Application", "eventID": "1011"}
    }
    assert record["message"] == "An application event log entry..."


def test_rfc_5424_example_4_with_structured_data_only() -> None:
    """Section 6.5: the message is empty."""
    message = (
        '<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3"]'
        '[examplePriority@32473 class="high"]'
    )
    record = parse(message)
    assert record["structured_data"] == {
        "exampleSDID@32473": {"iut": "3"},
        "examplePriority@32473": {"class": "high"},
    }
    assert record["message"] == ""


def test_escapes_in_structured_data() -> None:
    """Section 6.3.3: three characters are escaped; a backslash before others is one."""
    record = parse(r'<13>1 - - - - - [x a="\"q\" \\ \] \n" b="]"][e] m')
    assert record["structured_data"] == {"x": {"a": r'"q" \ ] \n', "b": "]"}, "e": {}}
    assert record["message"] == "m"


def test_a_parameter_that_stands_there_several_times_has_a_list() -> None:
    """Section 6.3.3 allows it (``ip`` of origin)."""
    record = parse('<13>1 - - - - - [origin ip="192.0.2.1" ip="192.0.2.129" ip="::1"]')
    assert record["structured_data"] == {"origin": {"ip": ["192.0.2.1", "192.0.2.129", "::1"]}}


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2003-10-11T22:14:15Z", "2003-10-11T22:14:15Z"),
        ("2003-10-11T22:14:15.123456789+05:30", "2003-10-11T22:14:15.123456789+05:30"),
        ("2003-10-11T22:14:15.5-00:00", "2003-10-11T22:14:15.5Z"),
        ("2003-10-11t22:14:15z", "2003-10-11T22:14:15Z"),
    ],
)
def test_timestamps_of_rfc_5424(stamp: str, expected: str) -> None:
    """All digits stay; -00:00 is UTC."""
    assert parse(f"<13>1 {stamp} - - - - - x")["timestamp"] == expected


@pytest.mark.parametrize(
    "message",
    [
        "<13>1 2003-10-11T22:14:15.003Z host",
        "<13>1 2003-02-30T22:14:15Z - - - - -",
        "<13>1 2003-10-11T22:14:60Z - - - - -",
        "<13>1 2003-10-11T22:14:15+99:00 - - - - -",
        '<13>1 - - - - - [x a="b" m',
        "<13>1 - - - - - [x a=b] m",
        "<13>1 - - - - -x",
        "<192>1 - - - - - x",
        "<999>x",
        "Use the BFG!",
        "",
        "<13",
        "<>x",
        "Feb 30 10:00:00 host app: x",
    ],
)
def test_what_is_neither_is_kept_whole_and_says_why(message: str) -> None:
    record = parse(message)
    assert record["message"] == message
    assert record["parse_error"]
    assert record.keys() == {"message", "parse_error"}


def test_rfc_3164_example_1() -> None:
    """Section 5.4."""
    assert parse("<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8") == {
        "message": "'su root' failed for lonvick on /dev/pts/8",
        "timestamp": "2003-10-11T22:14:15Z",
        "hostname": "mymachine",
        "app_name": "su",
        "facility": "auth",
        "severity": "crit",
    }


def test_rfc_3164_example_3_takes_its_zone_for_the_hostname() -> None:
    """Section 5.4 says so: "The HOSTNAME field would be construed to be CST"."""
    record = parse("<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time to make the do-nuts.")
    assert record["timestamp"] == "2003-08-24T05:34:00Z"
    assert record["hostname"] == "CST"
    assert record["message"] == "1987 mymachine myproc[10]: %% It's time to make the do-nuts."


def test_rfc_3164_example_4_has_no_timestamp_and_is_all_message() -> None:
    """Section 5.4: "not valid as a TIMESTAMP"."""
    text = "1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!"
    assert parse("<0>" + text) == {"message": text, "facility": "kern", "severity": "emerg"}


REAL = [
    # no hostname, as programs write to /dev/log
    ("<13>Oct 11 22:14:15 su[12]: m", {"app_name": "su", "proc_id": "12"}),
    ("<13>Oct 11 22:14:15 su: m", {"app_name": "su"}),
    # no priority, as in files
    ("Oct 11 22:14:15 h postfix/smtpd[1]: m", {"hostname": "h", "app_name": "postfix/smtpd", "proc_id": "1"}),
    # dates: one digit, no padding, fractions, a year
    ("<13>Oct  1 22:14:15 h a: m", {"hostname": "h", "app_name": "a", "timestamp": "2003-10-01T22:14:15Z"}),
    ("<13>Oct 1 22:14:15 h a: m", {"hostname": "h", "app_name": "a", "timestamp": "2003-10-01T22:14:15Z"}),
    ("<13>Oct 01 22:14:15.25 h m", {"hostname": "h", "timestamp": "2003-10-01T22:14:15.25Z"}),
    ("<13>Oct 11 1999 22:14:15 h m", {"hostname": "h", "timestamp": "1999-10-11T22:14:15Z"}),
    # RFC 3339 in the old form: rsyslog's RSYSLOG_ForwardFormat
    ("<13>2003-10-11T22:14:15.000123+02:00 h a[1]: m",
     {"hostname": "h", "app_name": "a", "proc_id": "1", "timestamp": "2003-10-11T22:14:15.000123+02:00"}),
    ("<13>2003-10-11T22:14:15+0200 h m", {"hostname": "h", "timestamp": "2003-10-11T22:14:15+02:00"}),
    ("<13>2003-10-11 22:14:15,5 h m", {"hostname": "h", "timestamp": "2003-10-11T22:14:15.5Z"}),
    # hostnames
    ("<13>Oct 11 22:14:15 fe80::1%eth0 a: m", {"hostname": "fe80::1%eth0", "app_name": "a"}),
    ("<13>Oct 11 22:14:15 - a: m", {"app_name": "a"}),
    # Cisco IOS, ASA
    ("<189>4719: *Mar  1 00:01:02.123: %SYS-5-CONFIG_I: m",
     {"timestamp": "2004-03-01T00:01:02.123Z", "msg_id": "SYS-5-CONFIG_I",
      "structured_data": {"meta": {"sequenceId": "4719"}}}),
    ("<189>42: r1: Oct 11 22:14:15.5 UTC: %SYS-5-CONFIG_I: m",
     {"hostname": "r1", "msg_id": "SYS-5-CONFIG_I", "structured_data": {"meta": {"sequenceId": "42"}}}),
    ("<166>Oct 11 2003 22:14:15: %ASA-6-302013: m", {"msg_id": "ASA-6-302013"}),
    ("<166>Oct 11 2003 22:14:15 asa1 : %ASA-6-302013: m", {"hostname": "asa1", "msg_id": "ASA-6-302013"}),
    ("<166>:Oct 11 22:14:15 EST: %ASA-session-5-106100: m", {"msg_id": "ASA-session-5-106100"}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "expected"), REAL)
def test_what_devices_and_programs_send(message: str, expected: dict[str, Any]) -> None:
    record = parse(message)
    assert record["message"] == "m"
    stamp = expected.pop("timestamp", None)
    assert stamp in (None, record.pop("timestamp", None))
    left = {name: value for name, value in record.items() if name not in ("message", "facility", "severity")}
    left.pop("timestamp", None)
    assert left == expected


@pytest.mark.parametrize(
    "content", ['{"level": "info"}', "CEF:0|Check Point|x", "key=value: x", "https://example.com/x", "%% do-nuts"]
)
def test_what_is_no_tag_stays_in_the_message(content: str) -> None:
    record = parse(f"<13>Oct 11 22:14:15 host {content}")
    assert (record["hostname"], record["message"]) == ("host", content)
    assert "app_name" not in record


def test_a_message_with_a_priority_and_nothing_else_is_one() -> None:
    """Section 4.3.3 of RFC 3164. "1 apple" is no version."""
    assert parse("<13>1 apple") == {"message": "1 apple", "facility": "user", "severity": "notice"}
    assert parse("<013>x") == {"message": "x", "facility": "user", "severity": "notice"}


def test_every_priority_has_its_words() -> None:
    for number in range(192):
        record = parse(f"<{number}>x")
        assert (record["facility"], record["severity"]) == (FACILITIES[number // 8], SEVERITIES[number % 8])


@pytest.mark.parametrize(
    ("stamp", "received", "expected"),
    [
        ("Dec 31 23:59:59", "2026-01-01T00:00:01", "2025-12-31T23:59:59Z"),
        ("Jan  1 00:00:00", "2025-12-31T23:59:58", "2026-01-01T00:00:00Z"),
        ("Jun  1 12:00:00", "2026-11-20T00:00:00", "2026-06-01T12:00:00Z"),
        ("Nov 30 12:00:00", "2026-01-10T00:00:00", "2025-11-30T12:00:00Z"),
        ("Feb 29 12:00:00", "2025-01-02T00:00:00", "2024-02-29T12:00:00Z"),
        ("Jan  1 00:00:00", "1970-01-01T00:00:10", "1970-01-01T00:00:00Z"),
    ],
)
def test_the_year_is_the_one_that_is_nearest(stamp: str, received: str, expected: str) -> None:
    """On both sides of New Year (rsyslog #4765)."""
    at = datetime.fromisoformat(received).replace(tzinfo=UTC)
    assert parse(f"<13>{stamp} h a: m", at)["timestamp"] == expected


def test_new_year_comes_earlier_in_other_zones() -> None:
    """The time of receipt is compared in UTC (rsyslog #4079)."""
    at = datetime(2020, 1, 1, 3, 13, 20, tzinfo=UTC)
    assert parse("<13>Dec 31 22:13:14 h m", at, "America/New_York")["timestamp"] == "2019-12-31T22:13:14-05:00"
    assert parse("<13>Jan  1 03:13:14 UTC: m", at, "America/New_York")["timestamp"] == "2020-01-01T03:13:14Z"


def test_an_hour_that_comes_twice_is_the_nearer_one() -> None:
    for hour, offset in ((0, "+02:00"), (1, "+01:00")):
        at = datetime(2026, 10, 25, hour, 30, 5, tzinfo=UTC)
        record = parse("<13>Oct 25 02:30:00 h m", at, "Europe/Berlin")
        assert record["timestamp"] == f"2026-10-25T02:30:00{offset}"


def test_a_year_is_not_remembered_for_ever() -> None:
    """What is known of a timestamp is forgotten with the hour."""
    parser = SyslogParser(UTC)
    for year in (2025, 2026, 2031):
        record = parser.parse(b"<13>Oct 11 22:14:15 h m", datetime(year, 10, 11, 22, tzinfo=UTC).timestamp())
        assert record["timestamp"] == f"{year}-10-11T22:14:15Z"


def test_without_a_zone_it_is_that_of_this_machine() -> None:
    record = SyslogParser().parse(b"<13>Oct 11 22:14:15 h m", RECEIVED.timestamp())
    assert datetime.fromisoformat(record["timestamp"]) == datetime(2003, 10, 11, 22, 14, 15).astimezone()


def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    assert parse(b"<13>Oct 11 22:14:15 h a: caf\xe9")["message"] == "caf\ufffd"


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).filter(lambda t: t != "-")
IDS = st.text("abcXYZ019@.", min_size=1, max_size=10)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ELEMENTS = st.dictionaries(IDS, st.dictionaries(IDS, VALUES, max_size=3), max_size=3)
TIMES = st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("Asia/Kolkata")]), min_value=datetime(1970, 1, 2))  # noqa: DTZ001


def new_form(pri: int, fields: list[str | None], elements: dict[str, dict[str, str]], message: str | None) -> str:
    """A message as RFC 5424 has it, with every character escaped that must be."""

    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")

    def written(parameters: dict[str, str]) -> str:
        return "".join(f' {name}="{escaped(value)}"' for name, value in parameters.items())

    data = "".join(f"[{name}{written(parameters)}]" for name, parameters in elements.items())
    head = " ".join(field or "-" for field in fields)
    return f"<{pri}>1 {head} {data or '-'}" + ("" if message is None else f" \ufeff{message}")


@given(st.integers(0, 191), TIMES, st.lists(st.none() | NAMES, min_size=4, max_size=4), ELEMENTS, st.none() | VALUES)
def test_a_valid_message_of_rfc_5424_comes_out_as_it_went_in(
    pri: int, time: datetime, names: list[str | None], elements: dict[str, dict[str, str]], message: str | None
) -> None:
    stamp = time.isoformat()
    record = parse(new_form(pri, [stamp, *names], elements, message))
    assert datetime.fromisoformat(record.pop("timestamp")) == time
    fields = zip(("hostname", "app_name", "proc_id", "msg_id"), names, strict=True)
    expected: dict[str, Any] = {name: value for name, value in fields if value is not None}
    if elements:
        expected["structured_data"] = elements
    expected |= {"message": message or "", "facility": FACILITIES[pri // 8], "severity": SEVERITIES[pri % 8]}
    assert record == expected


@given(
    st.integers(0, 191),
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    st.timedeltas(timedelta(days=-150), timedelta(days=150)),
    st.from_regex(r"[a-z][a-z0-9.-]{0,10}[a-z0-9]", fullmatch=True),
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9_./-]{0,10}", fullmatch=True),
    st.none() | st.integers(0, 99999),
    VALUES,
)
def test_a_valid_message_of_rfc_3164_comes_out_as_it_went_in(
    pri: int, time: datetime, away: timedelta, host: str, tag: str, process: int | None, message: str
) -> None:
    """The year is found again from any time of receipt within five months."""
    time = time.replace(microsecond=0, tzinfo=UTC)
    pid = "" if process is None else f"[{process}]"
    record = parse(f"<{pri}>{time:%b} {time.day:2} {time:%H:%M:%S} {host} {tag}{pid}: {message}", time + away)
    assert datetime.fromisoformat(record.pop("timestamp")) == time
    expected = {"hostname": host, "app_name": tag, "message": message.removeprefix("\ufeff")}
    expected |= {} if process is None else {"proc_id": str(process)}
    assert record == expected | {"facility": FACILITIES[pri // 8], "severity": SEVERITIES[pri % 8]}


PIECES = st.lists(
    st.sampled_from(
        ["<34>", "<34>1 ", "Oct 11 22:14:15", "2003-10-11T22:14:15Z", " ", "-", '[a b="c"]', ": ", "[", "]", '"', "\\"]
    )
    | st.text(max_size=5),
    max_size=12,
).map(lambda pieces: "".join(pieces).encode("utf-8", "surrogatepass"))


@given(st.binary() | PIECES, st.floats(0, 4e9))
def test_any_bytes_become_a_record_with_a_message(data: bytes, received: float) -> None:
    record = SyslogParser(UTC).parse(data, received)
    assert isinstance(record["message"], str)
    assert ("parse_error" in record) or ("severity" in record) or ("timestamp" in record)
    encode_json(record)


@pytest.mark.parametrize("text", ["a" * 60_000, "[" * 60_000, '[a b="' + "\\" * 60_000, "- " * 30_000, "1" * 60_000])
def test_no_text_takes_long(text: str) -> None:
    """Patterns are matched in linear time: this ends at once, or never."""
    for head in ("", "<13>", "<13>1 - - - - - ", "<13>Oct 11 22:14:15 ", "<13>Oct 11 22:14:15 h "):
        parse(head + text)
