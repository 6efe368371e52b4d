"""What a process and its workers send each other comes out as it went in."""

import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shipper.batch import Batch, DeadLetter, Format, Loss, Origin, Payload, SourceRange, Upstream
from shipper.chain.guard import Guard
from shipper.chain.parcels import Close, Made, Open, Recipe, Run, Step, packed, pickled, unpacked
from shipper.spool.frame import FrameMeta, decode, draft
from shipper.units import Duration
from shipper_processors.drop import Drop
from shipper_processors.lookup import Lookup
from shipper_processors.parse_regex import ParseRegex

NUMBERS = st.integers(0, 1 << 40)
NAMES = st.text(max_size=5)
SPANS = st.builds(SourceRange, NAMES, st.binary(max_size=16), NUMBERS, NUMBERS, dropped=st.dictionaries(NAMES, NUMBERS))
LETTERS = st.builds(
    DeadLetter,
    st.binary(max_size=9),
    NUMBERS,
    NAMES,
    NAMES,
    st.just({"host": "a"}),
    NAMES,
    st.binary(max_size=16),
    NUMBERS,
    NUMBERS,
    NUMBERS,
)
PAYLOADS = st.builds(Payload, st.sampled_from(Format), st.binary(max_size=300), NUMBERS)
DRAFTS = st.builds(
    draft,
    st.none() | st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), min_size=1).map(Payload.sized),
    st.builds(FrameMeta, st.just({"host": "a"}), st.lists(SPANS, max_size=2)),
    NUMBERS,
)
FRAMES = st.builds(lambda made, seq: decode(made.stamp(b"s" * 16, seq)[0]), DRAFTS, NUMBERS)
RECORDS = st.lists(st.dictionaries(NAMES, st.none() | st.integers() | st.text(max_size=9) | st.datetimes(), max_size=3))
STATES = st.dictionaries(NAMES, st.none() | st.binary(max_size=9), max_size=2)
BATCHES = st.builds(
    Batch,
    NAMES,
    st.dictionaries(NAMES, st.text(max_size=5), max_size=2),
    PAYLOADS | FRAMES | RECORDS,
    st.lists(SPANS, max_size=2),
    NUMBERS,
    STATES,
    st.lists(LETTERS, max_size=2),
    st.none() | st.builds(Upstream, st.binary(max_size=16), NUMBERS, NUMBERS, st.binary(max_size=16), NUMBERS),
    st.none() | st.builds(Origin, st.binary(max_size=16), NUMBERS),
    st.none() | st.lists(NUMBERS, max_size=3),
    st.none() | st.lists(NUMBERS, max_size=3),
    st.none() | st.binary(max_size=9),
    st.none() | st.lists(LETTERS, max_size=2),
    st.lists(st.builds(Loss, NAMES, st.binary(max_size=16), NUMBERS, NUMBERS, NAMES), max_size=2),
)
MADE = st.builds(
    Made,
    st.none() | st.lists(DRAFTS | FRAMES, max_size=3),
    st.lists(SPANS, max_size=2),
    STATES,
    st.lists(LETTERS, max_size=2),
    st.lists(st.tuples(NAMES, NUMBERS), max_size=2),
    NUMBERS,
)


def arrived(body: bytes, *payloads: memoryview) -> Any:
    """At the other end: payloads are bytes of its own, and none is left over."""
    following = iter([bytes(payload) for payload in payloads])
    value = unpacked(body, following)
    assert next(following, None) is None
    return value


@given(NUMBERS, BATCHES, NUMBERS)
def test_a_batch_arrives_as_it_was_sent(number: int, batch: Batch, room: int) -> None:
    assert arrived(*packed(Run(number, batch, room))) == Run(number, batch, room)


@given(MADE)
def test_what_became_of_a_batch_arrives_as_it_was_sent(made: Made) -> None:
    assert arrived(pickled(made)) == made


def test_a_payload_is_not_copied_on_its_way() -> None:
    data = b"a line\n" * 1000
    body, *payloads = packed(Run(1, Batch("app", {}, Payload.lines(data), [], 5), 100))
    assert payloads[0].obj is data
    assert data not in body
    assert unpacked(body, iter([data])).batch.payload.data is data


def test_chains_and_guards_arrive_as_they_were_sent() -> None:
    recipe = Recipe("app", {"source": "app"}, (Step("p0", "a.yaml:3", Drop(where="level == 'debug'")),), 1 << 20)
    opened = arrived(*packed(Open(7, recipe, {"processor/app/p0": b"state"})))
    assert (opened.number, opened.state, opened.recipe.steps[0].processor.where) == (
        7,
        {"processor/app/p0": b"state"},
        "level == 'debug'",
    )
    assert arrived(*packed(Close(7))) == Close(7)
    guarded = arrived(*packed(Run(7, Batch("app", {}, [], [], 5), 0, Guard(first=1, end=5, guilty={3: "why"}), {})))
    assert (guarded.guard.first, guarded.guard.end, guarded.guard.guilty) == (1, 5, {3: "why"})


def test_settings_of_every_type_arrive_as_they_were_sent() -> None:
    processor = ParseRegex(pattern=re.compile("(?P<a>x)", re.IGNORECASE), pattern_deadline=Duration(0.5))
    recipe = Recipe("app", {}, (Step("p0", "", processor), Step("p1", "", Lookup(file=Path("/a"), field="x"))), 1 << 20)
    opened = arrived(*packed(Open(7, recipe, {})))
    assert [step.processor for step in opened.recipe.steps] == [step.processor for step in recipe.steps]
