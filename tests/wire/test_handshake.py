"""The collector's judgement of a Hello."""

from typing import Any

import pytest
from support.wire import INCARNATION, STREAM, MemoryMark, hello

from shipper.errors import StreamDisowned
from shipper.v1 import ingest_pb2 as pb
from shipper.wire.address import split_address
from shipper.wire.handshake import check_hello, check_history, check_opening, welcome
from shipper.wire.refusal import Refusal, refused_error

MARK = MemoryMark(next=10, epoch=3, incarnation=INCARNATION, crc=77)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": b"short"},
        {"incarnation": b""},
        {"protocol": 0},
        {"floor": 2**63},
        {"epoch": 2**63},
    ],
)
def test_a_hello_that_breaks_the_contract_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        check_hello(hello(**changes))
    assert caught.value.reason == pb.Refused.PROTOCOL


@pytest.mark.parametrize(
    ("epoch", "incarnation", "reason"),
    [
        (2, INCARNATION, pb.Refused.FENCED),
        (2, b"o" * 16, pb.Refused.FENCED),
        (3, b"o" * 16, pb.Refused.CLONED),
        (3, INCARNATION, None),
        (4, b"o" * 16, None),
    ],
)
def test_an_older_epoch_is_fenced_and_a_second_opening_of_the_same_is_a_clone(
    epoch: int, incarnation: bytes, reason: pb.Refused.Reason | None
) -> None:
    theirs = hello(epoch=epoch, incarnation=incarnation)
    if reason is None:
        check_opening(theirs, MARK)
        return
    with pytest.raises(Refusal) as caught:
        check_opening(theirs, MARK)
    assert caught.value.reason == reason
    assert STREAM.hex() in str(caught.value)


@pytest.mark.parametrize(
    ("floor", "check", "diverged"), [(10, 77, False), (10, 78, True), (10, 0, False), (9, 78, False), (11, 78, False)]
)
def test_the_same_number_with_another_check_is_another_history(floor: int, check: int, diverged: bool) -> None:
    theirs = hello(floor=floor, floor_check=check)
    if not diverged:
        check_history(theirs, MARK)
        return
    with pytest.raises(Refusal) as caught:
        check_history(theirs, MARK)
    assert caught.value.reason == pb.Refused.DIVERGED


@pytest.mark.parametrize("held", [None, 10])
def test_a_welcome_names_the_last_frame_that_is_held_wherever_it_goes_on(held: int | None) -> None:
    mark = None if held is None else MemoryMark(held, 3, INCARNATION, 77, 78)
    answer = welcome(hello(), mark, 4, 1000)
    assert answer.next == 4
    assert answer.HasField("last") == (mark is not None)
    if mark is not None:
        assert answer.last == pb.FramePosition(epoch=3, number=9, check=77, original_check=78)


def test_a_frame_that_was_thinned_on_its_way_is_told_by_the_check_of_either() -> None:
    mark = MemoryMark(10, 3, INCARNATION, 77, 78)
    for check in (77, 78):
        check_history(hello(floor=10, floor_check=check), mark)
    with pytest.raises(Refusal, match="is not the one received here"):
        check_history(hello(floor=10, floor_check=79), mark)


@pytest.mark.parametrize(("theirs", "negotiated"), [(1, 1), (2, 1), (2**32 - 1, 1)])
def test_the_version_of_a_connection_is_the_lower_of_both_sides(theirs: int, negotiated: int) -> None:
    assert welcome(hello(protocol=theirs), None, 1, 1000).protocol == negotiated


PASSES = (
    pb.Refused.DAMAGED,
    pb.Refused.OVERLOADED,
    pb.Refused.STOPPING,
    pb.Refused.SPOOL_FAILED,
    pb.Refused.REPLACED,
)


@pytest.mark.parametrize("reason", pb.Refused.Reason.values())
def test_a_refusal_says_to_the_sender_whether_trying_again_helps(reason: pb.Refused.Reason) -> None:
    refused = pb.Refused(reason=reason, text="because")
    error = refused_error(refused, "collector:7420")
    assert error.retriable == (reason in PASSES)
    assert "because" in str(error)
    assert "collector:7420" in str(error)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [(pb.Refused.DIVERGED, "diverged"), (pb.Refused.CLONED, "cloned"), (pb.Refused.FENCED, "fenced")],
)
def test_a_history_that_is_not_the_senders_disowns_its_stream(reason: pb.Refused.Reason, kind: str) -> None:
    error = refused_error(pb.Refused(reason=reason, text="because"), "collector:7420")
    assert isinstance(error, StreamDisowned)
    assert error.kind == kind


def test_a_refusal_for_a_reason_of_the_future_is_final() -> None:
    error = refused_error(pb.Refused.FromString(b"\x08\x63\x12\x03why"), "collector:7420")
    assert not error.retriable
    assert "99" in str(error)


@pytest.mark.parametrize("text", ["127.0.0.1:7420", "collector:1", "[::1]:65535", "0.0.0.0:0"])
def test_addresses_are_host_and_port(text: str) -> None:
    host, port = split_address(text)
    assert text in (f"{host}:{port}", f"[{host}]:{port}")


@pytest.mark.parametrize(
    "text", ["", "collector", ":7420", "collector:", "a:b", "::1:80", "h:65536", "http://h:80", "h:-1", "h:²"]
)
def test_what_is_no_address_is_said_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)
