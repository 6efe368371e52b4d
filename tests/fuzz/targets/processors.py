"""The processors: their settings as somebody may write them, and lines that nobody expects."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from fuzz.loading import loaded
from fuzz.mutate import mutated
from fuzz.target import Target
from hypothesis import strategies as st

from shipper.batch import Batch, Format, Payload, SourceRange
from shipper.chain.decode import records_of
from shipper.chain.run import Chain
from shipper.errors import ConfigError
from shipper.hostile import HOSTILE_RECORDS

TABLE: Final = Path(__file__).parents[2] / "support" / "plan_table.json"

VALID: Final[dict[str, list[dict[str, Any]]]] = {
    "add_fields": [{"fields": {"team": "a", "n": 1}}, {"fields": {"level": None}, "overwrite": True}],
    "convert": [{"types": {"n": "int", "message": "float", "level": "bool"}}, {"types": {"a.b": "string"}}],
    "copy": [{"fields": {"level": "severity", "message": "a.b"}}, {"fields": {"n": "message"}, "overwrite": True}],
    "dedupe": [{}, {"fields": ["level"], "window": "1s", "max_keys": 1, "count_field": "n"}],
    "drop": [{"where": "level == 'debug'"}, {"where": "matches(message, '[0-9]+$') or n > 1"}],
    "fingerprint": [{}, {"fields": ["level", "a.b"], "into": "id", "bytes": 64, "key": "secret"}],
    "flatten": [{}, {"separator": "_", "lists": True, "depth": 2, "collisions": "error", "max_fields": 3}],
    "keep": [{"where": "exists(message)"}, {"where": "level in ['error', 'a'] and not contains(message, 'x')"}],
    "lookup": [
        {"file": str(TABLE), "field": "level"},
        {"file": str(TABLE), "field": "n", "prefix": "t_", "overwrite": True},
    ],
    "parse_access_log": [
        {},
        {"format": "common"},
        {"format": '$remote_addr - [$time_local] "$request" $status'},
        {"format": '%h %t "%r" %>s %b'},
    ],
    "parse_csv": [
        {"columns": ["a", "b", "c"]},
        {"columns": ["n"], "separator": ";", "quote": "'", "types": {"n": "int"}, "header": "parse"},
    ],
    "parse_dissect": [
        {"pattern": "%{a} %{b->} %{+a/2} %{?x} [%{&x}]"},
        {"pattern": "%{message}:%{n}", "types": {"n": "int"}},
    ],
    "parse_grok": [
        {"pattern": "^%{COMBINEDAPACHELOG}"},
        {"pattern": ["%{SYSLOGLINE}", r"(?<n>\d+)%{DATA:x}$"], "definitions": {"MINE": "a+"}},
    ],
    "parse_json": [{}, {"field": "a.b"}],
    "parse_kv": [
        {},
        {
            "field_split": "&;",
            "value_split": ":=",
            "quotes": "'",
            "brackets": True,
            "trim_key": "<>",
            "trim_value": ",",
        },
    ],
    "parse_logfmt": [{}],
    "parse_regex": [
        {"pattern": r"(?P<a>\w+)[ =]+(?P<n>\d+)?", "types": {"n": "int"}},
        {"pattern": "^(?P<message>(a|b)*c)"},
    ],
    "parse_syslog": [{}, {"timezone": "Europe/Berlin"}],
    "parse_timestamp": [
        {"field": "message"},
        {
            "field": "message",
            "formats": ["%d/%b/%Y:%H:%M:%S %z", "unix", "unix_ms"],
            "timezone": "Asia/Tokyo",
            "keep": True,
        },
    ],
    "redact": [
        {"find": ["cards", "emails", "ips", "tokens"]},
        {"find": ["cards"], "patterns": {"x": "a+b"}, "action": "hash", "key": "k"},
        {"find": ["cards"], "keep_last": 4},
    ],
    "remove": [{"fields": ["level", "a.b"]}],
    "rename": [{"fields": {"level": "severity", "a.b": "c.d"}}, {"fields": {"message": "n"}, "overwrite": True}],
    "sample": [{"rate": 0.5}, {"every": 2}],
    "split": [{"field": "tags"}, {"field": "message", "separator": " ", "into": "part", "merge": True, "max_items": 3}],
    "throttle": [{"rate": 5}, {"rate": 0.1, "per": "1m", "burst": 2, "max_keys": 1, "by": ["level"]}],
    "truncate": [{"max_bytes": "5B"}, {"max_characters": 3, "fields": ["message"], "mark": "", "marked_field": "cut"}],
}
"""Every processor, with settings that it takes."""

LINES: Final = (
    b'{"level":"error","n":1,"a":{"b":"{\\"x\\":1}"},"tags":["x",{"message":"y"}],"message":"m 4111 1111 1111 1111"}',
    b'{"message":"{\\"n\\":1e999}","level":null,"n":"12","_index":1}',
    b'127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "http://x/" "Mozilla \\"5\\""',
    b"Oct 11 22:14:15 host su[12]: 'su root' failed for a@b.example on 10.0.0.1 AKIAIOSFODNN7EXAMPLE",
    b'<165>1 2003-10-11T22:14:15.003Z host app 12 ID47 [ex@1 a="b\\]"] text',
    b'time=2024-02-29T12:00:00Z level=error msg="a \\"b\\" c" n=5 empty= flag',
    b'"a ""b""",c;d,1;2,\'x\'',
    b"2024-02-29 23:59:60,999 +05:30 eyJhbGciOiJIUzI1NiJ9.e30.abc",
    b"1700000000.123456789",
    b"k:v&[a b]=(c)<d>'e'",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"",
)
LINE_WORDS: Final = (
    *(
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"[",
        b"]",
        b"{",
        b"}",
        b"=",
        b" ",
        b"%",
        b"\xff",
        b"\0",
        b"\r",
        b"\xef\xbb\xbf",
    ),
    *(
        b"1e999",
        b"9" * 500,
        b"-",
        b"0",
        b"null",
        b"\xd9\xa3",
        b"\xe2\x80\xa8",
        b"\xed\xa0\x80",
        b":",
        b"[[" * 600,
        b"a" * 3000,
    ),
)
lines: Final = st.lists(mutated(st.sampled_from(LINES), LINE_WORDS, 3), min_size=1, max_size=5)
odd_texts: Final = st.sampled_from(
    [
        *(
            "",
            " ",
            "a.b",
            "field('a.b')",
            ".",
            "a..b",
            "%{",
            "%{a}",
            "%{a}%{b}",
            "%{GREEDYDATA:x}%{NUMBER}",
            "(",
            "(?P<a>",
            "(?P<a>.*)*",
        ),
        *(
            "[",
            "\\",
            "(?<x>a)",
            "x" * 5000,
            "9" * 400,
            "1GiB",
            "-1s",
            "1e999",
            "nan",
            "%Y",
            "%Q",
            "$",
            "$x$y",
            "%h%l",
            "\0",
            "\u2028",
        ),
        *(
            "é",
            "Europe/Nowhere",
            "../..",
            "ﬃ",
            "(a+)+$",
            "(?i)x",
            r"\1",
            "a{99999}",
            "[[:alpha:]]",
            "(?#",
            "%{+a}",
            "%{&a}",
            "%{?}",
        ),
    ]
)
odd: Final = st.one_of(
    odd_texts,
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.floats(),
    st.lists(odd_texts, max_size=3),
    st.dictionaries(odd_texts, odd_texts | st.integers() | st.none(), max_size=3),
)
COMMON: Final = ("where", "on_error", "deadline", "max_memory", "unknown")


@st.composite
def cases(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], list[bytes], str]:
    """Settings with up to two mistakes, lines, and how these come."""
    settings = dict(draw(st.sampled_from(VALID[name])))
    for _ in range(draw(st.integers(0, 2))):
        known = sorted({key for each in VALID[name] for key in each}.union(COMMON))
        key = draw(st.sampled_from(known))
        settings[key] = draw(odd)
    return settings, draw(lines), draw(st.sampled_from(["lines", "sized", "records"]))


class Processors:
    """Runs one processor as a config has it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._settings: object = None
        self._chain: Chain | None = None

    def check(self, case: tuple[dict[str, Any], list[bytes], str]) -> None:
        """What is no setting is named with its line; with the others every record is accounted for, whichever way the
        planner takes.
        """
        settings, some, shape = case
        chain = self._made(settings)
        payload = _payload(some, shape)
        span = SourceRange("test", bytes(16), 0, 9, read=payload.count, kept=payload.count)
        batch = Batch("test", {"host": "h"}, payload, [span], 0)
        done = chain.run(batch)
        (counted,) = done.ranges
        found = records_of(done.payload)
        assert len(found) + sum(counted.dropped.values()) + counted.failed >= payload.count
        assert all(isinstance(record, dict) for record in found)

    def _made(self, settings: Mapping[str, Any]) -> Chain:
        """The same as for the case before, where only the lines are others: a config takes longer than they do."""
        if self._chain is None or repr(settings) != self._settings:
            if self._chain is not None:
                self._chain.teardown()
            self._chain = None
            self._chain, self._settings = self._loaded(settings), repr(settings)
        return self._chain

    def _loaded(self, settings: Mapping[str, Any]) -> Chain:
        """:raises ConfigError: they are none."""
        sections = {"in": {"type": "stdin"}}, {"out": {"type": "blackhole"}}, [{self._name: settings}]
        config = json.dumps(dict(zip(("sources", "sinks", "processors"), sections, strict=True))).encode()
        return Chain(loaded(config).processors, "test", lambda: 1 << 20)


def _payload(some: Sequence[bytes], shape: str) -> Payload:
    if shape == "sized":
        return Payload.sized([*some])
    if shape == "records":
        records = [*HOSTILE_RECORDS, *({"message": line.decode("utf-8", "replace")} for line in some)]
        return Payload(Format.NDJSON, msgspec.json.Encoder().encode_lines(records), len(records))
    raw = [line.replace(b"\n", b"") for line in some]
    return Payload(Format.LINES, b"".join(line + b"\n" for line in raw), len(raw))


TARGETS: Final = tuple(
    Target(f"processor {name}", cases(name), Processors(name).check, (ConfigError,), examples=20) for name in VALID
)
