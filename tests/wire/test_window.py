"""The sender's window and how items become messages."""

from hypothesis import given
from hypothesis import strategies as st
from support.wire import frame, items

from shipper.sinks.base import Gap, Item
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.window import Window, cut, encode_frames, request, size_of


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_frames_encoded_by_hand_are_what_protobuf_encodes(first: int, frames: list[bytes]) -> None:
    message = pb.ShipRequest(frames=pb.Frames(first=first, frames=frames))
    assert encode_frames(first, frames) == message.SerializeToString(deterministic=True)


@given(st.lists(st.sampled_from(["frame", "gap", "jump"]), min_size=1, max_size=30), st.integers(0, 2000))
def test_messages_hold_every_item_once_in_order_and_keep_to_their_size(kinds: list[str], size: int) -> None:
    made: list[Item] = []
    number = 1
    for kind in kinds:
        number += 5 if kind == "jump" else 0
        body = Gap(number, number + 2, 3, "lost") if kind == "gap" else frame(number)
        made.append(Item(number, body))
        number = made[-1].next
    at, seen = 0, []
    while at < len(made):
        end = cut(made, at, size)
        group = made[at:end]
        assert group
        assert len(group) == 1 or sum(map(size_of, group)) <= size
        message = pb.ShipRequest.FromString(request(group))
        if message.WhichOneof("message") == "gap":
            seen.append((message.gap.first, message.gap.last))
        else:
            seen += [(message.frames.first + i,) * 2 for i, _ in enumerate(message.frames.frames)]
        at = end
    assert seen == [(item.seq, item.next - 1) for item in made]


def test_a_gap_that_nobody_can_count_travels_without_a_number_of_records() -> None:
    message = pb.ShipRequest.FromString(request([Item(4, Gap(4, 9, -1, "corruption"))]))
    assert not message.gap.HasField("records")
    assert (message.gap.first, message.gap.last, message.gap.reason) == (4, 9, "corruption")


def test_no_more_than_the_window_is_on_its_way() -> None:
    window = Window(100, 1)
    assert window.fits(100)
    window.sent(2, 60)
    assert window.fits(40)
    assert not window.fits(41)
    window.acked(2)
    assert window.fits(100)
    assert window.unacked == 0


def test_one_frame_of_any_size_may_be_on_its_way() -> None:
    window = Window(10, 1)
    assert window.fits(5000)
    window.sent(2, 5000)
    assert not window.fits(1)


def test_a_window_of_zero_holds_everything_back() -> None:
    window = Window(0, 1)
    assert not any(window.fits(size_of(item)) for item in [*items(1, 1), Item(1, Gap(1, 1, 0, "lost"))])


def test_an_acknowledgement_inside_a_message_frees_nothing_of_it() -> None:
    window = Window(100, 1)
    window.sent(11, 50)
    window.acked(10)
    assert window.unacked == 50
    window.acked(11)
    assert window.unacked == 0


def test_a_smaller_window_counts_what_is_on_its_way_already() -> None:
    window = Window(100, 1)
    window.sent(2, 80)
    window.limit = 50
    assert not window.fits(1)
