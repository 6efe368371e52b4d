"""parse_timestamp with any times and any texts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from shipper.testing import run_batch, start_chain
from shipper_processors.parse_timestamp import ParseTimestamp

MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")]),
).filter(lambda moment: (moment.utcoffset() or timedelta()).seconds % 60 == 0)


@given(st.lists(MOMENTS, min_size=1, max_size=5), st.sampled_from(["iso8601", "rfc3339", "%Y-%m-%dT%H:%M:%S.%f%z"]))
def test_a_moment_comes_out_as_it_went_in(moments: list[datetime], form: str) -> None:
    records = [{"t": moment.isoformat(timespec="microseconds")} for moment in moments]
    found = run_batch(start_chain([ParseTimestamp(field="t", formats=[form])]), records).records
    expected = [moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") for moment in moments]
    assert found == [{"timestamp": text + "Z"} for text in expected]


@given(st.integers(-(10**10), 10**11), st.sampled_from([("epoch", 0), ("epoch_ms", 3), ("epoch_ns", 9)]), st.data())
def test_an_epoch_is_exact(seconds: int, form: tuple[str, int], data: st.DataObject) -> None:
    rest = data.draw(st.integers(0, 10 ** form[1] - 1))
    value = seconds * 10 ** form[1] + rest
    parse = ParseTimestamp(field="t", formats=[form[0]])
    number, text = run_batch(start_chain([parse]), [{"t": value}, {"t": str(value)}]).records
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    expected = f"{moment}.{rest:0{form[1]}}Z" if form[1] else f"{moment}Z"
    assert number == text == {"timestamp": expected}


SECONDS = st.sampled_from(["2026-03-01T12:00:00", "2026-03-01 12:00:00", "2016-12-31T23:59:60", "2026-02-30T00:00:00"])
TAILS = st.sampled_from(
    [
        "",
        "Z",
        ".5Z",
        ".",
        ".Z",
        ",5Z",
        ".5",
        ".٣Z",
        "+01:00",
        ".5+01:00",
        ".7-05:30",
        ".25+01:00",
        ".5+99:00",
        "ZZ",
        " Z",
        ".1234567890Z",
    ]
)


@given(st.lists(st.tuples(SECONDS, TAILS).map("".join) | st.text(max_size=5), min_size=1, max_size=6))
def test_what_was_remembered_of_any_second_changes_nothing(texts: list[str]) -> None:
    def parse(some: list[str]) -> list[dict[str, Any]]:
        chain = start_chain([ParseTimestamp(field="t", formats=["iso8601", "rfc3339"], timezone="UTC")])
        return run_batch(chain, [{"t": text} for text in some]).records

    assert parse(texts) == [record for text in texts for record in parse([text])]
