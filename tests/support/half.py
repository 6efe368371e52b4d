"""A sender that begins a message and does not end it: HTTP/2 by hand, since gRPC's own clients send whole messages."""

import os
import socket
import struct
from typing import Final, Self

from shipper.v1 import ingest_pb2 as pb
from shipper.wire.channel import METHOD, PROTOCOL

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_INITIAL_WINDOW: Final = 4
_HEADERS_END: Final = 4
_ACK: Final = 1
_PIECE: Final = 16 * 1024
_PATIENCE: Final = 30.0


class HalfSender:
    """One connection with one call."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._windows = {0: 65535, 1: 65535}
        """What the collector lets come on the connection, and on the call."""
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        fields = {
            ":method": "POST", ":scheme": "http", ":path": METHOD, ":authority": "x",
            "content-type": "application/grpc", "te": "trailers",
        }  # fmt: skip
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        self._socket.sendall(_frame(_HEADERS, _HEADERS_END, 1, block))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hello(self) -> None:
        """A Hello of a stream of its own."""
        stream = os.urandom(16)
        message = pb.Hello(stream=stream, epoch=1, incarnation=stream, protocol=PROTOCOL, floor=1)
        data = pb.ShipRequest(hello=message).SerializeToString()
        self.send(struct.pack(">BI", 0, len(data)) + data)

    def begin(self, claimed: int, sent: int) -> None:
        """The beginning of a message that claims to be so long."""
        self.send(struct.pack(">BI", 0, claimed) + bytes(sent))

    def send(self, data: bytes) -> None:
        """Send as the collector's windows allow.

        :raises OSError: it closed the connection.
        """
        while data:
            while (room := min(_PIECE, *self._windows.values())) <= 0:
                self.receive()
            piece, data = data[:room], data[room:]
            self._socket.sendall(_frame(_DATA, 0, 1, piece))
            for stream in self._windows:
                self._windows[stream] -= len(piece)

    def receive(self) -> None:
        """Take one frame.

        :raises OSError: the collector closed the connection, or says nothing for half a minute.
        """
        head = self._exactly(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream, body = int.from_bytes(head[5:], "big"), self._exactly(size)
        if kind == _WINDOW_UPDATE:
            self._windows[stream] += int.from_bytes(body, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            for number, value in struct.iter_unpack(">HI", body):
                if number == _INITIAL_WINDOW:
                    self._windows[1] += value - 65535
            self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._socket.sendall(_frame(_PING, _ACK, 0, body))

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self._socket.recv(size - len(found))
            if not piece:
                raise ConnectionResetError("the collector closed the connection")
            found += piece
        return found


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
