"""From batches to frames: what is lost for good stands in empty frames of its own."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from shipper.batch import Loss
from shipper.pack import gaps
from shipper.spool.frame import MAX_FRAME, decode, draft

STREAM = b"0123456789abcdef"
losses = st.builds(
    lambda file, generation, start, size, reason: Loss(file, generation, start, start + size, reason),
    st.sampled_from(["/var/log/a.log", "/var/log/ü.log", "/" + "x" * 4000]),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 2**50),
    st.integers(1, 2**50),
    st.sampled_from(["truncated", "vanished"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(losses, max_size=300), st.integers(0, 2**32))
def test_gaps_come_out_of_their_frames_as_they_went_in(some: list[Loss], seed: int) -> None:
    """Each with its file, in frames that stay small however many there are."""
    random.Random(seed).shuffle(some)
    drafts = [draft(None, meta, 5) for meta in gaps("app", {"host": "edge-1"}, some)]
    found = []
    for number, made in enumerate(drafts):
        assert made.size < MAX_FRAME // 32
        frame = decode(made.stamp(STREAM, number)[0])
        assert (frame.records, frame.read_at, frame.labels["host"]) == (0, 5, "edge-1")
        for span in frame.meta.ranges:
            assert (span.source, span.read, span.kept, span.failed) == ("app", 0, 0, 0)
            found.append(Loss(frame.labels["file"], span.generation, span.start, span.end, span.lost))
    assert sorted(found, key=repr) == sorted(some, key=repr)
