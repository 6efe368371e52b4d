"""Whose messages are begun and not ended, on real sockets."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from shipper.wire.budget import SMALLEST, ReceiveBudget
from shipper.wire.unfinished import Reader, Unfinished

_PIECE: Final = 16 * 1024


class Peers:
    """Connections to a socket of this process, and who of them was cut."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.cut: list[str] = []
        self.all = Unfinished(ReceiveBudget(0), lambda peer, _: self.cut.append(peer))

    def connect(self, data: bytes, *, messages: int = 1) -> Reader:
        """A peer that sent this after so many whole messages."""
        peer = self._stack.enter_context(socket.create_connection(self._listening.getsockname()))
        accepted = self._stack.enter_context(self._listening.accept()[0])
        host, port = peer.getsockname()
        reader = self.all.enter(f"ipv4:{host}:{port}")
        reader.reading, reader.messages = True, messages
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            peer.sendall(piece)
            accepted.recv(len(piece), socket.MSG_WAITALL)
        return reader


@pytest.fixture(name="peers")
def _peers() -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(stack)


async def test_who_stays_below_what_windows_allow_is_left_alone(peers: Peers) -> None:
    for _ in range(3):
        peers.connect(bytes(SMALLEST))
    await peers.all.tick()
    assert not peers.cut


async def test_who_fills_memory_is_cut_the_one_that_began_first_before_others(peers: Peers) -> None:
    first = peers.connect(bytes(SMALLEST))
    await peers.all.tick()
    second = peers.connect(bytes(2 * SMALLEST))
    await peers.all.tick()
    assert peers.cut == [first.peer]
    peers.all.leave(first)
    third = peers.connect(bytes(SMALLEST))
    await peers.all.tick()
    assert peers.cut == [first.peer, second.peer]
    peers.all.leave(second)
    await peers.all.tick()
    assert third.peer not in peers.cut


async def test_who_sent_whole_messages_is_cut_last(peers: Peers) -> None:
    known = peers.connect(bytes(1000), messages=2)  # what came before the first look does not count
    await peers.all.tick()
    stranger = peers.connect(bytes(3 * SMALLEST))
    await peers.all.tick()
    assert peers.cut == [stranger.peer] != [known.peer]


async def test_what_waits_while_nothing_is_read_does_not_count(peers: Peers) -> None:
    held_back = peers.connect(bytes(3 * SMALLEST), messages=2)
    held_back.reading = False
    await peers.all.tick()
    await peers.all.tick()
    assert not peers.cut


async def test_a_connection_whose_descriptor_is_gone_is_passed_over(peers: Peers) -> None:
    reader = peers.connect(bytes(3 * SMALLEST))
    reader.descriptor = 1_000_000
    await peers.all.tick()
    assert not peers.cut
