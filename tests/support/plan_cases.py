"""Chains and hostile batches for the tests of the planner."""

import re
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st
from support.plan_processors import (
    Declared,
    Masks,
    Numbers,
    Pairs,
    StillDedupe,
    StillThrottle,
    Takes,
    TakesSome,
    Undeclared,
    Unwritable,
)

from shipper.batch import Batch, Format, Labels, Payload, SourceRange, Upstream
from shipper.chain.decode import objects
from shipper.spool.frame import FrameMeta, decode, draft
from shipper_processors.add_fields import AddFields
from shipper_processors.convert import Convert
from shipper_processors.copy import Copy
from shipper_processors.drop import Drop
from shipper_processors.fingerprint import Fingerprint
from shipper_processors.flatten import Flatten
from shipper_processors.keep import Keep
from shipper_processors.lookup import Lookup
from shipper_processors.parse_json import ParseJson
from shipper_processors.parse_regex import ParseRegex
from shipper_processors.redact import Redact
from shipper_processors.remove import Remove
from shipper_processors.rename import Rename
from shipper_processors.sample import Sample
from shipper_processors.split import Split
from shipper_processors.truncate import Truncate

TABLE = Path(__file__).with_name("plan_table.json")
STREAM = bytes(range(16))

CONDITIONS = (
    "level == 'error'",
    "level == 'debug'",
    "level != 'error'",
    "level in ['error', 'fatal'] and not contains(message, 'x')",
    "not (level == 'warn' or n > 1)",
    "n == 1",
    "n >= 2 or contains(message, 'secret')",
    "contains(message, 'a\"b') or startswith(level, 'er')",
    "http.status == 'error' or exists(alert)",
    "exists(parse_error)",
    "exists(message)",
    "contains(parse_error, 'malformed')",
    "'error' in tags",
    "field('l\xe9') == 'error'",
    "level == 'é/x'",
    "contains(message, '\\ufffd')",
    "host == 'h'",
    "lower(level) == 'error'",
    "matches(level, '^err')",
    "false",
)
_TEXTS = (
    "error",
    "debug",
    "warn",
    "fatal",
    "é/x",
    'a"b',
    "secret",
    "secret drop",
    "secret raise",
    "x=1",
    "",
    "\\u0065",
)
_NAMES = ("level", "message", "n", "alert", "http", "tags", "parse_error", "processor_error", "l\xe9", "part", "host")
_NUMBERS = ("0", "1", "2", "3", "1.0", "-0.0", "1e5", "1e999", "-1E+400", "18446744073709551616", "9" * 400, "9" * 4400)


@st.composite
def _spelled(draw: st.DrawFn, text: str) -> str:
    """A JSON string: each character as it is, or escaped."""
    if draw(st.integers(0, 2)):
        return msgspec.json.encode(text).decode()
    return (
        '"'
        + "".join(f"\\u{ord(char):04x}" if draw(st.booleans()) else char for char in text if char not in '"\\')
        + '"'
    )


def _values(depth: int) -> st.SearchStrategy[str]:
    scalars = st.sampled_from(_TEXTS).flatmap(_spelled) | st.sampled_from((*_NUMBERS, "true", "false", "null"))
    if not depth:
        return scalars
    lists = st.lists(_values(depth - 1), max_size=2).map(lambda items: f"[{', '.join(items)}]")
    return scalars | lists | _objects(depth - 1, 2)


def _objects(depth: int, most: int) -> st.SearchStrategy[str]:
    name = st.sampled_from((*_NAMES, "status")).flatmap(_spelled)
    blank = st.sampled_from(("", "", " ", "\t"))
    member = st.builds(lambda key, a, value, b: f"{key}{a}:{b}{value}", name, blank, _values(depth), blank)
    return st.builds(lambda members, b: f"{{{b}{','.join(members)}{b}}}", st.lists(member, max_size=most), blank)


_plain = st.builds(
    '{{"level":{},"n":{},"message":{}{}}}'.format,
    st.sampled_from(_TEXTS).flatmap(_spelled),
    st.integers(0, 3),
    st.sampled_from(_TEXTS).flatmap(_spelled),
    st.sampled_from(["", "", ',"http":{"status":1}', ',"tags":["error"]', ',"alert":0', ',"l\xe9":"error"']),
)
_odd = st.sampled_from(
    [
        b"",
        b" ",
        b"{}",
        b" {} ",
        b'{"level":"error"}\r',
        b"{}{}",
        b'{"n":1}{"n":2}',
        b"{",
        b"}",
        b'{"level":"error"',
        b'"level":"debug"}',
        b"[]",
        b"null",
        b"x=error",
        b"level=debug",
        b"secret",
        b"\xff error",
        b'{"level":"\xff","n":1}',
        b'{"\xff":"error","level":"error"}',
        b'{"x":"\\ud800","level":"error"}',
        b'{"level":"error",}',
        b'{"x":NaN}',
        b'{"x":01,"level":"debug"}',
        b'{"level":"error"} trailing',
        b"\xef\xbb\xbf{}",
        b'{"x":"\x01"}',
        b'{"a":' * 2000,
    ]
)
LINES = st.lists(
    _plain.map(str.encode) | _objects(2, 5).map(str.encode) | _plain.map(str.encode) | _odd, min_size=1, max_size=8
)


def spans_of(sizes: list[int]) -> list[SourceRange]:
    """The ranges of a batch, by the records in each."""
    return [SourceRange("app", bytes([n]) * 16, 0, 9, read=size, kept=size) for n, size in enumerate(sizes)]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Batches of every shape."""
    lines = draw(LINES)
    labels: Labels = draw(st.sampled_from([{"host": "h"}, {}, {"host": "h", "level": "error"}, {"alert": "label"}]))
    shape = draw(st.sampled_from(["lines", "lines", "ndjson", "sized", "list", "frame", "framed lines"]))
    if shape == "list":
        return Batch("app", dict(labels), objects(lines), spans_of([len(lines)]), 7)
    if shape == "sized":
        lines = [line.replace(b",", b",\n", 1) if draw(st.booleans()) else line for line in lines]
        payload = Payload.sized(lines)
    else:
        kind = Format.NDJSON if shape in ("ndjson", "frame") else Format.LINES
        payload = Payload(kind, b"".join(line + b"\n" for line in lines), len(lines))
    cut = draw(st.integers(0, len(lines)))
    spans = spans_of([cut, len(lines) - cut] if cut and draw(st.booleans()) else [len(lines)])
    if not shape.startswith("frame"):
        return Batch("app", dict(labels), payload, spans, 7)
    indices = list(range(3, 3 + len(lines))) if draw(st.booleans()) else None
    subs = [n % 2 for n in range(len(lines))] if indices and draw(st.booleans()) else None
    frame = decode(draft(payload, FrameMeta(dict(labels), spans, None, indices, subs), 7).stamp(STREAM, 5)[0])
    return Batch("edge", frame.labels, frame, spans, 7, upstream=Upstream(b"u" * 16, 9, 1, b"i" * 16, frame.check))


_where = st.none() | st.sampled_from(CONDITIONS)
_errors = st.sampled_from([None, None, "keep", "drop", "dead_letter"])
_added = st.dictionaries(
    st.sampled_from(("alert", "level", "host", "team", "l\xe9")), st.sampled_from([1, "x", None]), min_size=1
)
_parser = st.builds(ParseJson, on_error=_errors) | st.just(ParseJson()) | st.builds(Pairs, on_error=_errors)
_filter = st.builds(Drop, where=st.sampled_from(CONDITIONS)) | st.builds(Keep, where=st.sampled_from(CONDITIONS))
_standard = (
    st.builds(AddFields, fields=_added, where=_where, overwrite=st.booleans())
    | st.builds(Rename, fields=st.just({"level": "severity"}), where=_where)
    | st.builds(Remove, fields=st.sampled_from([["alert"], ["http.status"], ["level", "n"]]), where=_where)
    | st.builds(Copy, fields=st.just({"level": "severity"}), where=_where)
    | st.builds(Convert, types=st.just({"n": "string"}), where=_where, on_error=_errors)
    | st.builds(Flatten, where=_where)
    | st.builds(Truncate, max_characters=st.just(3), where=_where)
    | st.builds(Split, field=st.sampled_from(["tags", "message"]), where=_where)
    | st.builds(Sample, every=st.just(2), where=_where)
    | st.builds(
        StillDedupe,
        fields=st.sampled_from([None, ["level"], ["http.status", "n"]]),
        count_field=st.sampled_from([None, "n"]),
        max_keys=st.sampled_from([1, 1000]),
        where=_where,
    )
    | st.builds(
        StillThrottle, rate=st.just(2), by=st.sampled_from([[], ["level"], ["http.status", "host"]]), where=_where
    )
    | st.builds(
        Fingerprint,
        fields=st.sampled_from([None, ["level"], ["http", "n"]]),
        into=st.sampled_from(["fingerprint", "alert"]),
        where=_where,
    )
    | st.builds(
        Lookup,
        file=st.just(TABLE),
        field=st.sampled_from(["level", "n", "http.status"]),
        prefix=st.sampled_from(["", "t_"]),
        default=st.sampled_from([{}, {"part": 1}]),
        overwrite=st.booleans(),
        where=_where,
    )
    | st.builds(Redact, find=st.just(["tokens"]), where=_where)
    | st.builds(ParseRegex, pattern=st.just(re.compile("(?P<level>e[a-z]+)")), where=_where, on_error=_errors)
    | st.builds(ParseJson, field=st.sampled_from(["message", "tags"]), where=_where, on_error=_errors)
)
_own = st.sampled_from([Undeclared, Declared, Unwritable, Numbers, Masks, Takes]).flatmap(
    lambda cls: st.builds(cls, where=_where, on_error=_errors)
)
_first = st.lists(_parser, max_size=1) | st.just([ParseJson()]) | st.builds(lambda p: [p], _parser)
CHAINS: st.SearchStrategy[list[Any]] = st.builds(
    lambda first, others: [*first, *others],
    _first,
    st.lists(_filter, max_size=2) | st.lists(_standard | _own | _filter, max_size=3),
)
FILTERS: st.SearchStrategy[list[Any]] = st.builds(
    lambda first, before, filters, behind: [*first, *before, *filters, *behind],
    _first,
    st.lists(_standard | _own, max_size=1),
    st.lists(_filter, min_size=2, max_size=5),
    st.lists(_standard | _own | _parser, max_size=1) | st.builds(lambda *both: [*both], _standard | _own, _filter),
)
"""Chains with filters side by side."""
_taking = (
    st.builds(Sample, every=st.just(2), where=_where)
    | st.builds(StillDedupe, fields=st.sampled_from([None, ["level"]]), where=_where)
    | st.builds(StillThrottle, rate=st.just(2), by=st.sampled_from([[], ["level"]]), where=_where)
    | st.sampled_from([Takes, TakesSome]).flatmap(lambda cls: st.builds(cls, where=_where, on_error=_errors))
)
TAKING: st.SearchStrategy[list[Any]] = st.lists(_taking | _filter, min_size=1, max_size=3)
"""Chains that only take records out."""
