"""The control socket: who may ask, what is answered, and what a killed process leaves behind."""

import asyncio
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.files import NOBODY

from shipper.control import SOCKET, Control, call, is_running
from shipper.errors import ControlError, NotRunning, SpoolError


async def _echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"got": request["text"]}


async def _refuse(_request: dict[str, Any]) -> dict[str, Any]:
    raise SpoolError("not this one")


async def _break(request: dict[str, Any]) -> dict[str, Any]:
    return {"got": request["nothing"]}


@asynccontextmanager
async def _listening(folder: Path) -> AsyncIterator[Control]:
    control = Control(folder, {"echo": _echo, "refuse": _refuse, "break": _break})
    await control.start()
    try:
        yield control
    finally:
        await control.close()


async def _exchange(folder: Path, data: bytes) -> list[dict[str, Any]]:
    """Every answer to some bytes, after which nothing more comes."""
    reader, writer = await asyncio.open_unix_connection(folder / SOCKET, limit=1 << 20)
    writer.write(data)
    writer.write_eof()
    answers = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return [orjson.loads(line) for line in answers.splitlines()]


async def test_a_request_is_answered(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        assert await asyncio.to_thread(call, tmp_path, "echo", text="ü") == {"ok": True, "got": "ü"}
        assert await asyncio.to_thread(is_running, tmp_path)


async def test_what_a_handler_refuses_is_raised_where_it_was_asked(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        with pytest.raises(ControlError, match="not this one"):
            await asyncio.to_thread(call, tmp_path, "refuse")
        with pytest.raises(ControlError, match="the process failed at break: KeyError"):
            await asyncio.to_thread(call, tmp_path, "break")
        with pytest.raises(ControlError, match="'stop' is no command; known: break, echo, refuse"):
            await asyncio.to_thread(call, tmp_path, "stop")


async def test_several_requests_may_come_on_one_connection(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        line = b'{"command": "echo", "text": 1}\n'
        assert await _exchange(tmp_path, line * 3) == [{"ok": True, "got": 1}] * 3


@pytest.mark.parametrize("data", [b"\n", b"[]\n", b"nonsense\n", b"\xff\n", b'"echo"\n'])
async def test_what_is_no_request_is_told_so(tmp_path: Path, data: bytes) -> None:
    async with _listening(tmp_path):
        (answer,) = await _exchange(tmp_path, data)
        assert "one JSON object a line" in answer["error"]
        assert await asyncio.to_thread(call, tmp_path, "echo", text=1)


async def test_a_command_that_is_no_text_is_told_so(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        (answer,) = await _exchange(tmp_path, b'{"command": ["echo"]}\n')
        assert "is no command" in answer["error"]


async def test_a_line_that_does_not_end_is_cut_short(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
        writer.write(b"x" * 100_000)
        assert b"one JSON object a line" in await asyncio.wait_for(reader.readline(), 30)
        writer.close()
        assert await asyncio.to_thread(call, tmp_path, "echo", text=1)


async def test_half_a_request_is_not_answered(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        assert await _exchange(tmp_path, b'{"command": "echo"') == []


async def test_who_connects_and_says_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with _listening(tmp_path) as control:
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
        await asyncio.to_thread(call, tmp_path, "echo", text=1)
        await asyncio.wait_for(control.close(), 30)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_only_its_own_user_may_ask(tmp_path: Path) -> None:
    """The mode is there from the moment at which the socket appears, whatever the umask says."""
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            try:
                seen.add(stat.S_IMODE(os.lstat(tmp_path / SOCKET).st_mode))
            except FileNotFoundError:
                continue

    watching = threading.Thread(target=watch)
    watching.start()
    before = os.umask(0)
    try:
        for _ in range(50):
            async with _listening(tmp_path):
                pass
        async with _listening(tmp_path):
            assert stat.S_IMODE((tmp_path / SOCKET).lstat().st_mode) == 0o600
    finally:
        os.umask(before)
        done.set()
        watching.join()
    assert seen <= {0o600}


@pytest.mark.parametrize("killed", [True, False])
async def test_a_socket_that_a_killed_process_left_is_replaced(tmp_path: Path, *, killed: bool) -> None:
    if killed:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(tmp_path / SOCKET))
        left.close()
        assert not is_running(tmp_path)
        with pytest.raises(NotRunning):
            call(tmp_path, "echo")
    else:
        (tmp_path / SOCKET).write_text("a restored backup may hold anything of that name")
    async with _listening(tmp_path):
        assert await asyncio.to_thread(call, tmp_path, "echo", text=1)


async def test_it_is_gone_after_the_end(tmp_path: Path) -> None:
    async with _listening(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    assert not is_running(tmp_path)
    with pytest.raises(NotRunning, match="no process has"):
        call(tmp_path, "echo")


async def test_a_long_path_works(tmp_path: Path) -> None:
    """A Unix address holds 108 bytes; a data directory may have a longer name."""
    folder = tmp_path / ("d" * 200) / ("e" * 200)
    folder.mkdir(parents=True)
    for _ in range(2):
        async with _listening(folder):
            assert await asyncio.to_thread(call, folder, "echo", text=1)
        assert list(folder.iterdir()) == []


async def test_a_folder_in_which_no_socket_can_be_made_is_no_reason_to_stop(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with _listening(tmp_path / "missing"):
        assert not is_running(tmp_path / "missing")
    assert "the control socket cannot be made" in capfd.readouterr().err


async def test_a_user_who_may_not_ask_is_told_so(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = tmp_path
        for above in (folder, *folder.parents):
            if not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o011)
        async with _listening(folder):
            os.seteuid(NOBODY)
            try:
                with pytest.raises(ControlError, match="call this as its user, or as root"):
                    await asyncio.to_thread(call, folder, "echo", text=1)
                assert not is_running(folder)
            finally:
                os.seteuid(0)
    else:
        async with _listening(tmp_path):
            (tmp_path / SOCKET).chmod(0)
            with pytest.raises(ControlError, match="call this as its user, or as root"):
                await asyncio.to_thread(call, tmp_path, "echo", text=1)
