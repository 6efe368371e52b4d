"""Thinning frames by a sink's ``where``."""

from itertools import compress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.delivering import READ_AT, STREAM

from shipper.batch import Format, Labels, Origin, Payload
from shipper.errors import FrameTooLarge
from shipper.sinks import thin
from shipper.sinks.base import Frame, Gap, Item
from shipper.sinks.thin import Thinner
from shipper.spool.frame import FrameDraft, FrameMeta, decode, draft

LABELS: Labels = {"host": "h"}


def framed(payload: Payload | None, meta: FrameMeta | None = None, seq: int = 5) -> Frame:
    made = draft(payload, meta or FrameMeta(LABELS, []), READ_AT)
    return decode(made.stamp(STREAM, seq)[0])


def payload_of(kind: Format, texts: list[str]) -> Payload:
    if kind is Format.SIZED:
        return Payload.sized([text.encode() for text in texts])
    if kind is Format.NDJSON:
        return Payload(kind, "".join(f'{{"message": "{text}"}}\n' for text in texts).encode(), len(texts))
    return Payload.lines("".join(f"{text}\n" for text in texts).encode())


@given(
    kind=st.sampled_from(Format),
    keep=st.lists(st.booleans(), min_size=1, max_size=20),
    origin=st.booleans(),
    subs=st.booleans(),
)
def test_a_thinned_frame_holds_the_chosen_records_verbatim_with_their_identity(
    kind: Format, keep: list[bool], origin: bool, subs: bool
) -> None:
    texts = [f"{'yes' if wanted else 'no'} {number}" for number, wanted in enumerate(keep)]
    meta = FrameMeta(LABELS, [])
    if origin:
        meta.origin, meta.indices = Origin(b"o" * 16, 77), [number * 3 for number in range(len(keep))]
    if subs:
        meta.subs = [number % 2 for number in range(len(keep))]
    whole = framed(payload_of(kind, texts), meta)
    thinned = Thinner("startswith(message, 'yes')").thin_frame(whole)
    decode(thinned.raw).verify()
    before, after = whole.payload(), thinned.payload()
    assert before is not None
    assert (after.raw() if after else []) == list(compress(before.raw(), keep))
    assert (thinned.stream, thinned.seq, thinned.read_at, thinned.labels) == (STREAM, 5, READ_AT, LABELS)
    stream, seq, indices = whole.identities()
    if any(keep):
        assert thinned.identities()[:2] == (stream, seq)
        assert list(thinned.identities()[2]) == list(compress(indices, keep))
        assert (thinned.meta.subs or []) == list(compress(meta.subs or [], keep))
    assert thinned.original_crc == whole.crc
    assert decode(thinned.raw).original_check == whole.check
    assert (thinned is whole) == all(keep)


def test_thinning_twice_keeps_the_first_ones_checksum() -> None:
    whole = framed(payload_of(Format.LINES, ["a", "b", "c"]))
    once = Thinner("message != 'a'").thin_frame(whole)
    twice = Thinner("message != 'b'").thin_frame(once)
    assert twice.original_crc == whole.crc
    assert twice.original_check == whole.check
    assert list(twice.identities()[2]) == [2]


def test_a_frame_that_an_older_shipper_thinned_says_that_its_original_check_is_not_known() -> None:
    whole = framed(payload_of(Format.LINES, ["a", "b"]))
    older = draft(Payload.lines(b"b\n"), FrameMeta(LABELS, [], None, [1]), READ_AT, thinned_from=whole.crc)
    once = decode(older.stamp(STREAM, 5)[0])
    assert once.original_check == 0
    assert Thinner("message == 'c'").thin_frame(once).original_check == 0


def test_labels_count_as_fields() -> None:
    whole = framed(payload_of(Format.LINES, ["a"]))
    assert Thinner("host == 'h'").thin_frame(whole) is whole
    assert Thinner("host == 'other'").thin_frame(whole).records == 0


def test_gaps_and_empty_frames_pass_untouched() -> None:
    items = [Item(1, Gap(1, 4, -1, "gone")), Item(5, framed(None))]
    assert Thinner("message == 'a'").thin(items) == (items, [])


def test_records_are_numbered_anew_where_their_indices_would_not_fit_into_a_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def small(payload: Payload | None, meta: FrameMeta, read_at: int, *, thinned_from: int | None = None) -> FrameDraft:
        if meta.indices is not None and len(meta.indices) > 2:
            raise FrameTooLarge("too many")
        return draft(payload, meta, read_at, thinned_from=thinned_from)

    monkeypatch.setattr(thin, "draft", small)
    thinned = Thinner("message != 'a'").thin_frame(framed(payload_of(Format.LINES, ["a", "b", "c", "d"])))
    payload = thinned.payload()
    assert payload is not None
    assert payload.raw() == [b"b", b"c", b"d"]
    assert thinned.meta.indices is None


def test_a_record_that_the_condition_cannot_judge_in_time_is_sent() -> None:
    hostile = "x" * 100 + "y"
    frame = framed(payload_of(Format.LINES, ["x", hostile, "y"]))
    left = Thinner("matches(message, '^(x|xx)+$')").thin_frame(frame).payload()
    assert left is not None
    assert left.raw() == [b"x", hostile.encode()]


def test_a_condition_that_cannot_be_read_says_so() -> None:
    with pytest.raises(ValueError, match=r".+"):
        Thinner("message = 'a'")
