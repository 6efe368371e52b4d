"""parse_access_log."""

from typing import Any

import pytest

from shipper import Processor, Record
from shipper.testing import ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.parse_access_log import ParseAccessLog

COMMON = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326'
"""The example of Apache's documentation."""
COMBINED = COMMON + ' "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"'
PARTS: Record = {
    "client": "127.0.0.1",
    "user": "frank",
    "timestamp": "2000-10-10T20:55:36Z",
    "method": "GET",
    "path": "/apache_pb.gif",
    "protocol": "HTTP/1.0",
    "status": 200,
    "bytes": 2326,
}
BOTH: Record = {
    **PARTS,
    "referrer": "http://www.example.com/start.html",
    "agent": "Mozilla/4.08 [en] (Win98; I ;Nav)",
}


class TestConformance(ProcessorConformance):
    """Combined."""

    lines = (
        COMBINED,
        COMBINED.replace("2326", "-").replace("frank", "-"),
        COMBINED.replace("/apache", '/\\"apache\\x22'),
        COMBINED.replace("GET /", "\\x16\\x03"),
        COMMON,
        "nothing of the kind",
        COMBINED.encode() + b"\xff",
        COMBINED.replace("Win98", "Win\xe9"),
        COMBINED.replace("Oct", "Okt"),
    )

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseAccessLog()


class TestConformanceOfAnotherField(ProcessorConformance):
    """Common, on a field of records."""

    lines = ({"log": COMMON, "status": "old", "a": 1}, {"log": COMBINED}, {"log": None}, {})

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseAccessLog(field="log", format="common")


@pytest.mark.parametrize(
    ("form", "line", "expected"),
    [
        ("common", COMMON, PARTS),
        ("combined", COMBINED, BOTH),
        ("nginx", COMBINED, BOTH),
        ("nginx", COMBINED + ' "-"', {**BOTH, "forwarded_for": None}),
        ("nginx", COMBINED + ' "10.0.0.1, 10.0.0.2"', {**BOTH, "forwarded_for": "10.0.0.1, 10.0.0.2"}),
        ("nginx", COMBINED + " 0.125", {**BOTH, "request_time": 0.125}),
        ("nginx", COMBINED + ' "::1" 12.000', {**BOTH, "forwarded_for": "::1", "request_time": 12.0}),
    ],
)
def test_the_parts_of_a_line_become_fields(run_chain: RunChain, form: str, line: str, expected: Record) -> None:
    assert run_chain(ParseAccessLog(format=form), [line]).records == [expected]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("- frank", "- -", {"user": None}),
        ("- frank", "- a b", {"user": "a b"}),
        ("- frank", "ann frank", {"ident": "ann"}),
        ("- frank", "- ", {"user": ""}),
        ("127.0.0.1", "2001:db8::1", {"client": "2001:db8::1"}),
        ("127.0.0.1", "unix:", {"client": "unix:"}),
        ("2326", "-", {"bytes": None}),
        ("2326", "0", {"bytes": 0}),
        ("2326", "007", {"bytes": 7}),
        (" 200 ", " - ", {"status": None}),
        (" 200 ", " 999 ", {"status": 999}),
        ("-0700", "+0000", {"timestamp": "2000-10-10T13:55:36Z"}),
        ('"http://www.example.com/start.html"', '"-"', {"referrer": None}),
        ('"http://www.example.com/start.html"', '""', {"referrer": ""}),
        ("Mozilla", "Mozi\\x22lla\\\\", {"agent": 'Mozi"lla\\/4.08 [en] (Win98; I ;Nav)'}),
        ("Mozilla", 'Mozi\\"lla', {"agent": 'Mozi"lla/4.08 [en] (Win98; I ;Nav)'}),
        ("Mozilla", "M\\xC3\\xA9\\tx\\xFF", {"agent": "M\xe9\tx\ufffd/4.08 [en] (Win98; I ;Nav)"}),
        ("Mozilla", "M\xe9", {"agent": "M\xe9/4.08 [en] (Win98; I ;Nav)"}),
        ("/apache_pb.gif", "/a b/\\x22 HTTP/1.1 c", {"path": '/a b/" HTTP/1.1 c'}),
        ("GET /apache_pb.gif HTTP/1.0", "PRI * HTTP/2.0", {"method": "PRI", "path": "*", "protocol": "HTTP/2.0"}),
        ("GET /apache_pb.gif HTTP/1.0", "GET /", {"method": "GET", "path": "/", "protocol": None}),
        ("GET /apache_pb.gif HTTP/1.0", "-", {"method": None, "path": None, "protocol": None}),
        (
            "GET /apache_pb.gif HTTP/1.0",
            "\\x16\\x03\\x01\\x00 x",
            {"method": None, "path": None, "protocol": None, "request": "\x16\x03\x01\x00 x"},
        ),
        (
            "GET /apache_pb.gif HTTP/1.0",
            "",
            {"method": None, "path": None, "protocol": None, "request": ""},
        ),
    ],
)
def test_what_is_odd_in_a_line(run_chain: RunChain, old: str, new: str, changed: Record) -> None:
    line = COMBINED.replace(old, new)
    assert run_chain(ParseAccessLog(), [line]).records == [{**BOTH, **changed}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "the line is not in the format combined"),
        (COMMON, "the line is not in the format combined"),
        (COMBINED + " 0.1", "the line is not in the format combined"),
        (COMBINED.replace("36 -0700", "36"), "'10/Oct/2000:13:55:36' is not a time"),
        (COMBINED.replace("13:55:36", "13:65:36"), "there is no such time: 10/Oct/2000:13:65:36 -0700"),
        (COMBINED.replace("2326", "many"), "'many' is not a whole number"),
        (COMBINED.replace("2326", "1" * 19), "'1111111111111111111' is not a whole number"),
        (COMBINED.replace(" 200", " \u0662\u0660\u0660"), "'\u0662\u0660\u0660' is not a whole number"),
        (COMBINED.replace(" 200", " -200"), "'-200' is not a whole number"),
    ],
)
def test_a_line_that_does_not_fit_goes_on_with_the_reason(run_chain: RunChain, line: str, reason: str) -> None:
    assert run_chain(ParseAccessLog(), [line]).records == [
        {"message": line, "parse_error": f"parse_access_log: {reason}"}
    ]


def test_other_fields_stay_and_the_line_wins_over_them(run_chain: RunChain) -> None:
    record = {"log": {"line": COMMON, "stream": "stdout"}, "status": "old", "pod": "web"}
    parse = ParseAccessLog(field="log.line", format="common")
    assert run_chain(parse, [record]).records == [{**PARTS, "log": {"stream": "stdout"}, "pod": "web"}]


@pytest.mark.parametrize(
    ("form", "line", "expected"),
    [
        (
            '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
            "www.example.com:443 " + COMBINED,
            {**{k: v for k, v in BOTH.items() if k != "bytes"}, "bytes_sent": 2326, "server_name": "www.example.com",
             "port": 443},
        ),
        (
            '%a %{X-Request-Id}i %D %T %% %q|%{cookie}C|',
            "::1 abc 1500 2 % ?a=1|x|",
            {"client": "::1", "x_request_id": "abc", "request_time_us": 1500, "request_time": 2.0, "query": "?a=1",
             "cookie": "x"},
        ),
        (
            '$remote_addr [$time_iso8601] "$request" $status rt=$request_time ut="$upstream_response_time" ${scheme}',
            '10.0.0.1 [2026-03-01T12:00:00+01:00] "GET /a?b HTTP/2.0" 499 rt=0.010 ut="0.004, 0.006" https',
            {"client": "10.0.0.1", "timestamp": "2026-03-01T11:00:00Z", "method": "GET", "path": "/a?b",
             "protocol": "HTTP/2.0", "status": 499, "request_time": 0.01, "upstream_response_time": "0.004, 0.006",
             "scheme": "https"},
        ),
        (
            "$msec|$request_method|$request_uri|$server_protocol|$request_length",
            "1772362800.125|GET|/|HTTP/1.1|77",
            {"timestamp": "2026-03-01T11:00:00.125Z", "method": "GET", "path": "/", "protocol": "HTTP/1.1",
             "request_length": 77},
        ),
    ],
)  # fmt: skip
def test_a_format_is_written_as_in_the_config_of_the_server(
    run_chain: RunChain, form: str, line: str, expected: Record
) -> None:
    assert run_chain(ParseAccessLog(format=form), [line]).records == [expected]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"format": "apache"}, "'apache' is no format; write common, combined, nginx, or the server's own"),
        ({"format": "%h %Y"}, "%Y in the format is not known; there are %h"),
        ({"format": "%h%u"}, "nothing stands behind h in the format"),
        ({"format": "%h %a"}, "format has two variables that become client"),
        ({"format": "50%"}, "format has no variable"),
        ({"field": ""}, "'' is not a field's name"),
    ],
)
def test_settings_that_cannot_be_used_are_config_errors(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ParseAccessLog(**settings).setup()


@pytest.mark.parametrize("text", ['"' * 60_000, " [" * 30_000, "\\" * 60_000, '" "' * 20_000, "] " * 30_000])
def test_no_line_takes_long(text: str) -> None:
    """Patterns are matched in linear time: this ends at once, or never."""
    for head in ("", "1 - ", '1 - a [10/Oct/2000:13:55:36 -0700] "', COMBINED[:-1]):
        run_batch(start_chain([ParseAccessLog(format="nginx")]), [head + text])


def test_much_of_what_is_remembered_is_forgotten_again(run_chain: RunChain) -> None:
    lines = [COMBINED.replace("frank", f"user{number}") for number in range(5000)]
    records = run_chain(ParseAccessLog(), lines + lines[:1]).records
    assert [record["user"] for record in records] == [*(f"user{number}" for number in range(5000)), "user0"]
