"""The connection to a child, on the event loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NoReturn

from shipper.chain.child import Child, ChildEnded
from shipper.chain.messages import HEADER_SIZE, SIZE, BadMessageError, body_size, check, header
from shipper.chain.parcels import unpacked

_PART: Final = 256 * 1024
"""Bytes that are received at one go: most answers are shorter, even two together."""


class Link:
    """That to one child. No call waits for the child to read; a batch costs one look at what came, and no task."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[memoryview] = deque()
        self._received = bytearray()
        self._heard: Callable[[Any], None] = _unasked
        self._over: asyncio.Future[Exception] = self._loop.create_future()
        """Why there are no more answers."""
        child.socket.setblocking(False)
        self._loop.add_reader(child.socket, self._readable)

    async def ask(self, body: bytes, *payloads: memoryview) -> Any:
        """Send a message, and wait for the answer.

        :raises ChildEnded: there is none, and the child is dead.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()
        self.send(body, *payloads)
        await self._hear(lambda value: _unasked(value) if answer.done() else answer.set_result(value), answer)
        if not answer.done():
            await self._end()
        return answer.result()

    async def listen(self, heard: Callable[[Any], None]) -> NoReturn:
        """Have ``heard`` called with every answer, until there are no more. What it raises is the end.

        :raises ChildEnded: there are no more; the child is dead.
        """
        await self._hear(heard)
        await self._end()

    def send(self, body: bytes, *payloads: memoryview) -> None:
        """Send a message, and the payloads that follow it. That the child is gone hears who waits for an answer."""
        if self._over.done():
            return
        pieces: list[bytes | memoryview] = [header(body), body]
        for payload in payloads:
            pieces += len(payload).to_bytes(SIZE, "little"), payload
        waiting = bool(self._unsent)
        self._unsent.extend(map(memoryview, pieces))
        if not waiting:
            self._flush()
            if self._unsent:
                self._loop.add_writer(self.child.socket, self._writable)

    def close(self) -> None:
        """Let the child end, in at most a second."""
        self._hang_up()
        self.child.close()

    def kill(self) -> None:
        """End the child at once."""
        self._hang_up()
        self.child.kill()

    async def _hear(self, heard: Callable[[Any], None], *until: "asyncio.Future[Any]") -> None:
        self._heard = heard
        try:
            await asyncio.wait({self._over, *until}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._heard = _unasked

    async def _end(self) -> NoReturn:
        error = self._over.result()
        if isinstance(error, EOFError | OSError):
            raise ChildEnded(await asyncio.to_thread(self.child.fate))
        self.child.kill()
        if isinstance(error, BadMessageError):
            raise ChildEnded("wrote something into its connection that is no answer")
        raise error

    def _hang_up(self) -> None:
        self._unsent.clear()
        if self.child.socket.fileno() >= 0:
            self._loop.remove_reader(self.child.socket)
            self._loop.remove_writer(self.child.socket)

    def _writable(self) -> None:
        self._flush()
        if not self._unsent:
            self._loop.remove_writer(self.child.socket)

    def _flush(self) -> None:
        try:
            sent = self.child.socket.sendmsg(self._unsent)
        except BlockingIOError:
            return
        except OSError:  # it is gone: reading says why
            sent = sum(map(len, self._unsent))
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.popleft())
        if self._unsent:
            self._unsent[0] = self._unsent[0][sent:]

    def _readable(self) -> None:
        try:
            self._take(self.child.socket.recv(_PART))
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            self._hang_up()
            self._over.set_result(error)

    def _take(self, data: bytes) -> None:
        """:raises EOFError: the other end is closed.
        :raises BadMessageError: it sent garbage.
        """
        if not data:
            raise EOFError
        received = self._received
        received += data
        while len(received) >= HEADER_SIZE:
            head = bytes(received[:HEADER_SIZE])
            end = HEADER_SIZE + body_size(head)
            if len(received) < end:
                return
            body = bytes(received[HEADER_SIZE:end])
            del received[:end]
            check(head, body)
            self._heard(unpacked(body, iter(())))


def _unasked(_: Any) -> NoReturn:
    raise ChildEnded("answered what nobody asked")
