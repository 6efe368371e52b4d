"""A log with open, committed and aborted transactions: which of its records are decided."""

from hypothesis import given
from hypothesis import strategies as st

from shipper.sinks.kafka.transcript import LogRecord, Transcript

COMMIT, ABORT = "commit", "abort"


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[int | None, str | list[LogRecord]]]:
    """Batches of a few producers, and the markers that end their transactions, in any order."""
    log: list[tuple[int | None, str | list[LogRecord]]] = []
    offset = 0
    for producer, what in draw(
        st.lists(st.tuples(st.sampled_from([None, 1, 2, 3]), st.sampled_from([1, 1, 2, COMMIT, ABORT])))
    ):
        if isinstance(what, int):
            log.append((producer, [LogRecord(offset + at, b"key", b"%d" % (offset + at)) for at in range(what)]))
            offset += what
        elif producer is not None:
            log.append((producer, str(what)))
            offset += 1
    return log


@given(logs())
def test_a_record_is_told_once_its_transaction_is_committed_and_never_before(
    log: list[tuple[int | None, str | list[LogRecord]]],
) -> None:
    transcript = Transcript()
    told: list[LogRecord] = []
    for at, (producer, what) in enumerate(log):
        if isinstance(what, list):
            told += transcript.data(producer, what)
        else:
            assert producer is not None
            told += transcript.marker(producer, committed=what == COMMIT)
        assert sorted(told) == sorted(fate(log[: at + 1], COMMIT))
        assert sorted(transcript.pending) == sorted(fate(log[: at + 1], None))


def fate(log: list[tuple[int | None, str | list[LogRecord]]], wanted: str | None) -> list[LogRecord]:
    """The records whose transaction ended so in this log; None: did not end."""
    found = []
    for at, (producer, what) in enumerate(log):
        if isinstance(what, list):
            ends = (end for who, end in log[at:] if who == producer and isinstance(end, str))
            if (COMMIT if producer is None else next(ends, None)) == wanted:
                found += what
    return found
