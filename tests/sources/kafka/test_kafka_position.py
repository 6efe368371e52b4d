"""Whose word counts of how far a partition was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.errors import SourceError
from shipper.sources.kafka.partition import decode, encode, place_of
from shipper.sources.kafka.position import Committed, Position, metadata, new_generation, resume

OFFSETS = st.integers(0, 2**62)


@given(OFFSETS, OFFSETS)
def test_of_one_generation_the_further_one_counts(own: int, group: int) -> None:
    """After a crash between sync and commit it is the spool's, after another member was at work the group's."""
    generation = new_generation()
    found = resume(Position(own, generation), Committed(group, metadata(generation)))
    assert found == Position(max(own, group), generation)


@given(OFFSETS, OFFSETS)
def test_of_two_generations_the_groups_counts(own: int, group: int) -> None:
    """The spool's is about a topic that is gone, or from before somebody set the group's."""
    generation = new_generation()
    found = resume(Position(own, new_generation()), Committed(group, metadata(generation)))
    assert found == Position(group, generation)


@given(OFFSETS, OFFSETS, st.text(max_size=50))
def test_what_somebody_else_committed_is_obeyed_and_begins_a_generation(own: int, group: int, text: str) -> None:
    """So that the position which it replaced cannot come back."""
    before = new_generation()
    found = resume(Position(own, before), Committed(group, text))
    assert found is not None
    assert found.offset == group
    assert found.generation != before
    assert len(found.generation) == len(before)


@pytest.mark.parametrize("text", ["shipper", "shipper ", "shipper 00", "shipper " + "zz" * 16, "shipper " + "00" * 17])
def test_a_mark_that_is_none_is_somebody_elses(text: str) -> None:
    found = resume(None, Committed(7, text))
    assert found is not None
    assert found.offset == 7


def test_where_nobody_has_a_position_there_is_none_to_resume() -> None:
    own = Position(5, new_generation())
    assert resume(None, None) is None
    assert resume(own, None) == own


@given(OFFSETS, st.binary(min_size=16, max_size=16))
def test_a_position_is_read_back_as_it_was_written(offset: int, generation: bytes) -> None:
    position = Position(offset, generation, 1_700_000_000_000)
    assert decode("t/0", encode(position)) == position


@pytest.mark.parametrize(
    "value", [b"\xc1", b"\x94\x01\xc4\x00\x01" + b"\x91" * 100_000 + b"\xc0"], ids=["no message", "nested"]
)
def test_a_position_that_cannot_be_read_is_an_error_with_its_name(value: bytes) -> None:
    with pytest.raises(SourceError, match=r"logs-a/12, kept in the spool, cannot be read"):
        decode("logs-a/12", value)


def test_a_key_of_the_state_names_its_partition() -> None:
    assert place_of("logs-a.b_c/12") == ("logs-a.b_c", 12)
