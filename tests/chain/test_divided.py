"""Dividing records that a child process did not survive, without any process."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.chain.child import ChildEnded, ChildOverdue
from shipper.chain.divided import Part, divided


class Trial:
    """A child that dies of certain records."""

    def __init__(self, size: int, guilty: set[int], *, tells: bool, hangs: bool) -> None:
        self.size = size
        self.guilty = guilty
        self.tells = tells
        self.hangs = hangs
        self.attempts = 0
        self.deaths = 0

    def run(self) -> tuple[list[int], list[int]]:
        """Records that were processed, and those that failed; both in the order in which that was settled."""
        done: list[int] = []
        failed: list[int] = []
        todo = [Part(0, self.size)]
        while todo:
            part = todo.pop()
            numbers = range(part.start, part.end)
            if part.error:
                failed += numbers
                continue
            self.attempts += 1
            first = next((number for number in numbers if number in self.guilty), None)
            if first is None:
                done += numbers
                continue
            self.deaths += 1
            ended = ChildOverdue("hangs", stalled=self.tells) if self.hangs else ChildEnded("is gone")
            todo += reversed(divided(part, ended, first if self.tells else None, may_repeat=True))
        return done, failed


CASES = st.integers(1, 300).flatmap(
    lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1), max_size=5))
)


@given(CASES, st.booleans(), st.booleans())
def test_exactly_the_guilty_fail_and_all_keep_their_order(case: tuple[int, set[int]], tells: bool, hangs: bool) -> None:
    size, guilty = case
    done, failed = Trial(size, guilty, tells=tells, hangs=hangs).run()
    assert done == [number for number in range(size) if number not in guilty]
    assert failed == sorted(guilty)


@given(st.integers(1, 2000), st.data())
def test_one_record_that_hangs_costs_few_deadlines(size: int, data: st.DataObject) -> None:
    guilty = {data.draw(st.integers(0, size - 1))}
    for tells, most in ((True, 1), (False, size.bit_length() + 1)):
        trial = Trial(size, guilty, tells=tells, hangs=True)
        trial.run()
        assert trial.deaths <= most


def test_one_death_of_a_single_record_is_not_enough() -> None:
    """Somebody may have killed the process; a second time it is the record's fault."""
    once = divided(Part(3, 4), ChildEnded("is gone"), 3, may_repeat=True)
    assert once == [Part(3, 4, again=True)]
    assert divided(once[0], ChildEnded("is gone"), 3, may_repeat=True) == [Part(3, 4, "is gone")]


def test_records_that_must_not_be_seen_twice_fail_up_to_the_one_in_hand() -> None:
    assert divided(Part(0, 9), ChildEnded("is gone"), 4, may_repeat=False) == [Part(0, 5, "is gone"), Part(5, 9)]
    assert divided(Part(0, 9), ChildEnded("is gone"), None, may_repeat=False) == [Part(0, 9, "is gone")]
