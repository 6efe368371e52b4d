"""Plans: what they say of themselves, what they learn, and what they leave alone."""

import re

import pytest
from support.plan_processors import Masks, Pairs, Takes, TakesSome, Undeclared
from support.plans import Spec

from shipper.batch import Batch, Format, Payload, SourceRange
from shipper.chain.expression import Condition
from shipper.chain.plan import describe
from shipper.chain.prefilter import needles
from shipper.chain.run import Chain
from shipper.chain.search import lines_with, numbers
from shipper.processor import Processor
from shipper_processors.add_fields import AddFields
from shipper_processors.convert import Convert
from shipper_processors.drop import Drop
from shipper_processors.keep import Keep
from shipper_processors.parse_json import ParseJson
from shipper_processors.parse_regex import ParseRegex
from shipper_processors.redact import Redact


def chain(*processors: Processor) -> Chain:
    """A chain; its processors are named by their classes."""
    return Chain([Spec(type(processor).__name__, processor) for processor in processors], "app", lambda: 1 << 30)


def lines(*found: bytes) -> Batch:
    """A batch of raw lines."""
    payload = Payload.lines(b"".join(line + b"\n" for line in found))
    return Batch("app", {}, payload, [SourceRange("app", b"", 0, 9, read=len(found), kept=len(found))], 7)


def of_raw_lines(*processors: Processor) -> list[str]:
    """What a plan says of raw lines."""
    return describe(chain(*processors), ["raw lines"])[1:]


def test_a_plan_says_what_is_done_with_raw_lines_and_with_json() -> None:
    assert describe(chain(Keep(where="level == 'error'")), ["raw lines", "JSON objects", "records"]) == [
        "raw lines:",
        "  Keep: lines without 'error' go before anything is decoded",
        "  Keep: looks at level of lines with 'error'",
        "JSON objects:",
        "  Keep: lines without 'error' go before anything is decoded",
        "  Keep: looks at level of lines with 'error'",
        "records:",
        "  Keep: every record is encoded once at the end",
    ]
    assert describe(chain(), ["raw lines", "JSON objects", "records"]) == [
        "raw lines:",
        "  there is no processor: nothing is decoded",
        "JSON objects:",
        "  there is no processor: nothing is decoded",
        "records:",
        "  there is no processor: every record is encoded once at the end",
    ]


def test_json_lines_are_decoded_as_far_as_the_chain_reads_them() -> None:
    assert of_raw_lines(ParseJson(), Drop(where="level == 'debug'"), AddFields(fields={"team": "a"})) == [
        "  ParseJson: decodes level of each line; the lines keep their bytes",
        "  Drop: looks at level",
        "  AddFields: its fields become labels, at no cost a record",
    ]
    assert of_raw_lines(ParseJson()) == [
        "  ParseJson: checks each line, and decodes no field; the lines keep their bytes"
    ]


def test_what_says_nothing_of_its_fields_has_every_record_decoded() -> None:
    assert of_raw_lines(ParseJson(), Keep(where="level == 'error'"), Undeclared()) == [
        "  Keep: lines without 'error' go before anything is decoded",
        "  ParseJson, Keep, Undeclared: every record is decoded once, and encoded once at the end",
    ]
    assert of_raw_lines(ParseRegex(pattern=re.compile("(?P<a>x)"))) == [
        "  ParseRegex: every record is decoded once, and encoded once at the end"
    ]


def test_each_way_to_spare_work_is_told() -> None:
    assert of_raw_lines(
        Redact(find=["emails"]), ParseJson(), Undeclared(where="n == 1"), Convert(types={"n": "int"}, where="exists(n)")
    ) == [
        "  Redact: only lines that look suspicious are decoded",
        "  ParseJson: decodes convert_error, n of each line; the lines keep their bytes",
        "  Undeclared: looks at n; those that it changes are decoded whole",
        "  Convert: sees n of records that meet its condition (looks at n); what it adds is put into the lines",
    ]
    assert of_raw_lines(ParseJson(), Takes(where="exists(n)"), TakesSome()) == [
        "  ParseJson: decodes level, message, n, processor_error of each line; the lines keep their bytes",
        "  Takes: looks at n; those that it sees are decoded, and keep their bytes",
        "  TakesSome: sees level, message; the lines keep their bytes",
    ]
    assert of_raw_lines(Pairs()) == ["  Pairs: writes JSON, without making records"]


def test_filters_side_by_side_look_once_at_each_line() -> None:
    filters = [Drop(where="level == 'debug'"), Keep(where="n > 1"), Drop(where="exists(path)")]
    assert of_raw_lines(ParseJson(), *filters, Masks(), filters[0]) == [
        "  ParseJson: decodes level, n, path of each line; the lines keep their bytes",
        "  Drop, Keep, Drop: one look at level, n, path of each line",
        "  Masks: only lines that look suspicious are decoded",
        "  Drop: looks at level",
    ]
    assert of_raw_lines(*filters) == [
        "  Drop: looks at level of lines with 'debug'",
        "  Keep, Drop: one look at n, path of each line",
    ]


def test_each_filter_counts_what_it_takes_out_first() -> None:
    filters = [Drop(where="n in [1, 2]"), Keep(where="n in [2, 3, 4]"), Drop(where="n <= 3")]
    taken = [f'{{"n":{n}}}'.encode() for n in (4, 1, 2, 3, 5, 4, 6)]
    named = Chain([Spec(f"p{at}", each) for at, each in enumerate([ParseJson(), *filters])], "app", lambda: 0)
    done = named.run(lines(*taken))
    assert done.payload == Payload(Format.NDJSON, b'{"n":4}\n{"n":4}\n', 2)
    assert done.ranges[0].dropped == {"p1/filtered": 2, "p2/filtered": 2, "p3/filtered": 1}


def test_many_filters_side_by_side_are_looked_at_in_parts() -> None:
    deep = f"{'not (' * 40}n == %d{')' * 40}"
    many = [Drop(where=deep % at) for at in range(40)]
    assert len(of_raw_lines(ParseJson(), *many)) == 3
    done = chain(ParseJson(), *many).run(lines(*(f'{{"n":{n}}}'.encode() for n in range(42))))
    assert done.payload == Payload(Format.NDJSON, b'{"n":40}\n{"n":41}\n', 2)


def test_lines_that_nobody_changes_keep_their_bytes() -> None:
    odd = b'{ "a" : 1.50, "b":"a\\/b" }'
    done = chain(ParseJson(), Drop(where="b == 'x'"), Masks()).run(lines(odd, b'{"b":"x"}'))
    assert done.payload == Payload(Format.NDJSON, odd + b"\n", 1)


@pytest.mark.parametrize("where", ["contains(message, 'ann')", "matches(message, 'ann')", None])
@pytest.mark.parametrize("kind", [Takes, TakesSome])
def test_lines_that_a_filter_of_ones_own_looks_at_keep_their_bytes(kind: type[Processor], where: str | None) -> None:
    done = chain(kind(where=where)).run(lines(b"plain \xff one", b"ann \xff", b"ann secret"))
    assert done.payload == Payload.lines(b"plain \xff one\nann \xff\n")


def test_a_line_at_which_a_filter_fails_says_why_and_the_others_keep_their_bytes() -> None:
    odd = b'{ "a" : 1.50, "level":"er\\/ror" }'
    done = chain(ParseJson(), Takes(where="exists(level)", on_error="keep")).run(
        lines(odd, b'{"level": "fatal", "n": 1}', b'{"level":"debug"}')
    )
    assert done.payload == Payload(
        Format.NDJSON, odd + b'\n{"level":"fatal","n":1,"processor_error":"Takes: fatal"}\n', 2
    )
    assert done.ranges[0].dropped == {"Takes/filtered": 1}


def test_fields_that_are_added_stand_at_the_end_of_the_line() -> None:
    done = chain(ParseJson(), AddFields(fields={"x": 1, "a": 2}, where="a != 3")).run(
        lines(b'{"a":1} ', b"{}", b"{ }", b'{"a":3}')
    )
    assert isinstance(done.payload, Payload)
    assert done.payload.raw() == [b'{"a":1,"x":1}', b'{"a":2,"x":1}', b'{ "a":2,"x":1}', b'{"a":3}']


def test_a_chain_that_changes_most_lines_is_run_the_ordinary_way_for_a_while() -> None:
    busy = chain(ParseJson(), Convert(types={"n": "int"}))
    for _ in range(200):
        done = busy.run(lines(b'{"n":"1"}', b'{"n":"2"}', b'{"m":0}'))
        assert isinstance(done.payload, Payload)
        assert done.payload.raw() == [b'{"n":1}', b'{"n":2}', b'{"m":0}']


def test_bytes_that_most_lines_hold_are_not_looked_for_all_the_time() -> None:
    common = chain(ParseJson(), Keep(where="level == 'error'"))
    for _ in range(200):
        done = common.run(lines(b'{"level":"error"}', b'{"x":"error"}', b'{"level":"info"}'))
        assert done.ranges[0].dropped == {"Keep/filtered": 2}


def test_only_lines_that_go_on_count_as_repaired() -> None:
    some = chain(ParseJson(), Drop(where="n == 1"))
    some.run(lines(b'{"n":1,"x":"\xff"}', b'{"n":2,"x":"\xff"}', b'{"n":3}'))
    assert some.invalid_utf8 == 1


@pytest.mark.parametrize(
    ("condition", "met", "unmet"),
    [
        ("level == 'error'", {b"error"}, None),
        ("'error' != level", None, {b"error"}),
        ("level in ['error', 'fatal']", {b"error", b"fatal"}, None),
        ("level not in ['error']", None, {b"error"}),
        ("level in ['error', 5]", None, None),
        ("level == 'x' and contains(message, 'timeout')", {b"timeout"}, None),
        ("level == 'x' or contains(message, 'timeout')", {b"x", b"timeout"}, None),
        ("level == 'x' or n > 5", None, None),
        ("not (level != 'error' or n == 1)", {b"error"}, None),
        ("startswith(a, 'x') and endswith(a, 'yz')", {b"yz"}, None),
        ("'urgent' in tags", {b"urgent"}, None),
        ("a.b.c == 'deep'", {b"deep"}, None),
        ("exists(trace)", {b"trace"}, None),
        ("exists(a.b)", None, None),
        ("exists(message)", None, None),
        ("'a' == x == 'long'", {b"long"}, None),
        ("message == 'say \"hello\" / bye'", {b"hello"}, None),
        ("message == '\\ufffd'", None, None),
        ("message == '\xe9'", {b"\xc3\xa9"}, None),
        ("lower(level) == 'error'", None, None),
        ("matches(message, 'x') and level == 'error'", {b"error"}, None),
        ("level == ''", None, None),
        ("n == 5 or level == null", None, None),
        ("\ufb01eld == 'error'", None, None),
        ("a in ['1', '2', '3', '4', '5', '6', '7', '8', '9']", None, None),
    ],
)
def test_a_condition_says_which_bytes_must_be_there(
    condition: str, met: set[bytes] | None, unmet: set[bytes] | None
) -> None:
    for wanted, expected in ((True, met), (False, unmet)):
        found = needles(Condition.parse(condition), met=wanted)
        assert (None if found is None else set(found.texts)) == expected


def test_a_label_may_stand_for_a_missing_field() -> None:
    found = needles(Condition.parse("http.level == 'error'"))
    assert found is not None
    assert found.usable({"host": "h"})
    assert not found.usable({"http": "x"})


def test_lines_are_found_without_taking_the_buffer_apart() -> None:
    data = b"an error\nnone\nerror error\n\\\\u\nx \\u0065\nerror\n"
    assert numbers(data, lines_with([b"error"], data, escaped=False)) == [0, 2, 5]
    assert numbers(data, lines_with([b"error", b"none"], data, escaped=True)) == [0, 1, 2, 4, 5]
    assert lines_with([b"error"], b"", escaped=True) == []
