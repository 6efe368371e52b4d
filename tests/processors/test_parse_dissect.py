"""parse_dissect."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Processor
from shipper.testing import ProcessorConformance, RunChain
from shipper_processors.parse_dissect import ParseDissect

LINE = "Mar 16 00:01:25 evita postfix/smtpd[1713]: connect from [168.100.1.3]"
SYSLOG = "%{at} %{+at} %{+at} %{host} %{program}[%{pid}]: %{text}"


class TestConformance(ProcessorConformance):
    """A field that is put together, and a number."""

    lines = (LINE, "nothing of the kind", LINE.replace("1713", "x"), "", b"\xff")

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseDissect(pattern=SYSLOG, types={"pid": "int"})


class TestConformanceOfNestedFields(ProcessorConformance):
    """Fields in objects, and one that the text names."""

    lines = ({"a": "x y k=v", "o": {"p": 1}}, {"a": "x"}, {"a": 5}, {"o": 1, "a": "x y k=v"})

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseDissect(pattern="%{[o][x]} %{y} %{?k}=%{&k}", field="a")


class TestConformanceOfPlainFields(ProcessorConformance):
    """Nothing special: the quick way."""

    lines = ("a b c", "a b", "x  y")

    def make(self) -> Processor:
        """As a config would make it."""
        return ParseDissect(pattern="%{a} %{} %{c}")


# Patterns, texts and fields of the tests of Beats (elastic/beats, libbeat/processors/dissect/testdata, Apache-2.0) and
# of Logstash (logstash-filter-dissect, spec, Apache-2.0). None: it does not match.
FACTS: list[tuple[str, str, dict[str, str] | None]] = [
    (
        'level=%{level} ts=%{timestamp} caller=%{caller} msg="%{message}"',
        'level=info ts=2018-06-27T17:19:13.036579993Z caller=main.go:222 msg="Starting OK" version="(version=2.3.1)"}',
        {
            "caller": "main.go:222",
            "level": "info",
            "message": "Starting OK",
            "timestamp": "2018-06-27T17:19:13.036579993Z",
        },
    ),
    ("/var/log/%{key}.log", "foobar", None),
    ("/var/log/%{key}.log", "/var/log/foobar", None),
    ("%{key}", "foobar", {"key": "foobar"}),
    ("/var/%{key}/log", "/var/foobar/log", {"key": "foobar"}),
    ("/var/%{key}", "/var/foobar/log", {"key": "foobar/log"}),
    ("/var/%{key}/log/%{key1}.log", "/var/foobar/log/apache.log", {"key": "foobar", "key1": "apache"}),
    ("%{+key/3} %{+key/1} %{+key/2}", "1 2 3", {"key": "2 3 1"}),
    ("%{key}-%{+key}-%{+key}", "1-2-3", {"key": "1-2-3"}),
    ("%{key} %{&key}", "hello world", {"hello": "world", "key": "hello"}),
    ("%{} %{key}", "hello world", {"key": "world"}),
    ("%{?key} %{&key}", "hello world", {"hello": "world"}),
    (
        "%{name},%{addr1},%{addr2},%{addr3},%{city},%{zip}",
        "Jane Doe,4321 Fifth Avenue,,,New York,87432",
        {
            "addr1": "4321 Fifth Avenue",
            "addr2": "",
            "addr3": "",
            "city": "New York",
            "name": "Jane Doe",
            "zip": "87432",
        },
    ),
    (
        "%{id} %{function->} %{server}",
        "00000043 ViewReceive     machine-321",
        {"function": "ViewReceive", "id": "00000043", "server": "machine-321"},
    ),
    (
        "%{id} %{function} %{server->} ",
        "00000043 ViewReceive machine-321    ",
        {"function": "ViewReceive", "id": "00000043", "server": "machine-321"},
    ),
    ("{%{a}}{%{b}} %{rest}", "{c}{d} anything", {"a": "c", "b": "d", "rest": "anything"}),
    (
        "[%{occurred_at}] %{code} %{service} %{?ic}=%{&ic}% %{svc_message}",
        "[25/05/16 09:10:38:425 BST] 00000001 SystemOut cpu=95.43% java.lang:type=MemoryPool,name=class storage",
        {
            "occurred_at": "25/05/16 09:10:38:425 BST",
            "code": "00000001",
            "service": "SystemOut",
            "cpu": "95.43",
            "svc_message": "java.lang:type=MemoryPool,name=class storage",
        },
    ),
    (
        "%{timestamp} %{+timestamp} %{+timestamp} %{logsource} %{} %{program}[%{pid}]: %{msg}",
        "Mar 16 00:01:25 evita skip-this postfix/smtpd[1713]: connect from camomile.cloud9.net[168.100.1.3]",
        {
            "timestamp": "Mar 16 00:01:25",
            "logsource": "evita",
            "program": "postfix/smtpd",
            "pid": "1713",
            "msg": "connect from camomile.cloud9.net[168.100.1.3]",
        },
    ),
]


@pytest.mark.parametrize(("pattern", "text", "fields"), FACTS)
def test_it_agrees_with_the_published_tests_of_its_peers(
    run_chain: RunChain, pattern: str, text: str, fields: dict[str, str] | None
) -> None:
    (record,) = run_chain(ParseDissect(pattern=pattern), [text]).records
    if fields is None:
        assert record.keys() == {"message", "parse_error"}
    else:
        assert record == fields


def test_fields_take_the_place_of_the_text_by_their_types(run_chain: RunChain) -> None:
    parser = ParseDissect(
        pattern="%{a} %{[b][c]} %{[b][d]} %{e}", field="text", types={"a": "int", "[b][c]": "float", "e": "int"}
    )
    record = {"text": "7 1.5 x -", "b": {"f": 1, "c": 0}, "g": True}
    assert run_chain(parser, [record]).records == [{"a": 7, "b": {"f": 1, "c": 1.5, "d": "x"}, "g": True, "e": None}]


@pytest.mark.parametrize(
    ("pattern", "line", "reason"),
    [
        ("<%{a}> %{b}", "x", "the text does not begin with '<'"),
        ("<%{a}> %{b->} - %{c}", "<1> b", "' - ' was not found behind %{b}"),
        ("%{a->},%{?b};", ",,,", "';' was not found behind %{?b}"),
        ("%{a} %{b}", "x y", "b: y is not a whole number"),
    ],
)
def test_a_line_that_does_not_fit_goes_on_with_the_reason(
    run_chain: RunChain, pattern: str, line: str, reason: str
) -> None:
    types: Any = {"b": "int"} if pattern == "%{a} %{b}" else {}
    assert run_chain(ParseDissect(pattern=pattern, types=types), [line]).records == [
        {"message": line, "parse_error": f"parse_dissect: {reason}"}
    ]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("x", "pattern names no field: write %{name}"),
        ("%{a} %{b", "is not %{name}"),
        ("%{a}%{b}", "there is no delimiter before %{b}"),
        ("%{a} %{a}", "%{a} stands twice; write %{+a}"),
        ("%{a} %{[a][b]}", "%{[a][b]} is inside of what is a text too"),
        ("%{a|integer}", "types stand in the setting types"),
        ("%{+} x", "has no name behind +"),
        ("%{a} %{&b}", "%{&b} needs a %{?b} that names its field"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_a_config_error(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        ParseDissect(pattern=pattern).setup()


def test_a_type_for_what_is_no_field_is_a_config_error() -> None:
    with pytest.raises(ValueError, match="types names what is no field of the pattern: b"):
        ParseDissect(pattern="%{a}", types={"b": "int"}).setup()


delimiters = st.text(" ,;:-=[]^\\.*", min_size=1, max_size=3)


@given(st.lists(st.tuples(st.text("ab1", max_size=5), delimiters), min_size=1, max_size=6), st.text("ab 1,"))
def test_what_is_joined_by_delimiters_is_cut_at_them_again(parts: list[tuple[str, str]], rest: str) -> None:
    pattern = "".join(f"%{{f{number}}}{delimiter}" for number, (_, delimiter) in enumerate(parts)) + "%{rest}"
    parser = ParseDissect(pattern=pattern)
    parser.setup()
    text = "".join(value + delimiter for value, delimiter in parts) + rest
    expected = {f"f{number}": value for number, (value, _) in enumerate(parts)} | {"rest": rest}
    assert parser.parse(text) == expected


@given(st.text("ab ,[]"))
def test_texts_only_raise_value_errors(text: str) -> None:
    parser = ParseDissect(pattern="%{a->} [%{+a}], %{?k},%{&k}")
    parser.setup()
    try:
        assert parser.parse(text)
    except ValueError:
        assert not re.match(r".* +\[.*\], .*,", text, re.DOTALL)
