"""parse_access_log, parse_syslog and parse_timestamp before others: a plan gives what the chain means."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from support.plan_cases import spans_of
from support.plans import compare

from shipper import Processor
from shipper.batch import Batch, Format, Payload
from shipper_processors.add_fields import AddFields
from shipper_processors.convert import Convert
from shipper_processors.copy import Copy
from shipper_processors.drop import Drop
from shipper_processors.keep import Keep
from shipper_processors.parse_access_log import ParseAccessLog
from shipper_processors.parse_json import ParseJson
from shipper_processors.parse_syslog import ParseSyslog
from shipper_processors.parse_timestamp import ParseTimestamp
from shipper_processors.remove import Remove
from shipper_processors.rename import Rename

COMBINED = '10.0.0.1 - ann [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326 "-" "curl/8"'
LINES = st.sampled_from(
    [
        COMBINED,
        COMBINED.replace(" 200", " 404"),
        COMBINED.replace("GET", 'G"ET'),
        COMBINED.replace("curl", 'c\\"url'),
        COMBINED.replace("curl", "c\xffurl"),
        '<34>1 2003-10-11T22:14:15.003Z h su - ID47 [e@1 a="b"] m',
        "<13>m",
        '{"time":"2026-03-01T12:00:00.5Z","status":"200","a":{"b":1}}',
        '{"time":1,"status":"x","timestamp":"old","host":"h"}',
        '{"status":1e2,"parse_error":1}',
        '{"time":"\\u0032026-03-01T12:00:00Z"}',
        "",
    ]
).map(lambda line: line.encode("latin-1"))
PARSERS: list[Callable[[], Processor]] = [
    ParseAccessLog,
    lambda: ParseAccessLog(on_error="dead_letter"),
    lambda: ParseAccessLog(where="contains(message, 'HTTP')"),
    lambda: ParseAccessLog(format="common"),
    lambda: ParseSyslog(timezone="UTC", on_error="drop"),
    ParseJson,
]
OTHERS: list[Callable[[], Processor]] = [
    lambda: ParseTimestamp(field="time", formats=["iso8601", "epoch"]),
    lambda: ParseTimestamp(field="timestamp", keep=True, on_error="drop"),
    lambda: Convert(types={"status": "int", "a.b": "string"}),
    lambda: Convert(types={"status": "string"}, where="status >= 300", on_error="dead_letter"),
    lambda: Rename(fields={"status": "http.status", "agent": "user_agent"}),
    lambda: Copy(fields={"path": "url", "a": "c"}),
    lambda: Remove(fields=["referrer", "a.b", "http*"]),
    lambda: Drop(where="status == 404"),
    lambda: Keep(where="status < 300 or exists(parse_error)"),
    lambda: AddFields(fields={"team": "x", "client": "y"}),
    lambda: AddFields(fields={"team": "x"}, where="method == 'GET'"),
]


@settings(max_examples=150)
@given(
    st.sampled_from(PARSERS), st.lists(st.sampled_from(OTHERS), max_size=4), st.lists(LINES, min_size=1, max_size=12)
)
def test_a_plan_gives_what_the_chain_means(
    parser: Callable[[], Processor], others: list[Callable[[], Processor]], lines: list[bytes]
) -> None:
    payload = Payload(Format.LINES, b"".join(line + b"\n" for line in lines), len(lines))
    batch = Batch("app", {"host": "h"}, payload, spans_of([len(lines)]), 0)
    compare([parser(), *(other() for other in others)], [batch])
