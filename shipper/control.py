"""The control socket: how commands talk to the process that has a data directory open.

``DATA_DIR/control.sock`` is a Unix socket of mode 0600: whoever may connect is the process's own user, or root. Each
way goes one JSON object a line, of at most 64 KiB:

    {"command": "forget", "sink": "central"}      ->  {"ok": true, ...}  or  {"error": "what is wrong"}

Several requests may follow one another on a connection. The lock on the spool says who is alive, not the socket: the
process that holds the lock replaces the socket that a killed one left. The admin port stays read-only.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from shipper.errors import ControlError, NotRunning, ShipperError
from shipper.log import get_logger

SOCKET: Final = "control.sock"
_LINE: Final = 64 * 1024
_IDLE: Final = 10.0
"""Seconds that the process waits for a request, and for its answer to be taken."""
_ANSWER: Final = 60.0
"""Seconds that a command waits for an answer: the process may have a slow disk."""
_LONGEST_PATH: Final = 107
_NO_REQUEST: Final = {"error": f"a request is one JSON object a line, of at most {_LINE} bytes"}
log = get_logger("control")

Handler: TypeAlias = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes a request, returns what stands in the answer beside ``ok``. A ShipperError becomes the answer's ``error``."""


class Control:
    """The process's side. Only for the process that holds the spool's lock."""

    def __init__(self, data_dir: Path, handlers: Mapping[str, Handler]) -> None:
        """``handlers``: by command."""
        self._data_dir = data_dir
        self._handlers = handlers
        self._listening: socket.socket | None = None
        self._connections: dict[asyncio.Task[None], socket.socket] = {}

    async def start(self) -> None:
        """Listen. A socket that cannot be made is said in the log; everything else works without it."""
        try:
            listening = _listen(self._data_dir)
        except OSError as error:
            text = "the control socket cannot be made: commands that talk to this process will not work"
            log.warning(text, path=str(self._data_dir / SOCKET), reason=error.strerror)
            return
        self._listening = listening
        self._watch()

    async def close(self) -> None:
        """Remove the socket and end what is being asked. Call it while the spool's lock is still held."""
        if self._listening is None:
            return
        with contextlib.suppress(OSError):
            (self._data_dir / SOCKET).unlink()
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening.close()
        self._listening = None
        ending = list(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:  # who wanted in has gone
            return
        except OSError as error:  # no descriptors left: look again in a while
            log.warning("cannot take a connection", reason=error.strerror, every=60.0)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(1.0, self._watch)
            return
        connection.setblocking(False)
        task = asyncio.create_task(self._serve(connection))
        self._connections[task] = connection
        task.add_done_callback(self._ended)

    def _watch(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._connections.pop(task).close()

    async def _serve(self, connection: socket.socket) -> None:
        """Answer until the other side has gone, says nothing, or says too much."""
        loop = asyncio.get_running_loop()
        data = b""
        with contextlib.suppress(OSError, TimeoutError):
            while len(data) < _LINE:
                more = await asyncio.wait_for(loop.sock_recv(connection, _LINE), _IDLE)
                if not more:
                    return
                data += more
                while b"\n" in data:
                    line, _, data = data.partition(b"\n")
                    await _send(connection, await self._answer(line))
            await _send(connection, _NO_REQUEST)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            return _NO_REQUEST
        command = request.get("command")
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            return {"error": f"{command!r} is no command; known: {', '.join(sorted(self._handlers))}"}
        try:
            return {"ok": True, **await handler(request)}
        except ShipperError as error:
            return {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - a mistake in a handler must not look like a dead process
            log.error("a command failed", command=command, exc=error)
            return {"error": f"the process failed at {command}: {error!r}"}


async def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    line = orjson.dumps(answer) + b"\n"
    await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(connection, line), _IDLE)


def call(data_dir: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Ask the process that has the data directory open; its answer.

    :raises NotRunning: no process listens there.
    :raises ControlError: it refused, with its reason; or it does not answer, or this user may not ask.
    """
    line = orjson.dumps({"command": command, **arguments}) + b"\n"
    try:
        with _connected(data_dir) as asking:
            asking.settimeout(_ANSWER)
            asking.sendall(line)
            received = b""
            while not received.endswith(b"\n") and (more := asking.recv(_LINE)):
                received += more
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning(f"no process has {data_dir} open") from error
    except TimeoutError as error:
        raise ControlError(f"the process that has {data_dir} open does not answer; look into its log") from error
    except OSError as error:
        raise ControlError(
            f"cannot talk to the process that has {data_dir} open: {error.strerror}; call this as its user, or as root"
        ) from error
    try:
        answer = orjson.loads(received)
    except orjson.JSONDecodeError as error:
        raise ControlError(
            f"the process that has {data_dir} open ended before it answered; look into its log"
        ) from error
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return dict(answer)


def is_running(data_dir: Path) -> bool:
    """Whether a process listens on the control socket. False as well where this user may not ask."""
    try:
        with _connected(data_dir):
            return True
    except OSError:
        return False


def _listen(data_dir: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listening.fileno(), 0o600)  # Linux: what bind makes has this mode, so it is never wider
        with _address(data_dir) as address:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)  # we hold the spool's lock, so who made it is dead
            listening.bind(address)
        listening.listen()
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _connected(data_dir: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, _address(data_dir) as address:
        asking.settimeout(_IDLE)
        asking.connect(address)
        yield asking


@contextlib.contextmanager
def _address(data_dir: Path) -> Iterator[str]:
    """A path to the socket that fits into a Unix address, which holds 108 bytes."""
    path = str(data_dir / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
        return
    folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
