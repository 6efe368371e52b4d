"""parse_timestamp."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.parse_timestamp import ParseTimestamp


def at(moment: str) -> type[ParseTimestamp]:
    """The processor at another time."""
    seconds = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    own = {"clock": staticmethod(lambda: seconds), "__doc__": ParseTimestamp.__doc__}
    return type("ParseTimestamp", (ParseTimestamp,), own)


class TestConformance(ProcessorConformance):
    """Several formats."""

    lines = (
        {"time": "2026-03-01T12:00:00.123+01:00", "a": 1},
        {"time": 1772362800123, "timestamp": "old"},
        {"time": "yesterday", "timestamp": "old"},
        {"time": None},
        {"time": True, "parse_error": 1},
        {},
    )

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseTimestamp(field="time", formats=["iso8601", "epoch_ms"], timezone="UTC")


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("iso8601", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("iso8601", "2026-03-01T12:00:00.120+01:00", "2026-03-01T11:00:00.120Z"),
        ("iso8601", "2026-03-01 12:00:00,123456789 -0330", "2026-03-01T15:30:00.123456789Z"),
        ("iso8601", "2026-03-01T12:00:00.1234567891234Z", "2026-03-01T12:00:00.123456789Z"),
        ("iso8601", "20260301T120000.5z", "2026-03-01T12:00:00.5Z"),
        ("iso8601", "2026-03-01 12:00 UTC", "2026-03-01T12:00:00Z"),
        ("iso8601", "2026-03-01T00:30+14", "2026-02-28T10:30:00Z"),
        ("iso8601", " 2026-03-01\n", "2026-03-01T00:00:00Z"),
        ("rfc3339", "2026-03-01t12:00:00.25-00:00", "2026-03-01T12:00:00.25Z"),
        ("epoch", 1772362800, "2026-03-01T11:00:00Z"),
        ("epoch", "1772362800.25", "2026-03-01T11:00:00.25Z"),
        ("epoch", 1772362800.25, "2026-03-01T11:00:00.25Z"),
        ("epoch", 1e9, "2001-09-09T01:46:40.0Z"),
        ("epoch", -1.5, "1969-12-31T23:59:58.5Z"),
        ("epoch", 0, "1970-01-01T00:00:00Z"),
        ("epoch_ms", 1772362800007, "2026-03-01T11:00:00.007Z"),
        ("epoch_ms", "1772362800007.5", "2026-03-01T11:00:00.0075Z"),
        ("epoch_us", 1772362800000007, "2026-03-01T11:00:00.000007Z"),
        ("epoch_ns", 1772362800000000007, "2026-03-01T11:00:00.000000007Z"),
        ("epoch_ns", "-1", "1969-12-31T23:59:59.999999999Z"),
        ("common_log", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z"),
        ("common_log", "[01/Mar/2026:12:00:00 +0000]", "2026-03-01T12:00:00Z"),
        ("rfc3164", "Mar  1 12:00:00", "2026-03-01T12:00:00Z"),
        ("rfc3164", "mar 1 2024 12:00:00.5", "2024-03-01T12:00:00.5Z"),
        ("%d.%m.%Y %H:%M:%S,%f", "01.03.2026 12:00:00,1200", "2026-03-01T12:00:00.1200Z"),
        ("%Y/%m/%d %T", "2026/03/01 12:00:00", "2026-03-01T12:00:00Z"),
        ("%A, %d %B %Y %I:%M %p %Z", "Sunday, 1 March 2026 12:05 a.m. GMT", "2026-03-01T00:05:00Z"),
        ("%b %e %I:%M:%S %p %Y", "Mar  1 01:02:03 PM 2026", "2026-03-01T13:02:03Z"),
        ("%y%j", "26060", "2026-03-01T00:00:00Z"),
        ("%D %R", "12/31/69 23:59", "1969-12-31T23:59:00Z"),
        ("%s", "1772362800", "2026-03-01T11:00:00Z"),
        ("%F at %H%% (%z)", "2026-03-01 at 12% (+02:00)", "2026-03-01T10:00:00Z"),
        ("%a %b %-d %T %Y", "Sun   Mar 1 12:00:00 2026", "2026-03-01T12:00:00Z"),
    ],
)
def test_a_time_becomes_the_timestamp(run_chain: RunChain, form: str, value: Any, expected: str) -> None:
    parse = at("2026-05-01")(field="t", formats=[form], timezone="UTC")
    assert run_chain(parse, [{"t": value}]).records == [{"timestamp": expected}]


@pytest.mark.parametrize(
    ("form", "value", "reason"),
    [
        ("iso8601", "yesterday", "'yesterday' is not written as iso8601"),
        ("iso8601", "2026-02-29T12:00:00Z", "there is no such time: 2026-02-29T12:00:00Z"),
        ("iso8601", "2026-03-01T24:00:00Z", "there is no such time"),
        ("iso8601", "2026-03-01T12:60:00Z", "there is no such time"),
        ("iso8601", "2026-03-01T12:00:61Z", "there is no such time"),
        ("iso8601", "2026-03-01T12:00:00+99:00", "there is no such time"),
        ("iso8601", "0001-01-01T00:00:00+01:00", "there is no such time"),
        ("iso8601", "9999-12-31T23:59:59-01:00", "there is no such time"),
        ("iso8601", "0000-01-01T00:00:00Z", "there is no such time"),
        ("iso8601", "\uff12026-03-01T12:00:00Z", "is not written as iso8601"),
        ("iso8601", "", "'' is not written as iso8601"),
        ("iso8601", 1772362800, "the field t is a number, and no format is one of epoch"),
        ("rfc3339", "2026-03-01T12:00:00", "is not written as rfc3339"),
        ("rfc3339", "2026-03-01T12:00:00+0100", "is not written as rfc3339"),
        ("epoch", 2**60, "there is no such time: 1152921504606846976"),
        ("epoch", 1e300, "is not written as epoch"),
        ("epoch", "nan", "'nan' is not written as epoch"),
        ("epoch", "1_000", "'1_000' is not written as epoch"),
        ("epoch", "2026-03-01", "is not written as epoch"),
        ("epoch", True, "the field t is neither text nor a number"),
        ("epoch", None, "the field t is neither text nor a number"),
        ("epoch", ["1"], "the field t is neither text nor a number"),
        ("rfc3164", "Feb 30 12:00:00", "there is no such time"),
        ("common_log", "10/Okt/2000:13:55:36 -0700", "is not written as common_log"),
        ("%Y%j", "2026366", "there is no such time"),
        ("%Y%j", "2026000", "there is no such time"),
        ("%F %I %p", "2026-03-01 13 PM", "there is no such time"),
        ("%F %H", "2026-03-01 ٣", "is not written as %F %H"),
    ],
)
def test_what_is_no_time_stays_with_the_reason(run_chain: RunChain, form: str, value: Any, reason: str) -> None:
    parse = ParseTimestamp(field="t", formats=[form], timezone="UTC")
    (record,) = run_chain(parse, [{"t": value, "timestamp": "as it was"}]).records
    assert reason in record.pop("parse_error")
    assert record == {"t": value, "timestamp": "as it was"}


def test_a_field_that_is_not_there_is_an_error(run_chain: RunChain) -> None:
    (record,) = run_chain(ParseTimestamp(field="t"), [{"a": 1}]).records
    assert record == {"a": 1, "parse_error": "parse_timestamp: the field t is missing"}


def test_formats_are_tried_in_turn(run_chain: RunChain) -> None:
    parse = ParseTimestamp(field="t", formats=["epoch", "iso8601", "%d/%m/%Y"], timezone="UTC")
    texts = ["1772362800", "2026-03-01T11:00:00Z", "01/03/2026", "March"]
    records = run_chain(parse, [{"t": text} for text in texts]).records
    assert [record.get("timestamp") for record in records] == [
        "2026-03-01T11:00:00Z",
        "2026-03-01T11:00:00Z",
        "2026-03-01T00:00:00Z",
        None,
    ]
    assert records[3]["parse_error"] == "parse_timestamp: 'March' is not written as epoch or iso8601 or %d/%m/%Y"


def test_the_field_goes_unless_it_is_to_be_kept(run_chain: RunChain) -> None:
    record = {"event": {"time": "2026-03-01", "id": 1}, "timestamp": "old"}
    parse = ParseTimestamp(field="event.time", timezone="UTC")
    stamp = "2026-03-01T00:00:00Z"
    assert run_chain(parse, [record]).records == [{"event": {"id": 1}, "timestamp": stamp}]
    parse = ParseTimestamp(field="event.time", timezone="UTC", keep=True)
    assert run_chain(parse, [record]).records == [{**record, "timestamp": stamp}]


def test_the_field_may_be_the_timestamp_itself(run_chain: RunChain) -> None:
    parse = ParseTimestamp(field="timestamp", formats=["epoch"])
    assert run_chain(parse, [{"timestamp": 0}]).records == [{"timestamp": "1970-01-01T00:00:00Z"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-15 12:00:00", "2026-01-15T11:00:00Z"),
        ("2026-07-15 12:00:00", "2026-07-15T10:00:00Z"),
        ("2026-07-15 12:00:00 +0000", "2026-07-15T12:00:00Z"),
        ("2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),
        ("2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
    ],
    ids=["winter", "summer", "it names one", "skipped in spring", "twice in autumn"],
)
def test_times_without_a_zone_are_in_the_one_of_the_setting(run_chain: RunChain, text: str, expected: str) -> None:
    parse = ParseTimestamp(field="t", timezone="Europe/Berlin")
    assert run_chain(parse, [{"t": text}]).records == [{"timestamp": expected}]


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tokyo is the zone of this machine."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_without_a_zone_it_is_that_of_this_machine(run_chain: RunChain) -> None:
    parse = at("2026-05-01")(field="t", formats=["iso8601", "rfc3164"])
    records = run_chain(parse, [{"t": "2026-03-01 12:00:00"}, {"t": "Mar  1 12:00:00"}]).records
    assert records == [{"timestamp": "2026-03-01T03:00:00Z"}] * 2


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("2027-01-01T00:00:05", "Dec 31 23:59:58", "2026-12-31T23:59:58Z"),
        ("2026-12-31T23:59:58", "Jan  1 00:00:01", "2027-01-01T00:00:01Z"),
        ("2027-01-10T00:00:00", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
        ("2028-03-01T00:00:00", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
        ("1970-01-01T00:00:00", "Jan  1 00:00:00", "1970-01-01T00:00:00Z"),
        ("2026-01-22", "Feb 29 12:00:00", "2024-02-29T12:00:00Z"),
        ("2026-11-22", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
        ("2099-01-01", "Feb 29 12:00:00", "2096-02-29T12:00:00Z"),  # 2100 is no leap year
    ],
)
def test_a_missing_year_is_the_one_nearest_to_now(run_chain: RunChain, now: str, text: str, expected: str) -> None:
    for form in ("rfc3164", "%b %d %T"):
        parse = at(now)(field="t", formats=[form], timezone="UTC")
        assert run_chain(parse, [{"t": text}]).records == [{"timestamp": expected}]


def test_of_an_hour_that_comes_twice_the_nearer_one_counts_where_the_year_is_missing(run_chain: RunChain) -> None:
    for now, expected in (
        ("2026-10-25T00:31:00", "2026-10-25T00:30:00Z"),
        ("2026-10-25T01:31:00", "2026-10-25T01:30:00Z"),
    ):
        parse = at(now)(field="t", formats=["rfc3164"], timezone="Europe/Berlin")
        assert run_chain(parse, [{"t": "Oct 25 02:30:00"}]).records == [{"timestamp": expected}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.75Z", "2017-01-01T00:00:00.75Z"),
        ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00Z"),
        ("2016-12-31T12:00:60Z", None),
        ("2016-12-31T23:59:60+01:00", None),
    ],
)
def test_a_leap_second_is_the_second_that_follows(run_chain: RunChain, text: str, expected: str | None) -> None:
    (record,) = run_chain(ParseTimestamp(field="t"), [{"t": text}]).records
    assert record.get("timestamp") == expected


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"field": ""}, "'' is not a field's name"),
        ({"formats": []}, "formats is empty: write some of iso8601"),
        ({"formats": ["rfc822"]}, "'rfc822' is no format; write one of iso8601, rfc3339"),
        ({"formats": ["%Y-%m-%d %Q"]}, "%Q is not known in '%Y-%m-%d %Q'; there are %Y"),
        ({"formats": ["%Y-%m-%d %"]}, "% is not known"),
        ({"formats": ["%H:%M"]}, "names no day"),
        ({"formats": ["%Y-%m"]}, "names no day"),
        ({"formats": ["%Y-%m-%d %d"]}, "has the same part of a time twice"),
        ({"formats": ["%F %H %p"]}, "has %p, which belongs to hours of %I"),
        ({"timezone": "Mars"}, "there is no time zone 'Mars'"),
    ],
)
def test_settings_that_cannot_be_used_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace(".", r"\.")):
        ParseTimestamp(**{"field": "t", **settings}).setup()


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (".25Z", "2026-03-01T12:00:00.25Z"),
        (",25Z", "2026-03-01T12:00:00.25Z"),
        (".25+01:00", "2026-03-01T11:00:00.25Z"),
        ("Z", "2026-03-01T12:00:00Z"),
        (".\u0663Z", None),
        ("x5Z", None),
        (".Z", None),
    ],
)
def test_what_was_remembered_of_a_second_changes_nothing(run_chain: RunChain, tail: str, expected: str | None) -> None:
    texts = ["2026-03-01T12:00:00.5Z", "2026-03-01T12:00:00" + tail]
    _, record = run_chain(ParseTimestamp(field="t"), [{"t": text} for text in texts]).records
    assert record.get("timestamp") == expected


def test_a_year_is_not_remembered_for_ever() -> None:
    now = datetime(2026, 3, 1, 13, tzinfo=UTC)

    class Watching(ParseTimestamp):
        """It asks the test for the time."""

        clock = staticmethod(lambda: now.timestamp())  # noqa: PLW0108 - of what ``now`` is by then

    parse = Watching(field="t", formats=["%b %d %T"], timezone="UTC")
    parse.setup()
    found = []
    for year in (2026, 2027, 2031):
        now = now.replace(year=year)
        found.append(parse.process({"t": "Mar 01 12:00:00"})["timestamp"])
    assert found == ["2026-03-01T12:00:00Z", "2027-03-01T12:00:00Z", "2031-03-01T12:00:00Z"]
