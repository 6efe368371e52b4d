"""Two accounts of one generation, of which the second began when the first had been closed."""

from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import FILE, LABELS, STREAM, as_set, span

from shipper.batch import SourceRange
from shipper.ledger.account import HOLES_KEPT, Account
from shipper.ledger.book import Book, Break, Told
from shipper.ledger.joined import bridged, joined

lives = st.lists(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 9)), min_size=1, max_size=8), min_size=2)


def account_of(*spans: SourceRange, seq: int = 1) -> Account:
    book = Book()
    for number, each in enumerate(spans, seq):
        book.enter(Told(LABELS, [each], STREAM, number))
    return book.accounts[FILE]


@given(lives)
def test_any_number_of_them_covers_and_counts_what_a_single_one_does(some: list[list[tuple[int, int]]]) -> None:
    spans = [[span(start, start + length) for start, length in life] for life in some]
    whole = account_of(*spans[0])
    for life in spans[1:]:
        whole = joined(whole, account_of(*life))
    single = account_of(*(each for life in spans for each in life))
    assert whole.covered == single.covered
    assert (whole.read, whole.kept) == (single.read, single.kept)
    assert (whole.twice.bytes > 0) == (single.twice.bytes > 0)


def test_a_hole_between_them_is_one() -> None:
    assert joined(account_of(span(0, 10)), account_of(span(15, 20), seq=2)).holes == [(10, 15)]


def test_what_both_read_is_twice_unless_it_was_lost_before() -> None:
    again = joined(account_of(span(0, 10), span(10, 20, lost="vanished")), account_of(span(5, 25), seq=3))
    assert as_set(again.twice.spans) == set(range(5, 10))
    assert again.lost["vanished"].bytes == 10


def test_a_gap_that_came_after_the_first_tells_why_something_is_missing_before_the_second() -> None:
    first, second = account_of(span(0, 10)), account_of(span(15, 20), seq=9)
    whole = joined(bridged(first, second, Break(gap=8, reason="corrupt")), second)
    assert (whole.holes, whole.missing["corrupt"].spans) == ([], [(10, 15)])
    assert joined(bridged(first, second, Break(jump=8)), second).missing["elsewhere"].bytes == 5


def test_a_gap_that_came_before_the_first_tells_nothing() -> None:
    first, second = account_of(span(0, 10), seq=5), account_of(span(15, 20), seq=9)
    assert bridged(first, second, Break(gap=4, reason="corrupt")) == first


def test_reasons_add_up_for_each_sink() -> None:
    first, second = account_of(span(0, 10)), account_of(span(10, 20, lost="truncated"), seq=2)
    first.forgo("archive", "drop_oldest", 0, 5)
    second.forgo("archive", "drop_oldest", 10, 12)
    second.forgo("archive", "corrupt", 12, 13)
    whole = joined(first, second)
    assert {reason: extent.bytes for reason, extent in whole.forgone["archive"].items()} == {
        "drop_oldest": 7,
        "corrupt": 1,
    }
    assert whole.lost["truncated"].spans == [(10, 20)]


def test_what_sinks_refused_adds_up() -> None:
    first, second = account_of(span(0, 10)), account_of(span(10, 20), seq=2)
    first.refuse("archive", "dead_lettered", 2)
    second.refuse("archive", "dead_lettered", 3)
    second.refuse("other", "dead_letters_full", 1)
    assert joined(first, second).refused == {"archive": {"dead_lettered": 5}, "other": {"dead_letters_full": 1}}


def test_holes_stay_bounded() -> None:
    first = account_of(*(span(at, at + 1) for at in range(0, 2 * HOLES_KEPT, 2)))
    second = account_of(*(span(at, at + 1) for at in range(1000, 1000 + 2 * HOLES_KEPT, 2)), seq=99)
    whole = joined(first, second)
    assert len(whole.holes) == HOLES_KEPT - 1
    assert whole.blurred == HOLES_KEPT
