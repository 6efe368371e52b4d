"""A plan against what the config means: the same steps over decoded records, one after the other."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plan_cases import CHAINS, FILTERS, TABLE, TAKING, batches, spans_of
from support.plan_processors import Declared, Masks, StillDedupe, StillThrottle, Uncomparable, Unwritable
from support.plans import compare

from shipper.batch import Batch, Format, Payload
from shipper.processor import Processor
from shipper_processors.add_fields import AddFields
from shipper_processors.drop import Drop
from shipper_processors.fingerprint import Fingerprint
from shipper_processors.keep import Keep
from shipper_processors.lookup import Lookup
from shipper_processors.parse_json import ParseJson
from shipper_processors.remove import Remove
from shipper_processors.sample import Sample


@settings(max_examples=150)
@given(CHAINS, st.lists(batches(), min_size=1, max_size=3), st.sampled_from([1 << 30, 1 << 30, 300]))
def test_a_plan_gives_what_the_chain_means(processors: list[Processor], given_batches: list[Batch], room: int) -> None:
    compare(processors, given_batches, room)


@settings(max_examples=100)
@given(FILTERS, st.lists(batches(), min_size=1, max_size=2))
def test_filters_side_by_side_take_out_what_they_would_one_after_the_other(
    processors: list[Processor], given_batches: list[Batch]
) -> None:
    compare(processors, given_batches)


@settings(max_examples=100)
@given(TAKING, st.lists(batches(), min_size=1, max_size=2), st.sampled_from([1 << 30, 300]))
def test_what_only_takes_records_out_leaves_the_others_their_bytes(
    processors: list[Processor], given_batches: list[Batch], room: int
) -> None:
    compare(processors, given_batches, room)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_pattern_that_is_not_done_in_time_costs_one_record_among_filters_side_by_side(at: int) -> None:
    filters = [Drop(where="n == 1"), Keep(where="n > 0")]
    filters.insert(at, Drop(where="matches(x, '(x|xx)+$')", on_error="dead_letter"))
    texts = ["x" * 100 + "y", "x", "x" * 101 + "y", "y"]
    data = b"".join(b'{"n":%d,"x":"%s"}\n' % (n, text.encode()) for n, text in enumerate(texts, 1))
    compare([ParseJson(), *filters], [Batch("app", {}, Payload.lines(data), spans_of([4]), 7)])


_PARSE = ParseJson()
_ERRORS = Keep(where="level == 'error'")


@pytest.mark.parametrize(
    ("processors", "lines"),
    [
        ([_PARSE, _ERRORS], [b'{"level":"\\u0065rror"}', b'{"level":"info"}']),
        ([_PARSE, Keep(where="level == 'a/bb'")], [rb'{"level":"a\/bb"}', b'{"level":"a/bb"}']),
        ([_PARSE, Keep(where="level == 'a\"bb'")], [rb'{"level":"a\"bb"}', b'{"level":"bb"}']),
        ([ParseJson(on_error="drop"), _ERRORS], [b"no object", b'{"level":"error"}']),
        ([ParseJson(on_error="dead_letter"), _ERRORS], [b"no object", b'{"level":"info"}']),
        (
            [_PARSE, Declared()],
            [b'{"http":{"status":1}}', b'{"http":{"status":1},"level":"error"}', b'{"n":2}', b"{ }"],
        ),
        ([_PARSE, Declared(on_error="keep")], [b'{"level":"fatal"}', b'{"level":"fatal","processor_error":1}']),
        ([_PARSE], [b'{"n":1}{"n":2}', b'{"n":', b"3}"]),
        ([_PARSE], [b'{"n":1}{"n":2}', b'{"n":3}']),
        ([_PARSE], [b'{"n":"\xff"}', b'{"n":"\xc3\xa9"}']),
        ([_PARSE, _ERRORS], [b'{"n":"\xff"}', b'{"level":"error","n":"\xff"}', b"\xff"]),
        ([_PARSE, Drop(where="n == 1")], [b'{"n":1,"x":"\xff"}', b'{"n":2}']),
        ([_PARSE], [b'{"n":' + b"9" * 4301 + b"}", b'{"n":' + b"9" * 4300 + b"}", b'{"n":1e999}']),
        ([_PARSE, Drop(where="field('l\xe9') == n")], ['{"l\xe9":1,"n":1}'.encode(), b'{"n":2}']),
        ([_PARSE, AddFields(fields={"level": "error"}), _ERRORS], [b'{"n":1}', b'{"level":"info"}']),
        ([_PARSE, Keep(where="contains(parse_error, 'malformed')")], [b"{", b'{"n":1}']),
        ([Keep(where="contains(parse_error, 'truncated')")], [b"{", b'{"n":1}']),
        ([_PARSE, Keep(where="exists(message)")], [b"plain", b'{"n":1}', b'{"message":1}']),
        ([Keep(where="exists(message)")], [b"plain", b'{"n":1}', b'{"message":1}']),
        ([Drop(where="n == 1"), Keep(where="message != 'x'"), _PARSE], [b"x", b'{"n":1}', b'{"n":2}']),
        ([Masks()], [rb'{"message":"\u0073ecret"}', b'{"message":"secret"}', b"{}", b"\xff secret"]),
        ([_PARSE, Masks(), Drop(where="level == 'masked'")], [b'{"a":"secret"}', b'{"level":"masked"}', b"{}"]),
        ([_PARSE, Sample(every=2), Remove(fields=["a"])], [b'{"n":0}', b'{"n":1}', b'{"a":2}', b'{"a":3}']),
        ([_PARSE, Lookup(file=TABLE, field="level")], [b'{"level":"error"}', b'{"level":"debug","alert":1}', b"{}"]),
        ([_PARSE, Lookup(file=TABLE, field="http.status")], [b'{"http":{"status":2}}', b'{"http":2}', b"2"]),
        (
            [_PARSE, Fingerprint(fields=["n", "http.status"])],
            [b'{"http":{"status":2}}', b'{"n":1.0}', b'{"n":1}', b"{}"],
        ),
        ([_PARSE, Fingerprint(into="http.id")], [b'{"http":{"id":2}}', b'{"http":2}', b'{"n":1e999}']),
        ([_PARSE, StillDedupe(fields=["n"], count_field="m")], [b'{"n":1}', b'{"n":1,"m":2}', b'{"n":1.0}', b"{}"]),
        ([_PARSE, StillDedupe()], [b'{"n":1}', b'{"n": 1}', b'{"n":1,"timestamp":2}', b"{", b"{"]),
        ([_PARSE, StillThrottle(rate=1, by=["level"])], [b'{"level":1}', b'{"level":"error"}', b'{"level":1}', b"{}"]),
        ([_PARSE, Uncomparable(), Drop(where="n == 2"), Drop(where="alert == 'x'"), _ERRORS], [b'{"n":1}', b'{"n":2}']),
        ([_PARSE, Unwritable(), Drop(where="n == 2")], [b'{"n":0}', b'{"n":1}', b'{"n":3}', b'{"n":2}']),
    ],
)
@pytest.mark.parametrize("kind", [Format.LINES, Format.NDJSON, Format.SIZED])
@pytest.mark.parametrize("labels", [{}, {"level": "error", "n": 1}])
def test_a_plan_stands_what_tempts_it(
    processors: list[Processor], lines: list[bytes], kind: Format, labels: dict[str, Any]
) -> None:
    """Each of these was, or could be, taken for something else by a plan that looks at bytes."""
    payload = Payload(kind, b"".join(line + b"\n" for line in lines), len(lines))
    payload = Payload.sized(lines) if kind is Format.SIZED else payload
    for sizes in ([len(lines)], [1, len(lines) - 1]):
        compare(processors, [Batch("app", labels, payload, spans_of(sizes), 7)])
