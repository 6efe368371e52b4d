"""Patience: a store of time for slow matches, and what becomes of texts when it is used up."""

import re
import time
from collections import Counter
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Pattern, PatternTimeout
from shipper.pattern_patience import REFILL, Patience

HOSTILE = "^(a|aa)+$"


class Clock:
    """Says what it was told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


NUMBERS = count()


def limits(pattern: Pattern, lines: int) -> Counter[str]:
    """How many of the hostile lines, each another one, were given so much time."""
    found: Counter[str] = Counter()
    for number in islice(NUMBERS, lines):
        with pytest.raises(PatternTimeout) as raised:
            pattern.search(f"{'a' * 120}!{number:04}")  # 125 characters: the first look takes a millisecond
        (time_given,) = re.findall(r"after (\S+ m?s)", str(raised.value))
        found[time_given] += 1
    return found


def test_lines_that_take_long_get_no_time_any_more_when_the_store_is_used_up() -> None:
    pattern = Pattern(HOSTILE, deadline=0.02, patience=Patience(0.05, Clock()))
    assert limits(pattern, 50) == {"0.02 s": 2, "8 ms": 1, "1 ms": 47}


def test_the_error_says_that_more_time_was_not_left() -> None:
    pattern = Pattern(HOSTILE, deadline=0.02, patience=Patience(0.001, Clock()))
    said = (
        r"was not done with 125 characters after 1 ms, all that was left: slow texts have 0\.001 s together, and 5% "
        r"of the time that goes by; where .* write it so that there is one"
    )
    with pytest.raises(PatternTimeout, match=said):
        pattern.search("a" * 124 + "!")


def test_the_store_fills_up_again_as_time_goes_by() -> None:
    clock = Clock()
    pattern = Pattern(HOSTILE, deadline=0.02, patience=Patience(0.02, clock))
    assert limits(pattern, 3) == {"0.02 s": 1, "1 ms": 2}
    clock.now += 0.01 / REFILL
    assert limits(pattern, 1) == {"10 ms": 1}
    clock.now += 3600
    assert limits(pattern, 2) == {"0.02 s": 1, "1 ms": 1}


def test_lines_that_end_soon_are_matched_as_ever() -> None:
    pattern = Pattern(HOSTILE, deadline=0.02, patience=Patience(0.001, Clock()))
    assert limits(pattern, 2) == {"1 ms": 2}
    assert pattern.search("a" * 1000) is not None
    assert pattern.fullmatch("aab") is None
    assert [match.span() for match in pattern.finditer("aa")] == [(0, 2)]
    assert pattern.sub("x", "aa") == "x"


def test_a_slow_match_that_comes_to_an_answer_takes_of_the_store_too() -> None:
    patience = Patience(100, Clock())
    pattern = Pattern(HOSTILE, deadline=50, patience=patience)
    began = time.process_time()
    assert pattern.search("a" * 28 + "!") is None  # many ticks, also of a clock that counts CPU time in ticks
    assert 0 < patience.store - patience.left() < time.process_time() - began


def test_a_long_text_that_takes_no_more_than_its_length_asks_for_costs_nothing_and_needs_no_store() -> None:
    patience = Patience(0, Clock())
    assert Pattern(r"\S+ \S+ \S+ Q", patience=patience).search("alpha beta7 gamma-delta, x=1234 " * 4000) is None


def test_a_deadline_that_was_asked_for_can_be_spent_once_however_long_it_is() -> None:
    assert Pattern(HOSTILE, deadline=50)._patience.left() == 50
    assert Pattern(HOSTILE)._patience.left() == 2


def test_the_memory_of_a_slow_match_of_a_long_text_is_given_back() -> None:
    pattern = Pattern(HOSTILE, deadline=0.02)
    with pytest.raises(PatternTimeout):
        pattern.search("a" * 1000 + "!")
    assert pattern._bounded is not None
    with pytest.raises(PatternTimeout):
        pattern.search("a" * 100_000 + "!")
    assert pattern._bounded is None
    assert pattern.search("aaa") is not None


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100))))
def test_never_is_more_spent_than_the_store_and_what_was_added(events: list[tuple[float, float]]) -> None:
    clock = Clock()
    patience = Patience(2, clock)
    spent = 0.0
    for wanted, later in events:
        taken = min(wanted, patience.left())
        patience.spend(taken)
        spent += taken
        assert 0 <= patience.left() <= 2
        clock.now += later
    assert spent <= 2 + (clock.now - 100) * REFILL + 1e-6
