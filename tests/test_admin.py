"""The admin port over real sockets."""

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.until import until

from shipper import admin as admin_module
from shipper.admin import MAX_CONNECTIONS, MAX_HEAD, Admin, _refusal
from shipper.errors import AdminError
from shipper.metrics import Registry


class _Process:
    """What the pages show; a test changes it."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.ready = True
        self.alive = True
        self.reasons: list[str] = []
        self.status: dict[str, Any] = {"name": "agent", "sinks": {"central": {"state": "connected"}}}

    def check(self) -> tuple[bool, dict[str, Any]]:
        return self.ready, {"reasons": self.reasons}


@pytest.fixture
def process() -> _Process:
    return _Process()


@pytest.fixture
async def admin(process: _Process) -> AsyncIterator[Admin]:
    server = Admin("127.0.0.1:0", process.registry, process.check, lambda: process.status, lambda: process.alive)
    await server.start()
    yield server
    await server.close()


async def _exchange(admin: Admin, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, read the answer until the server closes; (status, headers, body)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    try:
        writer.write(request)
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    assert int(headers["content-length"]) == len(body)
    return int(first.split(" ")[1]), headers, body


async def _get(admin: Admin, path: str) -> tuple[int, dict[str, str], bytes]:
    return await _exchange(admin, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


async def test_metrics_are_served_in_the_text_format(admin: Admin, process: _Process) -> None:
    process.registry.gauge("shipper_sink_up", sink="zentral-ü").set(1)
    status, headers, body = await _get(admin, "/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert body.decode() == process.registry.render()
    assert 'shipper_sink_up{sink="zentral-ü"} 1' in body.decode()


async def test_healthz_says_ok_until_something_hangs(admin: Admin, process: _Process) -> None:
    status, headers, body = await _get(admin, "/healthz?verbose")
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert headers["content-type"] == "application/json"
    process.alive = False
    status, _, body = await _get(admin, "/healthz")
    assert (status, json.loads(body)) == (503, {"status": "hangs"})


async def test_readyz_is_503_with_the_reasons_when_it_is_not_ready(admin: Admin, process: _Process) -> None:
    status, _, body = await _get(admin, "/readyz")
    assert (status, json.loads(body)) == (200, {"ready": True, "reasons": []})
    process.ready, process.reasons = False, ["the spool is 85% full"]
    status, _, body = await _get(admin, "/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "reasons": ["the spool is 85% full"]})


async def test_status_shows_what_runs_even_names_that_are_not_utf8(admin: Admin, process: _Process) -> None:
    status, _, body = await _get(admin, "/status")
    assert (status, json.loads(body)) == (200, process.status)
    process.status = {"file": os.fsdecode(b"/var/\xff.log")}
    status, _, body = await _get(admin, "/status")
    assert (status, json.loads(body)) == (200, process.status)


async def test_a_page_that_fails_is_a_500_and_the_others_go_on(
    admin: Admin, process: _Process, capsys: pytest.CaptureFixture[str]
) -> None:
    process.status = {"bad": float}
    process.check = lambda: 1 / 0  # type: ignore[assignment, return-value, method-assign]
    broken = Admin("127.0.0.1:0", process.registry, process.check, lambda: process.status, lambda: process.alive)
    await broken.start()
    assert (await _get(broken, "/readyz"))[0] == 500
    assert (await _get(broken, "/healthz"))[0] == 200
    await broken.close()
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/ HTTP/1.0\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", 405),
        (b"DELETE /status HTTP/1.1\r\n\r\n", 405),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET http://evil/metrics HTTP/1.1\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 505),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
    ],
)
async def test_whatever_is_not_a_get_of_a_page_is_refused(admin: Admin, request_: bytes, status: int) -> None:
    answer = await _exchange(admin, request_)
    assert answer[0] == status
    assert json.loads(answer[2])["error"]
    assert ("allow" in answer[1]) == (status == 405)


async def test_a_request_that_ends_in_the_middle_is_a_400(admin: Admin) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    writer.write(b"GET /met")
    writer.write_eof()
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    await writer.wait_closed()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
async def test_rubbish_is_answered_or_dropped_and_never_harms(rubbish: bytes) -> None:
    server = Admin("127.0.0.1:0", Registry(), lambda: (True, {}), dict, lambda: True)
    await server.start()
    status, _, _ = await _exchange(server, rubbish + b"\r\n\r\n")
    assert status in {400, 404, 405, 505}
    assert (await _get(server, "/healthz"))[0] == 200
    await server.close()


async def test_a_peer_that_sends_nothing_is_let_go(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "TIMEOUT", 0.5)  # time enough to send the half of it
    status, _, _ = await _exchange(admin, b"GET /metrics HTTP/1.1\r\n")
    assert status == 408


async def test_a_peer_that_does_not_read_is_let_go(
    admin: Admin, process: _Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_module, "TIMEOUT", 0.5)  # time enough to send the request
    process.status = {"large": "x" * 32_000_000}
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", admin.port))
        await asyncio.get_running_loop().sock_sendall(peer, b"GET /status HTTP/1.1\r\n\r\n")
        await until(lambda: admin._open)
        await until(lambda: not admin._open)
    assert (await _get(admin, "/healthz"))[0] == 200


async def test_more_connections_than_allowed_are_turned_away_until_one_ends(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin_module, "TIMEOUT", 60.0)  # those that say nothing stay, on a slow machine too
    idle = [await asyncio.open_connection("127.0.0.1", admin.port) for _ in range(MAX_CONNECTIONS)]
    await until(lambda: len(admin._open) == MAX_CONNECTIONS)
    assert (await _get(admin, "/healthz"))[0] == 503
    idle[0][1].close()
    await until(lambda: len(admin._open) < MAX_CONNECTIONS)
    assert (await _get(admin, "/healthz"))[0] == 200
    for _, writer in idle:
        writer.close()


async def test_closing_cuts_open_connections_and_frees_the_port(process: _Process) -> None:
    server = Admin("127.0.0.1:0", process.registry, process.check, dict, lambda: True)
    await server.start()
    port = server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: server._open)
    await server.close()
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_closing_before_starting_is_nothing(process: _Process) -> None:
    server = Admin("127.0.0.1:0", process.registry, process.check, dict, lambda: True)
    assert server.port == 0
    await server.close()


async def test_a_port_in_use_is_one_clear_sentence(admin: Admin, process: _Process) -> None:
    second = Admin(f"127.0.0.1:{admin.port}", process.registry, process.check, dict, lambda: True)
    with pytest.raises(AdminError, match=f"127.0.0.1:{admin.port} is in use by another process"):
        await second.start()


@pytest.mark.parametrize("listen", ["7421", "localhost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "h:-1"])
async def test_what_is_not_an_address_says_how_one_looks(process: _Process, listen: str) -> None:
    with pytest.raises(AdminError, match=r"write HOST:PORT, as in 127\.0\.0\.1:7421"):
        await Admin(listen, process.registry, process.check, dict, lambda: True).start()


async def test_an_address_of_another_machine_is_named(process: _Process) -> None:
    with pytest.raises(AdminError, match=r"192\.0\.2\.1:0 is not an address of this machine"):
        await Admin("192.0.2.1:0", process.registry, process.check, dict, lambda: True).start()


def test_a_port_without_permission_says_what_to_do() -> None:
    assert "no permission to listen on 127.0.0.1:80" in _refusal("127.0.0.1:80", OSError(errno.EACCES, "x"))
    assert "cannot listen on x:80: Input/output error" in _refusal("x:80", OSError(errno.EIO, "x"))


async def test_it_listens_on_ipv6_where_that_is_asked(process: _Process) -> None:
    server = Admin("[::1]:0", process.registry, process.check, dict, lambda: True)
    await server.start()
    reader, writer = await asyncio.open_connection("::1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    await server.close()
