"""Who knocks on a port without speaking the protocol: failed TLS handshakes, random bytes, HTTP/1, silence.

gRPC's core ends such connections by itself and tells nobody but its own trace, which goes to the C library's
``stderr``. One tracer, ``handshaker``, writes a few lines a *connection* and none a message, with the peer's address
and the reason. So the C library's ``stderr`` (the variable; descriptor 2 stays what it is) becomes a pipe that is read
here. The pipe never blocks gRPC: what does not fit is dropped. Last words of a crash that C code writes through that
variable are lost with it; ``faulthandler`` says on descriptor 2 where every thread was. docs/decisions/090.

A handshake that failed is named at once. For what comes after a handshake gRPC tells nothing: a peer that was let in
and has asked for nothing when ``PATIENCE`` is over is named then.
"""

import asyncio
import ctypes
import faulthandler
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from shipper.log import get_logger

log = get_logger("grpc")

PATIENCE: Final = 12.0
"""Seconds that a peer may take to ask for something. gRPC gives a handshake 10."""
LOG_EVERY: Final = 60.0
"""Seconds between two log lines about one host."""
_SILENT: Final = (
    "it connected and asked for nothing: it does not speak gRPC (random bytes, HTTP/1, TLS where none is set up), "
    "or says nothing"
)
_HANDSHAKE: Final = "HANDSHAKE"
_VARIABLES: Final = ("GRPC_VERBOSITY", "GRPC_TRACE")
_PIPE_BYTES: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024
_LINE_BYTES: Final = 16 * 1024
_REMEMBERED: Final = 20_000
"""Peers that have not asked for anything yet, at most."""

_pipe: Final[list[int]] = []
"""The ends of the pipe, once it is there."""

_GRPC_LINE: Final = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+:\d+\] ")
_STEP: Final = re.compile(r"CallNextHandshakerLocked: error=(?P<error>.*)")
_PEER: Final = re.compile(r"grpc\.internal\.endpoint_peer_address=([^,}\s]+)")
_SERVER: Final = "grpc.internal.server_credentials="
_DONE: Final = "grpc.auth_context="
_TELLING: Final = b"CallNextHandshakerLocked: error="
_SAYS_NOTHING: Final = b"CallNextHandshakerLocked: error=OK"
_SLICE: Final = 64
"""Peers that are named in one go."""


@contextmanager
def listened_to() -> Iterator[None]:
    """Have gRPC tell about handshakes, here and not on standard error. Around the first import of gRPC, which reads its
    settings then and never again: a child process gets the environment that this one was given. An operator's own
    settings are left alone.
    """
    if any(name in os.environ for name in _VARIABLES):
        yield
        return
    _pipe.extend(_redirect())
    os.environ["GRPC_VERBOSITY"] = "INFO" if _pipe else "NONE"
    os.environ["GRPC_TRACE"] = "handshaker" if _pipe else ""
    try:
        yield
    finally:
        for name in _VARIABLES:
            del os.environ[name]


class Handshakes:
    """Reads gRPC's lines: which peers failed a handshake and why, and which are waited for. Sans-IO."""

    def __init__(self) -> None:
        self.waiting: dict[str, float] = {}
        """Peers that passed and have asked for nothing yet, and since when (a monotonic clock, in seconds)."""
        self._error = ""

    def tells(self, line: bytes) -> bool:
        """Whether ``line`` must see it: of the kilobytes that gRPC writes about a connection most say nothing."""
        if self._error:
            return True
        return _TELLING in line and (_SAYS_NOTHING not in line or _DONE.encode() in line)

    def line(self, line: str, now: float) -> tuple[str, str] | None:
        """Take a line; return peer and reason where it completes the news of a failed handshake."""
        step = _STEP.search(line)
        if step is not None:
            self._error = step["error"]
        elif not self._error or _GRPC_LINE.match(line):
            return None
        peer = _PEER.search(line)  # it may stand some lines further: gRPC's errors have several
        if peer is None:
            return None
        error, self._error = self._error, ""
        if _SERVER not in line:
            return None  # a connection that this process makes
        if not error.startswith("OK"):
            return peer[1], error
        if _DONE in line:
            if len(self.waiting) >= _REMEMBERED:
                del self.waiting[next(iter(self.waiting))]
            self.waiting[peer[1]] = now
        return None

    def called(self, peer: str) -> None:
        """A peer asked for something."""
        self.waiting.pop(peer, None)

    def silent(self, now: float) -> list[str]:
        """Peers whose patience is over, once each."""
        over = []
        for peer, since in self.waiting.items():
            if now - since < PATIENCE:
                break
            over.append(peer)
        for peer in over:
            del self.waiting[peer]
        return over


class Words:
    """The pipe with gRPC's words; one for the process, while a port is open."""

    def __init__(self, refused: Callable[[str], None]) -> None:
        """``refused`` is told the reason of each connection that is named."""
        self._refused = refused
        self.handshakes = Handshakes()
        self._rest = b""
        self._reading = -1

    def open(self) -> None:
        """Begin to read on the running event loop; nothing where gRPC was not asked."""
        if not _pipe:
            return
        self._reading = _pipe[0]
        with suppress(OSError):  # the system's own limit is enough for a while
            fcntl.fcntl(_pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def close(self) -> None:
        """Read no more; what gRPC says from now on is dropped."""
        if self._reading >= 0:
            asyncio.get_running_loop().remove_reader(self._reading)
            self._reading = -1

    async def tick(self) -> None:
        """Called about once a second: name those who were let in and say nothing."""
        for number, peer in enumerate(self.handshakes.silent(time.monotonic()), 1):
            self._say(peer, _SILENT)
            if number % _SLICE == 0:
                await asyncio.sleep(0)  # thousands at once would hold up everybody else

    def _read(self) -> None:
        try:
            data = self._rest + os.read(self._reading, _CHUNK)
        except BlockingIOError:
            return
        *lines, rest = data.split(b"\n")
        self._rest = rest[-_LINE_BYTES:]
        now = time.monotonic()
        for raw in lines:
            if not self.handshakes.tells(raw):
                continue
            failed = self.handshakes.line(raw.decode("utf-8", "replace"), now)
            if failed is not None:
                peer, error = failed
                self._say(peer, reason(error))

    def _say(self, peer: str, why: str) -> None:
        self._refused(_HANDSHAKE)
        _say(peer, why)


def reason(error: str) -> str:
    """A failed handshake in words."""
    from shipper.wire.tls import explain

    if "imed out" in error or "imeout" in error:
        return "it connected and said nothing, or too slowly"
    words = explain(error)
    if words is None:
        return (
            "it ended the connection during the TLS handshake: perhaps it does not trust the certificate of this "
            "collector, or only looked whether the port is open"
        )
    return f"the TLS handshake failed: {words}"


def _say(peer: str, why: str) -> None:
    from shipper.wire.gate import host_of

    log.warning(
        "a connection was refused", every=LOG_EVERY, key=(host_of(peer), why), peer=peer, reason=_HANDSHAKE, why=why
    )


def _redirect() -> tuple[int, ...]:
    """Point the C library's ``stderr`` to a pipe; return its ends, or nothing where that cannot be done."""
    library = ctypes.CDLL(None)
    try:
        variable = ctypes.c_void_p.in_dll(library, "stderr")
        library.fdopen.restype = ctypes.c_void_p
        library.setvbuf.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t)
    except (ValueError, AttributeError):
        return ()
    if not faulthandler.is_enabled():
        with suppress(OSError, ValueError):  # whatever the C library says last goes to the pipe: have Python say more
            faulthandler.enable(2)
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    stream = library.fdopen(ends[1], b"w")
    library.setvbuf(stream, None, 2, 0)  # _IONBF: a line is one write
    variable.value = stream
    return ends
