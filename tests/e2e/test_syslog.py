"""``shipper run`` with a syslog source: TLS in a process without asyncio's, kills, a clean end."""

import socket
import ssl
import time
from pathlib import Path

import pytest
from support.certificates import Authority
from support.processes import Node, free_port, records, wait_for
from support.whole import whole_records


def node(folder: Path, listen: str, more: str = "") -> Node:
    return Node(
        folder,
        "collector",
        f"data_dir: {folder}/data\n"
        f"sources: {{net: {{type: syslog, listen: ['{listen}'], timezone: UTC{more}}}}}\n"
        f"sinks: {{out: {{type: file, path: '{folder}/out.ndjson'}}}}\n",
    )


def connected(port: int) -> socket.socket:
    """A connection, as soon as somebody listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def arrived(folder: Path) -> list[int]:
    """The numbers of the messages that the sink has written so far."""
    return [int(record["message"]) for record in whole_records(folder / "out.ndjson")]


def test_what_was_durable_before_a_kill_arrives_once_and_the_rest_is_the_senders(tmp_path: Path) -> None:
    """Five kills: nothing twice, nothing out of order; lost is only what came in at the last moment."""
    port = free_port()
    collector = node(tmp_path, f"tcp://127.0.0.1:{port}")
    number, gaps = 0, []
    for _ in range(5):
        collector.start()
        sender = connected(port)
        first = number
        for _ in range(40):
            sender.sendall(b"".join(b"<13>Oct 11 22:14:15 edge app: %d\n" % n for n in range(number, number + 50)))
            number += 50
            time.sleep(0.005)
        wait_for(lambda first=first: any(n >= first for n in arrived(tmp_path)), "messages of this start")  # type: ignore[misc]
        collector.kill()
        sender.close()
        gaps.append(number)
    collector.start()
    sender = connected(port)
    sender.sendall(b"<13>Oct 11 22:14:15 edge app: %d\n" % number)
    wait_for(lambda: arrived(tmp_path)[-1:] == [number], "the last message")
    assert collector.stop() == 0
    sender.close()
    found = [int(str(record["message"])) for record in records(tmp_path / "out.ndjson")]
    assert found == sorted(set(found))
    missing = sorted(set(range(number)) - set(found))
    # What is missing is the end of what was sent before a kill.
    for begin, end in zip([0, *gaps], gaps, strict=False):
        lost = [n for n in missing if begin <= n < end]
        assert lost == list(range(end - len(lost), end))
    assert len(missing) < number


@pytest.mark.parametrize("mutual", [False, True])
def test_tls_in_a_running_process_and_a_stop_that_loses_nothing(tmp_path: Path, mutual: bool) -> None:
    """What was sent before SIGTERM is shipped; asyncio has no TLS there."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("collector")
    ca = f", client_ca: {authority.cert}" if mutual else ""
    port = free_port()
    collector = node(tmp_path, f"tls://127.0.0.1:{port}", f", tls: {{cert: {cert}, key: {key}{ca}}}")
    collector.start()
    context = ssl.create_default_context(cafile=str(authority.cert))
    if mutual:
        context.load_cert_chain(*authority.issue("edge"))
    sender = context.wrap_socket(connected(port), server_hostname="127.0.0.1")
    for number in range(5000):
        message = b"<13>1 2026-10-11T22:14:15Z edge app - - - %d" % number
        sender.sendall(b"%d %s" % (len(message), message))
    wait_for(lambda: len(arrived(tmp_path)) > 0, "the first message")
    wait_for(lambda: collector.up, "the start-up line")
    sender.unwrap()
    assert collector.stop() == 0
    sender.close()
    (first, *_) = found = list(records(tmp_path / "out.ndjson"))
    assert [int(str(record["message"])) for record in found] == list(range(5000))
    assert first.items() >= {"hostname": "edge", "app_name": "app", "severity": "notice", "peer": "127.0.0.1"}.items()
