"""The service manager hears what systemd expects, and the watchdog starves when this process hangs, and only then.

The processes are real, and so is the socket. The watchdog allows a second, so feeding stops after half a second of
standing still; a noisy machine may cost a feeding here and there, which no test counts on.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from support.processes import Node, free_port, wait_for
from support.service_manager import ServiceManager as Systemd
from support.small_disk import SmallDisk
from support.until import until

from shipper import notify

WATCHDOG = 1.0
FED = "WATCHDOG=1"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    with Systemd(tmp_path / "notify") as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG * 1e6)))
        yield manager


@pytest.fixture(autouse=True)
def _end_all_nodes() -> Iterator[None]:
    yield
    for node in Node.all:
        if node.running:
            node.signal(signal.SIGCONT)
            node.kill()
    Node.all.clear()


def agent(tmp_path: Path, sink: str, extra: str = "") -> Node:
    (tmp_path / "logs").mkdir(exist_ok=True)
    node = Node(
        tmp_path,
        "agent",
        f"data_dir: {tmp_path}/data\nsources: {{app: {{type: file, include: ['{tmp_path}/logs/*.log']}}}}\n"
        f"sinks: {{out: {sink}}}\n{extra}",
    )
    node.start()
    return node


def write(tmp_path: Path, text: str) -> None:
    with (tmp_path / "logs" / "a.log").open("a") as log:
        log.write(text)


def wait_ready(systemd: Systemd) -> None:
    systemd.wait_for(lambda line: line == "READY=1", "READY=1")


def wait_fed_for_long(systemd: Systemd) -> None:
    """It is fed for several times as long as it takes to starve."""
    for _ in range(3 * notify.TICKS):
        systemd.wait_for(lambda line: line == FED, "a feeding")


def wait_starved(systemd: Systemd) -> None:
    systemd.wait_for_silence(FED, 2 * WATCHDOG)


# What is said, and to whom


@pytest.mark.parametrize("address", ["{}/socket", "@shipper-test-{}"])
async def test_messages_reach_a_path_and_an_abstract_name(tmp_path: Path, address: str) -> None:
    with Systemd(address.format(tmp_path)) as systemd:
        manager = notify.ServiceManager({"NOTIFY_SOCKET": systemd.address})
        manager.ready()
        manager.stopping()
        manager.close()
        assert systemd.hear() == ["READY=1", "STOPPING=1", "EXTEND_TIMEOUT_USEC=15000000"]


async def test_without_a_socket_nothing_happens() -> None:
    manager = notify.ServiceManager({"WATCHDOG_USEC": "1000000"})
    manager.ready()
    await manager.run(_never, str)
    manager.stopping()
    manager.close()


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
async def test_the_watchdog_is_the_one_that_was_meant_for_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    manager = notify.ServiceManager({"NOTIFY_SOCKET": "/nowhere", **environment})
    assert manager.watchdog == seconds
    manager.close()


async def test_without_a_watchdog_the_status_is_told_all_the_same(tmp_path: Path) -> None:
    with Systemd(tmp_path / "s") as systemd:
        manager = notify.ServiceManager({"NOTIFY_SOCKET": systemd.address})
        task = asyncio.create_task(manager.run(_never, lambda: "two\nlines"))
        await until(systemd.hear)
        await _end(task, manager)
        assert systemd.said == ["STATUS=two lines"]


async def test_a_service_manager_that_is_gone_is_named_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manager = notify.ServiceManager({"NOTIFY_SOCKET": f"{tmp_path}/gone"})
    manager.ready()
    manager.close()
    assert "the service manager cannot be told how it goes" in capsys.readouterr().err


async def test_a_bug_in_what_is_asked_does_not_starve_the_watchdog(tmp_path: Path) -> None:
    with Systemd(tmp_path / "s") as systemd:
        manager = notify.ServiceManager({"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "40000"})
        task = asyncio.create_task(manager.run(_broken, lambda: str(1 // 0)))
        await until(lambda: systemd.hear() and systemd.said.count(FED) >= 3)
        await _end(task, manager)
        assert "STATUS=running; the status line failed, the log says why" in systemd.said


def _never(_allowed: float) -> bool:
    raise AssertionError("nobody asked")


def _broken(_allowed: float) -> bool:
    raise ValueError("a sink's bug")


async def _end(task: "asyncio.Task[None]", manager: notify.ServiceManager) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    manager.close()


# Real processes


def test_a_run_says_ready_then_how_it_goes_then_stopping(tmp_path: Path, systemd: Systemd) -> None:
    node = agent(tmp_path, f"{{type: file, path: '{tmp_path}/out.ndjson'}}")
    wait_ready(systemd)
    systemd.wait_for(lambda line: line.startswith("STATUS=out connected, 0 frames wait"), "a status")
    assert node.stop() == 0
    systemd.hear()
    assert systemd.said.index("READY=1") < systemd.said.index("STOPPING=1")


def test_a_quiet_source_feeds_the_watchdog(tmp_path: Path, systemd: Systemd) -> None:
    agent(tmp_path, "{type: blackhole}")
    wait_ready(systemd)
    wait_fed_for_long(systemd)


def test_an_unreachable_collector_feeds_the_watchdog(tmp_path: Path, systemd: Systemd) -> None:
    agent(tmp_path, f"{{type: grpc, addresses: ['127.0.0.1:{free_port()}']}}")
    write(tmp_path, "one\n")
    systemd.wait_for(lambda line: "out retrying" in line or "out open" in line, "the outage")
    wait_fed_for_long(systemd)


def test_a_full_spool_feeds_the_watchdog_of_the_agent_and_of_the_collector(tmp_path: Path, systemd: Systemd) -> None:
    """The collector cannot deliver and is full; the agent is connected to it, waits, and fills up in its turn."""
    port = free_port()
    away = f"{{type: grpc, addresses: ['127.0.0.1:{free_port()}']}}"
    small = "spool: {max_bytes: 2MiB}\n"
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{out: {away}}}\n{small}",
    )
    with Systemd(tmp_path / "collector.notify") as collectors, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", collectors.address)
        collector.start()
        wait_ready(collectors)
        patch.setenv("NOTIFY_SOCKET", systemd.address)
        agent(tmp_path, f"{{type: grpc, addresses: ['127.0.0.1:{port}']}}", small)
        for _ in range(60):
            write(tmp_path, "".join(f"{os.urandom(1_000).hex()}\n" for _ in range(100)))
        for manager in (collectors, systemd):
            manager.wait_for(lambda line: "no room (max_bytes)" in line, "a full spool")
        wait_fed_for_long(systemd)
        wait_fed_for_long(collectors)


def test_a_full_disk_feeds_the_watchdog(tmp_path: Path, systemd: Systemd) -> None:
    disk = SmallDisk(tmp_path / "disk", 16 * 2**20)
    log = (tmp_path / "agent.log").open("wb")
    (tmp_path / "logs").mkdir()
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"data_dir: {tmp_path}/disk/data\nsources: {{app: {{type: file, include: ['{tmp_path}/logs/*.log']}}}}\n"
        f"sinks: {{out: {{type: grpc, addresses: ['127.0.0.1:{free_port()}']}}}}\nspool: {{max_bytes: 32MiB}}\n"
    )
    process = subprocess.Popen([*disk.inside, sys.executable, "-m", "shipper", "run", config], stderr=log)
    try:
        wait_ready(systemd)
        disk.fill(leave=0)
        for _ in range(60):
            write(tmp_path, "".join(f"{os.urandom(1_000).hex()}\n" for _ in range(100)))
        systemd.wait_for(lambda line: line.startswith("STATUS=not ready") and "disk" in line, "a full disk")
        wait_fed_for_long(systemd)
    finally:
        process.kill()
        process.wait()
        disk.close()
        log.close()


HANGING_PROCESSOR = """
import time
from shipper import Processor

class Hang(Processor):
    def process(self, record):
        if "hang" in record["message"]:
            time.sleep(1000)
        return record
"""

HANGING_SINK = """
import asyncio, time
from shipper.sinks.base import Sink

class Hang(Sink):
    blocks_the_loop: bool = False

    async def connect(self, outlet):
        return outlet.cursor

    async def send(self, items):
        if self.blocks_the_loop:
            time.sleep(1000)
        await asyncio.sleep(1000)

    async def close(self):
        pass
"""


def test_a_processor_that_hangs_starves_the_watchdog_and_the_log_says_where(tmp_path: Path, systemd: Systemd) -> None:
    (tmp_path / "hang.py").write_text(HANGING_PROCESSOR)
    node = agent(tmp_path, "{type: blackhole}", "processors: ['./hang.py:Hang']\n")
    wait_ready(systemd)
    write(tmp_path, "fine\n")
    wait_fed_for_long(systemd)
    write(tmp_path, "hang\n")
    wait_starved(systemd)
    wait_for(lambda: "chain app: a processor has not returned for" in node.output(), "the reason")
    node.signal(signal.SIGABRT)  # what systemd does
    assert node.wait() == -signal.SIGABRT
    assert 'hang.py", line 8 in process' in node.output()


@pytest.mark.parametrize("settings", ["", ", blocks_the_loop: true"])
def test_a_connected_sink_that_hangs_starves_the_watchdog(tmp_path: Path, systemd: Systemd, settings: str) -> None:
    (tmp_path / "hang.py").write_text(HANGING_SINK)
    agent(tmp_path, f"{{type: './hang.py:Hang'{settings}}}")
    wait_ready(systemd)
    wait_fed_for_long(systemd)
    write(tmp_path, "a line\n")
    wait_starved(systemd)


def test_a_writer_that_hangs_in_a_sync_starves_the_watchdog(tmp_path: Path, systemd: Systemd) -> None:
    (tmp_path / "logs").mkdir()
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"data_dir: {tmp_path}/data\nsources: {{app: {{type: file, include: ['{tmp_path}/logs/*.log']}}}}\n"
        "sinks: {out: {type: blackhole}}\n"
    )
    hanging = "inject=fdatasync:delay_enter=1000000000:when=20+"  # counted by thread: the opening makes fewer
    log = (tmp_path / "agent.log").open("wb")
    command = [sys.executable, "-m", "shipper", "run", str(config)]
    strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", hanging]
    process = subprocess.Popen([*strace, *command], stderr=log, start_new_session=True)
    try:
        wait_ready(systemd)
        numbers = count()

        def has_said_so() -> bool:
            """Each look is a line more: however many of them are one batch, the call that hangs comes."""
            write(tmp_path, f"{next(numbers)}\n")
            return b"spool writer: the writer has frames" in (tmp_path / "agent.log").read_bytes()

        wait_for(has_said_so, "the reason")
        wait_starved(systemd)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def test_a_stopped_process_starves_the_watchdog(tmp_path: Path, systemd: Systemd) -> None:
    node = agent(tmp_path, "{type: blackhole}")
    wait_ready(systemd)
    node.signal(signal.SIGSTOP)
    wait_starved(systemd)
    node.signal(signal.SIGCONT)
    wait_fed_for_long(systemd)


def test_a_long_drain_asks_for_more_time(tmp_path: Path, systemd: Systemd) -> None:
    extra = "shutdown_timeout: 1h\n"
    node = agent(tmp_path, f"{{type: grpc, addresses: ['127.0.0.1:{free_port()}']}}", extra)
    write(tmp_path, "one\n")
    wait_ready(systemd)
    systemd.wait_for(lambda line: "1 frames wait" in line or "1 bytes wait" in line, "the line in the spool")
    node.signal(signal.SIGTERM)
    for _ in range(3):
        systemd.wait_for(lambda line: line == "EXTEND_TIMEOUT_USEC=15000000", "more time")
    wait_fed_for_long(systemd)
